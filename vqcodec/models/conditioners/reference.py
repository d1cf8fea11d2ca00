"""A small network over mel spectra, its mean and spread over time (after arXiv:1803.09047)."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from vqcodec.config import check_range
from vqcodec.files.contents import SPEAKER_STEPS
from vqcodec.models.conditioners.base import Conditioner
from vqcodec.models.nn.spectra import log_mel

WINDOW, HOP = 1024, 320  # samples
MIN = 2 * WINDOW  # samples that an utterance is filled up to


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        dim: S, numbers of a speaker vector.
        width: channels inside.
        bands: of the mel spectra.
        sample_rate: in Hz.
    """

    dim: int
    width: int = 128
    bands: int = 64
    sample_rate: int = 16000

    def __post_init__(self) -> None:
        check_range("dim", self.dim, 1, 255)
        check_range("width", self.width, 1, 2048)
        check_range("bands", self.bands, 8, 128)
        check_range("sample_rate", self.sample_rate, 1000, 192000)

    @property
    def min_parameters(self) -> int:
        """A lower bound of the numbers to learn."""
        return self.width * (5 * self.bands + 10 * self.width + 2 * self.dim)

    def build(self) -> "ReferenceEncoder":
        """Make the encoder with fresh weights."""
        return ReferenceEncoder(self)


class ReferenceEncoder(Conditioner):
    """Sound (B, 1, T) to a speaker vector (B, S) in [-1, 1].

    In training it adds the noise that rounding to a byte will.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.dim = config, config.dim
        width = config.width
        self.layers = nn.Sequential(
            nn.Conv1d(config.bands, width, 5, padding=2),
            nn.SiLU(),
            nn.Conv1d(width, width, 5, padding=2),
            nn.SiLU(),
            nn.Conv1d(width, width, 5, padding=2),
            nn.SiLU(),
        )
        self.out = nn.Linear(2 * width, config.dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the speaker vectors of x; short utterances are followed by silence."""
        x = x.squeeze(1)
        x = F.pad(x, (0, max(0, MIN - x.shape[1])))
        mel = log_mel(x, self.config.sample_rate, WINDOW, HOP, self.config.bands)
        y = self.layers(mel / 4 + 1).float()  # about zero in the mean, about one in spread
        with torch.autocast(x.device.type, enabled=False):
            pooled = torch.cat([y.mean(2), (y.var(2, unbiased=False) + 1e-5).sqrt()], 1)
            vector = torch.tanh(self.out(pooled))
        if self.training:
            vector = vector + (torch.rand_like(vector) - 0.5) / SPEAKER_STEPS
        return vector
