"""VQ-VAE-2: a coarse map first, and finer ones that see what it says (arXiv:1906.00446)."""

from dataclasses import dataclass

import torch
from torch import nn

from vqcodec.config import check_range
from vqcodec.models.nn.initial import keep_variance
from vqcodec.models.nn.residual import ACTIVATIONS, ResidualBlock2d
from vqcodec.models.quantizers.base import Quantized, Tensors
from vqcodec.models.quantizers.composite import CompositeConfig, CompositeQuantizer, quantized


@dataclass(frozen=True, kw_only=True)
class Config(CompositeConfig):
    """Settings of the codebooks, and of the networks that decode coarser maps for finer ones.

    Attributes:
        width: channels of these networks.
        blocks: residual blocks in each.
        residual_width: channels inside of a block; 0 for `width`.
        activation: ``silu`` or ``relu``.
    """

    width: int
    blocks: int
    residual_width: int = 0
    activation: str = "silu"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("width", self.width, 1, 2048)
        check_range("blocks", self.blocks, 0, 64)
        check_range("residual_width", self.residual_width, 0, 2048)
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}")

    @property
    def min_parameters(self) -> int:
        """Numbers in the codebooks and in the inner kernels."""
        block = 10 * self.width * (self.residual_width or self.width)
        networks = len(self.codebook_sizes) - 1
        return super().min_parameters + networks * self.blocks * block

    def build(self) -> "HierarchicalQuantizer":
        """Make the quantizer with random codebooks and fresh weights."""
        return HierarchicalQuantizer(self)


class HierarchicalQuantizer(CompositeQuantizer):
    """Features on several grids, each with twice the cells of the one before along each axis.

    Algorithm 1 of the paper, for any number of maps. The coarsest features are quantized; a small
    network decodes their codes to the next grid, where they are fused with the features of that
    grid, and these are quantized; and so on. z_q has 2 D channels on the finest grid: what the
    coarser maps say there, and the code vectors of the finest map.
    """

    stacked = 2

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        number, dim = len(config.codebook_sizes), config.dim
        self.levels = tuple(range(number))
        self.told = nn.ModuleList(
            _told(dim if level == 0 else 2 * dim, config) for level in range(number - 1)
        )
        self.fuse = nn.ModuleList(nn.Conv2d(2 * dim, dim, 1) for _ in range(number - 1))
        keep_variance(self)
        # in cells of the finer grid: a first 3x3 window and one for each block, and the up-sampling
        halo = 2 * (1 + config.blocks) + 1
        self.halo = sum(halo << level for level in range(number - 1))

    def forward(self, features: Tensors, *, soft: bool = False) -> Quantized:
        """Quantize features, (B, D, *grid) each, coarse to fine.

        The finer features always see all codes of the coarser maps; it is the decoder that may have
        to do without the finer ones.
        """
        coarsest, *finer = features
        maps: list[Quantized] = [self.books[0]((coarsest,), soft=soft)]
        z_q = maps[0].z_q
        for z_e, book, told, fuse in zip(finer, self.each()[1:], self.told, self.fuse, strict=True):
            above = told(z_q)
            maps.append(book((fuse(torch.cat([z_e, above], 1)),), soft=soft))
            z_q = torch.cat([above, maps[-1].z_q], 1)
        if self.training and self.dropout:
            z_q = self.join(self.kept([own.z_q for own in maps]))
        return quantized(z_q, maps)

    def join(self, vectors: list[torch.Tensor]) -> torch.Tensor:
        """Return what coarser maps say on the finest grid, above the finest code vectors."""
        z_q = vectors[0]
        for level, told in enumerate(self.told, 1):
            above = told(z_q)
            own = vectors[level] if level < len(vectors) else torch.zeros_like(above)
            z_q = torch.cat([above, own], 1)
        return z_q


def _told(channels: int, config: Config) -> nn.Module:
    """Return a decoder from a grid to D channels on the next one."""
    block = config.width, config.activation, config.residual_width
    return nn.Sequential(
        nn.Conv2d(channels, config.width, 3, padding=1),
        *(ResidualBlock2d(*block) for _ in range(config.blocks)),
        ACTIVATIONS[config.activation](),
        nn.ConvTranspose2d(config.width, config.dim, 4, stride=2, padding=1),
    )
