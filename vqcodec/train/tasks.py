"""What can be trained: a task brings its model, its batches and its measures to the loop."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from vqcodec.metrics.basic import perplexity
from vqcodec.models.quantizers.base import Quantizer

Tensors = dict[str, torch.Tensor]  # a batch: x, source, reference, cond, map_0, map_1, ...

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[Any]]  # the same in NumPy
    Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Loss:
    """One step's loss.

    Attributes:
        total: the scalar to minimise.
        terms: scalars to log.
        indices: of each map every index chosen in the batch, to measure usage by; none without
            codes.
        latents: of each map, (N, D), to set and restart its codes from; none without codes.
    """

    total: torch.Tensor
    terms: dict[str, torch.Tensor]
    indices: tuple[torch.Tensor, ...] = ()
    latents: tuple[torch.Tensor, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """Held-out figures, and examples of results.

    Attributes:
        figures: by name.
        histograms: of the codes of each map, (K,).
        picture: (H, W, 3).
        sounds: (T,) float32 at 16 kHz, by name.
    """

    figures: dict[str, float]
    histograms: "tuple[NDArray[np.int64], ...]" = ()
    picture: "Pixels | None" = None
    sounds: "dict[str, NDArray[np.float32]]" = field(default_factory=dict)


class Task(Protocol):
    """The contract between the loop and what it trains."""

    @property
    def model(self) -> nn.Module:
        """What learns."""

    def batch(self, number: int) -> "Arrays":
        """Return training batch `number`: the same whenever it is asked for."""

    def loss(self, model: nn.Module, batch: Tensors) -> Loss:
        """Return the loss of `model` (the task's own, or that wrapped for several processes)."""

    def evaluate(self, model: nn.Module) -> Evaluation:
        """Return figures of `model` (the task's own, or its average) on the held-out data."""

    def quantizer(self) -> Quantizer | None:
        """Return the quantizer that learns, if one does."""


def named_maps(maps: "Sequence[NDArray[Any]]") -> "Arrays":
    """Return index maps, coarse to fine, as a batch names them."""
    return {f"map_{number}": grid for number, grid in enumerate(maps)}


def maps_of(batch: Tensors) -> tuple[torch.Tensor, ...]:
    """Return the index maps of a batch, int64, coarse to fine."""
    number = sum(name.startswith("map_") for name in batch)
    return tuple(batch[f"map_{i}"].long() for i in range(number))


def each_map(name: str, values: list[float]) -> dict[str, float]:
    """Return a figure of every map: under its name where there is one, else name_0, name_1, ..."""
    if len(values) == 1:
        return {name: values[0]}
    return {f"{name}_{number}": value for number, value in enumerate(values)}


def codes_in_use(histograms: "Sequence[NDArray[np.int64]]") -> dict[str, float]:
    """Return perplexity, and the share of the codes that occur, of each map."""
    varied = each_map("perplexity", [perplexity(h) for h in histograms])
    return varied | each_map("usage", [float((h > 0).mean()) for h in histograms])
