"""What every decoder promises."""

import torch
from torch import nn


class Decoder(nn.Module):
    """Maps code vectors back to a signal.

    Beside these it may go by a condition `cond`: a global one, (B, S), for the whole signal, or a
    local one, (B, S, *grid), for each cell of z_q.

    Attributes:
        stride: output samples per cell, the same along every axis.
        halo: how many cells beyond its own an output sample depends on, per side.
        draws: whether `reconstruct` draws from p(x | z_q): with another seed, another signal.
    """

    stride: int
    halo: int
    draws: bool = False

    def reconstruct(
        self,
        z_q: torch.Tensor,
        cond: torch.Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> torch.Tensor:
        """Return a signal, (B, channels, *size), in [-1, 1], for z_q, (B, D, *grid).

        Decoders that sample draw from `generator` at `temperature`; the others return the mean.
        """
        raise NotImplementedError

    def loss(
        self, x: torch.Tensor, z_q: torch.Tensor, cond: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the reconstruction term of the training loss, a scalar per dimension of x."""
        raise NotImplementedError


class Density(Decoder):
    """A decoder with a likelihood p(x | z_q) over the discrete values that x can take."""

    def log_prob(
        self, x: torch.Tensor, z_q: torch.Tensor, cond: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return log p(x | z_q) in nats, (B,). Summed over all values of a sample, p is one."""
        raise NotImplementedError

    def loss(
        self, x: torch.Tensor, z_q: torch.Tensor, cond: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return -log p(x | z_q) in nats per dimension, the mean over the batch."""
        return -self.log_prob(x, z_q, cond).mean() / x[0].numel()
