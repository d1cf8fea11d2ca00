"""Stage one on pictures: encoder, codebook and decoder."""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from vqcodec.codingpriors import coding_priors
from vqcodec.config import Tree, check_range
from vqcodec.errors import UsageError
from vqcodec.metrics.basic import psnr
from vqcodec.modality import IMAGE
from vqcodec.models.nn.pixels import to_pixels, to_signal
from vqcodec.models.pretrained import read_state
from vqcodec.models.priors.causal import floating
from vqcodec.models.priors.lattice import LatticePrior
from vqcodec.models.quantizers.base import Quantizer
from vqcodec.models.refining import Refining, build_refining
from vqcodec.models.refiningweights import first_arrays
from vqcodec.models.stacked import StackedEncoder, for_codec
from vqcodec.models.terms import LossTerms
from vqcodec.models.vae import VAE, build_model
from vqcodec.models.vqvae import VQVAE, renamed
from vqcodec.train.config import split
from vqcodec.train.image.base import MEASURED_AT_ONCE, PictureTask, side_by_side
from vqcodec.train.image.data import Crops, Pictures, centre_squares, read_picture
from vqcodec.train.image.refining import RefinedPictures, resume_from
from vqcodec.train.image.vae import ImageVAE
from vqcodec.train.loop import Progress
from vqcodec.train.run import Ready, TrainingJob, checkpoint_step, claim, hold_out, train
from vqcodec.train.tasks import Evaluation, Loss, Task, Tensors, codes_in_use
from vqcodec.weights import HELD_OUT_SIDE, Weights, find_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class ImageData:
    """Settings of the data in a preset's ``train`` table.

    Attributes:
        crop_size: side of a training crop in pixels.
        picture_side: larger pictures are shrunk to this short side first.
        zoom: a crop is cut as a square of crop_size times a factor from this range, and brought to
            crop_size; below 1 it is enlarged, and so smooth.
        as_is: the share of crops that are cut at crop_size: what a zoom blurs stays in them.
        plain: the share of crops that are one colour, or a slope of colours, and no photograph.
        held_out_side: of pictures to measure on the middle square is taken, shrunk to this side.
    """

    crop_size: int
    picture_side: int
    zoom: tuple[float, float]
    as_is: float = 0.0
    plain: float = 0.0
    held_out_side: int = HELD_OUT_SIDE

    def __post_init__(self) -> None:
        check_range("crop_size", self.crop_size, 8, 2048)
        check_range("picture_side", self.picture_side, self.crop_size, 8192)
        check_range("zoom", self.zoom[0], 0.1, self.zoom[1])
        check_range("as_is", self.as_is, 0, 1)
        check_range("plain", self.plain, 0, 1)
        check_range("held_out_side", self.held_out_side, 8, 2048)


class ImageVQVAE(PictureTask[VQVAE]):
    """A VQ-VAE on pictures; see `PictureTask`."""

    def loss(self, model: nn.Module, batch: Tensors) -> Loss:
        """Return the terms of equation 3."""
        x = batch["x"]
        terms: LossTerms = model(to_signal(x))
        logged = {"reconstruction": terms.reconstruction, "quantizer": terms.quantizer}
        if self.model.prior is not None:
            per_index = x[0].numel() / sum(i[0].numel() for i in terms.indices)
            logged["bits_per_index"] = terms.rate * per_index / math.log(2)
        return Loss(terms.loss, logged, terms.indices, terms.latents)

    def quantizer(self) -> Quantizer:
        """Return the model's quantizer."""
        return self.model.quantizer

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> Evaluation:
        """Return PSNR (dB, mean over pictures), the bound (bits/dim), perplexity and usage.

        Of several maps also the PSNR of each prefix: a map that adds nothing is seen at once. What
        is drawn is another picture each time, and takes long: of that, the PSNR of the first few.
        """
        import numpy as np

        assert isinstance(model, VQVAE)
        device = next(model.parameters()).device
        sizes = model.quantizer.codebook_sizes
        histograms = tuple(np.zeros(size, np.int64) for size in sizes)
        draws = model.decoder.draws
        quality: list[list[float]] = [[] for _ in sizes]  # of the first map, the first two, all
        bits = coded = 0.0
        shown: list[Pixels] = []
        for start in range(0, len(self.held_out), MEASURED_AT_ONCE):
            pixels = self.held_out[start : start + MEASURED_AT_ONCE]
            x = to_signal(torch.from_numpy(pixels).to(device))
            indices = model.encode(x)
            for histogram, grid in zip(histograms, indices, strict=True):
                counts = np.bincount(grid.flatten().cpu().numpy(), minlength=len(histogram))
                histogram[:] += counts
            for number, found in enumerate(quality, 1):
                if draws and (shown or number < len(sizes)):
                    continue
                generator = torch.Generator().manual_seed(0)
                picture = to_pixels(model.decode(indices[:number], generator=generator))
                decoded = picture.cpu().numpy()
                found += [min(psnr(a, b), 100.0) for a, b in zip(pixels, decoded, strict=True)]
            bits += float(model.elbo(x).bits_per_dim.sum())
            if model.prior is not None:
                coded -= float(model.prior.log_prob(indices).sum()) / math.log(2)
            if not shown:
                shown = [side_by_side(pixels), side_by_side(decoded)]
        numbers = [int(h.sum()) for h in histograms]  # of indices
        kl = sum(math.log2(k) * (n / sum(numbers)) for k, n in zip(sizes, numbers, strict=True))
        *prefixes, whole = [float(np.mean(found)) for found in quality if found]
        figures = {
            "psnr_drawn" if draws else "psnr": whole,
            **{f"psnr_of_first_{number}": value for number, value in enumerate(prefixes, 1)},
            "bits_per_dim": bits / len(self.held_out),
            "kl_bits_per_index": kl,
            **codes_in_use(histograms),
        }
        if model.prior is not None:
            figures["bits_per_index"] = coded / sum(numbers)
        if model.rates is not None:
            figures |= self._rated(model, device)
        return Evaluation(figures, histograms, np.concatenate(shown))

    def _rated(self, model: VQVAE, device: torch.device) -> dict[str, float]:
        """Return PSNR and bits per pixel in the middle of the range of rate weights."""
        import numpy as np

        assert model.rates is not None
        assert isinstance(model.prior, LatticePrior)
        middle = math.sqrt(model.rates.config.least * model.rates.config.most)
        quality: list[float] = []
        spent = 0.0
        for start in range(0, len(self.held_out), MEASURED_AT_ONCE):
            pixels = self.held_out[start : start + MEASURED_AT_ONCE]
            x = to_signal(torch.from_numpy(pixels).to(device))
            weight = torch.full((len(x),), middle, device=device)
            choose, _, coded = model.rates.chooser(model.prior, weight)
            decoded = to_pixels(model.decode(model.encode(x, choose=choose))).cpu().numpy()
            quality += [min(psnr(a, b), 100.0) for a, b in zip(pixels, decoded, strict=True)]
            spent += sum(float(own.bits.sum()) for own in coded)
        pixels_in_all = self.held_out[:, 0].size
        return {
            "rated_psnr": float(np.mean(quality)),
            "rated_bits_per_pixel": spent / pixels_in_all,
        }


def train_image(job: TrainingJob, start_from: str | None = None, on: str | None = None) -> Progress:
    """Train a model of pictures, or continue the run in the job's folder.

    It is a VQ-VAE, a VAE, or what refines the pictures of another codec.

    Args:
        job: what is asked.
        start_from: weights (name or folder) to start from instead of random ones.
        on: weights whose codes a stacked model is of, or whose pictures are refined.

    Raises:
        TrainingError: no pictures, other settings than the run in the folder has, or a failed run.
        UsageError: settings that do not fit.
    """
    settings, loop_config = split(job.config, ImageData)
    torch.manual_seed(loop_config.seed)
    own: dict[str, str] = {}
    first = None if on is None else find_weights(on)
    if first is not None:
        first.check(IMAGE)
        table = for_codec(job.config["model"], first.config["model"])
        job = replace(job, config={**job.config, "model": table})
        own = {"on": first.name, "on_codebook_id": first.codebook_id.hex()}
    model = _build(job.config.get("model", {}))
    above = model if isinstance(model, Refining) else model.encoder
    if first is not None and isinstance(above, Refining | StackedEncoder):
        above.first.load_state_dict(renamed(read_state(first)))
    side = settings.held_out_side
    _check_sizes(model, settings)
    if first is not None and isinstance(model, Refining):
        first_arrays(first)  # without them weights could not be made of it
    read = partial(read_picture, side=side, minimum=side)
    sources, measured, passed = hold_out(job.data, job.held_out, read)
    claim(job, start_from=start_from, **own)
    pictures = Pictures(sources, settings.picture_side, settings.crop_size)
    test = Pictures(measured, side, side)
    crops = Crops(
        pictures,
        loop_config.batch_size,
        settings.crop_size,
        settings.zoom,
        loop_config.seed,
        settings.plain,
        settings.as_is,
    )
    squares = centre_squares(test, side)
    begun = None if start_from is None else find_weights(start_from)
    task: Task
    if isinstance(model, Refining):
        assert first is not None
        task = RefinedPictures(model, crops, squares, first)
        if begun is not None:
            resume_from(model, begun, first)
        elif not checkpoint_step(job.folder):
            task.begin(loop_config.seed)
    else:
        if begun is not None:
            _start_from(model, begun)
        task = (
            ImageVAE(model, crops, squares)
            if isinstance(model, VAE)
            else ImageVQVAE(model, crops, squares)
        )
    skipped = passed + pictures.skipped + test.skipped
    ready = Ready(task, len(pictures), len(test), skipped, "pictures")
    taken = 0 if start_from is None else len(model.maps)
    return train(job, loop_config, ready, taken=taken)


def _build(table: Tree) -> VQVAE | VAE | Refining:
    """Make a model with fresh weights from the ``model`` table of a preset."""
    return build_refining(table) if "refiner" in table else build_model(table)


def _check_sizes(model: VQVAE | VAE | Refining, settings: ImageData) -> None:
    """Raise UsageError unless pictures are whole numbers of the coarsest cells."""
    encoder = model.first.encoder if isinstance(model, Refining) else model.encoder
    stride = max(encoder.strides[0])
    for name in ("crop_size", "held_out_side"):
        if getattr(settings, name) % stride:
            raise UsageError(f"train.{name} must be a multiple of {stride}, the model's stride")


def _start_from(model: VQVAE | VAE, weights: Weights) -> None:
    """Take over weights, and their coding priors for a prior that learns along."""
    state = read_state(weights)
    if isinstance(model, VQVAE) and model.prior is not None:
        for own, found in zip(model.prior.each(), coding_priors(weights), strict=False):
            known = floating(found.arrays)
            if type(known) is type(own):  # one of another kind learns anew
                own.load_state_dict(known.state_dict())
        state |= {f"prior.{key}": value for key, value in model.prior.state_dict().items()}
        if model.rates is not None:
            state |= {f"rates.{key}": value for key, value in model.rates.state_dict().items()}
    model.load_state_dict(state)
