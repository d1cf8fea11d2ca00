"""Code files for people who count bytes: ``.vqc``, format versions 1 to 4.

Version 2 is written for what version 1 cannot say: several index maps, of which each is packed or
range-coded, or all of them together, range-coded video, and conditions. Version 3 is video whose
maps are one a frame, in groups of frames that stand for themselves, so that it can be written and
read as it comes, and entered anywhere. Version 4 is written where `vqcodec.files.profiles` knows
what the file would say of its maps: those of shipped weights, all of them range-coded. All else is
written as version 1. All are read.

All numbers are unsigned and little-endian. A *varint* holds 7 bits a byte, low bits first; the high
bit says that more follow; at most 9 bytes, the last of several not zero (one spelling a number).

====================  ==========================================================================
magic                 3 bytes, ``VQC``
version               u8, 1, 2 or 3
flags                 u8: bits 0-1 axes (0 ``hw``, 1 ``ct``, 2 ``thw``); bit 2 sections follow;
                      bit 3 the coded size differs from the original; bit 4 the indices are
                      range-coded; bit 5 a stream, whose length was not known at its start: of
                      ``ct``, one grid or in version 2 several of one stride; bits 3, 4 and 6 not
                      set. In version 2 bit 4 says that a condition is told, bit 6 that the maps are
                      coded together. Version 3 is always ``thw`` with bit 5 set, and bit 4 not;
                      there bit 6 says that frames are coded by one prior that has seen those
                      before. Bit 7, and in version 1 bit 6, must be 0
codebook id           4 bytes, of the SHA-256 of the codebook(s)
model                 u8 length, then that many ASCII characters
prior id              4 bytes, only in version 1 with flag bit 4, and from 2 on with flag bit 6:
                      which coding prior is needed
condition             u8, only in version 2 with flag bit 4: the class of the codes under the coding
                      prior, not 0
grids                 u8, number of index maps, 1 to 16, coarse to fine
per grid              varint K - 1, then one varint stride - 1 for ``hw`` (both axes), one for
                      ``ct`` (time; every channel is kept), two for ``thw`` (time; both others):
                      along an axis a grid has ceil(coded size / stride) cells; from version 2 on
                      then u8 how it is held: 0 packed, 1 range-coded (in version 3 where that is
                      smaller), which 4 bytes follow: the prior id. Of maps that are coded together
                      this is left out, and 0 for K - 1 means the K of the map before
original size         one varint n - 1 per axis; of a stream, of the channels, or of height and
                      width, alone
coded size            likewise, only with flag bit 3
sections              only with flag bit 2: type u8, length varint, content; a type of 0, without
                      length, ends them. Type 1 is the transparency: zlib data of height x width
                      bytes, each less the one above it (mod 256). Type 2 tells of a sound: varint
                      sample rate in Hz; i8 level, the decibels by which it was made louder before
                      it was coded; the rest is the speaker vector, i8 each, maybe empty. Type 3
                      tells of a video: varints a and b, of a / b frames a second. Type 4 is the
                      tint of a picture, by `vqcodec.files.tint`: what to do with it after decoding
                      `vqcodec.codec.tint` says. Unknown types are skipped.
frames                of the grids, one after the other, coarse to fine: those before the end of a
                      grid are all that it takes to decode it, and those coarser, and in version
                      2 a file may end there. In version 1 with flag bit 4 they are range-coded, of
                      one grid of ``hw`` or ``ct``
packed frames         runs of 65,536 indices in reading order (the last run of a grid holds what is
                      left): the indices, ceil(log2 K) bits each, highest bit first, zero-padded to
                      a whole byte; then a CRC-32
range-coded frames    of at most 2^24 cells in a file: blocks of at most 256 x 256 cells (``hw``),
                      8 x 4096 (``ct``) or 1 x 256 x 256 (``thw``), row after row: varint length of
                      the payload (in version 1 not in the last block, whose payload leaves four
                      bytes to the end of the file); the payload, by `vqcodec.coding.rangecoder`
                      with the frequencies and the order of `vqcodec.coding.contextmodel`, every
                      grid by its own prior, which may be told of those before it, of its shape; or,
                      where the prior id is that of such a prior, a lane by `vqcodec.coding.lanes`
                      with the frequencies of `vqcodec.coding.causal`, in the same order; then a
                      CRC-32
frames of maps that   of at most 36 x 2^20 cells of ``hw`` in a file, each map with 1, 2, 4, 8 or 16
are coded together    cells along the side of one of the map before. They are cut into blocks of at
                      most 256 x 256 cells of the last map and what lies there in the others, row
                      after row, which know nothing of each other. The frame of a map holds for
                      each block a lane for every 8,192 of its cells, begun ones included: varint
                      length, and so many bytes, by `vqcodec.coding.lanes` with the frequencies of
                      `vqcodec.coding.lattice` in the order of `vqcodec.coding.quadtree`; and then a
                      CRC-32, of all maps but the last its two low bytes
stream                with flag bit 5: frames of about a second each: varint cells, 1 or more; for
                      each grid as many indices of each channel, at most 65,536 in all: channel
                      after channel, packed as above; or range-coded as above, varint length of the
                      payload and the payload, after the last 128 cells of the frames before it,
                      which are known; a CRC-32. Then the end: a 0; varint n - 1 of the
                      original samples, and of the coded ones, in each channel; a CRC-32
groups                in version 3: varint frames, 1 to 1,024; varint length of the content; the
                      content; a CRC-32. Content: of each frame, a varint how long it is shown, in
                      the parts of a second that section 3 tells; of each grid, u8 how it is held:
                      0, as many indices as its frames have, packed as above without a CRC-32; or 1,
                      of each block as above the length and the payload; or, of the one grid that
                      there may be then, of at most 2^19 cells a frame, 2, of each frame a lane for
                      every 8,192 of its cells, begun ones included: varint length, and so many
                      bytes, by `vqcodec.coding.lanes` with the frequencies of
                      `vqcodec.coding.framemodel`, which has seen the frames before in the group, in
                      the order of `vqcodec.coding.quadtree`. Or, for all grids at once, 3 and the
                      bytes of `vqcodec.files.moving`.
                      Then the end: a 0; varint frames in all; a CRC-32
====================  ==========================================================================

The CRC-32 of a frame goes on from that of the frame before it, the first from that of everything
before the frames; it covers the payload if range-coded, then the indices as u16; in a stream, the
bytes of the frame or the end, then the indices of its range-coded grids as u16. In version 3 it is
of everything before the groups, then a varint, the number of the group from 0 on (of the end, how
many there are), then the content, or the number of frames in all. Nothing follows the last frame,
or the end. Changing any of this is a breaking release.

Version 4 begins otherwise, and goes on like version 2; of maps that are coded together its
checksums are shorter: the low three bytes of the CRC-32 of the last map, the low one of any other.
A file of one map that is coded by itself ends as one of version 1 does.

====================  ==========================================================================
magic, version        3 bytes ``VQC``; u8, 4
profile               u8: its number in `vqcodec.files.profiles`
flags                 u8: bit 0 sections follow; bit 1 the coded size differs from the original; bit
                      2 a condition is told; bits 3-6 the number of maps less one. Bit 7 must be 0
condition, sizes,     as above
sections, frames
====================  ==========================================================================
"""

import itertools
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vqcodec.coding.lattice import LatticeModel
from vqcodec.coding.movingmodel import FramePrior
from vqcodec.errors import FormatError
from vqcodec.files import joint, videoframes, videostream
from vqcodec.files.contents import MAX_CODES, Contents, MediaInfo
from vqcodec.files.frames import (
    MAX_CODED,
    CodingPrior,
    code,
    coded_size,
    packed_size,
    write_coded,
    write_packed,
)
from vqcodec.files.header import MAGIC, STREAM, Header, read_header, write_header
from vqcodec.files.mapreader import FindPrior, map_ends, read_maps
from vqcodec.files.reader import Reader
from vqcodec.files.stream import StreamFrames

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Grid = NDArray[np.uint16]

    Payloads = list[list[bytes] | None]  # of the blocks of each map; None where it is packed

__all__ = ["MAGIC", "dump", "is_coded", "is_stream", "is_video", "load"]

IDENTITY_BYTES = 4  # of a coding prior


def dump(
    codes: Contents,
    priors: "Sequence[CodingPrior] | LatticeModel | FramePrior" = (),
) -> bytes:
    """Serialise codes; equal codes give equal bytes.

    Args:
        codes: what to write.
        priors: of each map, or of the first, or none, or one of all maps, or of successive frames:
            range-code the maps for which, or all if that is smaller than packing them.
    """
    if videostream.is_stream_of_frames(codes):
        return videostream.dump(codes, priors)
    if isinstance(priors, FramePrior):
        priors = ()
    if isinstance(priors, LatticeModel):
        coded = _dump_jointly(codes, priors)
        packed = _dump(codes, ())
        return coded if coded is not None and len(coded) < len(packed) else packed
    cells = sum(grid.size for grid in codes.grids)
    known = tuple(prior.codebook_size for prior in priors)
    if cells > MAX_CODED or known != codes.codebook_sizes[: len(known)]:
        priors = ()
    return _dump(codes, priors)


def _dump(codes: Contents, priors: Sequence[CodingPrior]) -> bytes:
    last = len(codes.grids) == 1 and codes.axes != "thw"  # as versions 1 and 4 are written
    coded: Payloads = [
        code(codes.grids[: i + 1], codes.axes, prior) for i, prior in enumerate(priors)
    ]
    fewer: Payloads = [
        own if own and _is_smaller(own, grid, size, last=last) else None
        for own, grid, size in zip(coded, codes.grids, codes.codebook_sizes, strict=False)
    ]
    # with all of them coded there may be a profile
    return min((_with(codes, priors, own, last=last) for own in (fewer, coded)), key=len)


def _with(
    codes: Contents, priors: Sequence[CodingPrior], payloads: "Payloads", *, last: bool
) -> bytes:
    """Return a file of which the maps are packed that have no payloads."""
    payloads = payloads + [None] * (len(codes.grids) - len(priors))
    identities = [None if p is None else priors[i].identity for i, p in enumerate(payloads)]
    out = write_header(Header.of(codes, tuple(identities)))
    crc = zlib.crc32(out)
    for grid, size, coded in zip(codes.grids, codes.codebook_sizes, payloads, strict=True):
        if coded is None:
            frames, crc = write_packed(grid, size, crc)
        else:
            frames, crc = write_coded(grid, codes.axes, coded, crc, last=last)
        out += frames
    return out


def _dump_jointly(codes: Contents, model: LatticeModel) -> bytes | None:
    """Return codes range-coded by one prior of all maps; None where it is not one of such codes."""
    number = len(codes.grids)
    if (
        codes.codebook_sizes != model.codebook_sizes[:number]
        or not 0 <= codes.condition < model.conditions
        or not joint.fits(model, [grid.shape for grid in codes.grids])
    ):
        return None
    header = Header.of(codes, (model.identity,) * number, joint=True)
    out = write_header(header)
    coded = joint.code(codes.grids, model, codes.condition, codes.chosen)
    return out + joint.write(codes.grids, coded, zlib.crc32(out), header.checks)


def _is_smaller(payloads: list[bytes], grid: "Grid", codebook_size: int, *, last: bool) -> bool:
    """Tell whether what a prior makes of a map is smaller than the map packed."""
    size = coded_size(payloads, last=last) + IDENTITY_BYTES
    return size < packed_size(grid.shape, codebook_size)


def is_coded(data: bytes) -> bool:
    """Tell whether indices of a readable file are range-coded."""
    return read_header(Reader(data)).coded


def map_bytes(data: bytes) -> list[int]:
    """Return the bytes that each map takes in a readable file, of those it holds.

    Nothing where it is not told where a map ends.
    """
    read = Reader(data)
    header = read_header(read)
    if header.stream or header.alone:
        return []
    ends = [read.position, *map_ends(read, header)[0]]
    return [end - start for start, end in itertools.pairwise(ends)]


def is_stream(data: bytes) -> bool:
    """Tell whether a file is a stream of sound; its first five bytes are enough."""
    return data.startswith(MAGIC) and len(data) > 4 and data[3] < 3 and bool(data[4] & STREAM)


def is_video(data: bytes) -> bool:
    """Tell whether a file is a video in groups of frames; its first four bytes are enough."""
    return data.startswith(MAGIC) and len(data) > 3 and data[3] == 3


def load(
    data: bytes, find_prior: FindPrior, *, levels: int | None = None, partial: bool = False
) -> Contents:
    """Reverse `dump`, and read a stream that has ended.

    A file that was cut where a map ends is one of fewer maps.

    Args:
        data: the bytes of a file.
        find_prior: called, for each range-coded map, with the model's name, the codebook id, the
            prior id and the number of the map, from 0; once, and with None, for one of all maps.
        levels: read so many maps only, from the coarsest on.
        partial: of a file that was cut elsewhere take the maps, or groups, that are whole.

    Raises:
        FormatError: not such a file, damaged, or of a newer version. The size of the file is
            compared with what the header implies before anything of that size is allocated.
    """
    read = Reader(data)
    header = read_header(read)
    media, condition = header.media, header.condition
    if header.version == 3:
        grids, media, condition = videoframes.load(read, header, find_prior, partial=partial)
    elif header.stream:
        grids, media = _read_stream(read, header, find_prior)
    else:
        grids = read_maps(read, header, find_prior, levels=levels, partial=partial)
    sizes, model, identity = header.codebook_sizes, header.model, header.codebook_id
    held = sizes[: len(grids)]
    missing = 0 if levels else len(sizes) - len(held)
    return Contents(
        tuple(grids), held, header.axes, model, identity, media, condition, missing=missing
    )


def _read_stream(
    read: Reader, header: Header, find_prior: FindPrior
) -> "tuple[list[Grid], MediaInfo]":
    import numpy as np

    stream = StreamFrames(read, header, find_prior)
    frames, total = [], 0
    for frame in stream:
        frames.append(frame)
        total += frame.size
        if total > MAX_CODES:
            raise FormatError(f"holds {total:,} indices, more than any file may")
    return list(np.concatenate(frames, axis=2)), stream.media
