"""Mu-law: 256 levels of a sample, finer where it is quiet, as in ITU-T G.711."""

import math

import torch

LEVELS = 256
SILENCE = LEVELS // 2  # the level that is exactly zero
_MU = LEVELS - 1.0


def to_levels(x: torch.Tensor) -> torch.Tensor:
    """Return the level nearest to each sample after companding, int64; |x| > 1 is clipped."""
    curve = x.abs().clamp(max=1).mul(_MU).log1p() / math.log(LEVELS)
    levels = torch.round(SILENCE * (1 + curve.copysign(x)))
    return levels.clamp(0, LEVELS - 1).long()


def to_samples(levels: torch.Tensor) -> torch.Tensor:
    """Return the samples in [-1, 1] that levels stand for, float32."""
    curve = levels.float() / SILENCE - 1
    return torch.expm1(curve.abs() * math.log(LEVELS)).div(_MU).copysign(curve)
