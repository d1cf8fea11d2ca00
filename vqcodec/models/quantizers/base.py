"""What every quantizer promises."""

from typing import NamedTuple

import torch
from torch import nn


class Quantized(NamedTuple):
    """The result of quantizing z_e.

    Attributes:
        z_q: (B, D, *grid), the code vectors, with the gradient passed straight through to z_e.
        indices: one (B, *grid) int64 tensor per grid, coarse to fine.
        loss: codebook and commitment terms, a scalar; zero outside training.
        vectors: (N, D), what was compared with the codebook; used to seed codes from data.
        assignment: (N, K), how much each vector belongs to each code, with a gradient; None unless
            it was asked for.
    """

    z_q: torch.Tensor
    indices: tuple[torch.Tensor, ...]
    loss: torch.Tensor
    vectors: torch.Tensor
    assignment: torch.Tensor | None = None


class Quantizer(nn.Module):
    """Replaces vectors by entries of a codebook.

    Attributes:
        codebook_sizes: K of each grid.
    """

    codebook_sizes: tuple[int, ...]

    def forward(self, z_e: torch.Tensor, *, soft: bool = False) -> Quantized:
        """Quantize z_e, (B, D, *grid). In training mode this may also update the codebook.

        Args:
            z_e: what to quantize.
            soft: in training, return the `Quantized.assignment` as well.
        """
        raise NotImplementedError

    def lookup(self, indices: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Return z_q, (B, D, *grid), for indices; `lookup(q.indices)` equals `q.z_q` exactly."""
        raise NotImplementedError

    def initialize(self, vectors: torch.Tensor, seed: int) -> None:
        """Set the codebook from data, (N, D), before the first step."""
        raise NotImplementedError

    def reseed(self, vectors: torch.Tensor, seed: int) -> int:
        """Replace codes that are hardly used by data vectors, (N, D); return how many."""
        raise NotImplementedError

    def codebook_bytes(self) -> bytes:
        """Return the codebook(s) as little-endian float32: what gives an index its meaning."""
        raise NotImplementedError
