"""What every quantizer promises.

A quantizer takes all features of the encoder, coarse to fine, so it is here that a finer map can
follow from a coarser one. A hierarchy quantizes the coarsest features, decodes their codes, fuses
that into the finer features, and quantizes these.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import nn

Tensors = tuple[torch.Tensor, ...]
# Given the squared distances of a map's vectors to all codes, (B, K, *grid), the codes to take,
# (B, *grid); asked once for each map, coarse to fine.
Choose = Callable[[torch.Tensor], torch.Tensor]


class Quantized(NamedTuple):
    """The result of quantizing features.

    Attributes:
        z_q: (B, D, *grid), what the code vectors of all maps say, on the finest grid, with the
            gradient passed straight through to the features.
        indices: one (B, *grid) int64 tensor per map, coarse to fine.
        loss: codebook and commitment terms, a scalar; zero outside training.
        latents: (N, D) for each map, what was compared with its codebook.
        assignments: (N, K) for each map, how much each of its latents belongs to each code, with a
            gradient; none unless they were asked for.
        errors: (B,) for each map, the squared distances of a sample's latents from what was chosen,
            summed, with their gradient; none outside training.
    """

    z_q: torch.Tensor
    indices: Tensors
    loss: torch.Tensor
    latents: Tensors
    assignments: Tensors = ()
    errors: Tensors = ()


class Codebook(Protocol):
    """The K vectors that the indices of one map stand for; each learns by itself.

    Attributes:
        codebook: (K, D).
    """

    codebook: torch.Tensor

    def initialize(self, latents: torch.Tensor, seed: int) -> None:
        """Set the vectors from data, (N, D), before the first step."""

    def restart(self, latents: torch.Tensor, seed: int) -> int:
        """Replace codes that are hardly used by data, (N, D); return how many."""


class Quantizer(nn.Module):
    """Replaces vectors by entries of codebooks, one for each map.

    Attributes:
        levels: of each map, which of the encoder's features it quantizes, and so on which grid it
            lies.
        halo: how many cells of the finest grid beyond its own a vector of z_q depends on, per
            side, and with it an index of a finer map; 0 where every vector is quantized alone.
        stacked: a vector of z_q has so many times D numbers, and the decoder takes them.
    """

    levels: tuple[int, ...]
    halo: int = 0
    stacked: int = 1

    @property
    def codebooks(self) -> tuple[Codebook, ...]:
        """Of each map, coarse to fine. To set one, those before it must be: it may follow them."""
        raise NotImplementedError

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """K of each map."""
        return tuple(len(book.codebook) for book in self.codebooks)

    def forward(
        self, features: Tensors, *, soft: bool = False, choose: Choose | None = None
    ) -> Quantized:
        """Quantize features, (B, D, *grid) each. In training mode this may also move codebooks.

        Args:
            features: as the encoder returns them.
            soft: in training, return the `Quantized.assignments` as well.
            choose: which codes to take, where it is not the nearest ones.
        """
        raise NotImplementedError

    def lookup(self, indices: Tensors) -> torch.Tensor:
        """Return z_q, (B, D, *grid), for indices; `lookup(q.indices)` equals `q.z_q` exactly.

        Of several maps the finer ones may be left out; those that are there, the coarsest first,
        give what they can say by themselves.
        """
        raise NotImplementedError

    def codebook_bytes(self, number: int | None = None) -> bytes:
        """Return the codebooks, all or so many, as little-endian float32: what indices mean."""
        kept = self.codebooks[:number]
        books = [b.codebook.detach().float().cpu().numpy().astype("<f4") for b in kept]
        return b"".join(book.tobytes() for book in books)
