"""Code files for people who count bytes: ``.vqc``, format version 1.

All numbers are unsigned and little-endian. A *varint* holds 7 bits a byte, low bits first; the high
bit says that more follow; at most 9 bytes, the last of several not zero (one spelling a number).

====================  ==========================================================================
magic                 3 bytes, ``VQC``
version               u8, 1
flags                 u8: bits 0-1 axes (0 ``hw``, 1 ``ct``, 2 ``thw``); bit 2 sections follow;
                      bit 3 the coded size differs from the original; bit 4 the indices are
                      range-coded; bit 5 a stream, whose length was not known at its start: one
                      ``ct`` grid, bits 3 and 4 not set; bits 6-7 must be 0
codebook id           4 bytes, of the SHA-256 of the codebook(s)
model                 u8 length, then that many ASCII characters
prior id              4 bytes, only with flag bit 4: which coding prior is needed
grids                 u8, number of index maps, 1 to 16, coarse to fine
per grid              varint K - 1, then one varint stride - 1 for ``hw`` (both axes), one for
                      ``ct`` (time; every channel is kept), two for ``thw`` (time; both others):
                      along an axis a grid has ceil(coded size / stride) cells
original size         one varint n - 1 per axis; of a stream, of the channels alone
coded size            likewise, only with flag bit 3
sections              only with flag bit 2: type u8, length varint, content; a type of 0, without
                      length, ends them. Type 1 is the transparency: zlib data of height x width
                      bytes, each less the one above it (mod 256). Type 2 tells of a sound: varint
                      sample rate in Hz; i8 level, the decibels by which it was made louder before
                      it was coded; the rest is the speaker vector, i8 each, maybe empty. Unknown
                      types are skipped.
packed frames         without flag bit 4: grid after grid, in runs of 65,536 indices in reading
                      order (the last run of a grid holds what is left): the indices, ceil(log2 K)
                      bits each, highest bit first, zero-padded to a whole byte; then a CRC-32
range-coded frames    with flag bit 4, of one grid of at most 2^24 cells: blocks of at most
                      256 x 256 cells (``hw``) or 8 x 4096 (``ct``), row after row: varint length of
                      the payload (not in the last block, whose payload leaves four bytes to the
                      end of the file); the payload, by `vqcodec.coding.rangecoder` with the
                      frequencies and the order of `vqcodec.coding.contextmodel`; then a CRC-32
stream                with flag bit 5: frames of about a second each: varint cells, 1 or more; as
                      many indices of each channel, channel after channel, at most 65,536 in all,
                      packed as above; a CRC-32. Then the end: a 0; varint n - 1 of the original
                      samples, and of the coded ones, in each channel; a CRC-32
====================  ==========================================================================

The CRC-32 of a frame goes on from that of the frame before it, the first from that of everything
before the frames; it covers the payload if range-coded, then the indices as u16; in a stream, the
bytes of the frame or the end. Nothing follows the last frame, or the end. Changing any of this is a
breaking release.
"""

import dataclasses
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from vqcodec.errors import FormatError
from vqcodec.files.contents import MAX_CODES, Contents, MediaInfo
from vqcodec.files.frames import (
    BLOCKS,
    MOST_CODED,
    Prior,
    packed_size,
    read_coded,
    read_packed,
    write_coded,
    write_packed,
)
from vqcodec.files.header import CODED, MAGIC, STREAM, Header, read_header, write_header
from vqcodec.files.reader import Reader
from vqcodec.files.stream import StreamFrames

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MAGIC", "dump", "is_coded", "is_stream", "load"]


def dump(codes: Contents, prior: Prior | None = None) -> bytes:
    """Serialise codes; equal codes give equal bytes.

    Args:
        codes: what to write.
        prior: range-code the indices with it, where that is smaller than packing them.
    """
    header = Header.of(codes)
    packed = write_header(header)
    crc = zlib.crc32(packed)
    for grid, size in zip(codes.grids, codes.codebook_sizes, strict=True):
        frames, crc = write_packed(grid, size, crc)
        packed += frames
    if prior is None or codes.axes not in BLOCKS or codes.codebook_sizes != (prior.codebook_size,):
        return packed
    if header.cells > MOST_CODED:
        return packed
    coded = write_header(dataclasses.replace(header, prior_id=prior.identity))
    coded += write_coded(codes.grids[0], codes.axes, prior, zlib.crc32(coded))
    return min(packed, coded, key=len)


def is_coded(data: bytes) -> bool:
    """Tell whether the indices of a readable file are range-coded."""
    return bool(data[len(MAGIC) + 1] & CODED)


def is_stream(data: bytes) -> bool:
    """Tell whether a file is a stream; its first five bytes are enough."""
    return data.startswith(MAGIC) and len(data) > 4 and bool(data[4] & STREAM)


FindPrior = Callable[[str, bytes, bytes], Prior]


def load(data: bytes, find_prior: FindPrior) -> Contents:
    """Reverse `dump`, and read a stream that has ended.

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
    media = header.media
    if header.stream:
        grids, media = _read_stream(read, header)
    else:
        crc = zlib.crc32(read.passed())
        if header.cells > MAX_CODES:
            raise FormatError(f"claims {header.cells:,} indices, more than any file")
        if header.prior_id is None:
            grids = _read_packed(read, header, crc)
        else:
            if header.cells > MOST_CODED:
                raise FormatError(f"claims {header.cells:,} range-coded indices; too many")
            prior = find_prior(header.model, header.codebook_id, header.prior_id)
            if prior.codebook_size != header.codebook_sizes[0]:
                raise FormatError("damaged: its codebook size is not that of its coding prior")
            grids = [read_coded(read, header.shapes[0], header.axes, prior, crc)]
    return Contents(
        tuple(grids), header.codebook_sizes, header.axes, header.model, header.codebook_id, media
    )


def _read_packed(read: Reader, header: Header, crc: int) -> "list[NDArray[np.uint16]]":
    """Read the packed frames of all grids, once the file has just their length."""
    expected = list(zip(header.shapes, header.codebook_sizes, strict=True))
    implied = sum(packed_size(shape, k) for shape, k in expected)
    if read.left != implied:
        what = "truncated" if read.left < implied else "followed by foreign bytes"
        whole = len(read.data) - read.left + implied
        raise FormatError(f"{what}, {len(read.data):,} of {whole:,} bytes")
    grids = []
    for shape, size in expected:
        grid, crc = read_packed(read, shape, size, crc)
        grids.append(grid)
    return grids


def _read_stream(read: Reader, header: Header) -> "tuple[list[NDArray[np.uint16]], MediaInfo]":
    import numpy as np

    stream = StreamFrames(read, header)
    frames, total = [], 0
    for frame in stream:
        frames.append(frame)
        total += frame.size
        if total > MAX_CODES:
            raise FormatError(f"holds {total:,} indices, more than any file may")
    return [np.concatenate(frames, axis=1)], stream.media
