"""What every prior promises."""

import torch
from torch import nn


class Prior(nn.Module):
    """A distribution over index maps; coarser maps condition finer ones.

    Attributes:
        codebook_sizes: K of each map.
    """

    codebook_sizes: tuple[int, ...]

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
    ) -> tuple[torch.Tensor, ...]:
        """Draw maps of the given shapes, (B, *grid) each."""
        raise NotImplementedError
