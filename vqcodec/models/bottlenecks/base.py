"""What every bottleneck promises.

A bottleneck stands where a VQ-VAE has its quantizer, and draws its latents from a posterior
q(z | x) that is spread out: there is no one index to write into a file, so these are no quantizers.
They are here to be measured beside one, with the same encoder and decoder.
"""

from typing import NamedTuple

import torch
from torch import nn

Tensors = tuple[torch.Tensor, ...]


class Latents(NamedTuple):
    """What was drawn for a batch, S times for each of B signals. All logarithms are natural.

    Attributes:
        z: (S * B, D, *grid), the first draw of all signals first.
        log_p: (S, B), log p(z) under the prior.
        log_q: (S, B), log q(z | x).
        kl: (B, latents), KL(q || p) of each latent, in closed form.
    """

    z: torch.Tensor
    log_p: torch.Tensor
    log_q: torch.Tensor
    kl: torch.Tensor


class Bottleneck(nn.Module):
    """Draws latents given features.

    Attributes:
        samples: S in training.
    """

    samples: int = 1

    def forward(self, features: Tensors, samples: int) -> Latents:
        """Draw so many times, with torch's own random numbers, given one grid (B, D, *grid)."""
        raise NotImplementedError

    def mode(self, features: Tensors) -> torch.Tensor:
        """Return the likeliest z, (B, D, *grid), given features."""
        raise NotImplementedError

    def objective(self, log_px: torch.Tensor, latents: Latents) -> torch.Tensor:
        """Return what training maximises, in nats, the mean over the batch; a scalar.

        By default the evidence lower bound, log p(x | z) - KL.

        Args:
            log_px: (S, B), log p(x | z) of what was drawn.
            latents: what was drawn.
        """
        return log_px.mean() - latents.kl.sum(1).mean()
