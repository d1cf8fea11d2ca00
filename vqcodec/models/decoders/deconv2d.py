"""Transposed convolutions for pictures, as the mean of a Gaussian over 8-bit values."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from vqcodec.models.decoders.base import Density
from vqcodec.models.nn.pixels import BIN
from vqcodec.models.nn.pyramid import PyramidConfig, upsampling


@dataclass(frozen=True)
class Config(PyramidConfig):
    """Settings: an entry of `widths` and `blocks` comes before each doubling."""

    def build(self) -> "Deconv2dDecoder":
        """Make the decoder with fresh weights."""
        return Deconv2dDecoder(self)


class Deconv2dDecoder(Density):
    """z_q (B, D, h, w) to the mean picture (B, 3, h * stride, w * stride) and a learned scale.

    p(x | z_q) is a Gaussian around the mean, with one standard deviation for all pixels, integrated
    over the bin of each 8-bit value; the outermost bins reach to infinity. Its logarithm is the
    mean squared error up to the scale, which learns the error's own size.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.layers, self.stride, self.halo = upsampling(config, 3)
        self.log_scale = nn.Parameter(torch.tensor(-2.0))  # an error of 20 dB, roughly the start

    def forward(self, z_q: torch.Tensor) -> torch.Tensor:
        """Return the mean of x, not clipped."""
        mean: torch.Tensor = self.layers(z_q)
        return mean

    def reconstruct(
        self,
        z_q: torch.Tensor,
        cond: torch.Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> torch.Tensor:
        """Return the mean picture in [-1, 1]; nothing is drawn."""
        return self(z_q).float().clamp(-1, 1)

    def log_prob(
        self, x: torch.Tensor, z_q: torch.Tensor, cond: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return log p(x | z_q) in nats, (B,), of x (B, 3, H, W) on the 8-bit levels of [-1, 1]."""
        error = x - self(z_q).float()
        infinity = torch.full_like(error, math.inf)
        low = torch.where(x < BIN / 2 - 1, -infinity, error - BIN / 2)
        high = torch.where(x > 1 - BIN / 2, infinity, error + BIN / 2)
        # By symmetry the bin can be moved to the lower tail, where log_ndtr keeps its precision.
        flip = low + high > 0
        low, high = torch.where(flip, -high, low), torch.where(flip, -low, high)
        scale = self.log_scale.float().exp()
        log_high = torch.special.log_ndtr(high / scale)
        log_low = torch.special.log_ndtr(low / scale)
        return (log_high + torch.log1p(-(log_low - log_high).exp())).flatten(1).sum(1)

    def loss(
        self, x: torch.Tensor, z_q: torch.Tensor, cond: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return -log p in nats per dimension, each bin's integral taken at its middle.

        That is the squared error with a scale, many times cheaper than `log_prob`, and as good
        while the scale spans several grey levels.
        """
        mse = (self(z_q).float() - x).square().mean()
        log_scale = self.log_scale.float()
        constant = 0.5 * math.log(2 * math.pi) - math.log(BIN)
        return 0.5 * mse * (-2 * log_scale).exp() + log_scale + constant
