"""What can be trained: a task brings its model, its batches and its measures to the loop."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from vqcodec.models.quantizers.base import Quantizer

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
