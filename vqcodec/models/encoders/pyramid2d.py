"""Strided convolutions for pictures that give features of several resolutions."""

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
    """Settings: an entry of `widths` and `blocks` follows each 4x4 convolution of stride 2.

    Attributes:
        grids: of how many resolutions there are features: the last so many.
    """

    grids: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("grids", self.grids, 1, len(self.widths))
        if self.factors:
            raise ValueError("grids are of half the size each; there are no factors to set")

    def build(self) -> "Pyramid2dEncoder":
        """Make the encoder with fresh weights."""
        return Pyramid2dEncoder(self)


class Pyramid2dEncoder(Encoder):
    """Pictures (B, 3, H, W) in [-1, 1] to features (B, D, H / stride, W / stride), coarse first.

    The bottom-up half of VQ-VAE-2 (arXiv:1906.00446, figure 2a): coarser features are made of the
    finer ones. What the codes of a coarser map tell a finer one, its quantizer adds.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        heads: list[nn.Module] = []
        strides: list[tuple[int, int]] = []
        channels, stride, halo = 3, 1, 0
        for level, (width, blocks) in enumerate(zip(config.widths, config.blocks, strict=True)):
            layers: list[nn.Module] = [ACTIVATIONS[config.activation]()] if level else []
            layers.append(nn.Conv2d(channels, width, 4, stride=2, padding=1))
            stages.append(nn.Sequential(*layers, *config.stack(level)))
            halo += stride  # a 4x4 window sees one sample beyond the 2x2 that it stands for
            channels, stride = width, stride * 2
            halo += stride * blocks
            if level >= len(config.widths) - config.grids:
                head = [ACTIVATIONS[config.activation](), nn.Conv2d(width, config.dim, 1)]
                heads.append(nn.Sequential(*head))
                strides.append((stride, stride))
        self.stages, self.heads = nn.ModuleList(stages), nn.ModuleList(heads)
        keep_variance(self)
        self.dim, self.strides, self.halo = config.dim, tuple(strides[::-1]), halo

    def forward(
        self, x: torch.Tensor, cond: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Return the features of x; `cond` is not used."""
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        used = found[-len(self.heads) :]
        features = [head(x) for head, x in zip(self.heads, used, strict=True)]
        return tuple(features[::-1])
