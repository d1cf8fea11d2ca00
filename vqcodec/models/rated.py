"""Training for every rate at once: a rate weight for each sample, and codes chosen by it.

For a sample with rate weight w, codes minimise curvature * |z - e|^2 + w * bits, map by map and
pass by pass of the coding prior (`vqcodec.codec.rates` does the same when pictures are encoded),
and what they cost is the prior's to learn. The networks minimise

    J = squared error + curvature * |z - sg(e)|^2

where the first term moves z, through the codes chosen, against the error of the picture, and the
second, equally stiff, towards them: z comes to rest where the picture would have it, whatever the
rate, and a cheaper code is a matter of the choice alone.

Three things went wrong before they were as they are. Where the encoder felt the bits as well, the
choice counted them a second time: cells fell silent, which made silence cheaper, and within 150
steps a map of 400 codes used 60. A prior that knows nothing yet finds few codes cheap, and
codebooks that follow such choices do not recover: so it can learn alone first, and the codebooks
of a second stage stand still (`decay` 1, `dead_below` 0). And an error of 30 dB beside one of 15
has no say in a sum: so J counts by its root, or less (`power`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from vqcodec.config import check_range
from vqcodec.models.priors.lattice import Coded, LatticePrior, Walk
from vqcodec.models.quantizers.base import Choose, Quantized, Tensors
from vqcodec.models.quantizers.composite import CompositeQuantizer
from vqcodec.models.terms import LossTerms

EVERY = 50  # steps between measures of the curvature
SWAPPED = 0.1  # of the codes of a map, to measure it
SLOW = 0.02  # of moving averages
LEVELS = 127.5  # 8-bit levels in one unit of a signal in [-1, 1]
NO_ERROR = 8.0  # squared levels a pixel below which an error hardly counts
GROWTH = 0.4  # about the power of the rate weight that J grows by

Decode = Callable[[torch.Tensor], torch.Tensor]  # z_q to a picture
# what codes of a map cost beside their bits, (B, K, h, w), given what was chosen of those before it
Foresee = Callable[[torch.Tensor, list[Coded]], torch.Tensor]


@dataclass(frozen=True)
class Config:
    """Settings of `RateTraining`.

    Attributes:
        least: the smallest rate weight, in squared 8-bit levels for a bit.
        most: the largest.
        alone: steps at the beginning in which only the prior learns.
        power: the loss of a sample is divided by this power of its J, or large rate weights have
            all the say.
    """

    least: float = 15.0
    most: float = 2500.0
    alone: int = 0
    power: float = 0.5

    def __post_init__(self) -> None:
        check_range("least", self.least, 1e-3, 1e9)
        check_range("most", self.most, 2 * self.least, 1e9)
        check_range("alone", self.alone, 0, 10_000_000)
        check_range("power", self.power, 0, 1)

    def build(self, quantizer: CompositeQuantizer) -> "RateTraining":
        """Make what trains with codes of a quantizer."""
        return RateTraining(self, quantizer.levels)


class RateTraining(nn.Module):
    """The loss of a codec for all rates, and what is measured along.

    Attributes:
        config: settings.
        curvature: (maps,), by how much the squared error of a picture grows, in 8-bit levels
            summed over pixels and colours, with each unit of squared distance between codes.
    """

    curvature: torch.Tensor
    steps: torch.Tensor
    usual: torch.Tensor

    def __init__(self, config: Config, levels: tuple[int, ...]) -> None:
        super().__init__()
        self.config, self.levels = config, levels
        self.register_buffer("curvature", torch.zeros(len(levels)))
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("usual", torch.zeros(()))  # mean of what the loss is made of

    def by_map(self) -> list[float]:
        """Return the curvature of each map."""
        return [float(curvature) for curvature in self.curvature]

    def draw(self, number: int) -> torch.Tensor:
        """Return so many rate weights, evenly drawn on a logarithmic scale."""
        drawn = torch.rand(number)  # on the CPU, whose numbers a checkpoint keeps
        return self.config.least * (self.config.most / self.config.least) ** drawn

    def classes(self, prior: LatticePrior, weight: torch.Tensor) -> torch.Tensor:
        """Return the classes of rate weights, (B,), for the prior: (B,) int64."""
        least, most = self.config.least, self.config.most
        part = torch.log(weight / least) / math.log(most / least)
        number = prior.config.conditions
        return (part * number).long().clamp(0, number - 1)

    def chooser(
        self,
        prior: LatticePrior,
        weight: torch.Tensor,
        known: Tensors = (),
        foresee: Foresee | None = None,
    ) -> tuple[Choose, torch.Tensor, list[Coded]]:
        """Return what chooses codes by rate weights, (B,), their classes, and where it reports.

        Args:
            prior: of all maps.
            weight: of each sample.
            known: the first maps, (B, h, w) each, of which nothing is to be chosen.
            foresee: makes of what codes cost by their distances what they cost all in all.
        """
        condition = self.classes(prior, weight)
        walk = Walk(prior, condition)
        for grid in known:
            walk.know(grid)
        choose, coded = self.choosing(walk, weight, foresee)
        return choose, condition, coded

    def choosing(
        self, walk: Walk, weight: torch.Tensor, foresee: Foresee | None = None
    ) -> tuple[Choose, list[Coded]]:
        """Return what chooses the codes of the maps that a walk has before it, and its report.

        The other arguments are those of `chooser`.
        """
        coded: list[Coded] = []

        def choose(distances: torch.Tensor) -> torch.Tensor:
            worth = self.curvature[len(coded)] / weight
            cost = distances * worth.view(-1, 1, 1, 1)
            coded.append(walk.choose(cost if foresee is None else foresee(cost, coded)))
            return coded[-1].indices

        return choose, coded

    def forward(
        self,
        x: torch.Tensor,
        features: Tensors,
        quantizer: CompositeQuantizer,
        decoder: Decode,
        prior: LatticePrior,
        weight: torch.Tensor | None = None,
        known: Tensors = (),
        foresee: Foresee | None = None,
    ) -> LossTerms:
        """Return the terms of a training step for x, (B, 3, H, W), and its features.

        Args:
            x: what the decoder shall give back.
            features: what is quantized.
            quantizer: that learns.
            decoder: makes pictures of what it quantized.
            prior: of all maps.
            weight: (B,), rate weights; by default drawn.
            known: see `chooser`.
            foresee: likewise.
        """
        self.observe(features, quantizer, decoder)
        weight = (self.draw(len(x)) if weight is None else weight).to(x.device)
        choose, condition, coded = self.chooser(prior, weight, known, foresee)
        if int(self.steps) <= self.config.alone:
            quantizer.eval()
            with torch.no_grad():
                found = quantizer(features, choose=choose)
            quantizer.train()
            bits = total_bits(prior((*known, *found.indices), condition)[len(known) :])
            rate = bits.mean() * math.log(2) / x[0].numel()
            zero = torch.zeros_like(rate)
            return LossTerms(rate, zero, zero, rate.detach(), found.indices, found.latents)
        found = quantizer(features, choose=choose)
        bits = total_bits(tuple(own.bits for own in coded))
        return self.terms(x, decoder(found.z_q), found, bits, weight)

    def terms(
        self,
        x: torch.Tensor,
        decoded: torch.Tensor,
        found: Quantized,
        bits: torch.Tensor,
        weight: torch.Tensor,
    ) -> LossTerms:
        """Return the terms of a training step.

        Args:
            x: (B, 3, H, W), what the decoder shall give back.
            decoded: what it gave.
            found: what it was given.
            bits: (B,), what all that cost.
            weight: (B,), rate weights.
        """
        dimensions = x[0].numel()
        rate = bits.mean() * math.log(2) / dimensions
        error = (decoded.float() - x).square().flatten(1).mean(1) * LEVELS**2
        cost = error + self._held(found.errors) / dimensions
        size = (error + weight * bits / dimensions).detach() + NO_ERROR
        fair = (weight / self.config.least) ** (GROWTH * (self.config.power - 1))
        counted = (cost / size**self.config.power * fair).mean()
        usual = counted.detach() if not self.usual else self.usual.lerp(counted.detach(), SLOW)
        self.usual.copy_(usual)
        reconstruction = 0.5 * counted / self.usual
        loss = reconstruction + rate
        held = reconstruction.new_zeros(())
        return LossTerms(loss, reconstruction, held, rate.detach(), found.indices, found.latents)

    def observe(self, features: Tensors, quantizer: CompositeQuantizer, decoder: Decode) -> None:
        """Begin a training step: measure the curvature now and then."""
        if int(self.steps) % EVERY == 0:
            self._measure(features, quantizer, decoder)
        self.steps += 1

    def _held(self, errors: Tensors) -> torch.Tensor:
        """Return what vectors that are not on their codes are held by, for each sample, (B,).

        Of codebooks that share a grid the last one leaves what all of them leave.
        """
        held = errors[0].new_zeros(errors[0].shape)
        for number, level in enumerate(self.levels):
            if self.levels[number + 1 : number + 2] != (level,):
                first = self.levels.index(level)
                held = held + self.curvature[first] * errors[number]
        return held

    @torch.no_grad()
    def _measure(
        self,
        features: Tensors,
        quantizer: CompositeQuantizer,
        decoder: Decode,
    ) -> None:
        """Move the curvature towards what other codes, the next to those chosen, do to pictures.

        Noise on vectors tells a third of it: most of it lies where decoders do not look.
        """
        quantizer.eval()
        indices = quantizer(features).indices
        plain = decoder(quantizer.lookup(indices)).float()
        found = []
        for number, book in enumerate(quantizer.codebooks):
            apart = torch.cdist(book.codebook, book.codebook).fill_diagonal_(math.inf)
            swapped = torch.rand(indices[number].shape) < SWAPPED
            swapped.view(-1)[0] = True  # of few codes one at least
            other = torch.where(
                swapped.to(plain.device), apart.argmin(1)[indices[number]], indices[number]
            )
            moved = (*indices[:number], other, *indices[number + 1 :])
            change = (decoder(quantizer.lookup(moved)).float() - plain).square().sum()
            distance = (book.codebook[other] - book.codebook[indices[number]]).square().sum()
            found.append(change * LEVELS**2 / distance.clamp(min=1e-6))
        measured = torch.stack(found)
        begun = bool(self.curvature.any())
        self.curvature.copy_(self.curvature.lerp(measured, 0.1) if begun else measured)
        quantizer.train()


def total_bits(bits: Tensors) -> torch.Tensor:
    """Return the bits of all maps of each sample, (B,)."""
    return torch.stack([own.flatten(1).sum(1) for own in bits]).sum(0)
