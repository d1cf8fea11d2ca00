"""A Gaussian posterior with the reparametrisation: the continuous VAE (arXiv:1312.6114)."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from vqcodec.config import check_range
from vqcodec.models.bottlenecks.base import Bottleneck, Latents, Tensors

MAX_LOG_STD = 10.0  # beyond, exp would leave the range of floats


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        dim: D, latents per cell.
        free_bits: a latent that says less than this costs as much as if it said so (section 4.2.2
            of arXiv:1606.04934, "free bits"): a cure for posterior collapse; 0 for the VAE's own
            bound.
    """

    dim: int
    free_bits: float = 0.0

    def __post_init__(self) -> None:
        check_range("dim", self.dim, 1, 1024)
        check_range("free_bits", self.free_bits, 0, 64)

    @property
    def min_parameters(self) -> int:
        """Numbers to learn."""
        return 2 * self.dim * (self.dim + 1)

    def build(self) -> "GaussianBottleneck":
        """Make it with fresh weights."""
        return GaussianBottleneck(self)


class GaussianBottleneck(Bottleneck):
    """q(z | x) is a Gaussian of independent latents, p(z) the standard one."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.free_nats = config.free_bits * math.log(2)
        self.project = nn.Linear(config.dim, 2 * config.dim)

    def forward(self, features: Tensors, samples: int) -> Latents:
        """Draw mean + deviation * noise; see `Bottleneck.forward`."""
        mean, log_std = self._posterior(features)
        noise = torch.randn((samples, *mean.shape), device=mean.device)
        z = mean + log_std.exp() * noise
        log_q = _log_normal(noise) - log_std.flatten(1).sum(1)
        # KL(N(m, s) || N(0, 1)) = (m^2 + s^2 - 1) / 2 - log s
        kl = (0.5 * (mean.square() + (2 * log_std).exp() - 1) - log_std).flatten(1)
        return Latents(z.flatten(0, 1), _log_normal(z), log_q, kl)

    def mode(self, features: Tensors) -> torch.Tensor:
        """Return the mean."""
        return self._posterior(features)[0]

    def objective(self, log_px: torch.Tensor, latents: Latents) -> torch.Tensor:
        """Return the bound; with free bits, latents cost at least these, by the batch's mean."""
        if not self.free_nats:
            return super().objective(log_px, latents)
        return log_px.mean() - latents.kl.mean(0).clamp(min=self.free_nats).sum()

    def _posterior(self, features: Tensors) -> Tensors:
        """Return mean and logarithm of the deviation, (B, D, *grid) each."""
        (z_e,) = features
        mean, log_std = self.project(z_e.movedim(1, -1)).float().movedim(-1, 1).chunk(2, 1)
        return mean, log_std.clamp(-MAX_LOG_STD, MAX_LOG_STD)


def _log_normal(z: torch.Tensor) -> torch.Tensor:
    """Return log N(z; 0, 1), summed over all but the first two axes."""
    return (-0.5 * (z.square() + math.log(2 * math.pi))).flatten(2).sum(2)
