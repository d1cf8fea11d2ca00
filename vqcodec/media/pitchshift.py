"""Speech made higher or lower, as long as before and with its formants where they are wanted.

Pieces of it are laid closer together or further apart where they match (WSOLA: Verhelst and
Roelands, ICASSP 1993), what comes out is played slower or faster, and the spectral envelope of the
original is put back. NumPy and soxr, at 16 kHz.
"""

from typing import TYPE_CHECKING

from vqcodec.media.formants import reshape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.float32]

PIECE, STEP = 640, 320  # samples: 40 ms, two periods of the lowest voice and more
SEARCH = 200  # samples to each side that a piece is moved by to match


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
