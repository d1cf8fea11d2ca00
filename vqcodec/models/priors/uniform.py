"""The prior that VQ-VAE is trained under: every index is as likely as any other."""

import math
from collections.abc import Callable

import torch

from vqcodec.models.priors.base import Prior, Tensors


class UniformPrior(Prior):
    """p = 1 / K for each index, whatever its neighbours (arXiv:1711.00937v2, section 3.1)."""

    def __init__(self, codebook_sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.codebook_sizes = codebook_sizes

    def forward(self, indices: Tensors, cond: torch.Tensor | None = None) -> Tensors:
        """Return zeros: equal scores for all."""
        pairs = zip(indices, self.codebook_sizes, strict=True)
        return tuple(torch.zeros((*i.shape, k), device=i.device) for i, k in pairs)

    def log_prob(self, indices: Tensors, cond: torch.Tensor | None = None) -> torch.Tensor:
        """Return -log K times the number of indices, (B,)."""
        nats = sum(
            i[0].numel() * math.log(k) for i, k in zip(indices, self.codebook_sizes, strict=True)
        )
        return torch.full((len(indices[0]),), -nats, device=indices[0].device)

    def sample(
        self,
        shapes: tuple[tuple[int, ...], ...],
        cond: torch.Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
        top_k: int = 0,
        known: Tensors | None = None,
        report: Callable[[float], None] | None = None,
    ) -> Tensors:
        """Draw every index on its own; temperature and top-k of equal chances are moot."""
        maps = tuple(
            torch.randint(k, shape, generator=generator)
            for k, shape in zip(self.codebook_sizes, shapes, strict=True)
        )
        if known is None:
            return maps
        return tuple(torch.where(k < 0, m, k) for m, k in zip(maps, known, strict=True))
