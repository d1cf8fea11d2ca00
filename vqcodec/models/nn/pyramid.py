"""What networks of several resolutions share."""

import math
from dataclasses import dataclass

from torch import nn

from vqcodec.config import check_range
from vqcodec.models.nn.residual import ACTIVATIONS, ResidualBlock2d


@dataclass(frozen=True)
class PyramidConfig:
    """One entry of `widths` and `blocks` per resolution, in the order of computation.

    Attributes:
        widths: channels at each resolution.
        blocks: residual blocks at each of them.
        dim: D, numbers per code vector.
        activation: ``silu`` or ``relu``.
        residual_width: channels inside of residual blocks; 0 for as many as outside.
        factors: between resolutions, in the order of computation; 2 each where there are none.
    """

    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    dim: int
    activation: str = "silu"
    residual_width: int = 0
    factors: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check all ranges: configs come with weights, and weights from anywhere."""
        check_range("length of widths", len(self.widths), 1, 6)
        if len(self.blocks) != len(self.widths):
            raise ValueError("widths and blocks must be of one length")
        for width, blocks in zip(self.widths, self.blocks, strict=True):
            check_range("width", width, 1, 2048)
            check_range("blocks", blocks, 0, 64)
        check_range("dim", self.dim, 1, 1024)
        check_range("residual_width", self.residual_width, 0, 2048)
        if self.factors and len(self.factors) != len(self.widths):
            raise ValueError("factors must be as many as widths, or none")
        for factor in self.factors:
            check_range("factor", factor, 2, 4)
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}")

    @property
    def min_parameters(self) -> int:
        """A lower bound of the numbers to learn: what the inner kernels alone hold."""
        pairs = zip(self.widths, self.blocks, strict=True)
        inner = sum(10 * b * w * (self.residual_width or w) for w, b in pairs)
        between = sum(16 * a * b for a, b in zip(self.widths, self.widths[1:], strict=False))
        return inner + between

    def factor(self, level: int) -> int:
        """Return the stride of a level's convolution, whose window is wider by one on each side."""
        return self.factors[level] if self.factors else 2

    def stack(self, level: int) -> list[nn.Module]:
        """Return the residual blocks of a resolution, in the order of computation."""
        block = self.widths[level], self.activation, self.residual_width
        return [ResidualBlock2d(*block) for _ in range(self.blocks[level])]


def upsampling(config: PyramidConfig, channels: int) -> tuple[nn.Sequential, int, int]:
    """Return the layers from z_q, (B, D, h, w), to (B, channels, h * stride, w * stride).

    And their stride, and their halo in cells of z_q. Blocks come before each enlargement.
    """
    layers: list[nn.Module] = [nn.Conv2d(config.dim, config.widths[0], 3, padding=1)]
    stride, halo = 1, 1.0
    for level, (width, blocks) in enumerate(zip(config.widths, config.blocks, strict=True)):
        layers += config.stack(level)
        last = level + 1 == len(config.widths)
        layers.append(ACTIVATIONS[config.activation]())
        after = channels if last else config.widths[level + 1]
        factor = config.factor(level)
        layers.append(nn.ConvTranspose2d(width, after, factor + 2, factor, padding=1))
        halo += (blocks + 1) / stride
        stride *= factor
    return nn.Sequential(*layers), stride, math.ceil(halo)
