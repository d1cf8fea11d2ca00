"""Convolutions that see earlier cells only, and two ways to run a network made of them.

A masked convolution is given by its *taps*: the cells it sees, relative to its own. Maps are stored
channels last, (B, h, w, C). A network writes each map under a key and reads it through a
convolution, so that the same code runs on all cells at once (`Whole`, to train and to measure) or
on a few cells of a map that grows (`Cells`, to sample).
"""

import math
from collections.abc import Hashable
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional as F

Taps = tuple[tuple[int, int], ...]  # (rows, columns); rows are 0 or negative


def cone(up: int, side: int, reach: int, dilation: int = 1, *, itself: bool = True) -> Taps:
    """Return the taps of a cell's own row up to it, and of `up` rows above.

    With each row up, `reach` more columns to the right are seen. Sums of such taps are again within
    x' <= x + reach * (y - y'): a stack of any depth keeps to the cone.

    Args:
        up: rows above.
        side: columns to the left; to the right at most as many.
        reach: columns to the right per row up.
        dilation: distance between taps.
        itself: whether the own cell is among them.
    """
    above = [(-i, j) for i in range(up, 0, -1) for j in range(-side, min(side, reach * i) + 1)]
    row = [(0, j) for j in range(-side, 1 if itself else 0)]
    return tuple((i * dilation, j * dilation) for i, j in above + row)


def band(up: int, side: int, dilation: int = 1) -> Taps:
    """Return the taps of a cell's whole neighbourhood in its own row and `up` rows above."""
    taps = [(-i, j) for i in range(up, -1, -1) for j in range(-side, side + 1)]
    return tuple((i * dilation, j * dilation) for i, j in taps)


class MaskedConv2d(nn.Module):
    """A convolution over given taps; cells outside the map are zero.

    Shapes: (B, h, w, inputs) to (B, h, w, outputs).
    """

    def __init__(self, inputs: int, outputs: int, taps: Taps) -> None:
        super().__init__()
        self.inputs, self.taps = inputs, taps
        bound = 1 / math.sqrt(inputs * len(taps))
        self.weight = nn.Parameter(torch.empty(outputs, inputs, len(taps)).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(outputs))
        rows, columns = zip(*taps, strict=True)
        self._dilation = math.gcd(*rows, *columns) or 1
        self._top, self._left = min(rows), min(columns)
        self._padding = (-self._top, max(-self._left, *columns, 0))
        self._height = (max(rows) - self._top) // self._dilation + 1
        self._width = (max(columns) - self._left) // self._dilation + 1
        places = [
            (i - self._top) // self._dilation * self._width + (j - self._left) // self._dilation
            for i, j in taps
        ]
        self.register_buffer("_places", torch.tensor(places), persistent=False)
        self._places: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve a whole map."""
        outputs, inputs, _ = self.weight.shape
        kernel = self.weight.new_zeros(outputs, inputs, self._height * self._width)
        kernel = kernel.index_copy(2, self._places, self.weight)
        kernel = kernel.view(outputs, inputs, self._height, self._width)
        # Padded on both sides and cut: padding on one side alone would copy the map.
        y = F.conv2d(
            x.movedim(-1, 1), kernel, self.bias, padding=self._padding, dilation=self._dilation
        )
        left = self._left + self._padding[1]
        y = y[:, :, : x.shape[1], left : left + x.shape[2]]
        return y.movedim(1, -1)

    def matrix(self) -> torch.Tensor:
        """Return the weights as (outputs, taps * inputs)."""
        return self.weight.movedim(2, 1).flatten(1)


class Memory(Protocol):
    """Maps by key; what is written and read are the cells that are being computed."""

    def write(self, key: Hashable, x: torch.Tensor) -> None:
        """Keep x, (B, *cells, C), as the map `key`."""

    def read(self, key: Hashable, conv: MaskedConv2d) -> torch.Tensor:
        """Return the convolution, (B, *cells, outputs), of the map `key`."""

    def everything(self, key: Hashable) -> torch.Tensor:
        """Return all cells of the map `key`, (B, h * w, C)."""

    def offsets(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return rows and columns from every present cell to every cell, (cells, h * w) each."""


class Whole:
    """Memory of maps of which all cells are computed at once."""

    def __init__(self) -> None:
        self._maps: dict[Hashable, torch.Tensor] = {}

    def write(self, key: Hashable, x: torch.Tensor) -> None:
        """Keep x, (B, h, w, C)."""
        self._maps[key] = x

    def read(self, key: Hashable, conv: MaskedConv2d) -> torch.Tensor:
        """Return the convolved map, (B, h, w, outputs)."""
        y: torch.Tensor = conv(self._maps[key])
        return y

    def everything(self, key: Hashable) -> torch.Tensor:
        """Return the map, its cells in a row."""
        return self._maps[key].flatten(1, 2)

    def offsets(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the offsets from every cell to every cell."""
        x = next(iter(self._maps.values()))
        return _offsets(*_cells(x.shape[1], x.shape[2], x.device), x.shape[1], x.shape[2])


class Cells:
    """Memory of maps that grow: `at` says which cells are computed now.

    Reading gathers the cells that a convolution sees and multiplies: what a layer has computed once
    is never computed again.

    Args:
        shape: (B, h, w).
        margin: rows above, and columns to each side, that taps reach beyond the map at most.
        device: where the maps are.
    """

    def __init__(
        self, shape: tuple[int, int, int], margin: tuple[int, int], device: torch.device
    ) -> None:
        self._batch, self._height, self._width = shape
        self._up, self._side = margin
        self._stride = self._width + 2 * self._side
        self._maps: dict[Hashable, torch.Tensor] = {}
        self._taps: dict[MaskedConv2d, tuple[torch.Tensor, torch.Tensor]] = {}
        self._all = _cells(self._height, self._width, device)
        self.at(*self._all)

    def at(self, rows: torch.Tensor, columns: torch.Tensor) -> None:
        """Compute at these cells, (n,) each, from now on."""
        self._rows, self._columns = rows, columns
        self._places = self._flat(rows, columns)

    def write(self, key: Hashable, x: torch.Tensor) -> None:
        """Keep x, (B, n, C), at the present cells."""
        self._map(key, x.shape[-1], x).index_copy_(1, self._places, x)

    def read(self, key: Hashable, conv: MaskedConv2d) -> torch.Tensor:
        """Return the convolution at the present cells, (B, n, outputs)."""
        if conv not in self._taps:
            flat = [i * self._stride + j for i, j in conv.taps]
            offsets = torch.tensor(flat, device=self._places.device)
            self._taps[conv] = offsets, conv.matrix().contiguous()
        offsets, matrix = self._taps[conv]
        seen = (self._places[:, None] + offsets).flatten()
        patches = self._map(key, conv.inputs, matrix).index_select(1, seen)
        return F.linear(patches.view(self._batch, len(self._places), -1), matrix, conv.bias)

    def everything(self, key: Hashable) -> torch.Tensor:
        """Return all cells, (B, h * w, C); those not computed yet are zero."""
        return self._maps[key].index_select(1, self._flat(*self._all))

    def offsets(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the offsets from the present cells to every cell."""
        return _offsets(self._rows, self._columns, self._height, self._width)

    def _flat(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        return (rows + self._up) * self._stride + columns + self._side

    def _map(self, key: Hashable, channels: int, like: torch.Tensor) -> torch.Tensor:
        """Return the map `key`, (B, padded cells, C), fresh ones of the type of `like`."""
        if key not in self._maps:
            cells = (self._up + self._height) * self._stride
            self._maps[key] = like.new_zeros(self._batch, cells, channels)
        return self._maps[key]


def _cells(height: int, width: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    cells = torch.arange(height * width, device=device)
    return cells // width, cells % width


def _offsets(
    rows: torch.Tensor, columns: torch.Tensor, height: int, width: int
) -> tuple[torch.Tensor, torch.Tensor]:
    to_rows, to_columns = _cells(height, width, rows.device)
    return to_rows - rows[:, None], to_columns - columns[:, None]
