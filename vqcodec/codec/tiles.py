"""Tiles of one fixed shape that together give what one pass over the whole would.

A network of finite halo computes a cell from its surroundings only. So a large grid is computed
in windows that overlap by the halo; from each window only the cells whose surroundings lie inside
it, or end with the picture as they do in one pass, are kept.
"""

from collections.abc import Iterator
from dataclasses import dataclass


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
