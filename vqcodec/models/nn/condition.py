"""What a condition says to each cell of a row."""

import torch
from torch import nn


def spread(layer: nn.Linear, cond: torch.Tensor, cells: int) -> torch.Tensor:
    """Return what a layer makes of a condition, to be added to (B, C, cells).

    Args:
        layer: from S to C numbers.
        cond: global, (B, S), or local, (B, S, N): one for every `cells` / N cells.
        cells: of the row.

    Returns:
        (B, C, 1) or (B, C, cells).
    """
    told: torch.Tensor = layer(cond.movedim(1, -1)).movedim(-1, 1)
    if cond.ndim == 2:
        return told[:, :, None]
    return told.repeat_interleave(cells // told.shape[2], 2)
