"""What every encoder promises."""

import torch
from torch import nn


class Encoder(nn.Module):
    """Maps a signal to one vector per cell of a coarse grid.

    Attributes:
        dim: D, numbers per vector.
        stride: input samples per cell and axis.
        reach: how many input samples beyond its own `stride` samples a cell depends on, per side.
    """

    dim: int
    stride: int
    reach: int

    def forward(self, x: torch.Tensor, cond: torch.Tensor | None = None) -> torch.Tensor:
        """Return z_e, (B, D, *grid), of x, (B, channels, *size), size a multiple of `stride`."""
        raise NotImplementedError
