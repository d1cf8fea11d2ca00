"""A hierarchy of two codebooks: the finer features see what the coarse codes decode to."""

from dataclasses import dataclass

import torch
from torch import nn

from vqcodec.models.quantizers import vq
from vqcodec.models.quantizers.base import Choose, Codebook, Quantized, Quantizer, Tensors


@dataclass(frozen=True)
class Config:
    """Settings; `dead_below` is that of both codebooks."""

    codebook_sizes: tuple[int, ...]
    dim: int
    dead_below: float = 0.1

    @property
    def min_parameters(self) -> int:
        """Numbers in the codebooks."""
        return sum(self.codebook_sizes) * self.dim

    def build(self) -> "Fused":
        """Make the quantizer."""
        return Fused(self)


class Fused(Quantizer):
    """Quantizes the coarse features, fuses them with the finer ones, and quantizes those."""

    levels = (0, 1)
    halo = 2  # cells of the fine grid: a cell of the coarse one

    def __init__(self, config: Config) -> None:
        super().__init__()
        top, bottom = config.codebook_sizes
        self.top = vq.Config(top, config.dim, dead_below=config.dead_below).build()
        self.bottom = vq.Config(bottom, config.dim, dead_below=config.dead_below).build()
        self.up = nn.ConvTranspose2d(config.dim, config.dim, 4, stride=2, padding=1)
        self.fuse = nn.Conv2d(2 * config.dim, config.dim, 3, padding=1)

    @property
    def codebooks(self) -> tuple[Codebook, ...]:
        """Coarse and fine."""
        return self.top, self.bottom

    def forward(
        self, features: Tensors, *, soft: bool = False, choose: Choose | None = None
    ) -> Quantized:
        """Quantize the features of two grids."""
        coarse, fine = features
        top = self.top((coarse,), soft=soft, choose=choose)
        above = self.up(top.z_q)
        fused = self.fuse(torch.cat([fine, above], 1))
        bottom = self.bottom((fused,), soft=soft, choose=choose)
        return Quantized(
            above + bottom.z_q,
            top.indices + bottom.indices,
            top.loss + bottom.loss,
            top.latents + bottom.latents,
            top.assignments + bottom.assignments,
        )

    def lookup(self, indices: Tensors) -> torch.Tensor:
        """Return z_q on the fine grid, of the coarse map alone or of both."""
        above: torch.Tensor = self.up(self.top.lookup(indices[:1]))
        return above + self.bottom.lookup(indices[1:]) if len(indices) > 1 else above
