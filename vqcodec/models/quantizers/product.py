"""Product quantization: vectors in slices, each with a codebook of its own.

"Sliced" decomposed vector quantization (arXiv:1803.03382): a cell has as many codes as the product
of the codebooks' sizes, and every codebook is small enough for all its codes to be used.
"""

from dataclasses import dataclass

import torch

from vqcodec.models.quantizers import vq
from vqcodec.models.quantizers.base import Choose, Quantized, Tensors
from vqcodec.models.quantizers.composite import (
    CompositeConfig,
    CompositeQuantizer,
    normalized,
    quantized,
)


@dataclass(frozen=True)
class Config(CompositeConfig):
    """Settings; `dim` is that of a whole vector, and so is what `norm` norms."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dim % len(self.codebook_sizes):
            raise ValueError("dim must be a multiple of the number of codebook_sizes")

    def books(self) -> list[vq.Config]:
        """Return the settings of each codebook."""
        dim = self.dim // len(self.codebook_sizes)
        return [self.book(size, dim, norm="none") for size in self.codebook_sizes]

    def build(self) -> "ProductQuantizer":
        """Make the quantizer with random codebooks."""
        return ProductQuantizer(self)


class ProductQuantizer(CompositeQuantizer):
    """z_q is the slices' code vectors side by side; all maps lie on one grid."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.dim, self.norm = config.dim, config.norm
        self.levels = (0,) * len(config.codebook_sizes)

    def forward(
        self, features: Tensors, *, soft: bool = False, choose: Choose | None = None
    ) -> Quantized:
        """Quantize one z_e, (B, D, *grid), by slices; in training mode, update moving averages."""
        (z_e,) = features
        slices = normalized(z_e, self.norm).chunk(len(self.books), 1)
        pairs = zip(self.each(), slices, strict=True)
        maps = [book((z,), soft=soft, choose=choose) for book, z in pairs]
        return quantized(self.join(self.kept([own.z_q for own in maps])), maps)

    def join(self, vectors: list[torch.Tensor]) -> torch.Tensor:
        """Return the slices side by side, zeros for those that are left out."""
        batch, dim, *grid = vectors[0].shape
        missing = self.dim - dim * len(vectors)
        return torch.cat([*vectors, vectors[0].new_zeros(batch, missing, *grid)], 1)
