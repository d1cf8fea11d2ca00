"""What networks of several resolutions share."""

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
    """

    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    dim: int
    activation: str = "silu"
    residual_width: int = 0

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
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}")

    @property
    def min_parameters(self) -> int:
        """A lower bound of the numbers to learn: what the inner kernels alone hold."""
        pairs = zip(self.widths, self.blocks, strict=True)
        inner = sum(10 * b * w * (self.residual_width or w) for w, b in pairs)
        between = sum(16 * a * b for a, b in zip(self.widths, self.widths[1:], strict=False))
        return inner + between

    def stack(self, level: int) -> list[nn.Module]:
        """Return the residual blocks of a resolution, in the order of computation."""
        block = self.widths[level], self.activation, self.residual_width
        return [ResidualBlock2d(*block) for _ in range(self.blocks[level])]
