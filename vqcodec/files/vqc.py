"""Code files for people who count bytes: ``.vqc``, format version 1.

All numbers are unsigned and little-endian. A *varint* holds 7 bits a byte, low bits first; the high
bit says that more follow; at most 9 bytes, the last of several not zero (one spelling a number).

====================  ==========================================================================
magic                 3 bytes, ``VQC``
version               u8, 1
flags                 u8: bits 0-1 axes (0 ``hw``, 1 ``ct``, 2 ``thw``); bit 2 sections follow;
                      bit 3 the coded size differs from the original; bits 4-7 must be 0 (kept for
                      range-coded payloads and for streams of unknown length)
codebook id           4 bytes, of the SHA-256 of the codebook(s)
model                 u8 length, then that many ASCII characters
grids                 u8, number of index maps, 1 to 16, coarse to fine
per grid              varint K - 1, then one varint stride - 1 for ``hw`` (both axes), one for
                      ``ct`` (time; every channel is kept), two for ``thw`` (time; both others):
                      along an axis a grid has ceil(coded size / stride) cells
original size         one varint n - 1 per axis
coded size            likewise, only with flag bit 3
sections              only with flag bit 2: type u8, length varint, content; a type of 0, without
                      length, ends them. Type 1 is the transparency: zlib data of height x width
                      bytes, each less the one above it (mod 256). Unknown types are skipped.
frames                grid after grid, in runs of 65,536 indices in reading order (the last run
                      of a grid holds what is left): the indices, ceil(log2 K) bits each, highest
                      bit first, zero-padded to a whole byte; then the CRC-32 of everything before
                      the frames followed by the run as u16
====================  ==========================================================================

Nothing follows the last frame. Changing any of this is a breaking release.
"""

import math
import zlib
from typing import TYPE_CHECKING

from vqcodec.coding.bits import pack, packed_bytes, unpack, width_of
from vqcodec.errors import FormatError
from vqcodec.files.contents import AXES, MAX_CODES, Contents, MediaInfo, check_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAGIC = b"VQC"
VERSION = 1
SECTIONS, SCALED, UNKNOWN = 0b0100, 0b1000, 0b1111_0000
END, ALPHA = 0, 1
FRAME = 1 << 16
CRC_BYTES = 4
# which stride each axis has: hw share one, the channels of ct have none of their own
STRIDES = {"hw": (0, 0), "ct": (None, 0), "thw": (0, 1, 1)}


def dump(codes: Contents) -> bytes:
    """Serialise codes; equal codes give equal bytes."""
    media = codes.media
    scaled = media.coded_size != media.size
    flags = AXES.index(codes.axes)
    flags |= SECTIONS * (media.alpha is not None) | SCALED * scaled
    out = bytearray(MAGIC + bytes([VERSION, flags]) + codes.codebook_id)
    out += bytes([len(codes.model)]) + codes.model.encode("ascii")
    out.append(len(codes.grids))
    for grid, size in zip(codes.grids, codes.codebook_sizes, strict=True):
        out += _varint(size - 1)
        for stride in _strides(grid.shape, media.coded_size, codes.axes):
            out += _varint(stride - 1)
    for n in media.size + (media.coded_size if scaled else ()):
        out += _varint(n - 1)
    if media.alpha is not None:
        content = _pack_alpha(media.alpha)
        out += bytes([ALPHA]) + _varint(len(content)) + content + bytes([END])
    seed = zlib.crc32(out)
    for grid, size in zip(codes.grids, codes.codebook_sizes, strict=True):
        flat = grid.reshape(-1).astype("<u2", copy=False)
        for start in range(0, flat.size, FRAME):
            run = flat[start : start + FRAME]
            out += pack(run, width_of(size)) + _crc(run, seed)
    return bytes(out)


def load(data: bytes) -> Contents:
    """Reverse `dump`.

    Raises:
        FormatError: not such a file, damaged, or of a newer version. The size of the file is
            compared with what the header implies before anything of that size is allocated.
    """
    read = _Reader(data)
    if read.take(3) != MAGIC:
        raise FormatError("not a .vqc file")
    version, flags = read.take(2)
    axes_index = flags & 0b11
    if version != VERSION or flags & UNKNOWN or axes_index >= len(AXES):
        raise FormatError(
            f"needs a newer version of vqcodec (format {version}, flags {flags:#04x})"
        )
    axes = AXES[axes_index]
    codebook_id = read.take(4)
    model = read.take(read.take(1)[0]).decode("ascii", "replace")
    number = read.take(1)[0]
    if not 1 <= number <= 16:
        raise FormatError(f"damaged: {number} index maps")
    sizes, strides = [], []
    for _ in range(number):
        sizes.append(read.varint() + 1)
        distinct = len({i for i in STRIDES[axes] if i is not None})
        strides.append([read.varint() + 1 for _ in range(distinct)])
    size = tuple(read.varint() + 1 for _ in axes)
    coded_size = tuple(read.varint() + 1 for _ in axes) if flags & SCALED else size
    check_size(size, axes)
    check_size(coded_size, axes)
    shapes = [_shape(s, coded_size, axes) for s in strides]
    if sum(map(math.prod, shapes)) > MAX_CODES:
        raise FormatError(f"claims {sum(map(math.prod, shapes)):,} indices, more than any file")
    alpha = _read_sections(read, size) if flags & SECTIONS else None
    implied = sum(_grid_bytes(s, k) for s, k in zip(shapes, sizes, strict=True))
    if read.left != implied:
        what = "truncated" if read.left < implied else "followed by foreign bytes"
        raise FormatError(f"{what}, {len(data):,} of {len(data) - read.left + implied:,} bytes")
    seed = zlib.crc32(memoryview(data)[: read.position])
    grids = tuple(_read_grid(read, s, k, seed) for s, k in zip(shapes, sizes, strict=True))
    media = MediaInfo(size, coded_size, alpha)
    return Contents(grids, tuple(sizes), axes, model, codebook_id, media)


class _Reader:
    """Takes bytes off the front; running out of them is an error."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    @property
    def left(self) -> int:
        return len(self.data) - self.position

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise FormatError(f"truncated after {len(self.data):,} bytes")
        self.position += count
        return self.data[self.position - count : self.position]

    def varint(self) -> int:
        value = 0
        for place in range(9):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                if place and not byte:
                    break
                return value
        raise FormatError("damaged: a number in the header is malformed")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _strides(shape: tuple[int, ...], coded_size: tuple[int, ...], axes: str) -> list[int]:
    """Return the smallest strides that give a grid of this shape."""
    strides = [1] * len({i for i in STRIDES[axes] if i is not None})
    for cells, n, index in zip(shape, coded_size, STRIDES[axes], strict=True):
        if index is not None:
            strides[index] = max(strides[index], -(-n // cells))
    if _shape(strides, coded_size, axes) != shape:
        raise FormatError(f"a map of shape {shape} does not fit a coded size of {coded_size}")
    return strides


def _shape(strides: list[int], coded_size: tuple[int, ...], axes: str) -> tuple[int, ...]:
    return tuple(
        n if index is None else -(-n // strides[index])
        for n, index in zip(coded_size, STRIDES[axes], strict=True)
    )


def _grid_bytes(shape: tuple[int, ...], codebook_size: int) -> int:
    whole, rest = divmod(math.prod(shape), FRAME)
    width = width_of(codebook_size)
    bytes_of_rest = packed_bytes(rest, width) + CRC_BYTES if rest else 0
    return whole * (packed_bytes(FRAME, width) + CRC_BYTES) + bytes_of_rest


def _read_grid(
    read: _Reader, shape: tuple[int, ...], codebook_size: int, seed: int
) -> "NDArray[np.uint16]":
    import numpy as np

    total, width = math.prod(shape), width_of(codebook_size)
    grid = np.empty(total, np.uint16)
    for start in range(0, total, FRAME):
        count = min(FRAME, total - start)
        payload = read.take(packed_bytes(count, width))
        run = unpack(payload, count, width)
        padding = -count * width % 8
        if _crc(run, seed) != read.take(CRC_BYTES) or payload[-1] & ((1 << padding) - 1):
            raise FormatError("damaged: the checksum is wrong")
        grid[start : start + count] = run
    return grid.reshape(shape)


def _crc(run: "NDArray[np.uint16]", seed: int) -> bytes:
    return zlib.crc32(run.astype("<u2", copy=False).tobytes(), seed).to_bytes(CRC_BYTES, "little")


def _read_sections(read: _Reader, size: tuple[int, ...]) -> "NDArray[np.uint8] | None":
    alpha = None
    while (kind := read.take(1)[0]) != END:
        content = read.take(read.varint())
        if kind == ALPHA:
            if alpha is not None:
                raise FormatError("damaged: two transparencies")
            alpha = _unpack_alpha(content, size)
    return alpha


def _pack_alpha(alpha: "NDArray[np.uint8]") -> bytes:
    import numpy as np

    above = np.vstack([np.zeros_like(alpha[:1]), alpha[:-1]])
    return zlib.compress((alpha - above).tobytes(), 9)


def _unpack_alpha(content: bytes, size: tuple[int, ...]) -> "NDArray[np.uint8]":
    import numpy as np

    total = math.prod(size)
    # deflate cannot shrink by more than 1,032 times, so the claim is checked before it is met
    if len(size) != 2 or total > 1100 * len(content):
        raise FormatError("damaged: the transparency does not fit the picture")
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(content, total)
        # The output limit may stop just before the checksum is looked at.
        rest = b"" if inflate.eof else inflate.decompress(inflate.unconsumed_tail, 1)
    except zlib.error:
        raise FormatError("damaged: the transparency cannot be read") from None
    if len(raw) != total or rest or not inflate.eof or inflate.unused_data:
        raise FormatError("damaged: the transparency does not fit the picture")
    return np.cumsum(np.frombuffer(raw, np.uint8).reshape(size), axis=0, dtype=np.uint8)
