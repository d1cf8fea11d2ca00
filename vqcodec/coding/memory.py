"""Memory of a walk over maps: of what cells see of those before them, and for results.

To ask the system for a large array, and to give it back, takes longer than to multiply two.
"""

import math
from collections import deque
from typing import TYPE_CHECKING, Any

from vqcodec.coding.layout import Taps

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Scratch:
    """Arrays that are used again, by name."""

    def __init__(self) -> None:
        self._held: dict[str, NDArray[Any]] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: Any) -> "NDArray[Any]":
        """Return an array, whose content is what was left there, until the name is used again."""
        import numpy as np

        size, held = math.prod(shape), self._held.get(name)
        if held is None or held.size < size:
            held = self._held[name] = np.empty(size, dtype)
        return held[:size].reshape(shape)


class Memory:
    """What a layer still has to see: its input at the last steps.

    A cell (r, x) is computed at step x + skew * r, so a neighbour `up` rows above and `right`
    columns to the right was computed skew * up - right steps ago. Rows that have not begun or have
    ended hold zeros, which is what lies outside a map.

    Args:
        shape: (number, height, units): of maps side by side, of their rows, of what a cell has.
        taps: the cells that the layer sees.
        skew: see above.
        dtype: of what a cell has.
        itself: whether it sees the cell itself, too; else a cell may be kept after it was asked
            for what lies around it.
    """

    def __init__(
        self, shape: tuple[int, int, int], taps: Taps, skew: int, dtype: Any, *, itself: bool
    ) -> None:
        import numpy as np

        number, height, units = shape
        self._top = max(up for up, _ in taps)  # rows above the map
        self._taps = [(skew * up - right - (not itself), up) for up, right in taps]
        ages = range(1 + max(age for age, _ in self._taps))
        self._steps = deque(np.zeros((number, self._top + height, units), dtype) for _ in ages)
        self._begun = deque(0 for _ in ages)  # the first row that each of these holds
        self._scratch = Scratch()

    def keep(self, u: "NDArray[Any]", rows: range) -> None:
        """Remember what the cells of the next step have, (number, rows, units)."""
        self._steps.rotate(1)
        self._begun.rotate(1)
        now, begun = self._steps[0], self._begun[0]
        first, last = rows.start + self._top, rows.stop + self._top
        now[:, begun:first] = 0  # rows that have ended since; none comes back
        now[:, first:last] = u
        self._begun[0] = first

    def skip(self) -> None:
        """Go on by a step that no cell belongs to: every other one in a map of one column."""
        self._steps.rotate(1)
        self._begun.rotate(1)
        self._steps[0].fill(0)

    def around(self, rows: range) -> "NDArray[Any]":
        """Return what lies around cells, (number * rows, taps * units), until it is asked again."""
        import numpy as np

        first, last = rows.start + self._top, rows.stop + self._top
        seen = [self._steps[age][:, first - up : last - up] for age, up in self._taps]
        number, cells, units = seen[0].shape
        shape = number, cells, len(seen) * units
        found = np.concatenate(seen, -1, out=self._scratch("around", shape, seen[0].dtype))
        return found.reshape(number * cells, -1)
