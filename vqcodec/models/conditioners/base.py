"""What every conditioner promises."""

import torch
from torch import nn

STEPS = 127  # a number of a vector is a multiple of 1 / 127: one signed byte in files


class Conditioner(nn.Module):
    """Maps a reference to a vector that tells what a decoder cannot know of codes: who speaks, say.

    Attributes:
        dim: S, numbers of the vector.
    """

    dim: int

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return vectors, (B, S) in [-1, 1], of references (B, channels, *size) of any size."""
        raise NotImplementedError


def quantize(vector: torch.Tensor) -> torch.Tensor:
    """Return a vector as files keep it, int8."""
    return (vector.float() * STEPS).round().clamp(-STEPS, STEPS).to(torch.int8)
