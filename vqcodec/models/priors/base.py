"""What every prior promises."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

Tensors = tuple[torch.Tensor, ...]
UNKNOWN = 0  # among classes and actions; the first that has a name is 1


class Prior(nn.Module):
    """A distribution over index maps, coarse to fine.

    Attributes:
        codebook_sizes: K of each map.
        told: how many maps before its own a prior of one map is given, of the same shape; a
            method that takes one map takes these, coarse to fine, and then its own.
        classes: the names of those that it knows, if any. What maps go with is then the class of
            each, (B,) int64: `UNKNOWN`, or 1 and more.
    """

    codebook_sizes: tuple[int, ...]
    classes: tuple[str, ...] = ()
    told: int = 0

    def each(self) -> "list[Prior]":
        """Return the priors, of a map each, that it is made of; itself where it is no product."""
        return [self]

    def initialize(self, codebooks: Tensors) -> None:
        """Take what the code vectors, (K, D) of each map, tell before the first step, if anything.

        Nothing by default.
        """

    def forward(self, indices: Tensors, cond: torch.Tensor | None = None) -> Tensors:
        """Return the scores of every index given those before it, (B, *grid, K) for each map.

        Args:
            indices: (B, *grid) int64 maps.
            cond: what the maps go with.
        """
        raise NotImplementedError

    @staticmethod
    def mean_nats(indices: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """Return the nats per index of a map, (B, *grid), of what `forward` found for it."""
        return F.cross_entropy(found.flatten(0, -2).float(), indices.flatten())

    def log_prob(self, indices: Tensors, cond: torch.Tensor | None = None) -> torch.Tensor:
        """Return log p(indices) in nats, (B,), of (B, *grid) int64 maps."""
        found = torch.zeros(len(indices[0]), device=indices[0].device)
        for grid, scores in zip(indices, self(indices, cond), strict=True):
            log_p = scores.float().log_softmax(-1)
            found = found + log_p.gather(-1, grid[..., None]).flatten(1).sum(1)
        return found

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
