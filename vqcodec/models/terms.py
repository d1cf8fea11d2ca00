"""What a model says of a signal: the terms of its training loss, and of its bound."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch


class LossTerms(NamedTuple):
    """What one training step needs.

    Attributes:
        loss: scalar, nats per dimension of x: reconstruction + quantizer terms, and the rate's.
        reconstruction: scalar, the decoder's term alone.
        quantizer: scalar, codebook and commitment terms alone.
        rate: scalar, nats per dimension of x: the indices' cost under the prior; 0 without one, and
            outside training.
        indices: as `VQVAE.encode` returns them; none without codes.
        latents: (N, D) for each map, to set and restart its codes from; none without codes.
        told: scalar, the hinge loss of the adversary's networks: 2 where they tell nothing, 0 where
            they tell all; None without an adversary.
    """

    loss: torch.Tensor
    reconstruction: torch.Tensor
    quantizer: torch.Tensor
    rate: torch.Tensor
    indices: tuple[torch.Tensor, ...]
    latents: tuple[torch.Tensor, ...]
    told: torch.Tensor | None = None


@dataclass(frozen=True)
class ELBO:
    """The terms of the bound log p(x) >= log p(x | z_q) - KL, (B,) each, in nats."""

    log_prob: torch.Tensor
    kl: torch.Tensor
    dimensions: int

    @property
    def bits_per_dim(self) -> torch.Tensor:
        """Return -(log p(x | z_q) - KL) in bits per dimension of x, (B,)."""
        return (self.kl - self.log_prob) / (self.dimensions * math.log(2))
