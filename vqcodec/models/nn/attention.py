"""Attention over the earlier cells of a map."""

import torch
from torch import nn
from torch.nn import functional as F

from vqcodec.models.nn.masked import Memory

HEAD = 32  # channels of a head


class MaskedAttention(nn.Module):
    """Every cell attends to itself and to all cells before it, near ones first.

    As in PixelSNAIL (arXiv:1712.09763), but with a penalty that grows with the distance, at a rate
    of its own for each head (ALiBi, arXiv:2108.12409), instead of positions: maps may be of any
    size. The last layer starts at zero.

    Args:
        channels: of the map; a multiple of `HEAD`.
        reach: cells to the right that are seen per row up; -1 for no bound.
    """

    def __init__(self, channels: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.heads = channels // HEAD
        self.query = nn.Linear(channels, channels)
        self.keys_values = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        nn.init.zeros_(self.out.weight)
        slopes = 2.0 ** -torch.arange(1, self.heads + 1)
        self.register_buffer("_slopes", slopes, persistent=False)
        self._slopes: torch.Tensor

    def forward(self, x: torch.Tensor, memory: Memory, key: str) -> torch.Tensor:
        """Return x + attention, (B, *cells, C), and keep the keys and values of x in `memory`."""
        memory.write(key, self.keys_values(x))
        keys, values = memory.everything(key).chunk(2, -1)
        query, keys, values = (
            y.flatten(1, -2).unflatten(-1, (self.heads, HEAD)).transpose(1, 2)
            for y in (self.query(x), keys, values)
        )
        bias = self._bias(memory).to(query.dtype)
        y = F.scaled_dot_product_attention(query, keys, values, bias)
        return x + self.out(y.transpose(1, 2).reshape(x.shape))

    def _bias(self, memory: Memory) -> torch.Tensor:
        """Return what is added to the scores, (1, heads, cells, h * w)."""
        rows, columns = memory.offsets()
        right = columns <= (0 if self.reach < 0 else -self.reach * rows)
        seen = (rows <= 0) & (right | (rows < 0) if self.reach < 0 else right)
        penalty = self._slopes[:, None, None] * -(rows.abs() + columns.abs())
        return penalty.masked_fill(~seen, -torch.inf)[None]
