"""Strided convolutions over a waveform (the paper, section 4.3)."""

from dataclasses import dataclass

import torch
from torch import nn

from vqcodec.config import check_range
from vqcodec.models.encoders.base import Encoder
from vqcodec.models.nn import convnext

LOUDNESS = 0.07  # root mean square of speech at the level that sound is brought to, -23 dB


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        widths: channels after each strided convolution.
        strides: of each of them; even. Their windows are twice as long: 4 for the paper's 2.
        blocks: residual blocks at the codes' rate, which let codes say what their neighbours do
            not.
        expansion: of these blocks.
        dim: D, numbers per code vector.
    """

    widths: tuple[int, ...]
    strides: tuple[int, ...]
    blocks: int
    dim: int
    expansion: int = 2

    def __post_init__(self) -> None:
        check_range("length of widths", len(self.widths), 1, 12)
        if len(self.strides) != len(self.widths):
            raise ValueError("widths and strides must be of one length")
        for width, stride in zip(self.widths, self.strides, strict=True):
            check_range("width", width, 1, 2048)
            check_range("stride", stride, 2, 16)
            if stride % 2:
                raise ValueError(f"stride is {stride}, must be even")
        check_range("blocks", self.blocks, 0, 64)
        check_range("expansion", self.expansion, 1, 8)
        check_range("dim", self.dim, 1, 1024)

    @property
    def min_parameters(self) -> int:
        """A lower bound of the numbers to learn."""
        convolutions = zip(self.widths, self.widths[1:], self.strides[1:], strict=False)
        inner = sum(2 * stride * a * b for a, b, stride in convolutions)
        return inner + convnext.min_parameters(self.widths[-1], self.blocks, self.expansion)

    def build(self) -> "Conv1dEncoder":
        """Make the encoder with fresh weights."""
        return Conv1dEncoder(self)


class Conv1dEncoder(Encoder):
    """Sound (B, 1, T) in [-1, 1] to z_e (B, D, T / stride)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, halo = 1, 0
        stride = 1
        for width, step in zip(config.widths, config.strides, strict=True):
            layers += [nn.Conv1d(channels, width, 2 * step, stride=step, padding=step // 2)]
            layers += [nn.SiLU()]
            halo += stride * (step // 2)
            channels, stride = width, stride * step
        layers += [
            convnext.ConvNextBlock1d(channels, config.expansion) for _ in range(config.blocks)
        ]
        layers.append(nn.Conv1d(channels, config.dim, 1))
        self.layers = nn.Sequential(*layers)
        for layer in layers:
            # Or biases would outweigh the sound, and the first codes lie all in one place.
            if isinstance(layer, nn.Conv1d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.dim, self.strides = config.dim, ((stride,),)
        self.halo = halo + config.blocks * convnext.HALO * stride

    def forward(
        self, x: torch.Tensor, cond: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Return z_e of x, on one grid; `cond` is not used: codes shall not say who speaks."""
        return (self.layers(x / LOUDNESS),)
