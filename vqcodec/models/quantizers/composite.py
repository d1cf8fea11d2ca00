"""What quantizers of several codebooks have in common.

A map that the others can do without is soon mere ornament: trained jointly, the finest map of a
hierarchy takes over. Perplexity does not show it; what random indices cost does. Measured on small
networks of three maps (strides 16, 8, 4; 128 codes each) after 300 steps on photographs: random
codes in the coarsest map cost 0.04 dB, and its perplexity was 44. Three things hold against it. A
sample is decoded now and then from a prefix of its maps (`dropout`), so that each must say what it
can without the finer ones: from a tenth of the samples on the same codes cost 6.2 dB, and pictures
were 0.2 dB better; every prefix decodes then, too. Codes restart map by map. And a vector counts
the same in the commitment term whatever its map, so that the few of a coarse map are not held more
strongly than the many of a fine one.
"""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from vqcodec.config import check_range
from vqcodec.models.quantizers import vq
from vqcodec.models.quantizers.base import Choose, Codebook, Quantized, Quantizer, Tensors
from vqcodec.weights import MAX_MAPS


@dataclass(frozen=True)
class CompositeConfig(vq.Learning):
    """Settings; those of `vq.Learning` are for every codebook.

    Attributes:
        codebook_sizes: K of each map, coarse to fine.
        dim: D, numbers per vector of the features.
        dropout: the chance that a sample in training is decoded from a prefix of its maps; how many
            of them, fewer than all, is drawn evenly.
    """

    codebook_sizes: tuple[int, ...]
    dim: int
    dropout: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("number of codebook_sizes", len(self.codebook_sizes), 2, MAX_MAPS)
        check_range("dim", self.dim, 1, 1024)
        check_range("dropout", self.dropout, 0, 1)
        self.books()

    def books(self) -> list[vq.Config]:
        """Return the settings of each codebook."""
        return [self.book(size, self.dim) for size in self.codebook_sizes]

    def book(self, size: int, dim: int, **changed: Any) -> vq.Config:
        """Return the settings of one codebook, some of them changed."""
        shared = {f.name: getattr(self, f.name) for f in fields(vq.Learning)}
        return vq.Config(size, dim, **(shared | changed))

    @property
    def min_parameters(self) -> int:
        """Numbers in the codebooks."""
        return sum(book.min_parameters for book in self.books())


class CompositeQuantizer(Quantizer):
    """A `VectorQuantizer` for each map; how they are put together is what kinds differ in.

    In training, z_q of some samples is that of fewer maps than were found; see `CompositeConfig`.
    """

    def __init__(self, config: CompositeConfig) -> None:
        super().__init__()
        self.dropout = config.dropout
        self.books = nn.ModuleList(book.build() for book in config.books())

    def each(self) -> list[vq.VectorQuantizer]:
        """Return the quantizers of the maps, coarse to fine."""
        return [book for book in self.books if isinstance(book, vq.VectorQuantizer)]

    @property
    def codebooks(self) -> tuple[Codebook, ...]:
        """One for each map."""
        return tuple(self.each())

    def lookup(self, indices: Tensors) -> torch.Tensor:
        """Return z_q of all maps, or of the first of them."""
        return self.join(self.vectors(indices))

    def vectors(self, indices: Tensors) -> list[torch.Tensor]:
        """Return the code vectors, (B, D, *grid), of all maps or of the first of them."""
        pairs = zip(self.each(), indices, strict=False)
        return [book.lookup((grid,)) for book, grid in pairs]

    def join(self, vectors: list[torch.Tensor]) -> torch.Tensor:
        """Return z_q of the code vectors of all maps, or of the first of them."""
        raise NotImplementedError

    def kept(self, vectors: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return code vectors of all maps, in training zero where a sample does without them."""
        if not (self.training and self.dropout):
            return vectors
        batch, number = len(vectors[0]), len(vectors)
        whole = torch.rand(batch) >= self.dropout  # on the CPU, whose numbers a checkpoint keeps
        length = torch.randint(1, number, (batch,)).masked_fill(whole, number)
        length = length.to(vectors[0].device).view(batch, *[1] * (vectors[0].ndim - 1))
        return [vector * (length > level) for level, vector in enumerate(vectors)]


def in_turns(
    z: torch.Tensor, books: list[vq.VectorQuantizer], *, soft: bool, choose: Choose | None
) -> list[Quantized]:
    """Quantize z, (B, D, *grid), by the first of the books, what is left of it by the next..."""
    found: list[Quantized] = []
    for book in books:
        found.append(book((z,), soft=soft, choose=choose))
        z = z - found[-1].z_q.detach()
    return found


def normalized(z_e: torch.Tensor, norm: str) -> torch.Tensor:
    """Return z_e, (B, D, *grid), in float32, with `vq.Learning.norm` of the whole vector."""
    z = z_e.float().movedim(1, -1)
    if norm == "layer":
        z = F.layer_norm(z, z.shape[-1:])
    return z.movedim(-1, 1)


def quantized(z_q: torch.Tensor, maps: list[Quantized]) -> Quantized:
    """Return the results of all maps as one, each in the loss by its share of vectors."""
    finest = len(maps[-1].latents[0])
    return Quantized(
        z_q,
        tuple(grid for own in maps for grid in own.indices),
        torch.stack([own.loss * (len(own.latents[0]) / finest) for own in maps]).sum(),
        tuple(latents for own in maps for latents in own.latents),
        tuple(assignment for own in maps for assignment in own.assignments),
        tuple(errors for own in maps for errors in own.errors),
    )
