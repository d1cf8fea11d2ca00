"""In which order a lattice prior codes the cells of maps, and which of them see which.

A *level* is a grid of every s-th row and column of a map, s a power of two: its spacing. Levels go
from wide to narrow, and each map ends with all of its cells. A level is coded in passes over every
other row and column of its grid, its four *phases*. A pass sees the cells of the passes before it,
on all sides, and what the levels before this one say. The first phase of a level is the whole level
before it where that one is of the same map; else it is coded like the others.
"""

from dataclasses import dataclass

Phase = tuple[int, int]  # first row and column; every other one follows
PHASES: tuple[Phase, ...] = ((0, 0), (1, 1), (0, 1), (1, 0))
REACH = 2  # rows and columns of its level that a cell sees to each side
MAX_DEPTH = 8
RATIOS = (1, 2, 4, 8, 16)
Cells = tuple[slice, slice]  # rows and columns of a map


@dataclass(frozen=True)
class Level:
    """A level, and what its passes code.

    Attributes:
        number: of the map.
        spacing: rows and columns of the map from one cell to the next.
        factor: cells along a side for one of the level before; 1 where that is a map on this grid.
        first: whether it is the first of its map, which has all four phases to code.
    """

    number: int
    spacing: int
    factor: int
    first: bool

    @property
    def phases(self) -> tuple[int, ...]:
        """The numbers of the phases to code, in order."""
        return tuple(range(0 if self.first else 1, len(PHASES)))

    def cells(self, phase: int) -> Cells:
        """Return where the cells of a phase lie in the map."""
        row, column = PHASES[phase]
        step = 2 * self.spacing
        return slice(row * self.spacing, None, step), slice(column * self.spacing, None, step)

    def taps(self, phase: int) -> list[tuple[int, int]]:
        """Return the neighbours, rows down and columns right in its level, that a phase sees."""
        row, column = PHASES[phase]
        around = range(-REACH, REACH + 1)
        known = PHASES[:phase]
        return [
            (y, x) for y in around for x in around if ((row + y) % 2, (column + x) % 2) in known
        ]


def levels(ratios: tuple[int, ...], depth: int) -> list[Level]:
    """Return the levels of maps in coding order.

    Args:
        ratios: of each map, how many of its cells lie along the side of one of the map before it;
            the first is not looked at.
        depth: the first level has a spacing of two to this power.
    """
    found: list[Level] = []
    for number, ratio in enumerate(ratios):
        spacing = 1 << depth if not number else max(1, ratio // 2)
        found.append(Level(number, spacing, 1 if number and ratio == 1 else 2, first=True))
        while spacing > 1:
            spacing //= 2
            found.append(Level(number, spacing, 2, first=False))
    return found
