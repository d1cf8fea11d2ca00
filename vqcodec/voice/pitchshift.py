"""Speech made higher or lower, as long as before and with its formants where they are wanted.

Periods of the voice, two at a time under a window, are laid down closer together or further apart
(TD-PSOLA: Moulines and Charpentier, Speech Communication 9, 1990); what has no pitch stays as it
is. Then the spectral envelope of the original is put back. NumPy only, at 16 kHz.
"""

from typing import TYPE_CHECKING

from vqcodec.voice.formants import reshape
from vqcodec.voice.frames import HOP, RATE
from vqcodec.voice.pitch import pitch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.float32]
    Places = NDArray[np.int64]
    Flags = NDArray[np.bool_]

UNVOICED = 80  # samples between the marks of what has no pitch
OFF = 0.2  # periods that a mark may lie from where the pitch says it should be
COMPARED = 0.75  # periods to each side of two marks that should be alike


def shift_pitch(samples: "Signal", factor: float, formants: float = 1.0) -> "Signal":
    """Return speech, (T,), its pitch multiplied by `factor` and its formants by `formants`."""
    moved = _laid_down(samples, *_marks(samples), factor)
    return reshape(moved, samples, formants).clip(-1, 1)


def _laid_down(samples: "Signal", marks: "Places", voiced: "Flags", factor: float) -> "Signal":
    """Return what is around the marks, laid down where a pitch so much higher has its own."""
    import numpy as np

    gaps = np.diff(marks)
    before, after = np.append(gaps[:1], gaps), np.append(gaps, gaps[-1:])
    steps = np.where(voiced & np.append(voiced[1:], False), after / factor, after)
    edge = int(gaps.max())
    padded = np.pad(samples, edge)
    total = np.zeros(len(samples) + 2 * edge, np.float32)
    weight = np.zeros_like(total)
    place, nearest = 0.0, 0
    while place <= len(samples):
        while nearest + 1 < len(marks) and marks[nearest + 1] - place <= place - marks[nearest]:
            nearest += 1
        left, right = int(before[nearest]), int(after[nearest])
        window = _window(left, right)
        source, target = int(marks[nearest]) + edge, round(place) + edge
        total[target - left : target + right] += padded[source - left : source + right] * window
        weight[target - left : target + right] += window
        place += steps[nearest]
    return (total / weight.clip(1))[edge : edge + len(samples)]


def _window(left: int, right: int) -> "Signal":
    """Return a rise from nought to one in `left` samples, and a fall in `right`."""
    import numpy as np

    rise, fall = (0.5 - 0.5 * np.cos(np.pi * np.arange(n) / n) for n in (left, right))
    return np.concatenate([rise, 1 - fall]).astype(np.float32)


def _marks(samples: "Signal") -> "tuple[Places, Flags]":
    """Return one place in each period, and evenly spread ones where there is no voice.

    They rise from 0 to the number of samples; which of them are in voice comes with them.
    """
    import numpy as np

    track = pitch(samples)
    changes = np.diff(np.concatenate([[0], ~np.isnan(track), [0]]))
    runs = zip(np.flatnonzero(changes == 1), np.flatnonzero(changes == -1), strict=True)
    upright = samples if np.power(samples, 3, dtype=np.float64).sum() >= 0 else -samples
    marks, voiced = [0], [False]

    def fill(end: int) -> None:
        evenly = range(marks[-1] + UNVOICED, end - UNVOICED // 2, UNVOICED)
        marks.extend(evenly)
        voiced.extend(False for _ in evenly)

    for start, stop in runs:
        found = _periods(upright, RATE / track[start:stop], int(start) * HOP)
        found = [mark for mark in found if mark > marks[-1] + UNVOICED // 4]
        if len(found) > 1:
            fill(found[0])
            marks.extend(found)
            voiced.extend(True for _ in found)
    fill(len(samples))
    return np.array([*marks, len(samples)]), np.array([*voiced, False])


def _periods(samples: "Signal", periods: "NDArray[np.float64]", start: int) -> list[int]:
    """Return one place in each period of a stretch of voice, from its highest peak both ways.

    Args:
        samples: (T,).
        periods: of the stretch, in samples, every HOP samples.
        start: where it begins.
    """
    import numpy as np

    stop = min(start + len(periods) * HOP, len(samples))
    peak = start + int(np.argmax(samples[start:stop]))
    marks = [peak]
    for way in (1, -1):
        mark = peak
        while True:
            period = periods[min(max((mark - start) // HOP, 0), len(periods) - 1)]
            around, off = int(COMPARED * period), int(OFF * period)
            aim = round(mark + way * period)
            first, last = aim - off - around, aim + off + around
            if not (start <= aim < stop and around <= mark and 0 <= first):
                break
            if last > len(samples) or mark + around > len(samples):
                break
            found = np.correlate(samples[first:last], samples[mark - around : mark + around])
            energy = np.cumsum(np.append(0, np.square(samples[first:last], dtype=np.float64)))
            power = energy[2 * around :] - energy[: -2 * around]
            mark = aim - off + int(np.argmax(found / np.sqrt(power + 1e-6)))
            marks.append(mark)
    return sorted(marks)
