"""What one model says of pictures, in bits."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vqcodec.codingpriors import any_coding_prior
from vqcodec.errors import UsageError
from vqcodec.models.decoders.base import Density
from vqcodec.models.fixedpoint import from_arrays
from vqcodec.models.nn.pixels import to_signal
from vqcodec.models.pretrained import load_any_model, load_sampling_prior
from vqcodec.models.priors.base import Prior
from vqcodec.models.priors.causal import floating
from vqcodec.models.priors.independent import IndependentPriors
from vqcodec.models.vae import VAE
from vqcodec.models.vqvae import VQVAE
from vqcodec.weights import SAMPLING_PRIOR, Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

AT_ONCE = 20  # pictures
SAMPLES = 50  # of the multi-sample bound, as in the paper
ACTIVE = 0.01  # bits that an active latent costs a picture, on average, at least


@dataclass(frozen=True)
class Bounds:
    """What a model says of N pictures, in bits a picture, (N,) each.

    Attributes:
        name: of the model.
        dimensions: values in a picture.
        rate: what the latents cost: the KL divergence from the prior of training.
        distortion: -log2 p(x | z).
        swapped: the same with the latents of another picture.
        tighter: a tighter bound: of several samples, or with a fitted prior; None without.
        how: what that bound is; empty without.
        used: the share of latents that are active, or of codes that occur.
    """

    name: str
    dimensions: int
    rate: "Values"
    distortion: "Values"
    swapped: "Values"
    tighter: "Values | None" = None
    how: str = ""
    used: float = math.nan

    @property
    def bound(self) -> "Values":
        """The evidence lower bound, its sign turned."""
        return self.rate + self.distortion

    @property
    def gap(self) -> "Values":
        """What another picture's latents cost: about zero where the decoder ignores them."""
        return self.swapped - self.distortion


@torch.inference_mode()
def measure(
    weights: Weights,
    pixels: "NDArray[np.uint8]",
    device: torch.device,
    samples: int = SAMPLES,
    progress: Callable[[float], None] = lambda done: None,
) -> Bounds:
    """Measure a model on pictures, (N, 3, S, S), of which there must be two at least.

    Args:
        weights: of the model.
        pixels: the pictures.
        device: where to compute.
        samples: of the multi-sample bound of a VAE; 0 for no such bound.
        progress: called with the fraction done.

    Raises:
        UsageError: its decoder has no likelihood.
        WeightsError: the weights are damaged.
    """
    import numpy as np

    model = load_any_model(weights).to(device)
    if not isinstance(model.decoder, Density):
        raise UsageError(f"'{weights.name}': its decoder has no likelihood, so it has no bound")
    prior = fitted_prior(weights)
    if prior is not None:
        prior.to(device)
    # neighbours may be frames of a film, and codes of the frame before are hardly those of another
    order = np.random.default_rng(0).permutation(len(pixels))
    pixels = pixels[order]
    found: list[list[torch.Tensor]] = []
    costs: list[torch.Tensor] = []
    seen = [torch.zeros(size, dtype=torch.bool) for size in weights.codebook_sizes]
    starts = _starts(len(pixels))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for done, (start, stop) in enumerate(starts, 1):
            x = to_signal(torch.from_numpy(pixels[start:stop]).to(device))
            z, kl = model.infer(x)
            own, other = (-model.decoder.log_prob(x, own) for own in (z, z.roll(1, 0)))
            tighter = _tighter(model, prior, x, own, samples)
            found.append([kl.sum(1), own, other, *([] if tighter is None else [tighter])])
            costs.append(kl)
            if isinstance(model, VQVAE):
                for book, grid in zip(seen, model.encode(x), strict=True):
                    book[grid.flatten().cpu()] = True
            progress(done / len(starts))
    columns = [
        torch.cat(column).double().cpu().numpy()[np.argsort(order)] / math.log(2)
        for column in zip(*found, strict=True)
    ]
    if seen:
        used = float(torch.cat(seen).double().mean())
    else:
        each = torch.cat(costs).double().mean(0).cpu().numpy() / math.log(2)
        used = float(np.mean(each >= ACTIVE))
    how = ("fitted prior" if seen else f"{samples} samples") if len(columns) > 3 else ""
    rate, own_cost, swapped, *more = columns
    dimensions = pixels[0].size
    return Bounds(
        weights.name, dimensions, rate, own_cost, swapped, more[0] if more else None, how, used
    )


def fitted_prior(weights: Weights) -> Prior | None:
    """Return what was fitted to the codes of a model: the prior to sample from, or that to code.

    The latter in floating point, of pictures whose codes are the nearest ones. None without.
    """
    has_sampling = SAMPLING_PRIOR in weights.config.get("files", {})
    if has_sampling and weights.draws == weights.modality:
        return load_sampling_prior(weights)
    found = any_coding_prior(weights)
    if not isinstance(found, tuple):
        return from_arrays(found.arrays)
    return IndependentPriors([floating(own.arrays) for own in found]) if found else None


def _starts(number: int) -> list[tuple[int, int]]:
    """Return the stretches that are measured together, of two pictures each at least."""
    starts = list(range(0, number, AT_ONCE))
    if len(starts) > 1 and number - starts[-1] < 2:
        starts.pop()
    return list(zip(starts, [*starts[1:], number], strict=True))


def _tighter(
    model: VQVAE | VAE,
    prior: Prior | None,
    x: torch.Tensor,
    distortion: torch.Tensor,
    samples: int,
) -> torch.Tensor | None:
    """Return a tighter bound in nats, (B,), its sign turned, if there is one."""
    if isinstance(model, VAE):
        return -model.bound(x, samples) if samples else None
    return None if prior is None else distortion - prior.log_prob(model.encode(x))
