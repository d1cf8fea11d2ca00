"""Priors of several maps, a network for each: it knows its own map, or also those before it."""

from collections.abc import Callable

import torch
from torch import nn

from vqcodec.models.priors.base import Prior, Tensors


class IndependentPriors(Prior):
    """p(maps) as the product of p(map | maps before it that its prior is told of).

    Maps may differ in shape and in K. What a prior is not told, coarser maps say in vain.

    Args:
        priors: of one map each, coarse to fine.
    """

    def __init__(self, priors: list[Prior]) -> None:
        super().__init__()
        self.priors = nn.ModuleList(priors)
        self.codebook_sizes = tuple(k for prior in priors for k in prior.codebook_sizes)
        self.classes = priors[0].classes

    def each(self) -> list[Prior]:
        """Return the priors, coarse to fine."""
        return [prior for prior in self.priors if isinstance(prior, Prior)]

    def initialize(self, codebooks: Tensors) -> None:
        """Give each prior the codebook of its map."""
        for prior, known in self._with(codebooks):
            prior.initialize(known)

    def forward(self, indices: Tensors, cond: torch.Tensor | None = None) -> Tensors:
        """Return the scores of every map, (B, *grid, K) each."""
        return tuple(
            scores for prior, known in self._with(indices) for scores in prior(known, cond)
        )

    def log_prob(self, indices: Tensors, cond: torch.Tensor | None = None) -> torch.Tensor:
        """Return the sum of what the priors say of their maps, (B,)."""
        found = [prior.log_prob(known, cond) for prior, known in self._with(indices)]
        return torch.stack(found).sum(0)

    def _with(self, maps: Tensors) -> list[tuple[Prior, Tensors]]:
        """Return each prior with its own of something that there is of every map."""
        pairs = zip(self.each(), range(len(maps)), strict=True)
        return [(prior, maps[i - prior.told : i + 1]) for prior, i in pairs]

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
        """Draw one map after the other; see `Prior.sample`.

        Each has random numbers of its own, so that the first of many are those of few.
        """
        number = len(self.codebook_sizes)
        seeds = torch.randint(1 << 62, (number,), generator=generator).tolist()
        drawn: list[torch.Tensor] = []
        for i, (prior, seed) in enumerate(zip(self.each(), seeds, strict=True)):

            def part(done: float, i: int = i) -> None:
                if report:
                    report((i + done) / number)

            drawn += prior.sample(
                shapes[i : i + 1],
                cond,
                generator=torch.Generator().manual_seed(seed),
                temperature=temperature,
                top_k=top_k,
                known=known[i : i + 1] if known is not None else None,
                report=part,
            )
        return tuple(drawn)
