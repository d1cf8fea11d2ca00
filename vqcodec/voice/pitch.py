"""The fundamental frequency of speech, by normalised autocorrelation. NumPy only.

A frame's autocorrelation is divided by the energy of the two stretches that it compares (McLeod and
Wyvill, "A smarter way to find pitch", ICMC 2005), so that a steady tone reaches 1 at every multiple
of its period; the first peak that comes near the highest is the period.
"""

from typing import TYPE_CHECKING

from vqcodec.voice.frames import RATE, frames_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.floating]
    Track = NDArray[np.float64]

LOWEST, HIGHEST = 60.0, 500.0  # Hz
WINDOW = 640  # samples of a frame: 40 ms, more than two periods of the lowest voice
VOICED = 0.6  # height of a peak, of at most 1, above which a frame is voiced
FIRST = 0.9  # of the highest peak that the first must reach: lower ones are formants
QUIET = 35.0  # dB below the loudest frame, where there is no voice


def pitch(samples: "Signal") -> "Track":
    """Return the fundamental frequency every 10 ms in Hz, (ceil(T / 160),); NaN without voice."""
    import numpy as np

    frames = frames_of(samples, WINDOW)
    frames = frames - frames.mean(1, keepdims=True)
    correlation = _normalised(frames)
    shortest, longest = int(RATE / HIGHEST), int(RATE / LOWEST)
    middle = correlation[:, shortest : longest + 1]
    around = (correlation[:, shortest - 1 : longest], correlation[:, shortest + 1 : longest + 2])
    peak = (middle > 0) & (middle >= around[0]) & (middle > around[1])
    heights = np.where(peak, middle, 0)
    best = heights.max(1)
    first = np.argmax(heights >= FIRST * np.maximum(best, 1e-9)[:, None], axis=1)
    rows = np.arange(len(frames))
    left, top, right = (c[rows, first] for c in (around[0], middle, around[1]))
    bend = np.maximum(2 * top - left - right, 1e-12)
    lag = first + shortest + 0.5 * np.clip((right - left) / bend, -1, 1)  # top of a parabola
    level = np.square(frames).mean(1)
    heard = (level > 0) & (level >= level.max(initial=0) * 10 ** (-QUIET / 10))
    return _steady(np.where(heard & (best >= VOICED), RATE / lag, np.nan))


def pitch_correlation(original: "Track", other: "Track") -> float | None:
    """Return Pearson's correlation of two tracks in log frequency, where both are voiced.

    None with fewer than ten such frames, or where one of them is constant.
    """
    import numpy as np

    both = ~np.isnan(original) & ~np.isnan(other)
    if both.sum() < 10:
        return None
    a, b = np.log(original[both]), np.log(other[both])
    if min(a.std(), b.std()) < 1e-6:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def median_pitch(track: "Track") -> float | None:
    """Return the median of the voiced frames, in Hz; None without any."""
    import numpy as np

    voiced = track[~np.isnan(track)]
    return float(np.median(voiced)) if len(voiced) else None


def _normalised(frames: "Track") -> "Track":
    """Return 2 sum(x[t] x[t+lag]) / sum(x[t]^2 + x[t+lag]^2) of every lag, (N, WINDOW)."""
    import numpy as np

    spectrum = np.fft.rfft(frames, 2 * WINDOW)
    products = np.fft.irfft(np.square(np.abs(spectrum)), 2 * WINDOW)[:, :WINDOW]
    energy = np.cumsum(np.square(frames), 1)
    total = energy[:, -1:]
    before = np.concatenate([np.zeros_like(total), energy[:, :-1]], 1)  # of the first `lag` samples
    both = energy[:, ::-1] + (total - before)
    return 2 * products / np.maximum(both, 1e-12)


def _steady(track: "Track") -> "Track":
    """Drop voiced frames that jump away from the median of the five around them."""
    import numpy as np

    padded = np.pad(track, 2, constant_values=np.nan)
    near = np.lib.stride_tricks.sliding_window_view(padded, 5)
    known = ~np.isnan(near)
    number = known.sum(1)
    ordered = np.sort(near, 1)  # NaN comes last
    middle = ordered[np.arange(len(track)), np.maximum(number - 1, 0) // 2]
    ratio = track / middle
    return np.where((number >= 3) & (ratio > 0.8) & (ratio < 1.25), track, np.nan)
