"""What every conditioner promises."""

import torch
from torch import nn

from vqcodec.files.contents import SPEAKER_STEPS


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
    steps = (vector.float() * SPEAKER_STEPS).round()
    return steps.clamp(-SPEAKER_STEPS, SPEAKER_STEPS).to(torch.int8)
