"""Two grids of features of pictures, at strides 8 and 4."""

from dataclasses import dataclass

import torch
from torch import nn

from vqcodec.models.encoders.base import Encoder


@dataclass(frozen=True)
class Config:
    """Settings."""

    width: int
    dim: int

    @property
    def min_parameters(self) -> int:
        """Numbers of the two inner kernels."""
        return 2 * 16 * self.width**2

    def build(self) -> "Pyramid":
        """Make the encoder."""
        return Pyramid(self)


class Pyramid(Encoder):
    """Halves a picture twice, and for the coarse features once more."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.width
        self.first = nn.Conv2d(3, width, 4, stride=2, padding=1)
        self.second = nn.Conv2d(width, width, 4, stride=2, padding=1)
        self.third = nn.Conv2d(width, width, 4, stride=2, padding=1)
        self.coarse = nn.Conv2d(width, config.dim, 1)
        self.fine = nn.Conv2d(width, config.dim, 1)
        self.dim, self.strides, self.halo = config.dim, ((8, 8), (4, 4)), 1 + 2 + 4

    def forward(
        self, x: torch.Tensor, cond: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Return coarse and fine features."""
        h = torch.relu(self.second(torch.relu(self.first(x))))
        return self.coarse(torch.relu(self.third(h))), self.fine(h)
