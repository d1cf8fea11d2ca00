"""No bottleneck at all: the decoder is told nothing, and so must do without."""

from dataclasses import dataclass

import torch

from vqcodec.config import check_range
from vqcodec.models.bottlenecks.base import Bottleneck, Latents, Tensors


@dataclass(frozen=True)
class Config:
    """Settings: `dim` is D, the number of zeros that the decoder takes in each cell."""

    dim: int

    def __post_init__(self) -> None:
        check_range("dim", self.dim, 1, 1024)

    @property
    def min_parameters(self) -> int:
        """There is nothing to learn."""
        return 0

    def build(self) -> "NoBottleneck":
        """Make it."""
        return NoBottleneck()


class NoBottleneck(Bottleneck):
    """z is zero whatever x is. What else gains nothing over this has collapsed."""

    def forward(self, features: Tensors, samples: int) -> Latents:
        """Return zeros; see `Bottleneck.forward`."""
        (z_e,) = features
        nothing = z_e.new_zeros(samples, len(z_e))
        z = self.mode(features).repeat(samples, *[1] * (z_e.ndim - 1))
        return Latents(z, nothing, nothing, z_e.new_zeros(len(z_e), 1))

    def mode(self, features: Tensors) -> torch.Tensor:
        """Return zeros."""
        return torch.zeros_like(features[0]).detach()
