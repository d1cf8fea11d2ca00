"""VQ-VAE-2: a coarse map first, and finer ones that see what it says (arXiv:1906.00446)."""

from dataclasses import dataclass

import torch
from torch import nn

from vqcodec.config import check_range
from vqcodec.models.nn.initial import keep_variance
from vqcodec.models.nn.residual import ACTIVATIONS, ResidualBlock2d
from vqcodec.models.quantizers import vq
from vqcodec.models.quantizers.base import Choose, Quantized, Tensors
from vqcodec.models.quantizers.composite import (
    CompositeConfig,
    CompositeQuantizer,
    in_turns,
    quantized,
)


@dataclass(frozen=True, kw_only=True)
class Config(CompositeConfig):
    """Settings of the codebooks, and of the networks that decode coarser maps for finer ones.

    Attributes:
        width: channels of these networks.
        blocks: residual blocks in each.
        residual_width: channels inside of a block; 0 for `width`.
        activation: ``silu`` or ``relu``.
        bounded: whether vectors are kept at a root mean square below 1, see `_bounded`; the paper
            has no such thing.
        depths: how many codebooks share each grid, coarse to fine; each takes what those before it
            on the grid left, as in `residual`. One each, if empty.
    """

    width: int
    blocks: int
    residual_width: int = 0
    activation: str = "silu"
    bounded: bool = False
    depths: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("width", self.width, 1, 2048)
        check_range("blocks", self.blocks, 0, 64)
        check_range("residual_width", self.residual_width, 0, 2048)
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}")
        if min(self.grids) < 1 or sum(self.grids) != len(self.codebook_sizes):
            raise ValueError("depths must be of 1 or more, and count the codebook_sizes")
        if max(self.grids) > 1 and self.norm != "none":
            raise ValueError("norm must be none where a grid has several codebooks")

    @property
    def grids(self) -> tuple[int, ...]:
        """How many codebooks each grid has, coarse to fine."""
        return self.depths or (1,) * len(self.codebook_sizes)

    @property
    def min_parameters(self) -> int:
        """Numbers in the codebooks and in the inner kernels."""
        block = 10 * self.width * (self.residual_width or self.width)
        networks = len(self.grids) - 1
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
        number, dim = len(config.grids), config.dim
        self.levels = tuple(grid for grid, depth in enumerate(config.grids) for _ in range(depth))
        self.told = nn.ModuleList(
            _told(dim if level == 0 else 2 * dim, config) for level in range(number - 1)
        )
        self.fuse = nn.ModuleList(nn.Conv2d(2 * dim, dim, 1) for _ in range(number - 1))
        self.depths, self.bounded = config.grids, config.bounded
        keep_variance(self)
        # in cells of the finer grid: a first 3x3 window and one for each block, and the up-sampling
        halo = 2 * (1 + config.blocks) + 1
        self.halo = sum(halo << level for level in range(number - 1))

    def forward(
        self, features: Tensors, *, soft: bool = False, choose: Choose | None = None
    ) -> Quantized:
        """Quantize features, (B, D, *grid) each, coarse to fine.

        The finer features always see all codes of the coarser maps; it is the decoder that may have
        to do without the finer ones.
        """
        vectors: list[list[torch.Tensor]] = []
        maps: list[Quantized] = []
        z_q = features[0]
        for level, (z_e, books) in enumerate(zip(features, self._books(), strict=True)):
            if level:
                above = self.tell(level - 1, z_q)
                z = self.fuse[level - 1](torch.cat([z_e, above], 1))
            else:
                z = z_e
            found = in_turns(self._kept_near(z), books, soft=soft, choose=choose)
            maps += found
            # the gradient of z_e, once: through each code it would come many times
            vectors.append([own.z_q if not i else own.z_q.detach() for i, own in enumerate(found)])
            own = _sum(vectors[-1])
            z_q = torch.cat([above, own], 1) if level else own
        if self.training and self.dropout:
            z_q = self.join(self.kept([own for grid in vectors for own in grid]))
        return quantized(z_q, maps)

    def join(self, vectors: list[torch.Tensor]) -> torch.Tensor:
        """Return what coarser maps say on the finest grid, above the finest code vectors."""
        left = list(vectors)
        z_q = vectors[0]
        for level, books in enumerate(self._books()):
            here, left = left[: len(books)], left[len(books) :]
            if not level:
                z_q = _sum(here)
                continue
            above = self.tell(level - 1, z_q)
            z_q = torch.cat([above, _sum(here) if here else torch.zeros_like(above)], 1)
        return z_q

    def tell(self, level: int, z_q: torch.Tensor) -> torch.Tensor:
        """Return what z_q of a grid says on the next one, (B, D, *grid)."""
        return self._kept_near(self.told[level](z_q))

    def _kept_near(self, z: torch.Tensor) -> torch.Tensor:
        return _bounded(z) if self.bounded else z

    def _books(self) -> list[list[vq.VectorQuantizer]]:
        """Return the quantizers of each grid, coarse to fine."""
        books = iter(self.each())
        return [[next(books) for _ in range(depth)] for depth in self.depths]


def _bounded(z: torch.Tensor) -> torch.Tensor:
    """Return z, (B, D, *grid), with a root mean square over D below 1; small vectors stay.

    Unbounded, rare codes reach where the decoder has never been, and pictures burst there.
    """
    return z * (1 + z.square().mean(1, keepdim=True)).rsqrt()


def _sum(vectors: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(vectors).sum(0) if len(vectors) > 1 else vectors[0]


def _told(channels: int, config: Config) -> nn.Module:
    """Return a decoder from a grid to D channels on the next one."""
    block = config.width, config.activation, config.residual_width
    return nn.Sequential(
        nn.Conv2d(channels, config.width, 3, padding=1),
        *(ResidualBlock2d(*block) for _ in range(config.blocks)),
        ACTIVATIONS[config.activation](),
        nn.ConvTranspose2d(config.width, config.dim, 4, stride=2, padding=1),
    )
