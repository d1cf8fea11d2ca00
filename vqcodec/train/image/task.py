"""Stage one on pictures: encoder, codebook and decoder."""

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from vqcodec.config import check_range
from vqcodec.metrics.basic import perplexity, psnr
from vqcodec.models.nn.pixels import to_pixels, to_signal
from vqcodec.models.pretrained import read_state
from vqcodec.models.priors.integer import from_arrays
from vqcodec.models.quantizers.base import Quantizer
from vqcodec.models.vqvae import VQVAE, Terms, build
from vqcodec.train.config import split
from vqcodec.train.image.data import Crops, Pictures, centre_squares, read_picture
from vqcodec.train.loop import Progress
from vqcodec.train.run import Job, Ready, claim, hold_out, train
from vqcodec.train.tasks import Evaluation, Loss
from vqcodec.weights import Weights, coding_prior, find_weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

HELD_OUT_SIDE = 128  # pictures to measure on: short side shrunk to this, the middle square


@dataclass(frozen=True)
class ImageData:
    """Settings of the data in a preset's ``train`` table.

    Attributes:
        crop_size: side of a training crop in pixels.
        picture_side: larger pictures are shrunk to this short side first.
        zoom: a crop is cut as a square of crop_size times a factor from this range, then shrunk.
    """

    crop_size: int
    picture_side: int
    zoom: tuple[float, float]

    def __post_init__(self) -> None:
        check_range("crop_size", self.crop_size, 8, 2048)
        check_range("picture_side", self.picture_side, self.crop_size, 8192)
        check_range("zoom", self.zoom[0], 1, self.zoom[1])


class ImageVQVAE:
    """A VQ-VAE on pictures.

    Args:
        model: the network to train.
        crops: training crops.
        held_out: (N, 3, S, S) uint8 pictures to measure on.
    """

    def __init__(self, model: VQVAE, crops: Crops, held_out: "Pixels") -> None:
        self.model = model
        self.crops = crops
        self.held_out = held_out

    def batch(self, number: int) -> "Pixels":
        """Return training batch `number`, (B, 3, H, W) uint8."""
        return self.crops.batch(number)

    def loss(self, model: nn.Module, batch: torch.Tensor) -> Loss:
        """Return the terms of equation 3."""
        terms: Terms = model(to_signal(batch))
        logged = {"reconstruction": terms.reconstruction, "quantizer": terms.quantizer}
        if self.model.prior is not None:
            per_index = batch[0].numel() / sum(i[0].numel() for i in terms.indices)
            logged["bits_per_index"] = terms.rate * per_index / math.log(2)
        indices = torch.cat([i.flatten() for i in terms.indices])
        return Loss(terms.loss, logged, indices, terms.vectors)

    def quantizer(self) -> Quantizer:
        """Return the model's quantizer."""
        return self.model.quantizer

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> Evaluation:
        """Return PSNR (dB, mean over pictures), the bound (bits/dim), perplexity and usage."""
        import numpy as np

        assert isinstance(model, VQVAE)
        device = next(model.parameters()).device
        codes = sum(model.quantizer.codebook_sizes)
        histogram = np.zeros(codes, np.int64)
        quality: list[float] = []
        bits = coded = 0.0
        shown: list[Pixels] = []
        for start in range(0, len(self.held_out), 8):
            pixels = self.held_out[start : start + 8]
            x = to_signal(torch.from_numpy(pixels).to(device))
            offset = 0
            indices = model.encode(x)
            for grid, size in zip(indices, model.quantizer.codebook_sizes, strict=True):
                histogram[offset : offset + size] += np.bincount(
                    grid.flatten().cpu().numpy(), minlength=size
                )
                offset += size
            decoded = to_pixels(model.decode(indices)).cpu().numpy()
            quality += [psnr(a, b) for a, b in zip(pixels, decoded, strict=True)]
            bits += float(model.elbo(x).bits_per_dim.sum())
            if model.prior is not None:
                coded -= float(model.prior.log_prob(indices).sum()) / math.log(2)
            if not shown:
                shown = [_row(pixels), _row(decoded)]
        figures = {
            "psnr": float(np.mean([min(q, 100.0) for q in quality])),
            "bits_per_dim": bits / len(self.held_out),
            "kl_bits_per_index": sum(math.log2(k) for k in model.quantizer.codebook_sizes)
            / len(model.quantizer.codebook_sizes),
            "perplexity": perplexity(histogram),
            "usage": float((histogram > 0).mean()),
        }
        if model.prior is not None:
            figures["bits_per_index"] = coded / histogram.sum()
        return Evaluation(figures, histogram, np.concatenate(shown))


def _row(pixels: "Pixels") -> "Pixels":
    """Lay pictures, (N, 3, H, W), side by side: (H, N W, 3)."""
    import numpy as np

    return np.concatenate(list(pixels.transpose(0, 2, 3, 1)), axis=1)


def train_image(job: Job, start_from: str | None = None) -> Progress:
    """Train a VQ-VAE on pictures, or continue the run in the job's folder.

    Args:
        job: what is asked.
        start_from: weights (name or folder) to start from instead of random ones.

    Raises:
        TrainingError: no pictures, other settings than the run in the folder has, or a failed run.
        UsageError: settings that do not fit.
    """
    settings, loop_config = split(job.config, ImageData)
    torch.manual_seed(loop_config.seed)
    model = build(job.config.get("model", {}))
    read = partial(read_picture, side=HELD_OUT_SIDE, minimum=HELD_OUT_SIDE)
    sources, measured, passed = hold_out(job.data, job.held_out, read)
    claim(job, start_from=start_from)
    pictures = Pictures(sources, settings.picture_side, settings.crop_size)
    test = Pictures(measured, HELD_OUT_SIDE, HELD_OUT_SIDE)
    if start_from is not None:
        _start_from(model, find_weights(start_from))
    crops = Crops(
        pictures, loop_config.batch_size, settings.crop_size, settings.zoom, loop_config.seed
    )
    task = ImageVQVAE(model, crops, centre_squares(test, HELD_OUT_SIDE))
    skipped = passed + pictures.skipped + test.skipped
    ready = Ready(task, len(pictures), len(test), skipped, "pictures")
    return train(job, loop_config, ready, started=start_from is not None)


def _start_from(model: VQVAE, weights: Weights) -> None:
    """Take over weights, and for a prior that learns along their coding prior."""
    state = read_state(weights)
    integers = coding_prior(weights)
    if model.prior is not None and integers is not None:
        state |= {f"prior.{k}": v for k, v in from_arrays(integers.arrays).state_dict().items()}
    model.load_state_dict(state)
