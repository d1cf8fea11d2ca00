"""Short-time spectra of sound: what decoders of speech are compared by."""

import functools
import math

import torch
from torch.nn import functional as F

FLOOR = 1e-4  # amplitude, -80 dB of full scale: what is quieter counts as silence


def spectra(x: torch.Tensor, window: int, hop: int) -> torch.Tensor:
    """Return short-time spectra, (B, window / 2 + 1, frames) complex, of x, (B, T).

    Hann windows, every `hop` samples, on x mirrored at its ends; a full-scale sine has a magnitude
    of a quarter of the window.
    """
    with torch.autocast(x.device.type, enabled=False):
        weights = torch.hann_window(window, device=x.device)
        return torch.stft(x.float(), window, hop, window=weights, return_complex=True)


def magnitudes(x: torch.Tensor, window: int, hop: int) -> torch.Tensor:
    """Return the magnitudes of short-time spectra, (B, window / 2 + 1, frames), of x, (B, T).

    They are those of `spectra`, but a full-scale sine has a magnitude of one half.
    """
    with torch.autocast(x.device.type, enabled=False):
        power = torch.view_as_real(spectra(x, window, hop)).square().sum(-1)
        return (power + 1e-14).sqrt() / torch.hann_window(window, device=x.device).sum()


def mel_edges(bands: int, sample_rate: int) -> torch.Tensor:
    """Return frequencies in Hz, (bands + 2,), even on the mel scale from 0 to half the rate.

    Those between the first and the last are the centres of bands, which reach to their neighbours.
    The mel scale is 2595 log10(1 + f / 700).
    """
    top = 2595 * math.log10(1 + sample_rate / 2 / 700)
    return 700 * (10 ** (torch.linspace(0, top, bands + 2, dtype=torch.float64) / 2595) - 1)


@functools.lru_cache(maxsize=16)
def mel_filters(bins: int, bands: int, sample_rate: int) -> torch.Tensor:
    """Return triangular filters, (bands, bins), evenly spaced on the mel scale up to half the rate.

    The height of all filters is one.
    """
    edges = mel_edges(bands, sample_rate)
    frequencies = torch.linspace(0, sample_rate / 2, bins, dtype=torch.float64)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    return torch.minimum(rising, falling).clamp(min=0).float()


def log_mel(x: torch.Tensor, sample_rate: int, window: int, hop: int, bands: int) -> torch.Tensor:
    """Return the natural logarithm of mel spectra, (B, bands, frames), of x, (B, T)."""
    spectra = magnitudes(x, window, hop)
    filters = mel_filters(spectra.shape[1], bands, sample_rate).to(x.device)
    with torch.autocast(x.device.type, enabled=False):
        return torch.log(filters @ spectra + FLOOR)


def spectral_distance(x: torch.Tensor, y: torch.Tensor, windows: tuple[int, ...]) -> torch.Tensor:
    """Return how far spectra of y are from those of x, both (B, T): a mean over `windows`.

    The sum of the mean absolute difference of logarithms and the spectral convergence
    |X - Y| / |X| (Yamamoto et al., arXiv:1910.11480).
    """
    total = x.new_zeros(())
    for window in windows:
        a, b = (magnitudes(s, window, window // 4) for s in (x, y))
        total = total + F.l1_loss((b + FLOOR).log(), (a + FLOOR).log())
        total = total + (a - b).norm() / (a.norm() + FLOOR * math.sqrt(a.numel()))
    return total / len(windows)
