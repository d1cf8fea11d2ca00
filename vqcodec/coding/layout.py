"""Which cells a coding prior sees, and which of them are computed at once."""

from collections.abc import Iterator
from dataclasses import dataclass

Taps = tuple[tuple[int, int], ...]  # (rows up, columns right) of the cells that a layer sees

# Maps of pictures: what the first layer sees, all of it coded before,
WINDOW: Taps = (
    *((3, x) for x in range(-2, 3)),
    *((2, x) for x in range(-3, 3)),
    *((1, x) for x in range(-3, 2)),
    *((0, x) for x in range(-4, 0)),
)
# and what the convolutions see, the cell itself included.
TAPS: Taps = ((0, 0), (0, -1), (1, -1), (1, 0), (1, 1))
ROW_WINDOW: Taps = tuple((0, x) for x in range(-24, 0))  # the same of rows that are coded apart
ROW_BEFORE: Taps = tuple((0, x) for x in range(-8, 1))  # of a row of a map that came before it
MAX_DILATION = 256  # cells between the taps of a convolution along a row


@dataclass(frozen=True)
class Layout:
    """How a network lies on maps.

    Attributes:
        window: what the first layer sees.
        blocks: what the convolution of each block sees.
        skew: cells of one column + skew * row do not see each other, and are computed at once.
    """

    window: Taps
    blocks: tuple[Taps, ...]
    skew: int

    def steps(self, height: int, width: int) -> Iterator[tuple[int, range]]:
        """Yield each step and the rows r of the cells (r, step - skew * r) that lie on the map."""
        if not self.skew:
            yield from ((step, range(height)) for step in range(width))
            return
        for step in range(width + self.skew * (height - 1)):
            first = max(0, -((width - 1 - step) // self.skew))
            last = min(height - 1, step // self.skew)
            if first <= last:  # a map of one column has no cell at odd steps
                yield step, range(first, last + 1)


def of_maps(blocks: int) -> Layout:
    """Return the layout for pictures.

    A cell sees cells above it up to one column further right for each row up, whatever the depth.
    """
    return Layout(WINDOW, (TAPS,) * blocks, 2)


def of_rows(dilations: tuple[int, ...]) -> Layout:
    """Return the layout for sound: each row on its own, a long way back.

    Args:
        dilations: of each block: its convolution sees its cell, and one and two times as many
            cells back.
    """
    return Layout(ROW_WINDOW, tuple(((0, 0), (0, -d), (0, -2 * d)) for d in dilations), 0)
