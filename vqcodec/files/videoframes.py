"""Video in a ``.vqc`` file, read as it comes; `vqcodec.files.videostream` writes it."""

import dataclasses
import math
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from vqcodec.coding.bits import packed_bytes, unpack, width_of
from vqcodec.coding.framemodel import FrameModel
from vqcodec.coding.movingmodel import MovingModel
from vqcodec.errors import FormatError
from vqcodec.files import interframe, moving
from vqcodec.files.contents import MAX_CODES, VideoInfo, check_size, ticks_a_second
from vqcodec.files.frames import CRC_BYTES, decode_blocks
from vqcodec.files.header import PACKED, RANGE_CODED, Header, read_header
from vqcodec.files.mapreader import FindPrior
from vqcodec.files.reader import MAX_AT_ONCE, Reader, StreamReader, Truncated
from vqcodec.files.videostream import (
    AFTER,
    MAX_FRAMES,
    MAX_GROUP_CELLS,
    MOVING,
    Group,
    Priors,
    cells_of,
    crc_of,
    find_priors,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Grid = NDArray[np.uint16]
    Grids = tuple[Grid, ...]


def load(
    read: Reader, header: Header, find_prior: FindPrior, *, partial: bool = False
) -> "tuple[list[Grid], VideoInfo, int]":
    """Read all groups behind a header; see `vqc.load`.

    Returns:
        Their maps, what these are made from, and the condition of the first group.
    """
    import numpy as np

    frames = VideoFrames(read, header, find_priors(header, find_prior), partial=partial)
    groups: list[Grids] = []
    total = condition = 0
    for group in frames:
        condition = condition if groups else group.condition
        groups.append(group.grids)
        total += sum(grid.size for grid in group.grids)
        if total > MAX_CODES:
            raise FormatError(f"holds more than {MAX_CODES:,} indices, too many for memory")
    grids = [np.concatenate(maps) for maps in zip(*groups, strict=True)]
    return grids, frames.media, condition


class VideoFrames:
    """The groups of frames of a video, one after the other.

    Attributes:
        header: what was told at its start.
        media: what the indices are made from; complete once all frames were read.
        cut: whether the file was found to end early, and its whole groups were all.
    """

    def __init__(
        self, read: Reader, header: Header, priors: Priors, *, partial: bool = False
    ) -> None:
        """Go on behind a header that was read.

        Args:
            read: that.
            header: of the file.
            priors: those that it names.
            partial: of a file that was cut short take the groups that are whole.
        """
        assert isinstance(header.media, VideoInfo)  # as `read_header` makes sure
        self.header, self.media = header, header.media
        self._read, self._priors, self._partial, self.cut = read, priors, partial, False
        self._seed = zlib.crc32(read.passed())
        self._cells = cells_of(header.maps, header.media.coded_size[1:])

    @classmethod
    def open(cls, file: BinaryIO, find_prior: FindPrior, *, partial: bool = False) -> "VideoFrames":
        """Read the header of a video from a file that need not seek.

        Args:
            file: a binary file.
            find_prior: see `find_priors`.
            partial: see `__init__`.

        Raises:
            FormatError: it is no video, or damaged.
            WeightsError: a coding prior that it needs is not installed.
        """
        read = StreamReader(file)
        header = read_header(read)
        if header.version != 3:
            raise FormatError("not a stream of video")
        return cls(read, header, find_priors(header, find_prior), partial=partial)

    def __iter__(self) -> Iterator[Group]:
        """Yield all groups."""
        return self.groups()

    def groups(self, first: int = 0) -> Iterator[Group]:
        """Yield the groups from that of frame `first` on.

        Raises:
            FormatError: it is truncated, damaged, or something follows its end.
        """
        number, durations = 0, list[int]()
        total = 0
        while True:
            try:
                frames, content = self._next(number, total)
            except Truncated as error:
                self._end_early(error, durations)
                break
            if not frames:
                break
            total, number = total + frames, number + 1
            check_size((total, *self.media.size[1:]), "thw")
            if total <= first:
                durations += self._durations(Reader(content), frames)
                continue
            group = self._group(Reader(content), frames)
            durations += group.durations
            yield group
        alike = tuple(durations) if set(durations) != {1} else ()
        size, coded = ((total, *s[1:]) for s in (self.media.size, self.media.coded_size))
        self.media = dataclasses.replace(self.media, size=size, coded_size=coded, durations=alike)

    def _next(self, number: int, total: int) -> tuple[int, bytes]:
        """Return how many frames group `number` has, and its content; at the end 0 and nothing."""
        frames = self._read.varint()
        if not frames:
            self._end(number, total)
            return 0, b""
        if frames > MAX_FRAMES or frames * sum(self._cells) > max(
            MAX_GROUP_CELLS, sum(self._cells)
        ):
            raise FormatError(f"damaged: a group claims {frames:,} frames")
        length = self._read.varint()
        if length > frames * (9 + 5 * len(self._cells)) + 5 * frames * sum(self._cells):
            raise FormatError(f"damaged: a group claims {length:,} bytes")
        content = self._take(length)
        self._check(number, content)
        return frames, content

    def _end(self, groups: int, total: int) -> None:
        """Read what follows all groups."""
        self._read.passed()
        told = self._read.varint()
        self._check(groups, self._read.passed())
        if told != total or not total:
            raise FormatError("damaged: its length is not that of its frames")
        if not self._read.ended:
            raise FormatError("followed by foreign bytes")

    def _end_early(self, error: Truncated, durations: list[int]) -> None:
        """Note that the file ends after frames of these durations; an error unless asked for."""
        if not durations:
            raise FormatError(f"{error}: none of its groups of frames is whole")
        if not self._partial:
            seconds = float(sum(durations) / ticks_a_second(self.media))
            number = len(durations)
            frames = "first frame is" if number == 1 else f"first {number:,} frames are"
            raise FormatError(
                f"{error}: its {frames} whole ({seconds:.2f} s), which decode --partial goes by"
            )
        self.cut = True

    def _take(self, length: int) -> bytes:
        """Return so many bytes, however few the reader gives at a time."""
        parts = []
        while length:
            parts.append(self._read.take(min(length, MAX_AT_ONCE)))
            self._read.passed()
            length -= len(parts[-1])
        return b"".join(parts)

    def _check(self, number: int, content: bytes) -> None:
        stored = int.from_bytes(self._read.take(CRC_BYTES), "little")
        if crc_of(self._seed, number, content) != stored:
            raise FormatError("damaged: the checksum is wrong")
        self._read.passed()

    def _durations(self, read: Reader, frames: int) -> tuple[int, ...]:
        return tuple(read.varint() for _ in range(frames))

    def _group(self, read: Reader, frames: int) -> Group:
        durations = self._durations(read, frames)
        grids: list[Grid] = []
        condition, priors = 0, self._priors
        shapes = [s.shape((frames, *self.media.coded_size[1:])) for s in self.header.maps]
        for number, (spec, shape) in enumerate(zip(self.header.maps, shapes, strict=True)):
            kind = read.take(1)[0]
            if kind == PACKED:
                grids.append(_unpack(read, shape, spec.codebook_size))
            elif kind == AFTER and isinstance(priors, FrameModel):
                grids.append(interframe.decode(read, shape, priors))
            elif kind == MOVING and isinstance(priors, MovingModel) and not number:
                grids, condition = moving.decode(read, shapes, priors)
                break
            elif kind == RANGE_CODED and isinstance(priors, Sequence) and priors:
                grids.append(decode_blocks(read, grids, shape, "thw", priors[number]))
            else:
                raise FormatError("damaged: its indices are of an unknown kind")
            if int(grids[-1].max()) >= spec.codebook_size:
                raise FormatError("damaged: an index is not below the codebook's size")
        if read.left:
            raise FormatError("damaged: a group is longer than its frames")
        return Group(tuple(grids), durations, condition)


def _unpack(read: Reader, shape: tuple[int, ...], codebook_size: int) -> "Grid":
    count, width = math.prod(shape), width_of(codebook_size)
    payload = read.take(packed_bytes(count, width))
    if payload[-1] & ((1 << (-count * width % 8)) - 1):
        raise FormatError("damaged: its padding is not empty")
    return unpack(payload, count, width).reshape(shape)
