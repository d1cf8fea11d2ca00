"""A group of frames of which all but the first tell what moved, and what that lacks.

The bytes: u8 the condition. Of the first frame, for each map but the vectors, the lanes of each
block, as in `vqcodec.files.joint`; of each further frame one block of lanes in which the maps of
`vqcodec.coding.movingmodel` follow each other. A lane is a varint length, and so many bytes.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vqcodec.coding import latticecoder
from vqcodec.coding.lanes import LaneDecoder, LaneEncoder
from vqcodec.coding.lattice import Walk
from vqcodec.coding.latticecoder import Lanes
from vqcodec.coding.movingmodel import MovingModel, Past
from vqcodec.coding.threads import one_blas_thread
from vqcodec.errors import FormatError
from vqcodec.files import joint
from vqcodec.files.reader import Reader, varint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Grid = NDArray[np.uint16]
    Grids = tuple[Grid, ...]
    Shapes = list[tuple[int, ...]]

VECTORS = 2  # the first maps
FIRST = 2  # the map that the first frame of a group has alone
MAX_CELLS = 1 << 19  # of a map of a frame: 4K at a stride of 4; what is known of each takes memory
MAX_PER_BYTE = 1 << 12  # indices; more are packed, and not believed, whatever a file claims


def fits(model: MovingModel, codebook_sizes: Sequence[int]) -> bool:
    """Tell whether a prior is one of frames of maps of these codebooks."""
    return model.codebook_sizes == tuple(codebook_sizes)


def can_code(model: MovingModel, grids: "Sequence[Grid]", condition: int) -> bool:
    """Tell whether maps, (n, h, w) each, are a group: what a frame does not have must be zero."""
    still = not any(grid[0].any() for grid in grids[:VECTORS]) and not grids[FIRST][1:].any()
    return still and grids[-1][0].size <= MAX_CELLS and 0 <= condition < model.conditions


@one_blas_thread
def code(grids: "Sequence[Grid]", model: MovingModel, condition: int) -> bytes:
    """Return the bytes of a group of frames, the maps of which are (n, h, w) each."""
    still, other = model.classes(condition)
    out = bytearray([condition])
    for own in joint.code([grid[0] for grid in grids[FIRST:]], model.stills, still):
        out += b"".join(map(_bytes, own))
    past = _begin(grids)
    for number in range(1, len(grids[0])):
        frame = [grid[number] for grid in (*grids[:VECTORS], *grids[FIRST + 1 :])]
        coder = LaneEncoder(1, latticecoder.lanes_of(frame[-1].shape))

        def put(
            walk: Walk,
            place: int,
            frame: "list[Grid]" = frame,
            coder: LaneEncoder = coder,
        ) -> "Grid":
            latticecoder.put(walk, frame[place][None], coder)
            return frame[place]

        _, past = model.frame(past, other, put)
        out += _bytes(coder.finish()[0])
    return bytes(out)


@one_blas_thread
def decode(read: Reader, shapes: "Shapes", model: MovingModel) -> "tuple[list[Grid], int]":
    """Reverse `code`: return maps of these shapes, (n, h, w) each, and the condition.

    Raises:
        FormatError: it is truncated, or claims more indices than its bytes could tell, or than a
            frame may have.
    """
    import numpy as np

    if math.prod(shapes[-1][1:]) > MAX_CELLS:
        raise FormatError("damaged: its frames are too large for a prior of frames")
    start = read.position
    condition = read.take(1)[0]
    if condition >= model.conditions:
        raise FormatError("damaged: its condition is not one of its prior")
    still, other = model.classes(condition)
    stills = [shape[1:] for shape in shapes[FIRST:]]
    lanes = [joint.read_lanes(read, stills, number) for number in range(len(stills))]
    rest, number = [], latticecoder.lanes_of(stills[-1])
    for _ in range(1, shapes[0][0]):
        rest.append([read.take(read.varint()) for _ in range(number)])
    if sum(map(math.prod, shapes)) > MAX_PER_BYTE * (read.position - start):
        raise FormatError("truncated or damaged: too short for its indices")
    grids = [np.zeros(shape, np.uint16) for shape in shapes]
    found = joint.decode_lanes(lanes, stills, model.stills, still)
    for grid, first in zip(grids[FIRST:], found, strict=True):
        grid[0] = first
    past = _begin(grids)
    told = (*shapes[:VECTORS], *shapes[FIRST + 1 :])
    for frame, own in enumerate(rest, 1):
        coder = LaneDecoder([own])

        def take(walk: Walk, place: int, coder: LaneDecoder = coder) -> "Grid":
            _, height, width = told[place]
            return latticecoder.take(walk, (1, height, width), coder)[0]

        maps, past = model.frame(past, other, take)
        for grid, one in zip((*grids[:VECTORS], *grids[FIRST + 1 :]), maps, strict=True):
            grid[frame] = one
    return grids, condition


@one_blas_thread
def bits(grids: "Sequence[Grid]", model: MovingModel, condition: int) -> "NDArray[np.float64]":
    """Return what each map of each frame of a group costs, (n, maps); see `code`."""
    import numpy as np

    still, other = model.classes(condition)
    found = np.zeros((len(grids[0]), len(grids)))
    found[0, FIRST:] = joint.bits([grid[0] for grid in grids[FIRST:]], model.stills, still)
    past = _begin(grids)
    places = [*range(VECTORS), *range(FIRST + 1, len(grids))]  # of the maps that frames have
    for number in range(1, len(found)):

        def count(walk: Walk, place: int, number: int = number) -> "Grid":
            grid = grids[places[place]][number]
            found[number, places[place]] = latticecoder.cost(walk, grid[None]).sum()
            return grid

        _, past = model.frame(past, other, count)
    return found


def _begin(grids: "Sequence[Grid]") -> Past:
    """Return what is known of the first frame of a group."""
    return Past.begin(grids[0].shape[1:], grids[-1].shape[1:], len(grids) - FIRST - 1)


def _bytes(lanes: Lanes) -> bytes:
    return b"".join(varint(len(lane)) + lane for lane in lanes)
