"""Spectrograms, mel spectrograms and cepstra of speech. NumPy only.

Signals are (T,) at `RATE`; frames are taken every `HOP` samples and centred on them, so that a
signal has ceil(T / HOP) of them, whatever their length.
"""

import math
from functools import lru_cache
from typing import TYPE_CHECKING

from vqcodec.voice.frames import HOP, RATE, frames_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.floating]
    Frames = NDArray[np.float64]

WINDOW = 400  # samples of a frame: 25 ms
FFT = 512
MELS = 80
CEPSTRA = 24  # coefficients beside the zeroth, as is usual for mel-cepstral distances
DYNAMIC_RANGE = 60.0  # dB below the loudest part, where what is left no longer matters
SILENCE = 1e-10  # power of a band below which there is nothing: -100 dB of full scale


def power(samples: "Signal", hop: int = HOP) -> "Frames":
    """Return the power spectrogram, (N, FFT // 2 + 1); 1 is a sine at full scale."""
    import numpy as np

    window = np.hanning(WINDOW + 2)[1:-1]
    spectrum = np.fft.rfft(frames_of(samples, WINDOW, hop) * window, FFT)
    return np.square(np.abs(spectrum)) / np.square(window.sum() / 2)


def mel_power(samples: "Signal", hop: int = HOP) -> "Frames":
    """Return the power in each of `MELS` bands, (N, MELS)."""
    return power(samples, hop) @ mel_filters().T


def decibels(energy: "Frames") -> "Frames":
    """Return powers in dB of a sine at full scale, -100 dB at least."""
    import numpy as np

    return 10 * np.log10(np.maximum(energy, SILENCE))


def log_mel_distance(original: "Signal", other: "Signal") -> float:
    """Return the mean absolute difference of two mel spectrograms, in dB.

    What lies more than `DYNAMIC_RANGE` below the original's loudest band counts as lying there.
    """
    import numpy as np

    a, b = decibels(mel_power(original)), decibels(mel_power(other))
    floor = a.max() - DYNAMIC_RANGE
    return float(np.abs(np.maximum(a, floor) - np.maximum(b, floor)).mean())


def cepstra(samples: "Signal") -> "Frames":
    """Return mel cepstra without the zeroth, (N, CEPSTRA): the shape of a spectrum, not its level.

    They are the c of log A = c_0 + 2 sum c_m cos(m w), where A are the amplitudes of mel bands, so
    that distances between them are distances of log spectra.
    """
    import numpy as np

    floored = decibels(mel_power(samples))
    floored = np.maximum(floored, floored.max() - DYNAMIC_RANGE)
    n, k = np.arange(MELS), np.arange(1, CEPSTRA + 1)
    cosine = np.cos(np.pi / MELS * np.outer(k, n + 0.5)) / MELS
    return floored * (math.log(10) / 20) @ cosine.T


@lru_cache(maxsize=1)
def mel_filters() -> "Frames":
    """Return triangles of unit height, (MELS, FFT // 2 + 1), evenly spaced on the mel scale."""
    import numpy as np

    top = 2595 * math.log10(1 + RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, MELS + 2) / 2595) - 1)
    bins = np.arange(FFT // 2 + 1) * RATE / FFT
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rise, fall))
