"""What is said and how high, without how this voice sounds: cepstra, then convolutions over time.

A spectrum's logarithm is the sum of what throat and mouth do, which changes slowly with frequency,
and of the comb that the vocal folds make: they lie apart in the cepstrum (Noll, JASA 41, 1967). The
first is given as an envelope; of the second, only its period: an autocorrelation of the sound with
its envelope divided out. The rest of the sound, phases and all, never reaches the codes.
"""

import functools
import math
from dataclasses import dataclass

import torch
from torch import nn

from vqcodec.config import check_range
from vqcodec.models.encoders.base import Encoder
from vqcodec.models.nn import convnext
from vqcodec.models.nn.spectra import mel_edges

WINDOW = 1024  # samples that periods are looked for in: 64 ms, four of the lowest voice
ENVELOPE = 512  # samples of an envelope, in the middle of these
CEPSTRA = 30  # samples: shorter than any period of a voice of up to 500 Hz
BANDS = 40  # frequencies that an envelope is given at, evenly spaced on the mel scale
SHORTEST, LONGEST = 32, 267  # samples: periods of 500 and 60 Hz
PERIODS = 96  # how many are tried, evenly spaced on a scale of logarithms: 0.4 semitones
HIGHEST = 2000.0  # Hz: above, voices are less periodic
STRONGEST = 3.0  # nepers that a harmonic counts for at most
FLOOR = 1e-4  # of an amplitude: keeps silence silent
USUAL, SPREAD = -7.0, 1.5  # nepers: what an envelope is around, and by how much
SAMPLE_RATE = 16000  # Hz
SEEN = 3  # steps that the first convolution sees


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        stride: samples per code.
        width: channels inside.
        blocks: residual blocks.
        expansion: of these blocks.
        dim: D, numbers per code vector.
    """

    stride: int
    width: int
    blocks: int
    dim: int
    expansion: int = 2

    def __post_init__(self) -> None:
        check_range("stride", self.stride, 2, ENVELOPE)
        if self.stride % 2:
            raise ValueError(f"stride is {self.stride}, must be even")
        check_range("width", self.width, 1, 2048)
        check_range("blocks", self.blocks, 0, 64)
        check_range("expansion", self.expansion, 1, 8)
        check_range("dim", self.dim, 1, 1024)

    @property
    def min_parameters(self) -> int:
        """A lower bound of the numbers to learn."""
        return convnext.min_parameters(self.width, self.blocks, self.expansion)

    def build(self) -> "CepstralEncoder":
        """Make the encoder with fresh weights."""
        return CepstralEncoder(self)


class CepstralEncoder(Encoder):
    """Sound (B, 1, T) in [-1, 1] at 16 kHz to z_e (B, D, T / stride)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dim, self.strides = config.dim, ((config.stride,),)
        self.first = nn.Conv1d(BANDS + PERIODS, config.width, SEEN, padding=SEEN // 2)
        self.blocks = nn.Sequential(
            *(
                convnext.ConvNextBlock1d(config.width, config.expansion)
                for _ in range(config.blocks)
            )
        )
        self.last = nn.Conv1d(config.width, config.dim, 1)
        for layer in (self.first, self.last):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        steps = SEEN // 2 + config.blocks * convnext.HALO
        self.halo = steps * config.stride + (WINDOW - config.stride) // 2

    def forward(
        self, x: torch.Tensor, cond: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Return z_e of x, on one grid; `cond` is not used: codes shall not say who speaks."""
        ((stride,),) = self.strides
        with torch.autocast(x.device.type, enabled=False):
            described = features(x.float().squeeze(1), stride)
        return (self.last(self.blocks(self.first(described))),)


def features(x: torch.Tensor, stride: int) -> torch.Tensor:
    """Return envelope and periodicity, (B, BANDS + PERIODS, T / stride), of sound, (B, T)."""
    around = (WINDOW - stride) // 2
    frames = nn.functional.pad(x, (around, around)).unfold(1, WINDOW, stride)
    cut = (WINDOW - ENVELOPE) // 2
    envelope = _cepstra(frames[..., cut : cut + ENVELOPE]) @ _cosines(x.device)
    return torch.cat([(envelope - USUAL) / SPREAD, _periodicity(frames)], -1).transpose(1, 2)


def _spectrum(frames: torch.Tensor) -> torch.Tensor:
    """Return the logarithms of amplitudes, (..., n / 2 + 1), of frames, (..., n)."""
    window = torch.hann_window(frames.shape[-1], device=frames.device)
    spectra = torch.fft.rfft(frames * window)
    return (torch.abs(spectra) * (2 / window.sum()) + FLOOR).log()


def _cepstra(frames: torch.Tensor) -> torch.Tensor:
    """Return the first cepstra, (..., CEPSTRA), of frames."""
    return torch.fft.irfft(_spectrum(frames))[..., :CEPSTRA]


def _periodicity(frames: torch.Tensor) -> torch.Tensor:
    """Return how alike sound is to itself so many samples later, (..., PERIODS), at most 1."""
    spectrum = _spectrum(frames)
    cepstra = torch.fft.irfft(spectrum)
    cepstra[..., CEPSTRA : WINDOW - CEPSTRA + 1] = 0
    comb = (spectrum - torch.fft.rfft(cepstra).real).clamp(max=STRONGEST)
    bins = torch.arange(comb.shape[-1], device=frames.device) * (SAMPLE_RATE / WINDOW)
    power = (2 * comb).exp() * (bins < HIGHEST)
    correlation = torch.fft.irfft(power)
    correlation = correlation / correlation[..., :1]
    below, part = _lags(frames.device)
    return correlation[..., below] * (1 - part) + correlation[..., below + 1] * part


@functools.lru_cache(maxsize=4)
def _cosines(device: torch.device) -> torch.Tensor:
    """Return what makes an envelope at mel frequencies of cepstra, (CEPSTRA, BANDS)."""
    frequencies = mel_edges(BANDS, SAMPLE_RATE)[1:-1]
    angles = 2 * math.pi * torch.outer(torch.arange(CEPSTRA), frequencies / SAMPLE_RATE)
    basis = 2 * torch.cos(angles)
    basis[0] /= 2
    return basis.float().to(device)


@functools.lru_cache(maxsize=4)
def _lags(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return whole parts and rests of the periods, (PERIODS,) each."""
    lags = SHORTEST * (LONGEST / SHORTEST) ** torch.linspace(0, 1, PERIODS, dtype=torch.float64)
    below = lags.floor().long()
    return below.to(device), (lags - below).float().to(device)
