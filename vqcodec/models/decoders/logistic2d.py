"""Transposed convolutions for pictures, as a logistic distribution of its own for every value."""

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from vqcodec.models.decoders.base import Density
from vqcodec.models.nn.pixels import BIN
from vqcodec.models.nn.pyramid import PyramidConfig, upsampling

START, LEAST, MOST = -2.0, -7.0, 3.0  # of the logarithm of the scale


@dataclass(frozen=True)
class Config(PyramidConfig):
    """Settings: an entry of `widths` and `blocks` comes before each doubling."""

    def build(self) -> "Logistic2dDecoder":
        """Make the decoder with fresh weights."""
        return Logistic2dDecoder(self)


class Logistic2dDecoder(Density):
    """z_q (B, D, h, w) to mean and scale of every value of a picture.

    p(x | z_q) is a logistic distribution integrated over the bin of each 8-bit value, the outermost
    bins reaching to infinity (arXiv:1606.04934, section 5.3; arXiv:1701.05517, eq. 2, of one
    component). Where the decoder is sure, it says so: on smooth ground the scale is small.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.layers, self.stride, self.halo = upsampling(config, 6)

    def forward(self, z_q: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the means, not clipped, and the logarithms of the scales, (B, 3, H, W) each."""
        mean, log_scale = self.layers(z_q).float().chunk(2, 1)
        return mean, (log_scale + START).clamp(LEAST, MOST)

    def reconstruct(
        self,
        z_q: torch.Tensor,
        cond: torch.Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> torch.Tensor:
        """Return the mean picture in [-1, 1]; nothing is drawn."""
        return self(z_q)[0].clamp(-1, 1)

    def log_prob(
        self, x: torch.Tensor, z_q: torch.Tensor, cond: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return log p(x | z_q) in nats, (B,), of x (B, 3, H, W) on the 8-bit levels of [-1, 1]."""
        mean, log_scale = self(z_q)
        inverse = (-log_scale).exp()
        low, high = ((x - mean + side) * inverse for side in (-BIN / 2, BIN / 2))
        # sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)): no digits cancel
        below, above = F.logsigmoid(high), F.logsigmoid(-low)
        inside = below + above + torch.log(-torch.expm1(-BIN * inverse))
        log_p = torch.where(x < BIN / 2 - 1, below, torch.where(x > 1 - BIN / 2, above, inside))
        return log_p.flatten(1).sum(1)
