"""What can be trained: a task brings its model, its batches and its measures to the loop."""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from vqcodec.evaluate.metrics import perplexity, psnr
from vqcodec.nn.pixels import to_pixels, to_signal
from vqcodec.quantizers.base import Quantizer
from vqcodec.train.data import Crops
from vqcodec.vqvae import VQVAE, Terms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Loss:
    """One step's loss.

    Attributes:
        total: the scalar to minimise.
        terms: scalars to log.
        indices: every index chosen in the batch, flat, to measure usage by; None without codes.
        vectors: (N, D) encoder outputs, to seed codes from; None without codes.
    """

    total: torch.Tensor
    terms: dict[str, torch.Tensor]
    indices: torch.Tensor | None = None
    vectors: torch.Tensor | None = None


@dataclass(frozen=True)
class Evaluation:
    """Held-out figures, and examples of results.

    Attributes:
        figures: by name.
        histogram: of the codes, (K,).
        picture: (H, W, 3).
        sounds: (T,) float32 at 16 kHz, by name.
    """

    figures: dict[str, float]
    histogram: "NDArray[np.int64] | None" = None
    picture: "Pixels | None" = None
    sounds: "dict[str, NDArray[np.float32]]" = field(default_factory=dict)


class Task(Protocol):
    """The contract between the loop and what it trains."""

    @property
    def model(self) -> nn.Module:
        """What learns."""

    def batch(self, number: int) -> "NDArray[Any]":
        """Return training batch `number`: the same whenever it is asked for."""

    def loss(self, model: nn.Module, batch: torch.Tensor) -> Loss:
        """Return the loss of `model` (the task's own, or that wrapped for several processes)."""

    def evaluate(self, model: nn.Module) -> Evaluation:
        """Return figures of `model` (the task's own, or its average) on the held-out data."""

    def quantizer(self) -> Quantizer | None:
        """Return the quantizer that learns, if one does."""


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
