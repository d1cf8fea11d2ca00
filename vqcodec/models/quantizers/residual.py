"""Residual vector quantization: each codebook takes what those before it left.

As in SoundStream (arXiv:2107.03312, algorithm 1), with quantizer dropout for half of the samples
(arXiv:2306.06546): full quality does not suffer, and every number of codebooks decodes.
"""

from dataclasses import dataclass, replace

import torch
from torch.nn import functional as F

from vqcodec.models.quantizers import vq
from vqcodec.models.quantizers.base import Choose, Quantized, Tensors
from vqcodec.models.quantizers.composite import (
    CompositeConfig,
    CompositeQuantizer,
    in_turns,
    normalized,
    quantized,
)


@dataclass(frozen=True)
class Config(CompositeConfig):
    """Settings; `norm` is of the features, never of what is left of them."""

    def books(self) -> list[vq.Config]:
        """Return the settings of each codebook."""
        return [replace(book, norm="none") for book in super().books()]

    def build(self) -> "ResidualQuantizer":
        """Make the quantizer with random codebooks."""
        return ResidualQuantizer(self)


class ResidualQuantizer(CompositeQuantizer):
    """z_q is the sum of a code vector from each codebook; all maps lie on one grid."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.norm = config.norm
        self.levels = (0,) * len(config.codebook_sizes)

    def forward(
        self, features: Tensors, *, soft: bool = False, choose: Choose | None = None
    ) -> Quantized:
        """Quantize one z_e, (B, D, *grid), in turns; in training mode, update moving averages."""
        (z_e,) = features
        z = normalized(z_e, self.norm)
        maps = in_turns(z, self.each(), soft=soft, choose=choose)
        z_q = self.join(self.kept([own.z_q.detach() for own in maps]))
        if self.training:  # the gradient of z, once: through each code it would come many times
            z_q = z_q + (z - z.detach())
        return quantized(z_q, maps)

    def lookup(self, indices: Tensors) -> torch.Tensor:
        """Return z_q of all maps, or of the first of them.

        An index K, which no file may hold, is no code: graphs take all maps, and this for those
        that are not there.
        """
        found = []
        for book, grid in zip(self.each(), indices, strict=False):
            codebook = F.pad(book.codebook, (0, 0, 0, 1))
            found.append(F.embedding(grid, codebook).movedim(-1, 1))
        return self.join(found)

    def join(self, vectors: list[torch.Tensor]) -> torch.Tensor:
        """Return the sum of the code vectors."""
        total = vectors[0]
        for vector in vectors[1:]:
            total = total + vector
        return total
