"""Gated PixelCNN as a decoder (arXiv:1606.05328): every value given those before it, and z_q.

Strong enough to do without z_q: a VAE whose decoder this is has its posterior collapse.
"""

import math
from dataclasses import dataclass, fields

import torch

from vqcodec.config import check_range
from vqcodec.models.decoders.base import Density
from vqcodec.models.nn.initial import keep_variance
from vqcodec.models.nn.pyramid import PyramidConfig, upsampling
from vqcodec.models.priors import pixelcnn
from vqcodec.models.priors.base import Prior, Tensors


@dataclass(frozen=True)
class Config(PyramidConfig):
    """Settings of the layers that bring z_q to pixels, as of deconv2d, and of the PixelCNN.

    Attributes:
        features: channels of what z_q says to each pixel.
        levels: values of a colour.
        channels: colours, in their order; each is given those before it in its own pixel.
        width: channels of the PixelCNN; see `priors.pixelcnn.Config`, also for the rest.
        dilations: one gated block each.
        embedding: numbers that a value becomes.
        first: what the first layer sees.
        kernel: what the blocks see.
        reach: columns to the right that are seen per row up; -1 for no bound.
        hidden: the share of pictures, in training, of whose values some are not told to those after
            them, from none to all. What is near is then not all that the decoder learns to go by,
            and z_q has something to say (word dropout, arXiv:1511.06349).
    """

    features: int = 32
    levels: int = 256
    channels: int = 3
    width: int = 64
    dilations: tuple[int, ...] = (1, 1, 1, 1)
    embedding: int = 16
    first: tuple[int, int] = (3, 3)
    kernel: tuple[int, int] = (1, 1)
    reach: int = 1
    hidden: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("hidden", self.hidden, 0, 1)
        check_range("features", self.features, 1, 1024)
        self.network()

    def network(self) -> pixelcnn.Config:
        """Return the settings of the PixelCNN, which z_q is a condition of."""
        own = {field.name for field in fields(pixelcnn.Config)} & {f.name for f in fields(Config)}
        shared = {name: getattr(self, name) for name in own}
        return pixelcnn.Config(**shared, codebook_size=self.levels, cond_dim=self.features)

    @property
    def min_parameters(self) -> int:
        """A lower bound of the numbers to learn."""
        return super().min_parameters + self.network().min_parameters

    def build(self) -> "PixelCNNDecoder":
        """Make the decoder with fresh weights."""
        return PixelCNNDecoder(self)


class PixelCNNDecoder(Density):
    """p(x | z_q) as a product over pixels and colours: the prior's network, told z_q as well.

    x is (B, channels, H, W), its `levels` spread evenly over [-1, 1]. What was drawn once is kept:
    a pixel costs the same wherever it lies, and those of a diagonal are drawn together.
    """

    draws = True

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.levels, self.channels, self.hidden = config.levels, config.channels, config.hidden
        self.layers, self.stride, self.halo = upsampling(config, config.features)
        keep_variance(self.layers)  # or z_q would be hardly heard while it could still be learned
        self.pixels = pixelcnn.PixelCNN(config.network())
        self.pixels.initialize((_waves(config.levels, config.embedding),) * config.channels)

    def values(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the values of each colour of x, (B, H, W) int64."""
        return tuple(((x.float() + 1) * ((self.levels - 1) / 2)).round().long().unbind(1))

    def log_prob(
        self, x: torch.Tensor, z_q: torch.Tensor, cond: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return log p(x | z_q) in nats, (B,)."""
        return self.pixels.log_prob(self.values(x), self.layers(z_q))

    def loss(
        self, x: torch.Tensor, z_q: torch.Tensor, cond: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return -log p(x | z_q) in nats per dimension, some values `hidden` in training."""
        values = self.values(x)
        scores = self.pixels(self._told(values), self.layers(z_q))
        each = [Prior.mean_nats(v, s) for v, s in zip(values, scores, strict=True)]
        return torch.stack(each).mean()

    def _told(self, values: Tensors) -> Tensors:
        """Return the values with -1 for those that are hidden, all colours of a pixel or none."""
        if not (self.training and self.hidden):
            return values
        batch, *grid = values[0].shape
        rate = torch.rand(batch, 1, 1) * (torch.rand(batch, 1, 1) < self.hidden)
        hidden = (torch.rand(batch, *grid) < rate).to(values[0].device)
        return tuple(value.masked_fill(hidden, -1) for value in values)

    def reconstruct(
        self,
        z_q: torch.Tensor,
        cond: torch.Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> torch.Tensor:
        """Return signals in [-1, 1], drawn diagonal by diagonal."""
        shape = len(z_q), *(n * self.stride for n in z_q.shape[2:])
        values = self.pixels.sample(
            (shape,) * self.channels,
            self.layers(z_q),
            generator=generator,
            temperature=temperature,
        )
        return torch.stack(values, 1).float() * (2 / (self.levels - 1)) - 1


def _waves(levels: int, width: int) -> torch.Tensor:
    """Return vectors, (levels, width), that are near for near levels: a cosine basis."""
    middle = (torch.arange(levels) + 0.5) / levels
    return torch.cos(math.pi * middle[:, None] * torch.arange(1, width + 1))
