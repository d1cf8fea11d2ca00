"""Residual blocks over time (after ConvNeXt, arXiv:2201.03545)."""

import torch
from torch import nn
from torch.nn import functional as F

WINDOW = 7  # steps that the depthwise convolution sees
HALO = WINDOW // 2  # steps that a block sees, per side


class ConvNextBlock1d(nn.Module):
    """A convolution per channel, a layer norm over channels, two linear layers; added to the input.

    The norm is over the channels of one step, never over time, which would make codes depend on how
    a recording was cut. The last layer starts at zero.

    Args:
        channels: C.
        expansion: the linear layers are wider by this factor inside.

    Shapes: (B, C, T) to (B, C, T).
    """

    def __init__(self, channels: int, expansion: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(channels, channels, WINDOW, padding=HALO, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.widen = nn.Linear(channels, expansion * channels)
        self.narrow = nn.Linear(expansion * channels, channels)
        nn.init.zeros_(self.narrow.weight)
        nn.init.zeros_(self.narrow.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x + f(x)."""
        y = self.norm(self.depthwise(x).transpose(1, 2))
        y = self.narrow(F.silu(self.widen(y)))
        return x + y.transpose(1, 2)


def min_parameters(channels: int, blocks: int, expansion: int) -> int:
    """Return a lower bound of the numbers that so many blocks learn."""
    return blocks * 2 * expansion * channels * channels
