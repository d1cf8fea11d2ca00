"""Codes of what pictures lack, while they are trained.

The error of each cell of a picture is a vector, by an orthonormal transform, of which residual
codebooks say more and more; a network puts back what they say. `vqcodec.codec.refinement` codes
with what is learned.

No encoder is learned: the transform keeps distances, and so the nearest code vector is the one that
leaves the smallest error.
"""

from collections.abc import Callable

import torch
from torch import distributed, nn
from torch.nn import functional as F

from vqcodec.coding.refining import NOTHING
from vqcodec.config import Tree, parse
from vqcodec.errors import UsageError
from vqcodec.models.foresight import Foresight
from vqcodec.models.priors.lattice import LatticePrior
from vqcodec.models.quantizers.base import Tensors
from vqcodec.models.quantizers.residual import ResidualQuantizer
from vqcodec.models.quantizers.vq import VectorQuantizer
from vqcodec.models.rated import LEVELS, RateTraining
from vqcodec.models.rated import Config as RatesConfig
from vqcodec.models.refiner import Config as RefinerConfig
from vqcodec.models.refiner import Refiner
from vqcodec.models.vqvae import build_prior, part_config

GAIN = 8.0  # errors in [-1, 1] are enlarged so much for vectors of numbers about as large as one
UNSEEN = 0.02  # is added to how often a code was chosen
KEPT = 0.995  # of the counts of a class, with each of its samples
SAMPLE = 256.0  # codes that the counts of weights are taken for
CHANGES = "last.weight", "last.bias", "synthesis.weight"  # of the network: its last layers


class Refinement(nn.Module):
    """What is learned of what pictures lack.

    Attributes:
        network: puts what vectors say into pictures; while it is trained, `GAIN` times as much.
        quantizer: of the vectors; code `NOTHING` of each codebook stays zero.
        prior: of the maps of the quantizer, and of those before them.
        rates: the loss for all rate weights.
        analysis: (values of a cell, D), from errors in 8-bit levels to vectors.
        counts: (classes of rate weights, codebooks, K), how often codes were chosen of late.
    """

    analysis: torch.Tensor
    counts: torch.Tensor

    def __init__(
        self,
        network: Refiner,
        quantizer: ResidualQuantizer,
        prior: LatticePrior,
        rates: RateTraining,
    ) -> None:
        super().__init__()
        self.network, self.quantizer, self.prior, self.rates = network, quantizer, prior, rates
        self.register_buffer("analysis", torch.zeros(network.config.values, network.config.dim))
        shape = prior.config.conditions, len(quantizer.codebooks), quantizer.codebook_sizes[0]
        self.register_buffer("counts", torch.zeros(shape))
        self.counts[..., NOTHING] = 1  # or nobody would think of it where nobody has chosen yet

    def errors(self, x: torch.Tensor, decoded: torch.Tensor) -> torch.Tensor:
        """Return what is lacking in 8-bit levels, cell by cell: (B, values, h, w)."""
        return F.pixel_unshuffle((x - decoded).float() * LEVELS, self.network.config.stride)

    def vectors(self, x: torch.Tensor, decoded: torch.Tensor) -> torch.Tensor:
        """Return z, (B, D, h, w), of what `decoded` lacks; both are pictures in [-1, 1]."""
        with torch.autocast(x.device.type, enabled=False):
            return torch.einsum("bnhw,nd->bdhw", self.errors(x, decoded), self.analysis)

    def refined(self, decoded: torch.Tensor, z_q: torch.Tensor) -> torch.Tensor:
        """Return a picture in [-1, 1] with what vectors say that it lacks."""
        return decoded + (self.network(decoded, z_q) - decoded) / GAIN

    @property
    def codebooks(self) -> torch.Tensor:
        """All codebooks, (N, K, D)."""
        return torch.stack([book.codebook for book in self.quantizer.codebooks])

    @property
    def usual(self) -> torch.Tensor:
        """The bits that codes usually take, like `counts`."""
        shares = self.counts + UNSEEN
        return -torch.log2(shares / shares.sum(-1, keepdim=True))

    def foresight(self, z: torch.Tensor, weight: torch.Tensor) -> Foresight:
        """Return what sees ahead for vectors, (B, D, h, w), with rate weights, (B,)."""
        usual = self.usual[self.rates.classes(self.prior, weight)]
        return Foresight(z, self.codebooks, usual, self.rates.curvature / weight[:, None])

    @torch.no_grad()
    def learn(self, indices: Tensors, weight: torch.Tensor) -> None:
        """Note what was chosen of each codebook, (B, h, w), for rate weights, (B,)."""
        for book in self.quantizer.each():
            book.codebook[NOTHING] = book.sums[NOTHING] = 0
        self._count(indices, self.rates.classes(self.prior, weight))

    def _count(self, indices: Tensors, condition: torch.Tensor) -> None:
        """Count what was chosen of each codebook, (B, h, w), for samples of classes, (B,)."""
        classes, _, size = self.counts.shape
        flat = [(condition[:, None, None] * size + own).flatten() for own in indices]
        found = [torch.bincount(own, minlength=classes * size).view(classes, size) for own in flat]
        counts = torch.stack(found, 1).to(self.counts)
        samples = torch.bincount(condition, minlength=classes).to(self.counts)
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(counts)
            distributed.all_reduce(samples)
        self.counts.mul_(KEPT ** samples[:, None, None]).add_(counts)

    @torch.no_grad()
    def resume(
        self,
        state: dict[str, torch.Tensor],
        analysis: torch.Tensor,
        codebooks: torch.Tensor,
        usual: torch.Tensor,
        prior: LatticePrior,
        curvature: tuple[float, ...],
    ) -> None:
        """Go on from weights; see `network_state` and `vqcodec.codec.refinement.read_refinement`.

        Raises:
            UsageError: they are built otherwise.
        """
        try:
            scaled = {k: v * GAIN if k in CHANGES else v for k, v in state.items()}
            self.network.load_state_dict(scaled)
            self._take_prior(prior)
            self.analysis.copy_(analysis)
            for book, own in zip(self.quantizer.each(), codebooks, strict=True):
                as_new(own, book)
            self.counts.copy_(2**-usual * SAMPLE)
            self.rates.curvature.copy_(torch.tensor(curvature))
        except (RuntimeError, ValueError):
            raise UsageError("--from is built otherwise than the preset says") from None

    def _take_prior(self, prior: LatticePrior) -> None:
        """Go on from another prior."""
        self.prior.load_state_dict(prior.state_dict())

    def network_state(self) -> dict[str, torch.Tensor]:
        """Return the tensors of a network that changes pictures as `refined` does."""
        state = self.network.state_dict()
        return {k: v / GAIN if k in CHANGES else v for k, v in state.items()}


def build_parts(
    model: Tree, prior_of: Callable[[tuple[int, ...]], Tree]
) -> tuple[Refiner, ResidualQuantizer, LatticePrior, RateTraining]:
    """Make what a `Refinement` consists of, with fresh weights, from the ``model`` of a preset.

    Args:
        model: the table.
        prior_of: makes of the codebook sizes of the quantizer the table of the prior.

    Raises:
        UsageError: settings do not fit.
    """
    config: RefinerConfig = parse(RefinerConfig, model["refiner"], "refiner")
    quantizer = part_config(model["quantizer"], "quantizer", "vqcodec.models.quantizers").build()
    if not isinstance(quantizer, ResidualQuantizer) or len(set(quantizer.codebook_sizes)) > 1:
        raise UsageError("what refines needs a quantizer of kind 'residual', of one codebook size")
    if model["quantizer"].get("dim") != config.dim:
        raise UsageError("refiner and quantizer must have one and the same 'dim'")
    prior = build_prior(prior_of(quantizer.codebook_sizes))
    if not isinstance(prior, LatticePrior):
        raise UsageError("what refines needs a prior of kind 'lattice'")
    rates: RatesConfig = parse(RatesConfig, model["rates"], "rates")
    return config.build(), quantizer, prior, rates.build(quantizer)


def as_new(codebook: torch.Tensor, book: VectorQuantizer) -> None:
    """Set a codebook, (K, D), whose codes soon follow what chooses them."""
    book.codebook.copy_(codebook)
    book.counts.fill_(1)
    book.sums.copy_(codebook)
