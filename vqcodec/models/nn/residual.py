"""Residual blocks."""

import torch
from torch import nn

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky": nn.LeakyReLU,  # whose units cannot die
    "silu": nn.SiLU,
}


class ResidualBlock2d(nn.Module):
    """Activation, 3x3 convolution, activation, 1x1 convolution, added to the input.

    The block of the paper (arXiv:1711.00937v2, section 4.1). The last convolution starts at zero,
    so that a deep stack begins as the identity and needs no normalisation: statistics over a
    picture would make codes depend on how it was tiled.

    Shapes: (B, C, H, W) to (B, C, H, W). Each output cell sees one cell around it.

    Args:
        channels: C.
        activation: a key of `ACTIVATIONS`.
        width: channels between the two convolutions; 0 for C.
    """

    def __init__(self, channels: int, activation: str, width: int = 0) -> None:
        super().__init__()
        width = width or channels
        self.activation = ACTIVATIONS[activation]()
        self.conv3 = nn.Conv2d(channels, width, 3, padding=1)
        self.conv1 = nn.Conv2d(width, channels, 1)
        nn.init.zeros_(self.conv1.weight)
        if self.conv1.bias is not None:
            nn.init.zeros_(self.conv1.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x + f(x)."""
        y: torch.Tensor = self.conv1(self.activation(self.conv3(self.activation(x))))
        return x + y
