"""Tiles of one fixed shape that together give what one pass over the whole would.

A network of finite halo computes a cell from its surroundings only. So a large grid is computed
in windows that overlap by the halo; from each window only the cells whose surroundings lie inside
it, or end with the picture as they do in one pass, are kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqcodec.errors import UsageError
from vqcodec.maps import Maps

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Grids = tuple[NDArray[np.uint16], ...]


@dataclass(frozen=True)
class Span:
    """Along one axis, in cells: compute `start:stop`, keep `keep_start:keep_stop` of the grid.

    With several maps, in cells of the coarsest one, so that no cell of any map is cut.
    """

    start: int
    stop: int
    keep_start: int
    keep_stop: int

    @property
    def window(self) -> slice:
        """What to compute, in grid coordinates."""
        return slice(self.start, self.stop)

    @property
    def kept(self) -> slice:
        """What to keep, in grid coordinates."""
        return slice(self.keep_start, self.keep_stop)

    @property
    def inner(self) -> slice:
        """What to keep, in the window's own coordinates."""
        return slice(self.keep_start - self.start, self.keep_stop - self.start)

    def times(self, ratio: int) -> "Span":
        """Return the same span in cells of a finer map, `ratio` of them in one, or in pixels."""
        ends = self.start, self.stop, self.keep_start, self.keep_stop
        return Span(*(ratio * end for end in ends))


def spans(total: int, window: int, halo: int) -> list[Span]:
    """Cover `total` cells by windows of at most `window`; `halo` cells at inner edges are waste.

    All windows have the same length, no longer than their number needs, and the last one is moved
    back to end with the grid; a grid that fits into one window is one span.
    """
    if total <= window:
        return [Span(0, total, 0, total)]
    if window <= 2 * halo:
        raise ValueError(f"a window of {window} cells is too small for a halo of {halo}")
    number = -(-(total - 2 * halo) // (window - 2 * halo))
    window = -(-(total + 2 * halo * (number - 1)) // number)
    found = []
    kept = 0
    while kept < total:
        start = max(0, min(kept - halo, total - window))
        stop = start + window
        keep_stop = total if stop == total else stop - halo
        found.append(Span(start, stop, kept, keep_stop))
        kept = keep_stop
    return found


def tiles(shape: tuple[int, int], window: int, halo: int) -> Iterator[tuple[Span, Span]]:
    """Yield (rows, columns) of every tile of a grid, in reading order."""
    columns = spans(shape[1], window, halo)
    for rows in spans(shape[0], window, halo):
        for column in columns:
            yield rows, column


def in_cells(tile: tuple[Span, Span], ratio: tuple[int, ...]) -> tuple[Span, Span]:
    """Return the rows and columns of a tile in cells of a finer map, or in pixels."""
    rows, columns = tile
    return rows.times(ratio[0]), columns.times(ratio[1])


def cropped(maps: Maps, grids: "Grids", size: tuple[int, ...]) -> "Grids":
    """Return what maps, (..., h, w), of a picture that was filled up say of one of `size`."""
    shapes = [spec.shape(size) for spec in maps]
    return tuple(g[..., :h, :w] for g, (h, w) in zip(grids, shapes, strict=True))


def filled_up(maps: Maps, grids: "Grids") -> "Grids":
    """Reverse `cropped`: the last row and column go on to the end of the coarsest cells."""
    import numpy as np

    size = maps[0].covers(grids[0].shape[-2:])
    found = []
    for spec, grid in zip(maps, grids, strict=False):
        missing = [n - had for n, had in zip(spec.shape(size), grid.shape[-2:], strict=True)]
        around = [(0, 0)] * (grid.ndim - 2) + [(0, n) for n in missing]
        found.append(np.pad(grid, around, mode="edge") if any(missing) else grid)
    return tuple(found)


def check_grids(maps: Maps, grids: "Grids") -> tuple[int, ...]:
    """Return the size of the pictures that index maps, (N, h, w) each, are of.

    Raises:
        UsageError: they are not maps of such pictures.
    """
    if len(grids) != len(maps) or any(g.ndim != 3 for g in grids):
        raise UsageError("index maps must be a tuple of arrays of shape (N, h, w)")
    for grid, spec in zip(grids, maps, strict=True):
        size = spec.codebook_size
        if grid.dtype != "uint16" or not grid.size or int(grid.max()) >= size:
            raise UsageError(f"index maps must be uint16 and hold indices below {size}")
    number, *shape = grids[-1].shape
    pixels = maps[-1].covers(tuple(shape))
    shapes = [(number, *spec.shape(pixels)) for spec in maps]
    if [g.shape for g in grids] != shapes:
        raise UsageError(f"index maps of these sizes must be of shapes {shapes}")
    return pixels
