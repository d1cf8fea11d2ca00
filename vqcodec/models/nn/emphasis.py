"""Pre-emphasis: high frequencies raised before a signal is quantised, and lowered after."""

import torch
from torch.nn import functional as F

NEGLIGIBLE = 1e-8


def emphasize(x: torch.Tensor, factor: float) -> torch.Tensor:
    """Return x[t] - factor * x[t - 1], along the last axis; before its start x is silence."""
    return x - factor * F.pad(x, (1, 0))[..., :-1]


def deemphasize(y: torch.Tensor, factor: float) -> torch.Tensor:
    """Return the x whose `emphasize` is y.

    That is y[t] + factor * y[t - 1] + factor^2 * y[t - 2] + ..., of which each pass of the loop
    doubles the terms, until the rest does not matter.
    """
    shift, weight = 1, factor
    while weight > NEGLIGIBLE and shift < y.shape[-1]:
        y = y + weight * F.pad(y, (shift, 0))[..., :-shift]
        shift, weight = 2 * shift, weight * weight
    return y
