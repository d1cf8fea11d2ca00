"""A coding prior of moving pictures as integers: p(codes of a frame | those of the one before it).

The first frame of a group is coded by the prior of single pictures. Each other one tells by which
vectors blocks of the frame before moved to where they are now, and by further codes what that
lacks. A `LatticeModel` knows or codes, in this order,

    rows and columns of the vectors of the frame before          known
    rows and columns of the vectors                              coded
    how many codes of late said anything, and the codes of the
    first two codebooks in the frame before, moved by vectors    known
    codes of each codebook                                       coded

It sees codes alone, never pixels: machines whose decoders differ in a last bit read the same codes.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqcodec.coding.framemodel import FrameModel
from vqcodec.coding.lattice import LatticeModel, Walk
from vqcodec.coding.refining import NOTHING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[np.int64]]
    Grid = NDArray[np.uint16]
    # goes over the next map of a frame, of this number, and returns it
    Code = Callable[[Walk, int], Grid]

PIXEL = 4  # a vector counts quarters of a pixel
STRIDE = 4  # pixels to a cell of codes
BLOCK = 2  # cells to a block that moves as one
ACTIVITY = 16  # how many levels there are
TOLD = 2  # codebooks whose codes in the frame before are told
KNOWN = 2 + 1 + TOLD  # maps


@dataclass(frozen=True)
class Past:
    """What is known of the frame before, in integers.

    Attributes:
        vectors: rows and columns, (h', w') each.
        activity: (h, w), how many codes of late said anything there.
        codes: (h, w) of each codebook.
    """

    vectors: "tuple[Grid, ...]"
    activity: "Grid"
    codes: "tuple[Grid, ...]"

    @classmethod
    def begin(cls, blocks: tuple[int, ...], cells: tuple[int, ...], number: int) -> "Past":
        """Return that of the first frame of a group, which says nothing.

        Args:
            blocks: the shape of the maps of vectors.
            cells: the shape of the others.
            number: of codebooks.
        """
        import numpy as np

        still, nothing = np.zeros(blocks, np.uint16), np.full(cells, NOTHING, np.uint16)
        return cls((still, still), np.zeros(cells, np.uint16), (nothing,) * number)

    @classmethod
    def after(
        cls, before: "Grid", vectors: "tuple[Grid, ...]", codes: "tuple[Grid, ...]"
    ) -> "Past":
        """Return that of a frame, of the maps of it and the activity before, as they moved it."""
        import numpy as np

        said = sum(grid != NOTHING for grid in codes)
        activity = np.minimum(ACTIVITY - 1, (3 * before + 4 * said + 2) // 4).astype(np.uint16)
        return cls(vectors, activity, codes)

    def moved(self, size: int, rows: "Grid", columns: "Grid") -> "list[Grid]":
        """Return activity and codes where vectors, codes below `size`, take them."""
        import numpy as np

        height, width = self.activity.shape
        cell = PIXEL * STRIDE
        y, x = np.arange(height)[:, None], np.arange(width)
        here = y // BLOCK, x // BLOCK
        places = []
        for grid, at, most in ((rows, y, height), (columns, x, width)):
            steps = (displacement(grid, size)[here] + cell // 2) // cell
            places.append(np.clip(at + steps, 0, most - 1))
        return [grid[places[0], places[1]] for grid in (self.activity, *self.codes[:TOLD])]


def displacement(codes: "Grid", size: int) -> "NDArray[np.int64]":
    """Return the quarters of a pixel that codes below `size` stand for: 0, 1, ... -2, -1."""
    import numpy as np

    wide = codes.astype(np.int64)
    return np.where(wide >= size // 2, wide - size, wide)


def maps_of(vectors: int, codebook_sizes: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Return the codebook sizes and the ratios of all maps of the prior, known ones included.

    Args:
        vectors: codes of rows, and of columns.
        codebook_sizes: of what moved pictures lack.
    """
    sizes = (*(vectors,) * 4, ACTIVITY, *codebook_sizes[:TOLD], *codebook_sizes)
    return sizes, (1, 1, 1, 1, BLOCK, *(1,) * (len(sizes) - 5))


class MovingModel:
    """An integer network that predicts the vectors and codes of frames.

    Args:
        arrays: those of a `LatticeModel`, of the maps above.
        stills: codes the first frame of a group; its codebooks are a first one, and as many as
            there are here, each as large.

    Raises:
        ValueError: the arrays do not fit each other, or the other prior, or sums could be inexact.

    Attributes:
        lattice: of the frames that follow.
        stills: see above.
        codebook_sizes: of rows and columns of vectors, of the first codebook, of the others.
        conditions: how many classes of files there are: those of stills times those of the others.
        identity: four bytes that files carry.
    """

    def __init__(self, arrays: "Arrays", stills: LatticeModel) -> None:
        self.lattice, self.stills = LatticeModel(arrays), stills
        sizes, (first, *others) = self.lattice.codebook_sizes, stills.codebook_sizes
        self.vectors = sizes[0]
        expected, ratios = maps_of(self.vectors, tuple(others))
        if sizes != expected or self.lattice.ratios[1:] != ratios[1:] or len(others) < TOLD:
            raise ValueError("it is not one of moving pictures")
        self.codebook_sizes = (self.vectors, self.vectors, first, *others)
        self.conditions = stills.conditions * self.lattice.conditions
        self.identity = hashlib.sha256(stills.identity + self.lattice.identity).digest()[:4]

    def classes(self, condition: int) -> tuple[int, int]:
        """Return the classes of stills and of other frames that a condition stands for."""
        return divmod(condition, self.lattice.conditions)

    def condition(self, still: int, other: int) -> int:
        """Reverse `classes`."""
        return still * self.lattice.conditions + other

    def frame(self, past: Past, condition: int, code: "Code") -> "tuple[tuple[Grid, ...], Past]":
        """Go over the maps of a frame that follows another.

        Args:
            past: what is known of that.
            condition: the class of the frame.
            code: goes over a map, (1, h, w) for the walk, and returns it, (h, w): 0 and 1 are rows
                and columns of vectors, 2 and up the codes of each codebook.

        Returns:
            The maps, and what is known of the frame then.
        """
        walk = Walk(self.lattice, condition)
        for grid in past.vectors:
            walk.know(grid[None])
        vectors = tuple(code(walk, number) for number in range(2))
        before, *told = past.moved(self.vectors, *vectors)
        for grid in (before, *told):
            walk.know(grid[None])
        codes = tuple(code(walk, 2 + number) for number in range(len(past.codes)))
        return (*vectors, *codes), Past.after(before, vectors, codes)


FramePrior = FrameModel | MovingModel  # of successive frames
