"""Streams of indices of sound, written and read as they come; a kind of ``.vqc`` file."""

import dataclasses
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from vqcodec.coding.bits import pack, packed_bytes, unpack, width_of
from vqcodec.errors import FormatError
from vqcodec.files.contents import AudioInfo, check_size
from vqcodec.files.frames import CRC_BYTES, RUN
from vqcodec.files.header import Header, read_header, write_header
from vqcodec.files.reader import Reader, StreamReader, varint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Indices = NDArray[np.uint16]


class StreamWriter:
    """Writes a stream to `file`, which need not seek.

    Attributes:
        size: bytes written so far.
    """

    def __init__(self, file: BinaryIO, header: Header) -> None:
        self.size = 0
        self._file, self._crc = file, 0
        (spec,) = header.maps
        self._width = width_of(spec.codebook_size)
        start = write_header(header)
        self._crc = zlib.crc32(start)
        self._give(start)

    def write(self, indices: "Indices") -> None:
        """Write a frame of indices, (channels, n); none if n is 0."""
        step = max(1, RUN // len(indices))
        for start in range(0, indices.shape[1], step):
            part = indices[:, start : start + step]
            self._give(self._sealed(varint(part.shape[1]) + pack(part.reshape(-1), self._width)))

    def finish(self, samples: int, coded_samples: int) -> None:
        """Write the end, which tells how many samples each channel had, and how many were coded."""
        self._give(self._sealed(b"\0" + varint(samples - 1) + varint(coded_samples - 1)))

    def _sealed(self, data: bytes) -> bytes:
        self._crc = zlib.crc32(data, self._crc)
        return data + self._crc.to_bytes(CRC_BYTES, "little")

    def _give(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()  # whoever reads it may be waiting
        self.size += len(data)


class StreamFrames:
    """The frames of a stream, one after the other.

    Attributes:
        header: what was told at its start.
        media: what the indices are made from; of its full size once all frames were read.
    """

    def __init__(self, read: Reader, header: Header) -> None:
        """Go on behind a header that was read."""
        assert isinstance(header.media, AudioInfo)  # as `read_header` makes sure
        self.header, self.media = header, header.media
        self._read, self._crc = read, zlib.crc32(read.passed())
        self.media.check()
        (self._spec,) = header.maps
        channels, size = self.media.size[0], self._spec.codebook_size
        if not 2 <= size <= 65536 or channels > RUN:
            raise FormatError(f"damaged: {channels} channels, a codebook of {size}")

    @classmethod
    def open(cls, file: BinaryIO) -> "StreamFrames":
        """Read the header of a stream from a file that need not seek.

        Raises:
            FormatError: it is no stream, or damaged.
        """
        read = StreamReader(file)
        header = read_header(read)
        if not header.stream:
            raise FormatError("not a stream")
        return cls(read, header)

    def __iter__(self) -> "Iterator[Indices]":
        """Yield the indices of each frame, (channels, n).

        Raises:
            FormatError: it is truncated, damaged, or something follows its end.
        """
        total, channels = 0, self.media.size[0]
        while cells := self._read.varint():
            if cells * channels > RUN:
                raise FormatError(f"damaged: a frame claims {cells * channels:,} indices")
            yield self._frame(channels, cells)
            total += cells
        samples, coded = self._read.varint() + 1, self._read.varint() + 1
        self._check()
        if (channels, total) != self._spec.shape((channels, coded)):
            raise FormatError("damaged: its length is not that of its frames")
        if not self._read.ended:
            raise FormatError("followed by foreign bytes")
        for size in ((channels, samples), (channels, coded)):
            check_size(size, self.header.axes)
        self.media = dataclasses.replace(
            self.media, size=(channels, samples), coded_size=(channels, coded)
        )

    def _frame(self, channels: int, cells: int) -> "Indices":
        count, size = channels * cells, self._spec.codebook_size
        width = width_of(size)
        payload = self._read.take(packed_bytes(count, width))
        indices = unpack(payload, count, width)
        self._check()
        if payload[-1] & ((1 << (-count * width % 8)) - 1) or int(indices.max()) >= size:
            raise FormatError(f"damaged: an index is not below the codebook's size {size}")
        return indices.reshape(channels, cells)

    def _check(self) -> None:
        self._crc = zlib.crc32(self._read.passed(), self._crc)
        if self._crc != int.from_bytes(self._read.take(CRC_BYTES), "little"):
            raise FormatError("damaged: the checksum is wrong")
        self._read.passed()  # the checksum is not part of the next
