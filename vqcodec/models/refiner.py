"""A network that puts into a decoded picture what further codes say of its errors."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from vqcodec.config import check_range
from vqcodec.models.nn.residual import ACTIVATIONS, ResidualBlock2d


@dataclass(frozen=True)
class Config:
    """Settings of `Refiner`.

    Attributes:
        dim: D, numbers per code vector.
        width: channels of the network.
        blocks: residual blocks.
        stride: pixels to a cell along each axis.
        activation: ``silu`` or ``relu``.
    """

    dim: int
    width: int
    blocks: int
    stride: int = 4
    activation: str = "silu"

    def __post_init__(self) -> None:
        check_range("dim", self.dim, 1, 1024)
        check_range("width", self.width, 1, 2048)
        check_range("blocks", self.blocks, 0, 64)
        check_range("stride", self.stride, 1, 16)
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}")

    @property
    def min_parameters(self) -> int:
        """Numbers in the inner kernels."""
        return 10 * self.blocks * self.width**2

    @property
    def values(self) -> int:
        """Numbers of a picture in a cell."""
        return 3 * self.stride**2

    @property
    def halo(self) -> int:
        """Cells beyond its own that a pixel depends on, per side."""
        return 1 + self.blocks

    def build(self) -> "Refiner":
        """Make the network with fresh weights, which changes nothing yet."""
        return Refiner(self)


class Refiner(nn.Module):
    """x + synthesis(z_q) + f(z_q, x), cell by cell: a linear transform, and what is learned beyond.

    The transform reverses the one that made vectors of errors (`vqcodec.codec.refinement`); f sees
    the picture and the vectors of the cells around, and so it can mend what codes alone cannot say.

    Shapes: x (B, 3, h * stride, w * stride) in [-1, 1] and z_q (B, D, h, w) to one like x.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        width, values = config.width, config.values
        self.first = nn.Conv2d(config.dim + values, width, 3, padding=1)
        self.blocks = nn.Sequential(
            *(ResidualBlock2d(width, config.activation) for _ in range(config.blocks)),
            ACTIVATIONS[config.activation](),
        )
        self.last = nn.Conv2d(width, values, 1)
        nn.init.zeros_(self.last.weight)
        if self.last.bias is not None:
            nn.init.zeros_(self.last.bias)
        self.synthesis = nn.Conv2d(config.dim, values, 1, bias=False)
        nn.init.zeros_(self.synthesis.weight)

    def forward(self, x: torch.Tensor, z_q: torch.Tensor) -> torch.Tensor:
        """Return the picture, not clipped."""
        cells = F.pixel_unshuffle(x, self.config.stride).to(z_q.dtype)
        learned = self.last(self.blocks(self.first(torch.cat([z_q, cells], 1))))
        change = learned.float() + self.synthesis(z_q).float()
        return x + F.pixel_shuffle(change, self.config.stride)
