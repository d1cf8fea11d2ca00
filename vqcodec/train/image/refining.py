"""What refines the pictures of a finished codec: what it is trained on, and measured by."""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from vqcodec.codec.refinement import read_refinement
from vqcodec.codec.tint import apply_tint, measure_tint
from vqcodec.codingpriors import coding_priors
from vqcodec.errors import UsageError
from vqcodec.metrics.basic import psnr
from vqcodec.models.fixedpoint import from_arrays
from vqcodec.models.nn.pixels import to_pixels, to_signal
from vqcodec.models.pretrained import load_refiner
from vqcodec.models.refining import Refining
from vqcodec.train.image.base import MEASURED_AT_ONCE, PictureTask, side_by_side
from vqcodec.train.image.data import Crops
from vqcodec.train.tasks import Evaluation, Loss, Tensors, codes_in_use
from vqcodec.weights import Weights, reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

BEGINNING = 300  # crops that the transform and the codebooks begin with
MEASURED = (30, 100, 400)  # rate weights
SECTION = 3  # bytes around a tint in a file


class RefinedPictures(PictureTask[Refining]):
    """Pictures as a first codec has them, and what they lack; see `PictureTask`.

    Args:
        model: what is trained.
        crops: training crops.
        held_out: (N, 3, S, S) uint8 pictures to measure on.
        first: the weights of the first codec.
    """

    def __init__(self, model: Refining, crops: Crops, held_out: "Pixels", first: Weights) -> None:
        super().__init__(model, crops, held_out)
        (self._first_prior,) = coding_priors(first)

    def loss(self, model: nn.Module, batch: Tensors) -> Loss:
        """Return the loss, and what the further maps cost."""
        weight = self.model.rates.draw(len(batch["x"]))
        x, decoded, grid, _ = self._given(batch["x"], weight)
        terms = model(x, decoded, grid, weight)
        bits = 3 * terms.rate / math.log(2)
        logged = {"reconstruction": terms.reconstruction, "refining_bits_per_pixel": bits}
        return Loss(terms.loss, logged)

    def quantizer(self) -> None:
        """Return None: `begin` sets codebooks, and no code starts anew."""
        return

    @torch.no_grad()
    def begin(self, seed: int) -> None:
        """Set the transform and the codebooks from the errors of the first crops."""
        found = []
        for number in range(-(-BEGINNING // self.crops.batch_size)):
            pixels = torch.from_numpy(self.batch(number)["x"])
            x, decoded, *_ = self._given(pixels, self.model.rates.draw(len(pixels)))
            found.append(self.model.errors(x, decoded).movedim(1, -1).flatten(0, 2))
        self.model.begin(torch.cat(found), seed)

    def _given(
        self, pixels: torch.Tensor, weight: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
        """Return pictures, what the first codec makes of them, its map, and the bits of tints."""
        x = to_signal(pixels)
        grid, decoded = self.model.decoded(x)
        tinted, bits = with_tints(pixels, decoded, weight)
        return x, to_signal(tinted), grid, bits

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> Evaluation:
        """Return PSNR (dB, mean over pictures) and bits per pixel at some rate weights.

        Bits are those of all maps under their priors, and of tints; a file has a header as well.
        """
        assert isinstance(model, Refining)
        device = model.analysis.device
        figures: dict[str, float] = {}
        histograms = tuple(np.zeros(n, np.int64) for n in model.quantizer.codebook_sizes)
        shown: list[Pixels] = []
        for number, rate in enumerate(MEASURED):
            quality, bits = [], 0.0
            for start in range(0, len(self.held_out), MEASURED_AT_ONCE):
                pixels = self.held_out[start : start + MEASURED_AT_ONCE]
                weight = torch.full((len(pixels),), float(rate), device=device)
                given = self._given(torch.from_numpy(pixels).to(device), weight)
                x, decoded, grid, spent = given
                z = model.vectors(x, decoded)
                foresee = model.foresight(z, weight)
                choose, _, coded = model.rates.chooser(model.prior, weight, (grid,), foresee)
                quantized = model.quantizer((z,), choose=choose)
                y = to_pixels(model.refined(decoded, quantized.z_q)).cpu().numpy()
                quality += [min(psnr(a, b), 100.0) for a, b in zip(pixels, y, strict=True)]
                bits += spent + sum(float(own.bits.sum()) for own in coded)
                maps = [own.astype(np.uint16) for own in grid.cpu().numpy()]
                bits += float(self._first_prior.bits(maps).sum())
                if not number:
                    for histogram, own in zip(histograms, coded, strict=True):
                        codes = own.indices.flatten().cpu().numpy()
                        histogram[:] += np.bincount(codes, minlength=len(histogram))
                    shown = shown or [side_by_side(pixels), side_by_side(y)]
            figures[f"psnr_at_{rate}"] = float(np.mean(quality))
            figures[f"bits_per_pixel_at_{rate}"] = bits / self.held_out[:, 0].size
        figures |= codes_in_use(histograms)
        return Evaluation(figures, histograms, np.concatenate(shown))


def with_tints(
    pixels: torch.Tensor, decoded: torch.Tensor, weight: torch.Tensor
) -> tuple[torch.Tensor, float]:
    """Return decoded pictures with the tints that they would have in files, and the bits of these.

    Args:
        pixels: (B, 3, H, W) uint8, the originals.
        decoded: likewise, what the codes stand for.
        weight: (B,), rate weights.
    """
    originals, found = (t.movedim(1, -1).contiguous().cpu().numpy() for t in (pixels, decoded))
    bits = 0.0
    for original, own, rate in zip(originals, found, weight.tolist(), strict=True):
        tint = measure_tint(original, own, rate)
        if tint is not None:
            own[:] = apply_tint(own, tint)
            bits += 8 * (len(tint.packed) + SECTION)
    return torch.from_numpy(found).movedim(-1, 1).to(pixels.device), bits


def resume_from(model: Refining, weights: Weights, first: Weights) -> None:
    """Go on from weights that refine the same codec.

    Raises:
        UsageError: they do not, or are built otherwise.
    """
    stands_on = reference(weights.config.get("model")) or ("", "")
    if not weights.refiner or stands_on[1] != first.codebook_id.hex():
        raise UsageError(f"--from: '{weights.name}' does not refine '{first.name}'")
    refinement = read_refinement(weights)
    model.resume(
        load_refiner(weights).state_dict(),
        torch.from_numpy(refinement.analysis),
        torch.from_numpy(np.stack(refinement.codebooks)),
        torch.from_numpy(refinement.usual),
        from_arrays(refinement.rates.prior.arrays),
        refinement.rates.curvature,
    )
