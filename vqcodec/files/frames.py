"""The indices in a ``.vqc`` file: packed bits, or bytes that a coding prior makes of them.

Both come in frames that end in a CRC-32 of what they hold. It goes on from the CRC of the frame
before, and in the first one from the header's, so frames cannot be exchanged or left out.
"""

import contextlib
import itertools
import math
import zlib
from collections.abc import Callable, Generator, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

from vqcodec.coding.bits import pack, packed_bytes, unpack, width_of
from vqcodec.coding.threads import usable_cores
from vqcodec.errors import FormatError
from vqcodec.files.reader import Reader, varint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Grid = NDArray[np.uint16]

RUN = 1 << 16  # indices in a packed frame
# Cells of a range-coded frame, at most. Each picture of a video is one, or several, of its own.
BLOCKS = {"hw": (256, 256), "ct": (8, 4096), "thw": (1, 256, 256)}
# Rows, of blocks of one shape, that are coded side by side by one thread, at most.
TOGETHER = {"hw": 1024, "ct": 32, "thw": 1024}
MAX_CODED = 1 << 24  # range-coded cells of a file; that many take some ten minutes on one core
CRC_BYTES = 4
HIDDEN_BYTES = 6  # of a coder's state may be told by nothing

T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S", bound=Hashable)


class CodingPrior(Protocol):
    """What range-coded frames ask of a coding prior."""

    @property
    def identity(self) -> bytes:
        """Four bytes that tell it from others."""

    @property
    def codebook_size(self) -> int:
        """K."""

    @property
    def most_per_byte(self) -> int | None:
        """How many indices a byte of a payload can tell, at most; None without a bound."""

    @property
    def coarser(self) -> tuple[int, ...]:
        """K of each map before its own that it is told of; they are of the same shape."""

    def encode(
        self, maps: "list[Grid]", before: "Sequence[list[Grid]]" = (), *, known: int = 0
    ) -> list[bytes]:
        """Return the bytes of maps, (h, w) each and all of one shape."""

    def decode(
        self,
        payloads: list[bytes],
        shape: tuple[int, ...],
        before: "Sequence[list[Grid]]" = (),
        *,
        known: "list[Grid] | None" = None,
    ) -> "Grid":
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
        crc = crc_of(run, crc)
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
        crc = crc_of(run, crc)
        padding = -count * width % 8
        if crc != stored_crc(read) or payload[-1] & ((1 << padding) - 1):
            raise FormatError("damaged: the checksum is wrong")
        grid[start : start + count] = run
    return grid.reshape(shape), crc


def code(grids: "Sequence[Grid]", axes: str, prior: CodingPrior) -> list[bytes]:
    """Return the payloads of the blocks of a map.

    Args:
        grids: the maps so far, coarse to fine: the last is coded. Those before it will have been
            read when it is.
        axes: of the maps.
        prior: of the last map.
    """
    grid = grids[-1]
    where = blocks(grid.shape, axes)
    maps = [_flat(grid[place]) for place in where]
    told = _told(grids[:-1], grid.shape, where, prior)

    def encode(_: tuple[int, ...], items: "list[tuple[Grid, list[Grid]]]") -> list[bytes]:
        return prior.encode(*_apart(items, prior))

    items = list(zip(maps, told, strict=True))
    return list(by_shape(encode, [m.shape for m in maps], items, _together(axes)))


def coded_size(payloads: list[bytes], *, last: bool) -> int:
    """Return the bytes that the frames of payloads take; see `write_coded` for `last`."""
    lengths = payloads[:-1] if last else payloads
    return sum(len(p) + CRC_BYTES for p in payloads) + sum(len(varint(len(p))) for p in lengths)


def write_coded(
    grid: "Grid", axes: str, payloads: list[bytes], crc: int, *, last: bool
) -> tuple[bytes, int]:
    """Return the range-coded frames of a map behind something of this CRC, and the new CRC.

    Args:
        grid: the map.
        axes: of the map.
        payloads: what `code` made of it.
        crc: to go on from.
        last: the file ends with it, so that the length of the last payload goes without saying.
    """
    places = blocks(grid.shape, axes)
    out = bytearray()
    for number, (place, payload) in enumerate(zip(places, payloads, strict=True), 1):
        crc = crc_of(grid[place], zlib.crc32(payload, crc))
        if not last or number < len(payloads):
            out += varint(len(payload))
        out += payload + crc.to_bytes(CRC_BYTES, "little")
    return bytes(out), crc


def read_coded(
    read: Reader,
    before: "Sequence[Grid]",
    shape: tuple[int, ...],
    axes: str,
    prior: CodingPrior,
    crc: int,
    *,
    last: bool,
) -> "tuple[Grid, int]":
    """Reverse `write_coded` and `code`; stop where damage shows.

    Args:
        read: where to go on.
        before: the coarser maps, which were read.
        shape: of the map.
        axes: of the map.
        prior: of the map.
        crc: to go on from.
        last: as `write_coded` was told.

    Raises:
        FormatError: it is truncated, damaged, or claims more indices than its bytes could tell.
    """
    import numpy as np

    _block_count(read, shape, axes)
    where = blocks(shape, axes)
    shapes = [tuple(s.stop - s.start for s in block)[-2:] for block in where]
    payloads: list[bytes] = []
    stored = []
    for count, block in enumerate(shapes, 1):
        ends = last and count == len(shapes)
        length = read.left - CRC_BYTES if ends else read.varint()
        payloads.append(read.take(max(0, length)))
        stored.append(stored_crc(read))
        _check_length(prior, block, payloads[-1])
    grid = np.empty(shape, np.uint16)
    told = _told(before, shape, where, prior)

    def decode(shape: tuple[int, ...], items: "list[tuple[bytes, list[Grid]]]") -> "list[Grid]":
        coded, around = _apart(items, prior)
        return list(prior.decode(coded, shape, around))

    decoded = by_shape(decode, shapes, list(zip(payloads, told, strict=True)), _together(axes))
    with contextlib.closing(decoded):
        for place, found, payload, check in zip(where, decoded, payloads, stored, strict=True):
            crc = crc_of(found, zlib.crc32(payload, crc))
            if crc != check:
                raise FormatError("damaged: the checksum is wrong")
            grid[place] = found
    return grid, crc


def skip_coded(read: Reader, shape: tuple[int, ...], axes: str) -> None:
    """Pass over the range-coded frames of a map that is not the end of a file of version 1.

    Raises:
        FormatError: it is truncated.
    """
    for _ in range(_block_count(read, shape, axes)):
        read.take(read.varint() + CRC_BYTES)


def _block_count(read: Reader, shape: tuple[int, ...], axes: str) -> int:
    """Return how many blocks a map has; raise FormatError if so many cannot follow."""
    number = math.prod(-(-n // side) for n, side in zip(shape, BLOCKS[axes], strict=True))
    if number * CRC_BYTES > read.left:
        raise FormatError("truncated or damaged: too short for its indices")
    return number


def _told(
    before: "Sequence[Grid]",
    shape: tuple[int, ...],
    where: list[tuple[slice, ...]],
    prior: CodingPrior,
) -> "list[list[Grid]]":
    """Return for each block of a map what its prior is told of the maps before.

    Raises:
        FormatError: they are not such as it knows.
    """
    told = before[len(before) - len(prior.coarser) :]
    for grid, size in zip(told, prior.coarser, strict=True):
        if grid.shape != shape or int(grid.max()) >= size:
            raise FormatError("damaged: its maps are not those that its coding prior knows")
    return [[_flat(grid[place]) for grid in told] for place in where]


def _apart(
    items: "list[tuple[T, list[Grid]]]", prior: CodingPrior
) -> "tuple[list[T], list[list[Grid]]]":
    """Return what is coded of blocks, and of each map before it those of all of them."""
    around = [[told[j] for _, told in items] for j in range(len(prior.coarser))]
    return [item for item, _ in items], around


def decode_blocks(
    read: Reader, before: "Sequence[Grid]", shape: tuple[int, ...], axes: str, prior: CodingPrior
) -> "Grid":
    """Return a map from its payloads, as `code` made them, each behind its length.

    Raises:
        FormatError: it is truncated, or claims more indices than its bytes could tell.
    """
    import numpy as np

    where = blocks(shape, axes)
    shapes = [tuple(s.stop - s.start for s in block)[-2:] for block in where]
    payloads = []
    for block in shapes:
        payloads.append(read.take(read.varint()))
        _check_length(prior, block, payloads[-1])
    grid = np.empty(shape, np.uint16)
    told = _told(before, shape, where, prior)

    def decode(shape: tuple[int, ...], items: "list[tuple[bytes, list[Grid]]]") -> "list[Grid]":
        coded, around = _apart(items, prior)
        return list(prior.decode(coded, shape, around))

    decoded = by_shape(decode, shapes, list(zip(payloads, told, strict=True)), _together(axes))
    with contextlib.closing(decoded):
        for place, found in zip(where, decoded, strict=True):
            grid[place] = found
    return grid


def _check_length(prior: CodingPrior, block: tuple[int, ...], payload: bytes) -> None:
    """Raise FormatError if a payload cannot tell all indices of a block."""
    most = prior.most_per_byte
    if most is not None and math.prod(block) > most * (len(payload) + HIDDEN_BYTES):
        raise FormatError("truncated or damaged: too short for its indices")


def _flat(block: "Grid") -> "Grid":
    """Return a block as priors take it, (h, w): one of a video is of one picture."""
    return block.reshape(block.shape[-2:])


def blocks(shape: tuple[int, ...], axes: str) -> list[tuple[slice, ...]]:
    """Return where the blocks of a grid lie, row after row."""
    cuts = [
        [slice(start, min(n, start + side)) for start in range(0, n, side)]
        for n, side in zip(shape, BLOCKS[axes], strict=True)
    ]
    return list(itertools.product(*cuts))


def _together(axes: str) -> Callable[[tuple[int, ...]], int]:
    """Return how many blocks of a shape one thread codes side by side, at most."""
    return lambda shape: TOGETHER[axes] // shape[0]


def by_shape(
    code: Callable[[S, list[T]], list[R]],
    shapes: list[S],
    items: list[T],
    together: Callable[[S], int],
) -> Generator[R, None, None]:
    """Code items of equal shape together, groups of them on all cores; yield results in order.

    To close it early leaves undone what has not begun.

    Args:
        code: gets a shape and some items, and returns a result for each.
        shapes: of the items.
        items: what to code.
        together: how many of a shape are a group, at most.
    """
    cores = usable_cores()
    places: dict[S, list[int]] = {}
    for place, shape in enumerate(shapes):
        places.setdefault(shape, []).append(place)
    groups = []
    for shape, found in places.items():
        size = max(1, min(together(shape), -(-len(found) // cores)))
        groups += [(shape, found[i : i + size]) for i in range(0, len(found), size)]
    groups.sort(key=lambda group: group[1])
    results: dict[int, R] = {}
    following = 0
    pool = ThreadPoolExecutor(cores)
    try:
        coded = pool.map(lambda g: code(g[0], [items[place] for place in g[1]]), groups)
        for (_, found), group in zip(groups, coded, strict=True):
            results.update(zip(found, group, strict=True))
            while following in results:
                yield results.pop(following)
                following += 1
    finally:
        pool.shutdown(cancel_futures=True)


def crc_of(run: "Grid", crc: int) -> int:
    """Return the CRC-32 of indices behind something of this CRC."""
    return zlib.crc32(run.astype("<u2", copy=False).tobytes(), crc)


def stored_crc(read: Reader) -> int:
    """Read a CRC-32."""
    return int.from_bytes(read.take(CRC_BYTES), "little")
