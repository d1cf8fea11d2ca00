"""The indices in a ``.vqc`` file: packed bits, or bytes that a coding prior makes of them.

Both come in frames that end in a CRC-32 of what they hold. It goes on from the CRC of the frame
before, and in the first one from the header's, so frames cannot be exchanged or left out.
"""

import itertools
import math
import os
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

from vqcodec.coding.bits import pack, packed_bytes, unpack, width_of
from vqcodec.errors import FormatError
from vqcodec.files.reader import Reader, varint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Grid = NDArray[np.uint16]

RUN = 1 << 16  # indices in a packed frame
BLOCKS = {"hw": (256, 256), "ct": (8, 4096)}  # cells of a range-coded frame, at most
TOGETHER = 4  # blocks of one shape that are coded side by side by one thread
CRC_BYTES = 4
# The likeliest index has at most 65,025 parts in 65,536, which is 1 / 708 of a byte; and six bytes
# of the coder's state may be told by nothing.
MOST_PER_BYTE, HIDDEN_BYTES = 720, 6

T = TypeVar("T")
R = TypeVar("R")


class Prior(Protocol):
    """What range-coded frames ask of a coding prior."""

    @property
    def identity(self) -> bytes:
        """Four bytes that tell it from others."""

    @property
    def codebook_size(self) -> int:
        """K."""

    def encode(self, maps: "list[Grid]") -> list[bytes]:
        """Return the bytes of maps, (h, w) each and all of one shape."""

    def decode(self, payloads: list[bytes], shape: tuple[int, ...]) -> "Grid":
        """Reverse it: (N, h, w)."""


def packed_size(shape: tuple[int, ...], codebook_size: int) -> int:
    """Return the bytes that the packed frames of a grid take."""
    whole, rest = divmod(math.prod(shape), RUN)
    width = width_of(codebook_size)
    bytes_of_rest = packed_bytes(rest, width) + CRC_BYTES if rest else 0
    return whole * (packed_bytes(RUN, width) + CRC_BYTES) + bytes_of_rest


def write_packed(grid: "Grid", codebook_size: int, crc: int) -> tuple[bytes, int]:
    """Return the packed frames of a grid behind something of this CRC, and the new CRC."""
    out = bytearray()
    flat = grid.reshape(-1)
    for start in range(0, flat.size, RUN):
        run = flat[start : start + RUN]
        crc = _crc(run, crc)
        out += pack(run, width_of(codebook_size)) + crc.to_bytes(CRC_BYTES, "little")
    return bytes(out), crc


def read_packed(
    read: Reader, shape: tuple[int, ...], codebook_size: int, crc: int
) -> "tuple[Grid, int]":
    """Reverse `write_packed`.

    Raises:
        FormatError: a checksum or the padding is wrong.
    """
    import numpy as np

    total, width = math.prod(shape), width_of(codebook_size)
    grid = np.empty(total, np.uint16)
    for start in range(0, total, RUN):
        count = min(RUN, total - start)
        payload = read.take(packed_bytes(count, width))
        run = unpack(payload, count, width)
        crc = _crc(run, crc)
        padding = -count * width % 8
        if crc != _stored(read) or payload[-1] & ((1 << padding) - 1):
            raise FormatError("damaged: the checksum is wrong")
        grid[start : start + count] = run
    return grid.reshape(shape), crc


def write_coded(grid: "Grid", axes: str, prior: Prior, crc: int) -> bytes:
    """Return the range-coded frames of a file's only grid, behind a header of this CRC."""
    blocks = [grid[block] for block in _blocks(grid.shape, axes)]
    payloads = _by_shape(lambda _, maps: prior.encode(maps), [b.shape for b in blocks], blocks)
    out = bytearray()
    for number, (block, payload) in enumerate(zip(blocks, payloads, strict=True), 1):
        crc = _crc(block, zlib.crc32(payload, crc))
        if number < len(blocks):  # the last one fills what is left
            out += varint(len(payload))
        out += payload + crc.to_bytes(CRC_BYTES, "little")
    return bytes(out)


def read_coded(read: Reader, shape: tuple[int, ...], axes: str, prior: Prior, crc: int) -> "Grid":
    """Reverse `write_coded`, up to the end of the file.

    Raises:
        FormatError: it is truncated, damaged, or claims more indices than its bytes could tell.
    """
    import numpy as np

    where = _blocks(shape, axes)
    shapes = [tuple(s.stop - s.start for s in block) for block in where]
    payloads, stored = [], []
    for number, block in enumerate(shapes, 1):
        length = read.varint() if number < len(shapes) else read.left - CRC_BYTES
        payloads.append(read.take(max(0, length)))
        stored.append(_stored(read))
        if math.prod(block) > MOST_PER_BYTE * (length + HIDDEN_BYTES):
            raise FormatError("truncated or damaged: too short for its indices")
    if read.left:
        raise FormatError("followed by foreign bytes")
    blocks = _by_shape(lambda s, p: list(prior.decode(p, s)), shapes, payloads)
    grid = np.empty(shape, np.uint16)
    for place, block, payload, check in zip(where, blocks, payloads, stored, strict=True):
        crc = _crc(block, zlib.crc32(payload, crc))
        if crc != check:
            raise FormatError("damaged: the checksum is wrong")
        grid[place] = block
    return grid


def _blocks(shape: tuple[int, ...], axes: str) -> list[tuple[slice, ...]]:
    """Return where the blocks of a grid lie, row after row."""
    cuts = [
        [slice(start, min(n, start + side)) for start in range(0, n, side)]
        for n, side in zip(shape, BLOCKS[axes], strict=True)
    ]
    return list(itertools.product(*cuts))


def _by_shape(
    code: Callable[[tuple[int, ...], list[T]], list[R]],
    shapes: list[tuple[int, ...]],
    items: list[T],
) -> list[R]:
    """Code items of equal shape together, groups of them on all cores; results in order."""
    places: dict[tuple[int, ...], list[int]] = {}
    for place, shape in enumerate(shapes):
        places.setdefault(shape, []).append(place)
    groups = [
        (shape, found[i : i + TOGETHER])
        for shape, found in places.items()
        for i in range(0, len(found), TOGETHER)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        coded = pool.map(lambda g: code(g[0], [items[place] for place in g[1]]), groups)
        results = {
            place: result
            for (_, found), group in zip(groups, coded, strict=True)
            for place, result in zip(found, group, strict=True)
        }
    return [results[place] for place in range(len(items))]


def _crc(run: "Grid", crc: int) -> int:
    return zlib.crc32(run.astype("<u2", copy=False).tobytes(), crc)


def _stored(read: Reader) -> int:
    return int.from_bytes(read.take(CRC_BYTES), "little")
