"""What every prior promises."""

from collections.abc import Callable

import torch
from torch import nn


class Prior(nn.Module):
    """A distribution over index maps; coarser maps condition finer ones.

    Attributes:
        codebook_sizes: K of each map.
    """

    codebook_sizes: tuple[int, ...]

    def initialize(self, codebook: torch.Tensor) -> None:
        """Take what the code vectors, (K, D), tell, before the first step; nothing by default."""

    def log_prob(
        self, indices: tuple[torch.Tensor, ...], cond: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return log p(indices) in nats, (B,), of (B, *grid) int64 maps."""
        raise NotImplementedError

    def sample(
        self,
        shapes: tuple[tuple[int, ...], ...],
        cond: torch.Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
        top_k: int = 0,
        known: tuple[torch.Tensor, ...] | None = None,
        report: Callable[[float], None] | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Draw maps.

        Args:
            shapes: (B, *grid) of each map.
            cond: what the maps are to go with.
            generator: of random numbers, on the CPU.
            temperature: logits are divided by it: below one, likely codes become likelier.
            top_k: draw among the k likeliest codes only; 0 for all.
            known: indices that are given, -1 where one is to be drawn.
            report: called with the fraction done, for progress bars.
        """
        raise NotImplementedError
