"""What every speaker encoder promises."""

import torch
from torch import nn

STEPS = 127  # a number of a speaker vector is a multiple of 1 / 127: one signed byte in files


class SpeakerEncoder(nn.Module):
    """Maps an utterance to a vector that says who speaks.

    Attributes:
        dim: S, numbers of the vector.
    """

    dim: int

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return speaker vectors, (B, S) in [-1, 1], of sound (B, 1, T) of any length."""
        raise NotImplementedError


def quantize(vector: torch.Tensor) -> torch.Tensor:
    """Return a speaker vector as files keep it, int8."""
    return (vector.float() * STEPS).round().clamp(-STEPS, STEPS).to(torch.int8)
