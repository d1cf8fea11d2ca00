"""Codes that no pixel depends on: those around which all blocks of a `Tint` are smooth."""

from typing import TYPE_CHECKING

import numpy as np

from vqcodec.files.tint import BLOCK
from vqcodec.maps import Maps, ratio
from vqcodec.weights import Weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]
    Grids = tuple[NDArray[np.uint16], ...]

PLAIN_CODES = "plain_codes"  # of each map, in what the config tells of the coding prior


class Unseen:
    """What does not show in pictures of one model.

    Args:
        maps: of the model.
        halo: cells of the coarsest map beyond its own that a pixel depends on, per side.
    """

    def __init__(self, maps: Maps, halo: int) -> None:
        self._maps = maps
        self._halos = [halo * ratio(maps[0], spec)[0] for spec in maps]

    def share(self, smooth: "Flags") -> "NDArray[np.float32]":
        """Return which share of the finest codes of each block, (h, w), does not show."""
        per = BLOCK // self._maps[-1].stride[0]
        height, width = smooth.shape
        cells = unseen_cells(smooth, (height * per, width * per), BLOCK // per, self._halos[-1])
        found: NDArray[np.float32] = cells.reshape(height, per, width, per).mean((1, 3), np.float32)
        return found

    def filled(self, grids: "Grids", smooth: "Flags", codes: tuple[int, ...]) -> "Grids":
        """Return index maps with one code of each map wherever none shows."""
        return tuple(
            np.where(unseen_cells(smooth, grid.shape, spec.stride[0], halo), np.uint16(code), grid)
            for grid, spec, halo, code in zip(grids, self._maps, self._halos, codes, strict=True)
        )


def plain_codes(weights: Weights) -> tuple[int, ...]:
    """Return the code of each map whose repetition costs least; nothing where that is unknown."""
    table = weights.config.get("coding_prior")
    told = table.get(PLAIN_CODES) if isinstance(table, dict) else None
    sizes = weights.codebook_sizes
    if not isinstance(told, list) or len(told) != len(sizes):
        return ()
    fit = (type(c) is int and 0 <= c < size for c, size in zip(told, sizes, strict=True))
    return tuple(told) if all(fit) else ()


def unseen_cells(smooth: "Flags", shape: tuple[int, ...], stride: int, halo: int) -> "Flags":
    """Return the cells, (h, w) bool, of a map that no pixel depends on.

    Args:
        smooth: (h, w) bool, the blocks that do without codes.
        shape: of the map.
        stride: pixels to a cell along each axis; divides the side of a block.
        halo: cells beyond its own that a pixel depends on, per side.
    """
    per = BLOCK // stride
    needed = np.repeat(np.repeat(~smooth, per, 0), per, 1)[: shape[0], : shape[1]]
    # how many cells that are needed lie within the halo, from sums over rectangles
    side = 2 * halo + 1
    sums = np.pad(np.pad(needed, halo).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    around = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    unseen: Flags = around == 0
    return unseen
