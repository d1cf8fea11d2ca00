"""Code files for people who count bytes: ``.vqc``, format version 1.

All numbers are unsigned and little-endian. A *varint* holds 7 bits a byte, low bits first; the high
bit says that more follow; at most 9 bytes, the last of several not zero (one spelling a number).

====================  ==========================================================================
magic                 3 bytes, ``VQC``
version               u8, 1
flags                 u8: bits 0-1 axes (0 ``hw``, 1 ``ct``, 2 ``thw``); bit 2 sections follow;
                      bit 3 the coded size differs from the original; bit 4 the indices are
                      range-coded; bits 5-7 must be 0 (kept for streams of unknown length)
codebook id           4 bytes, of the SHA-256 of the codebook(s)
model                 u8 length, then that many ASCII characters
prior id              4 bytes, only with flag bit 4: which coding prior is needed
grids                 u8, number of index maps, 1 to 16, coarse to fine
per grid              varint K - 1, then one varint stride - 1 for ``hw`` (both axes), one for
                      ``ct`` (time; every channel is kept), two for ``thw`` (time; both others):
                      along an axis a grid has ceil(coded size / stride) cells
original size         one varint n - 1 per axis
coded size            likewise, only with flag bit 3
sections              only with flag bit 2: type u8, length varint, content; a type of 0, without
                      length, ends them. Type 1 is the transparency: zlib data of height x width
                      bytes, each less the one above it (mod 256). Unknown types are skipped.
packed frames         without flag bit 4: grid after grid, in runs of 65,536 indices in reading
                      order (the last run of a grid holds what is left): the indices, ceil(log2 K)
                      bits each, highest bit first, zero-padded to a whole byte; then a CRC-32
range-coded frames    with flag bit 4, of one grid: blocks of at most 256 x 256 cells (``hw``) or
                      8 x 4096 (``ct``), row after row: varint length of the payload (not in the
                      last block, whose payload leaves four bytes to the end of the file); the
                      payload, by `vqcodec.coding.rangecoder` with the frequencies and the order of
                      `vqcodec.coding.contextmodel`; then a CRC-32
====================  ==========================================================================

The CRC-32 of a frame goes on from that of the frame before it, the first from that of everything
before the frames; it covers the payload if range-coded, then the indices as u16. Nothing follows
the last frame. Changing any of this is a breaking release.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqcodec.errors import FormatError
from vqcodec.files.contents import AXES, MAX_CODES, Contents, MediaInfo, check_size
from vqcodec.files.frames import (
    BLOCKS,
    Prior,
    packed_size,
    read_coded,
    read_packed,
    write_coded,
    write_packed,
)
from vqcodec.files.reader import Reader, varint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAGIC = b"VQC"
VERSION = 1
SECTIONS, SCALED, CODED, UNKNOWN = 0b0100, 0b1000, 0b1_0000, 0b1110_0000
END, ALPHA = 0, 1
# which stride each axis has: hw share one, the channels of ct have none of their own
STRIDES = {"hw": (0, 0), "ct": (None, 0), "thw": (0, 1, 1)}


def dump(codes: Contents, prior: Prior | None = None) -> bytes:
    """Serialise codes; equal codes give equal bytes.

    Args:
        codes: what to write.
        prior: range-code the indices with it, where that is smaller than packing them.
    """
    packed = _header(codes, None)
    crc = zlib.crc32(packed)
    for grid, size in zip(codes.grids, codes.codebook_sizes, strict=True):
        frames, crc = write_packed(grid, size, crc)
        packed += frames
    if prior is None or codes.axes not in BLOCKS or codes.codebook_sizes != (prior.codebook_size,):
        return packed
    coded = _header(codes, prior)
    coded += write_coded(codes.grids[0], codes.axes, prior, zlib.crc32(coded))
    return min(packed, coded, key=len)


def _header(codes: Contents, prior: Prior | None) -> bytes:
    """Return all that comes before the frames."""
    media = codes.media
    scaled = media.coded_size != media.size
    flags = AXES.index(codes.axes) | CODED * (prior is not None)
    flags |= SECTIONS * (media.alpha is not None) | SCALED * scaled
    out = bytearray(MAGIC + bytes([VERSION, flags]) + codes.codebook_id)
    out += bytes([len(codes.model)]) + codes.model.encode("ascii")
    if prior is not None:
        out += prior.identity
    out.append(len(codes.grids))
    for grid, size in zip(codes.grids, codes.codebook_sizes, strict=True):
        out += varint(size - 1)
        for stride in _strides(grid.shape, media.coded_size, codes.axes):
            out += varint(stride - 1)
    for n in media.size + (media.coded_size if scaled else ()):
        out += varint(n - 1)
    if media.alpha is not None:
        content = _pack_alpha(media.alpha)
        out += bytes([ALPHA]) + varint(len(content)) + content + bytes([END])
    return bytes(out)


def is_coded(data: bytes) -> bool:
    """Tell whether the indices of a readable file are range-coded."""
    return bool(data[len(MAGIC) + 1] & CODED)


FindPrior = Callable[[str, bytes, bytes], Prior]


def load(data: bytes, find_prior: FindPrior) -> Contents:
    """Reverse `dump`.

    Args:
        data: the bytes of a file.
        find_prior: called, for range-coded files, with the model's name, the codebook id and the
            prior id.

    Raises:
        FormatError: not such a file, damaged, or of a newer version. The size of the file is
            compared with what the header implies before anything of that size is allocated.
    """
    read = Reader(data)
    header = read_header(read)
    if sum(map(math.prod, header.shapes)) > MAX_CODES:
        raise FormatError(
            f"claims {sum(map(math.prod, header.shapes)):,} indices, more than any file"
        )
    sizes = header.codebook_sizes
    crc = zlib.crc32(memoryview(data)[: read.position])
    if header.prior_id is None:
        grids = _read_packed(read, header.shapes, list(sizes), crc)
    else:
        prior = find_prior(header.model, header.codebook_id, header.prior_id)
        if prior.codebook_size != sizes[0]:
            raise FormatError("damaged: its codebook size is not that of its coding prior")
        grids = [read_coded(read, header.shapes[0], header.axes, prior, crc)]
    return Contents(
        tuple(grids), sizes, header.axes, header.model, header.codebook_id, header.media
    )


@dataclass(frozen=True)
class Header:
    """All that a file says before its indices.

    Attributes:
        axes: those of `Contents`, as are `model` and `codebook_id`.
        model: see there.
        codebook_id: see there.
        codebook_sizes: K of each map.
        shapes: of the maps.
        media: what the indices are made from.
        prior_id: of the coding prior, if the indices are range-coded.
    """

    axes: str
    model: str
    codebook_id: bytes
    codebook_sizes: tuple[int, ...]
    shapes: list[tuple[int, ...]]
    media: MediaInfo
    prior_id: bytes | None


def read_header(read: Reader) -> Header:
    """Read what comes before the frames; no checksum has been looked at when it returns.

    Raises:
        FormatError: not such a file, damaged, or of a newer version.
    """
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
    if not model.isprintable():  # it will be quoted on terminals
        raise FormatError("damaged: the model's name is malformed")
    prior_id = read.take(4) if flags & CODED else None
    number = read.take(1)[0]
    if not 1 <= number <= 16 or (prior_id and (number > 1 or axes not in BLOCKS)):
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
    alpha = _read_sections(read, size) if flags & SECTIONS else None
    media = MediaInfo(size, coded_size, alpha)
    return Header(axes, model, codebook_id, tuple(sizes), shapes, media, prior_id)


def _read_packed(
    read: Reader, shapes: list[tuple[int, ...]], sizes: list[int], crc: int
) -> "list[NDArray[np.uint16]]":
    """Read the packed frames of all grids, once the file has just their length."""
    implied = sum(packed_size(s, k) for s, k in zip(shapes, sizes, strict=True))
    if read.left != implied:
        what = "truncated" if read.left < implied else "followed by foreign bytes"
        whole = len(read.data) - read.left + implied
        raise FormatError(f"{what}, {len(read.data):,} of {whole:,} bytes")
    grids = []
    for shape, size in zip(shapes, sizes, strict=True):
        grid, crc = read_packed(read, shape, size, crc)
        grids.append(grid)
    return grids


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


def _read_sections(read: Reader, size: tuple[int, ...]) -> "NDArray[np.uint8] | None":
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
