"""Spectral envelopes of speech: what the throat and mouth add to the sound of the voice.

An envelope is the part of a short-time spectrum's logarithm that changes slowly with frequency: its
cepstrum below `CEPSTRA` samples, shorter than any period of a voice. NumPy only, at 16 kHz.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.float32]
    Frames = NDArray[np.float32]

WINDOW, HOP = 512, 128  # samples
BINS = WINDOW // 2 + 1
CEPSTRA = 30  # samples: voices of up to 500 Hz
FLOOR = 1e-4  # of a magnitude: keeps silence silent
MAX = 4.0  # nepers that a frequency may be changed by: 35 dB


def reshape(
    samples: "Signal", like: "Signal", formants: float, tilt: "Signal | None" = None
) -> "Signal":
    """Give sound the envelope and the power of other sound, its formants moved.

    Args:
        samples: (T,).
        like: (T,), whose envelope it takes at every moment; may be `samples` itself.
        formants: the envelope's frequencies are multiplied by this; 1 leaves them.
        tilt: (BINS,) nepers to add at every frequency, or None.
    """
    import numpy as np

    spectra, aim = _spectra(samples), _spectra(like)
    envelope = _envelope(aim)
    bins = np.arange(BINS) / formants
    below = np.minimum(bins.astype(np.int64), BINS - 1)
    above, part = np.minimum(below + 1, BINS - 1), np.clip(bins - below, 0, 1).astype(np.float32)
    wanted = envelope[:, below] * (1 - part) + envelope[:, above] * part
    change = wanted - (envelope if like is samples else _envelope(spectra))
    if tilt is not None:
        change = change + tilt
    spectra = spectra * np.exp(np.clip(change, -MAX, MAX))
    power, wanted_power = (np.square(np.abs(s)).sum(1) + FLOOR for s in (spectra, aim))
    return _sound(spectra * np.sqrt(wanted_power / power)[:, None], len(samples))


def cepstra_of(samples: "Signal") -> "Frames":
    """Return the cepstra that make the envelopes of frames, (N, CEPSTRA)."""
    import numpy as np

    return _cepstra(_spectra(samples))[:, :CEPSTRA].astype(np.float32)


def give_cepstra(samples: "Signal", own: "Frames", wanted: "Frames") -> "Signal":
    """Return sound, (T,), whose cepstra, (N, CEPSTRA), are others than its own."""
    import numpy as np

    change = np.zeros((len(own), WINDOW), np.float32)
    change[:, :CEPSTRA] = wanted - own
    change[:, 1 - CEPSTRA :] = change[:, CEPSTRA - 1 : 0 : -1]
    factors = np.exp(np.clip(np.fft.rfft(change).real, -MAX, MAX))
    changed: Signal = _sound((_spectra(samples) * factors).astype(np.complex64), len(samples))
    return changed.clip(-1, 1)


def _spectra(samples: "Signal") -> "NDArray[np.complex64]":
    """Return the spectra of frames, (N, BINS), so that every sample is in WINDOW / HOP of them."""
    import numpy as np

    number = -(-len(samples) // HOP) + WINDOW // HOP - 1
    padded = np.zeros((number - 1) * HOP + WINDOW, np.float32)
    padded[WINDOW - HOP : WINDOW - HOP + len(samples)] = samples
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    spectra: NDArray[np.complex64] = np.fft.rfft(frames * _window()).astype(np.complex64)
    return spectra


def _sound(spectra: "NDArray[np.complex64]", length: int) -> "Signal":
    """Overlap and add frames; the inverse of `_spectra`."""
    import numpy as np

    frames = (np.fft.irfft(spectra, WINDOW) * _window()).astype(np.float32)
    parts = WINDOW // HOP
    total = np.zeros((len(frames) + parts - 1, HOP), np.float32)
    for part in range(parts):
        total[part : part + len(frames)] += frames[:, part * HOP : (part + 1) * HOP]
    # squared Hann windows a quarter apart add up to 1.5
    return total.reshape(-1)[WINDOW - HOP : WINDOW - HOP + length] / np.float32(1.5)


def _window() -> "Signal":
    import numpy as np

    return np.hanning(WINDOW + 1)[:-1].astype(np.float32)


def _envelope(spectra: "NDArray[np.complex64]") -> "Frames":
    """Return the logarithms of the envelopes of spectra, (N, BINS)."""
    import numpy as np

    cepstra = _cepstra(spectra)
    cepstra[:, CEPSTRA : WINDOW - CEPSTRA + 1] = 0
    return np.fft.rfft(cepstra).real.astype(np.float32)


def _cepstra(spectra: "NDArray[np.complex64]") -> "NDArray[np.floating]":
    """Return the whole cepstra of spectra, (N, WINDOW)."""
    import numpy as np

    return np.fft.irfft(np.log(np.abs(spectra) + FLOOR * WINDOW / 4))
