"""Training a prior: what does not depend on what the codes are of."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from vqcodec.models.priors.base import Prior
from vqcodec.train.tasks import Loss


class PriorTask:
    """What tasks of training a prior have in common.

    Attributes:
        model: the prior to train.
    """

    def __init__(self, model: Prior) -> None:
        self.model = model

    def loss(self, model: nn.Module, batch: torch.Tensor) -> Loss:
        """Return nats per index."""
        indices = batch.long()
        logits = model(indices)
        nats = F.cross_entropy(logits.flatten(0, -2).float(), indices.flatten())
        return Loss(nats, {"bits_per_index": nats.detach() / math.log(2)})

    def quantizer(self) -> None:
        """Return None: the codes are frozen."""
        return
