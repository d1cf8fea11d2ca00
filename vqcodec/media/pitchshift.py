"""Speech made higher or lower, as long as before and with its formants where they are wanted.

Pieces of it are laid closer together or further apart where they match (WSOLA: Verhelst and
Roelands, ICASSP 1993), what comes out is played slower or faster, and the spectral envelope of the
original is put back. NumPy and soxr, at 16 kHz.
"""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from vqcodec.media.formants import reshape
from vqcodec.media.frames import RATE
from vqcodec.media.pitch import median_pitch, pitch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.float32]
    Samples = NDArray[np.float32]

PIECE, STEP = 640, 320  # samples: 40 ms, two periods of the lowest voice and more
SEARCH = 200  # samples to each side that a piece is moved by to match
MOST = 3.0  # the pitch is changed by at most this factor
FOLLOW = (
    0.3  # formants move by the factor of the pitch to this power: lower voices are of larger people
)
HEAD = 10 * RATE  # samples that the pitch is measured on
PART, FADE = 30 * RATE, RATE // 20  # samples that are shifted at once, and that two parts share


class PitchShifter:
    """Brings speech at 16 kHz to a median pitch, as it comes.

    The pitch of its first ten seconds decides by how much; where there is no voice in them, nothing
    is changed.

    Args:
        channels: of the sound; all are shifted alike.
        wanted: the median pitch in Hz.
    """

    def __init__(self, channels: int, wanted: float) -> None:
        import numpy as np

        self._wanted = wanted
        self._factor: float | None = None
        self._buffer = np.zeros((channels, 0), np.float32)
        self._tail = np.zeros((channels, 0), np.float32)  # of the last part, fading out

    def feed(self, block: "Samples") -> "Samples":
        """Return what is ready, (channels, m), after a block, (channels, n)."""
        import numpy as np

        self._buffer = np.concatenate([self._buffer, block], axis=1)
        ready = [self._buffer[:, :0]]
        while self._buffer.shape[1] >= PART + FADE:
            ready.append(self._joined(self._shifted(self._buffer[:, : PART + FADE])))
            self._tail, ready[-1] = ready[-1][:, PART:], ready[-1][:, :PART]
            self._buffer = self._buffer[:, PART:]
        return np.concatenate(ready, axis=1)

    def finish(self) -> "Samples":
        """Return the rest: in all as many samples as were fed."""
        return self._joined(self._shifted(self._buffer))

    def run(self, blocks: "Iterable[Samples]") -> "Iterator[Samples]":
        """Yield a whole recording, (channels, n), one item for each block and one more."""
        for block in blocks:
            yield self.feed(block)
        yield self.finish()

    def _shifted(self, samples: "Samples") -> "Samples":
        import numpy as np

        if self._factor is None:
            found = median_pitch(pitch(samples[:, :HEAD].mean(0))) if samples.size else None
            ratio = self._wanted / found if found else 1.0
            self._factor = min(MOST, max(1 / MOST, ratio))
        if self._factor == 1 or not samples.size:
            return samples
        return np.stack([shift_pitch(s, self._factor, self._factor**FOLLOW) for s in samples])

    def _joined(self, samples: "Samples") -> "Samples":
        """Fade from the last part to the one that follows."""
        import numpy as np

        shared = self._tail.shape[1]
        if shared:
            rising = np.linspace(0, 1, shared + 2, dtype=np.float32)[1:-1]
            samples = samples.copy()
            samples[:, :shared] = samples[:, :shared] * rising + self._tail * (1 - rising)
        return samples


def shift_pitch(samples: "Signal", factor: float, formants: float = 1.0) -> "Signal":
    """Return speech, (T,), its pitch multiplied by `factor` and its formants by `formants`."""
    import numpy as np
    import soxr

    played = soxr.resample(_stretch(samples, factor), factor, 1).astype(np.float32)
    played = np.pad(played, (0, max(0, len(samples) - len(played))))[: len(samples)]
    return reshape(played, samples, formants).clip(-1, 1)


def _stretch(samples: "Signal", factor: float) -> "Signal":
    """Return speech that takes `factor` times as long and sounds as high as before."""
    import numpy as np

    number = int(len(samples) * factor) // STEP + 2
    padded = np.pad(samples, (SEARCH + STEP, SEARCH + 2 * PIECE))
    window = np.hanning(PIECE + 1)[:-1].astype(np.float32)
    energy = np.cumsum(np.square(padded, dtype=np.float64))
    power = energy[PIECE:] - energy[:-PIECE]  # of the piece that starts one sample further
    total = np.zeros(number * STEP + PIECE, np.float32)
    last = len(padded) - PIECE - SEARCH - 1
    place = SEARCH
    for start in range(0, number * STEP, STEP):
        if start:
            # the piece that goes on best from the one before, near to where it should be from
            target = padded[place + STEP : place + STEP + PIECE]
            first = min(round(start / factor), last - SEARCH)
            around = padded[first : first + 2 * SEARCH + len(target)]
            match = np.correlate(around, target, "valid")
            found = match / np.sqrt(power[first : first + len(match)] + 1e-6)
            place = first + int(np.argmax(found))
        total[start : start + PIECE] += padded[place : place + PIECE] * window
    return total[STEP : STEP + round(len(samples) * factor)]
