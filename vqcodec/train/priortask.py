"""Training a prior: what does not depend on what the codes are of."""

import math

import torch
from torch import nn

from vqcodec.models.priors.base import Prior
from vqcodec.train.tasks import Loss, Tensors, maps_of


class PriorTask:
    """What tasks of training a prior have in common.

    Attributes:
        model: the prior to train.
    """

    def __init__(self, model: Prior) -> None:
        self.model = model

    def loss(self, model: nn.Module, batch: Tensors) -> Loss:
        """Return nats per index, over all maps."""
        indices = maps_of(batch)
        total = sum(grid.numel() for grid in indices)
        nats = torch.zeros((), device=indices[0].device)
        for grid, found in zip(indices, model(indices, batch.get("cond")), strict=True):
            nats = nats + self.model.mean_nats(grid, found) * (grid.numel() / total)
        return Loss(nats, {"bits_per_index": nats.detach() / math.log(2)})

    def quantizer(self) -> None:
        """Return None: the codes are frozen."""
        return
