"""Strided convolutions for pictures (the paper, section 4.1)."""

from dataclasses import dataclass

import torch
from torch import nn

from vqcodec.config import check_range
from vqcodec.models.encoders.base import Encoder
from vqcodec.models.nn.initial import keep_variance
from vqcodec.models.nn.pyramid import PyramidConfig
from vqcodec.models.nn.residual import ACTIVATIONS


@dataclass(frozen=True)
class Config(PyramidConfig):
    """Settings: an entry of `widths` and `blocks` follows each strided convolution, 4x4 as a rule.

    Attributes:
        channels: of the signal: colours, or numbers of another codec's code vectors.
        keep_variance: draw weights so that what differs between pictures is left of it at the end
            of many levels; see `nn.initial`.
    """

    channels: int = 3
    keep_variance: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("channels", self.channels, 1, 4096)

    def build(self) -> "Conv2dEncoder":
        """Make the encoder with fresh weights."""
        return Conv2dEncoder(self)


class Conv2dEncoder(Encoder):
    """Pictures (B, 3, H, W) in [-1, 1], or the like, to z_e (B, D, H / stride, W / stride)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, stride, halo = config.channels, 1, 0
        for level, (width, blocks) in enumerate(zip(config.widths, config.blocks, strict=True)):
            if layers:
                layers.append(ACTIVATIONS[config.activation]())
            factor = config.factor(level)
            layers.append(nn.Conv2d(channels, width, factor + 2, stride=factor, padding=1))
            layers += config.stack(level)
            halo += stride  # a 4x4 window sees one sample beyond the 2x2 that it stands for
            channels, stride = width, stride * factor
            halo += stride * blocks
        layers += [ACTIVATIONS[config.activation](), nn.Conv2d(channels, config.dim, 1)]
        self.layers = nn.Sequential(*layers)
        if config.keep_variance:
            keep_variance(self.layers)
        self.dim, self.strides, self.halo = config.dim, ((stride, stride),), halo

    def forward(
        self, x: torch.Tensor, cond: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Return z_e of x, on one grid; `cond` is not used."""
        return (self.layers(x),)
