"""The indices of several maps that are range-coded together, each map knowing the coarser ones.

Maps are cut into blocks of the same parts of the picture, which know nothing of each other. A map's
frame holds, block after block, row after row, the lanes of each: a varint length and that many
bytes, see `vqcodec.coding.latticecoder`; then a CRC-32 of these bytes and of the indices, or its
first bytes: fewer where another map follows, whose checksum covers them as well.
"""

import contextlib
import itertools
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqcodec.coding import latticecoder
from vqcodec.coding.latticecoder import Chosen, Lanes
from vqcodec.errors import FormatError
from vqcodec.files.frames import CRC_BYTES, by_shape, crc_of
from vqcodec.files.reader import Reader, varint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vqcodec.coding.lattice import LatticeModel

    Grid = NDArray[np.uint16]

SIDE = 256  # cells of the finest map along the side of a block
TOGETHER = 4  # blocks of equal shapes that one thread codes side by side, at most
# Bytes of the checksum of a map that another one follows, and of the last one.
CHECKS, SHORT_CHECKS = (2, 4), (1, 3)
MAX_JOINT = 36 << 20  # cells of a file: 100 megapixels at strides 8, 4 and 2

Shape = tuple[int, ...]
Place = tuple[slice, slice]
Shapes = tuple[Shape, ...]  # of a block in each map
Checks = tuple[int, int]


def fits(model: "LatticeModel", shapes: Sequence[Shape]) -> bool:
    """Tell whether maps of these shapes lie in each other as the first of a prior do."""
    pairs = zip(shapes, shapes[1:], model.ratios[1:], strict=False)
    return (
        len(shapes) <= len(model.ratios)
        and all(_nested(coarse, fine, ratio) for coarse, fine, ratio in pairs)
        and sum(map(math.prod, shapes)) <= MAX_JOINT
    )


def _nested(coarse: Shape, fine: Shape, ratio: int) -> bool:
    """Tell whether the cells of a map are as many as so many in each cell of a coarser one are."""
    return len(coarse) == len(fine) == len("hw") and all(
        (a - 1) * ratio < b <= a * ratio for a, b in zip(coarse, fine, strict=True)
    )


def _ratio(coarse: Shape, fine: Shape) -> int:
    """Return how many cells of a map lie along a cell of a coarser one: a power of two.

    Where both have one cell that cannot be told, and does not matter: then there is one block.
    """
    ratio = 1
    while any(a * ratio < b for a, b in zip(coarse, fine, strict=True)):
        ratio *= 2
    return ratio


def blocks(shapes: Sequence[Shape]) -> list[tuple[Place, ...]]:
    """Return where each block lies in each map.

    Raises:
        FormatError: the maps do not lie in each other.
    """
    pairs = list(zip(shapes, shapes[1:], strict=False))
    ratios = [_ratio(coarse, fine) for coarse, fine in pairs]
    nested = all(_nested(*pair, ratio) for pair, ratio in zip(pairs, ratios, strict=True))
    if not nested or math.prod(ratios) > SIDE or len(shapes[0]) != len("hw"):
        raise FormatError("damaged: its maps do not lie in each other")
    sides = [SIDE // math.prod(ratios[number:]) for number in range(len(shapes))]
    rows, columns = (-(-n // sides[0]) for n in shapes[0])
    return [
        tuple(
            (_part(row, side, shape[0]), _part(column, side, shape[1]))
            for side, shape in zip(sides, shapes, strict=True)
        )
        for row, column in itertools.product(range(rows), range(columns))
    ]


def _part(number: int, side: int, length: int) -> slice:
    return slice(number * side, min(length, (number + 1) * side))


def _shape_of(places: tuple[Place, ...]) -> Shapes:
    return tuple(tuple(part.stop - part.start for part in place) for place in places)


def code(
    grids: "Sequence[Grid]", model: "LatticeModel", condition: int, chosen: Chosen | None = None
) -> list[list[Lanes]]:
    """Return, for each map, the lanes of each block.

    Args:
        grids: the maps, coarse to fine.
        model: their prior.
        condition: the class of all blocks.
        chosen: what is known of the same maps, or of others.
    """
    import numpy as np

    where = blocks([grid.shape for grid in grids])
    told = chosen and chosen.told(model, grids, condition)
    rest = [own[: len(grids) - 1] for own in told] if told else [[] for _ in where]
    # of blocks whose other maps are told, only the first is coded
    where = [
        places[:1] if len(own) + 1 == len(grids) else places
        for places, own in zip(where, rest, strict=True)
    ]
    items = [
        tuple(grid[place] for grid, place in zip(grids, places, strict=False)) for places in where
    ]

    def encode(_: Shapes, group: "list[tuple[Grid, ...]]") -> list[list[Lanes]]:
        maps = [np.stack(parts) for parts in zip(*group, strict=True)]
        coded = latticecoder.encode(model, maps, condition)
        return [list(block) for block in zip(*coded, strict=True)]

    found = list(by_shape(encode, [_shape_of(places) for places in where], items, _together))
    whole = [
        coded + own if len(coded) < len(grids) else coded
        for coded, own in zip(found, rest, strict=True)
    ]
    return [list(own) for own in zip(*whole, strict=True)]


def bits(grids: "Sequence[Grid]", model: "LatticeModel", condition: int) -> tuple[float, ...]:
    """Return the bits that each map costs, block by block."""
    found = [0.0] * len(grids)
    for places in blocks([grid.shape for grid in grids]):
        maps = [grid[place][None] for grid, place in zip(grids, places, strict=True)]
        for number, own in enumerate(latticecoder.bits(model, maps, condition)):
            found[number] += float(own.sum())
    return tuple(found)


def write(
    grids: "Sequence[Grid]", coded: list[list[Lanes]], crc: int, checks: Checks = CHECKS
) -> bytes:
    """Return the frames of maps behind something of this CRC, with checksums of so many bytes."""
    out = bytearray()
    for number, (grid, own) in enumerate(zip(grids, coded, strict=True), 1):
        start = len(out)
        for lane in itertools.chain.from_iterable(own):
            out += varint(len(lane)) + lane
        crc = crc_of(grid, zlib.crc32(out[start:], crc))
        out += _check(crc, checks[number == len(grids)])
    return bytes(out)


def _check(crc: int, size: int) -> bytes:
    """Return so many bytes of a CRC-32."""
    return crc.to_bytes(CRC_BYTES, "little")[:size]


@dataclass(frozen=True)
class Frame:
    """The frame of a map as it was read: its bytes, its lanes by block, and its checksum."""

    data: bytes
    lanes: list[Lanes]
    check: bytes


def read_lanes(read: Reader, shapes: Sequence[Shape], number: int) -> list[Lanes]:
    """Read the lanes, block after block, of map `number` of maps of these shapes.

    Raises:
        FormatError: it is truncated.
    """
    lanes = []
    for places in blocks(shapes):
        count = latticecoder.lanes_of(_shape_of(places)[number])
        lanes.append([read.take(read.varint()) for _ in range(count)])
    return lanes


def read_frame(
    read: Reader, shapes: Sequence[Shape], number: int, checks: Checks = CHECKS
) -> Frame:
    """Read the frame of map `number` of maps of these shapes, with such checksums.

    Raises:
        FormatError: it is truncated.
    """
    start = read.position
    lanes = read_lanes(read, shapes, number)
    data = read.data[start : read.position]
    return Frame(data, lanes, read.take(checks[number + 1 == len(shapes)]))


def decode(
    frames: list[Frame], shapes: Sequence[Shape], model: "LatticeModel", condition: int, crc: int
) -> "list[Grid]":
    """Return the maps, all or the first of them, that frames hold.

    Args:
        frames: as `read_frame` returns them.
        shapes: of all maps.
        model: what they were coded with.
        condition: likewise.
        crc: of what is before the frames.

    Raises:
        FormatError: a checksum is wrong.
    """
    grids = decode_lanes([frame.lanes for frame in frames], shapes, model, condition)
    for grid, frame in zip(grids, frames, strict=True):
        crc = crc_of(grid, zlib.crc32(frame.data, crc))
        if frame.check != _check(crc, len(frame.check)):
            raise FormatError("damaged: the checksum is wrong")
    return grids


def decode_lanes(
    every: list[list[Lanes]], shapes: Sequence[Shape], model: "LatticeModel", condition: int
) -> "list[Grid]":
    """Return the maps, all or the first of them, whose lanes these are, by map and block."""
    import numpy as np

    number = len(every)
    where = [places[:number] for places in blocks(shapes)]
    items = list(zip(*every, strict=True))

    def decode_group(group_shapes: Shapes, group: list[tuple[Lanes, ...]]) -> "list[list[Grid]]":
        coded = [list(own) for own in zip(*group, strict=True)]
        maps = latticecoder.decode(model, coded, group_shapes, condition)
        return [list(block) for block in zip(*maps, strict=True)]

    grids = [np.empty(shape, np.uint16) for shape in shapes[:number]]
    found = by_shape(decode_group, [_shape_of(places) for places in where], items, _together)
    with contextlib.closing(found):
        for places, parts in zip(where, found, strict=True):
            for grid, place, part in zip(grids, places, parts, strict=True):
                grid[place] = part
    return grids


def _together(_: Shapes) -> int:
    return TOGETHER
