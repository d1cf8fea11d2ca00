"""What is said and how high, without how this voice sounds: cepstra, then convolutions over time.

A spectrum's logarithm is the sum of what throat and mouth do, which changes slowly with frequency,
and of the comb that the vocal folds make: they lie apart in the cepstrum (Noll, JASA 41, 1967). The
first is given as an envelope; of the second, only its period: an autocorrelation of the sound with
its envelope divided out. The rest of the sound, phases and all, never reaches the codes.
"""

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from vqcodec.config import check_range
from vqcodec.models.encoders.base import Encoder
from vqcodec.models.nn import convnext
from vqcodec.models.nn.spectra import mel_edges

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
BINS = int(HIGHEST * WINDOW / SAMPLE_RATE)  # of a spectrum, below that
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
    frames = _frames(x, stride)
    cut = (WINDOW - ENVELOPE) // 2
    cepstra = _spectrum(frames[..., cut : cut + ENVELOPE]) @ _to_cepstra(ENVELOPE, x.device)
    envelope = cepstra @ _from_cepstra(x.device)
    return torch.cat([(envelope - USUAL) / SPREAD, _periodicity(frames)], -1).transpose(1, 2)


def _frames(x: torch.Tensor, stride: int) -> torch.Tensor:
    """Return what lies around each code's samples of sound, (B, T): (B, T / stride, WINDOW)."""
    around, number, steps = (WINDOW - stride) // 2, x.shape[1] // stride, -(-WINDOW // stride)
    padded = nn.functional.pad(x, (around, steps * stride - stride - around))
    rows = padded[:, : (number + steps - 1) * stride].reshape(x.shape[0], -1, stride)
    return torch.cat([rows[:, i : i + number] for i in range(steps)], -1)[..., :WINDOW]


def _spectrum(frames: torch.Tensor) -> torch.Tensor:
    """Return the logarithms of amplitudes, (..., n / 2 + 1), of frames, (..., n)."""
    window = torch.hann_window(frames.shape[-1], device=frames.device)
    if torch.compiler.is_exporting():
        magnitudes = _magnitudes(frames)
    else:
        magnitudes = torch.abs(torch.fft.rfft(frames * window))
    return (magnitudes * (2 / window.sum()) + FLOOR).log()


def _magnitudes(frames: torch.Tensor) -> torch.Tensor:
    """Return the magnitudes of the Fourier transforms of Hann-windowed frames, for ONNX graphs.

    ONNX Runtime takes longer for a transform than for a product with a matrix. Cosines are even
    around the middle of a frame, and sines odd, so half of the products do.
    """
    n = frames.shape[-1]
    middle = n // 2
    # By the distance from the middle; the first sample has no weight.
    right, left = frames[..., middle:], frames[..., 1 : middle + 1].flip(-1)
    steps = np.arange(middle)[:, None]
    angles = 2 * np.pi / n * (steps * np.arange(middle + 1) % n)
    weights = 0.5 + 0.5 * np.cos(2 * np.pi / n * steps)
    weights[0] /= 2  # the middle is on both sides
    cosines, sines = (_tensor(weights * f(angles), frames.device) for f in (np.cos, np.sin))
    real, imaginary = (right + left) @ cosines, (right - left) @ sines
    return (real.square() + imaginary.square()).sqrt()


def _periodicity(frames: torch.Tensor) -> torch.Tensor:
    """Return how alike sound is to itself so many samples later, (..., PERIODS), at most 1."""
    spectrum = _spectrum(frames)
    smooth = spectrum @ _to_cepstra(WINDOW, frames.device) @ _smooth(frames.device)
    comb = (spectrum[..., :BINS] - smooth).clamp(max=STRONGEST)
    correlation = (2 * comb).exp() @ _correlations(frames.device)
    return correlation[..., 1:] / correlation[..., :1]


@functools.lru_cache(maxsize=4)
def _to_cepstra(n: int, device: torch.device) -> torch.Tensor:
    """Return what makes the first cepstra of a spectrum: (n / 2 + 1, CEPSTRA)."""
    return _tensor(_inverse(n, np.arange(CEPSTRA)), device)


@functools.lru_cache(maxsize=4)
def _from_cepstra(device: torch.device) -> torch.Tensor:
    """Return what makes an envelope at mel frequencies of cepstra, (CEPSTRA, BANDS)."""
    return _tensor(_series(mel_edges(BANDS, SAMPLE_RATE)[1:-1].numpy()), device)


@functools.lru_cache(maxsize=4)
def _smooth(device: torch.device) -> torch.Tensor:
    """Return what makes a spectrum below HIGHEST of cepstra, (CEPSTRA, BINS)."""
    return _tensor(_series(np.arange(BINS) * SAMPLE_RATE / WINDOW), device)


@functools.lru_cache(maxsize=4)
def _correlations(device: torch.device) -> torch.Tensor:
    """Return what makes of power below HIGHEST its sum and the periods': (BINS, 1 + PERIODS)."""
    lags = SHORTEST * (LONGEST / SHORTEST) ** np.linspace(0, 1, PERIODS)
    below = np.floor(lags).astype(int)
    part = lags - below
    found = _inverse(WINDOW, np.arange(LONGEST + 2))[:BINS]
    between = found[:, below] * (1 - part) + found[:, below + 1] * part
    return _tensor(np.concatenate([found[:, :1], between], 1), device)


def _inverse(n: int, times: "NDArray[Any]") -> "NDArray[Any]":
    """Return the inverse Fourier transform of an even spectrum, (n / 2 + 1, times)."""
    bins = np.arange(n // 2 + 1)[:, None]
    twice = np.where((bins > 0) & (bins < n // 2), 2, 1)
    return twice / n * np.cos(2 * np.pi / n * (bins * times % n))


def _series(frequencies: "NDArray[Any]") -> "NDArray[Any]":
    """Return the cosines, (CEPSTRA, frequencies), whose sum by cepstra is a smooth spectrum."""
    numbers = np.arange(CEPSTRA)[:, None]
    twice = np.where(numbers > 0, 2, 1)
    return twice * np.cos(2 * np.pi / SAMPLE_RATE * numbers * frequencies)


def _tensor(array: "NDArray[Any]", device: torch.device) -> torch.Tensor:
    return torch.from_numpy(array.astype(np.float32)).to(device)
