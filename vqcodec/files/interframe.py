"""The maps of successive frames, each range-coded by a prior that has seen the frames before.

Such a prior is a lattice prior whose maps are the frames themselves, all of one shape: the first is
coded without another, the second knows the first, and so on; from as many frames on as it has maps,
every frame knows those right before it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vqcodec.coding import latticecoder
from vqcodec.coding.latticecoder import Lanes
from vqcodec.errors import FormatError
from vqcodec.files.reader import Reader, varint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vqcodec.coding.lattice import LatticeModel

    Grid = NDArray[np.uint16]

TOGETHER = 1 << 17  # cells of frames that are encoded at once
MAX_PER_BYTE = 720  # cells; more are packed, and not believed, whatever a file claims


def fits(model: "LatticeModel", codebook_sizes: Sequence[int]) -> bool:
    """Tell whether a prior is one of frames of one map, of a codebook of this size."""
    known = len(model.ratios)
    sizes = (*codebook_sizes,) * known
    return (
        len(codebook_sizes) == 1
        and model.codebook_sizes == sizes
        and all(ratio == 1 for ratio in model.ratios[1:])
    )


def code(grid: "Grid", model: "LatticeModel") -> bytes:
    """Return the bytes of the maps of frames, (n, h, w): of each frame its lanes."""
    lanes: list[Lanes] = []
    deepest = len(model.ratios) - 1
    for number in range(min(deepest, len(grid))):
        maps = [grid[i : i + 1] for i in range(number + 1)]
        lanes += latticecoder.encode(model, maps, 0)[-1]
    step = max(1, TOGETHER // (grid.shape[1] * grid.shape[2]))
    for first in range(deepest, len(grid), step):
        last = min(len(grid), first + step)
        maps = [grid[first - back : last - back] for back in range(deepest, -1, -1)]
        lanes += latticecoder.encode(model, maps, 0)[-1]
    return b"".join(varint(len(lane)) + lane for own in lanes for lane in own)


def decode(read: Reader, shape: tuple[int, ...], model: "LatticeModel") -> "Grid":
    """Reverse `code`: return (n, h, w).

    Raises:
        FormatError: it is truncated, or claims more indices than its bytes could tell.
    """
    import numpy as np

    frames, height, width = shape
    number = latticecoder.lanes_of((height, width))
    start = read.position
    lanes = [[read.take(read.varint()) for _ in range(number)] for _ in range(frames)]
    if frames * height * width > MAX_PER_BYTE * (read.position - start):
        raise FormatError("truncated or damaged: too short for its indices")
    grid = np.empty(shape, np.uint16)
    for frame, own in enumerate(lanes):
        first = max(0, frame - len(model.ratios) + 1)
        known: list[Grid | list[Lanes]] = [grid[i : i + 1] for i in range(first, frame)]
        shapes = [(height, width)] * (len(known) + 1)
        grid[frame] = latticecoder.decode(model, [*known, [own]], shapes, 0)[-1][0]
    return grid


def bits(grid: "Grid", model: "LatticeModel", known: int) -> float:
    """Return what frames from `known` on cost where each knows so many frames before it.

    Args:
        grid: (n, h, w).
        model: the prior.
        known: frames, fewer than the prior has maps.
    """
    maps = [grid[known - back : len(grid) - back] for back in range(known, -1, -1)]
    return float(latticecoder.bits(model, maps)[-1].sum())
