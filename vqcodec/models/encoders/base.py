"""What every encoder promises."""

import torch
from torch import nn


class Encoder(nn.Module):
    """Maps a signal to vectors on one grid or several, coarse to fine.

    Attributes:
        dim: D, numbers per vector.
        strides: of each grid, input samples per cell along each axis; every stride is a multiple of
            the next one.
        halo: how many input samples beyond those of its own cell a vector depends on, per side, at
            most.
    """

    dim: int
    strides: tuple[tuple[int, ...], ...]
    halo: int

    def forward(
        self, x: torch.Tensor, cond: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Return the features, (B, D, *grid) each, of x, (B, channels, *size).

        Args:
            x: the signal; its size is a multiple of the coarsest stride.
            cond: see `vqcodec.models.decoders.base.Decoder`.
        """
        raise NotImplementedError
