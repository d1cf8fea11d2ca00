"""Categorical latents, learned with the VIMCO estimator (arXiv:1602.06725)."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from vqcodec.config import check_range
from vqcodec.models.bottlenecks.base import Bottleneck, Latents, Tensors


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        dim: D, numbers per cell.
        codebook_size: K, states of a latent.
        latents: of each cell; the vectors of their states, of D / latents numbers, lie side by
            side.
        samples: S in training, 2 or more.
    """

    dim: int
    codebook_size: int
    latents: int = 1
    samples: int = 50

    def __post_init__(self) -> None:
        check_range("dim", self.dim, 1, 1024)
        check_range("codebook_size", self.codebook_size, 2, 65536)
        check_range("latents", self.latents, 1, self.dim)
        check_range("samples", self.samples, 2, 1000)
        if self.dim % self.latents:
            raise ValueError("dim must be a multiple of latents")

    @property
    def min_parameters(self) -> int:
        """Numbers to learn, for logits and vectors."""
        return self.codebook_size * self.dim * (self.latents + 1)

    def build(self) -> "VimcoBottleneck":
        """Make it with fresh weights."""
        return VimcoBottleneck(self)


class VimcoBottleneck(Bottleneck):
    """q(z | x) draws a state for every latent, p(z) = 1 / K for each: the prior of VQ-VAE."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.latents, self.samples = config.latents, config.samples
        self.logits = nn.Linear(config.dim, config.latents * config.codebook_size)
        shape = config.latents, config.codebook_size, config.dim // config.latents
        self.vectors = nn.Parameter(torch.randn(shape))

    def forward(self, features: Tensors, samples: int) -> Latents:
        """Draw states; see `Bottleneck.forward`."""
        log_q = self._posterior(features)  # (B, *grid, N, K)
        size = log_q.shape[-1]
        drawn = torch.multinomial(log_q.detach().exp().flatten(0, -2), samples, replacement=True)
        states = drawn.T.reshape(samples, *log_q.shape[:-1])
        chosen = log_q.expand(samples, *log_q.shape).gather(-1, states[..., None])
        prior = -math.log(size) * states[0, 0].numel()
        kl = (log_q.exp() * (log_q + math.log(size))).sum(-1)
        chosen = chosen.flatten(2).sum(2)
        return Latents(
            self._looked_up(states.flatten(0, 1)),
            torch.full_like(chosen, prior),
            chosen,
            kl.flatten(1),
        )

    def mode(self, features: Tensors) -> torch.Tensor:
        """Return the vectors of the likeliest state of each latent."""
        return self._looked_up(self._posterior(features).argmax(-1))

    def objective(self, log_px: torch.Tensor, latents: Latents) -> torch.Tensor:
        """Return what has the gradient of the multi-sample bound; see `vimco`."""
        return vimco(log_px + latents.log_p - latents.log_q, latents.log_q).mean()

    def _posterior(self, features: Tensors) -> torch.Tensor:
        """Return log q of every state of every latent, (B, *grid, N, K)."""
        (z_e,) = features
        logits = self.logits(z_e.movedim(1, -1)).float()
        return logits.unflatten(-1, (self.latents, -1)).log_softmax(-1)

    def _looked_up(self, states: torch.Tensor) -> torch.Tensor:
        """Return z, (B, D, *grid), of states (B, *grid, N)."""
        vectors = [F.embedding(states[..., i], own) for i, own in enumerate(self.vectors)]
        return torch.cat(vectors, -1).movedim(-1, 1)


def multi_sample_bound(log_w: torch.Tensor) -> torch.Tensor:
    """Return log of the mean weight, (B,), of log weights, (S, B): arXiv:1509.00519, eq. 8."""
    return log_w.logsumexp(0) - math.log(len(log_w))


def vimco(log_w: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """Return the multi-sample bound, (B,), plus a term that is zero but for its gradient.

    A draw is rewarded by what it adds to the bound: the bound less that in which its own weight is
    replaced by the geometric mean of the others' (equations 7 to 10). Without bias, and the
    gradient of a draw does not contain what the others would have reached without it.

    Args:
        log_w: (S, B), log p(x, z) - log q(z | x) of each draw.
        log_q: (S, B), log q(z | x).
    """
    number = len(log_w)
    w = log_w.detach()
    others = (w.sum(0) - w) / (number - 1)  # log of the geometric mean
    swapped = torch.where(torch.eye(number, dtype=torch.bool)[..., None].to(w.device), others, w)
    # swapped[i, j] is the weight of draw j with that of draw i replaced
    reward = multi_sample_bound(w) - (swapped.logsumexp(1) - math.log(number))
    score = (reward * log_q).sum(0)
    return multi_sample_bound(log_w) + (score - score.detach())
