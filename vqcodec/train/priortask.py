"""Training a prior: what does not depend on what the codes are of."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from vqcodec.priors.base import Prior
from vqcodec.train.tasks import Loss, Task


@dataclass(frozen=True)
class Ready:
    """A task whose data have been encoded.

    Attributes:
        task: what the loop trains.
        samples: how many it learns from.
        held_out: how many it measures on.
        skipped: a sentence for each file that cannot be read.
        what: what the samples are.
    """

    task: Task
    samples: int
    held_out: int
    skipped: list[str]
    what: str


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
