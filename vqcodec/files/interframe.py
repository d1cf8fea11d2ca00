"""The maps of successive frames, each range-coded by a prior that has seen the frames before."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vqcodec.coding import latticecoder
from vqcodec.coding.latticecoder import Lanes
from vqcodec.coding.threads import one_blas_thread
from vqcodec.errors import FormatError
from vqcodec.files.reader import Reader, varint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vqcodec.coding.framemodel import FrameModel

    Grid = NDArray[np.uint16]

TOGETHER = 1 << 14  # cells of frames that are encoded at once
MAX_CELLS = 1 << 19  # of a frame: 4K at a stride of 4; what is known of each takes half a kilobyte
MAX_PER_BYTE = 720  # cells; more are packed, and not believed, whatever a file claims


def fits(model: "FrameModel", codebook_sizes: Sequence[int]) -> bool:
    """Tell whether a prior is one of frames of one map, of a codebook of this size."""
    return model.codebook_sizes == tuple(codebook_sizes)


@one_blas_thread
def code(grid: "Grid", model: "FrameModel") -> bytes:
    """Return the bytes of the maps of frames, (n, h, w): of each frame its lanes."""
    lanes: list[Lanes] = []
    before = model.before(grid)
    for some in _some(grid):
        beside = model.beside(before[some])
        lanes += latticecoder.encode(model.lattice, [grid[some]], 0, beside)[0]
    return b"".join(varint(len(lane)) + lane for own in lanes for lane in own)


@one_blas_thread
def decode(read: Reader, shape: tuple[int, ...], model: "FrameModel") -> "Grid":
    """Reverse `code`: return (n, h, w).

    Raises:
        FormatError: it is truncated, or claims more indices than its bytes could tell, or than a
            frame may have.
    """
    import numpy as np

    frames, height, width = shape
    if height * width > MAX_CELLS:
        raise FormatError("damaged: its frames are too large for a prior of frames")
    number = latticecoder.lanes_of((height, width))
    start = read.position
    lanes = [[read.take(read.varint()) for _ in range(number)] for _ in range(frames)]
    if frames * height * width > MAX_PER_BYTE * (read.position - start):
        raise FormatError("truncated or damaged: too short for its indices")
    grid = np.empty(shape, np.uint16)
    for frame, own in enumerate(lanes):
        beside = model.beside(model.before(grid[: frame + 1], frame))
        (found,) = latticecoder.decode(model.lattice, [[own]], [(height, width)], 0, beside)
        grid[frame] = found[0]
    return grid


@one_blas_thread
def bits(grid: "Grid", model: "FrameModel", told: int | None = None) -> "NDArray[np.float64]":
    """Return what each frame costs, (n,).

    Args:
        grid: (n, h, w).
        model: the prior.
        told: how many frames before it each is told, where it is fewer than the prior can see.
    """
    import numpy as np

    before = model.before(grid, told=told)
    found = [
        latticecoder.bits(model.lattice, [grid[some]], 0, model.beside(before[some]))[0]
        for some in _some(grid)
    ]
    return np.concatenate(found).sum((1, 2))


def _some(grid: "Grid") -> list[slice]:
    """Return which frames are worked on at once."""
    step = max(1, TOGETHER // (grid.shape[1] * grid.shape[2]))
    return [slice(first, first + step) for first in range(0, len(grid), step)]
