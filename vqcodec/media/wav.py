"""WAV as a stream: read from pipes and of any claimed length, written to pipes.

Other codings in WAV than integers, floats and those of telephones are left to libsndfile. See
"Multiple Channel Audio Data and WAVE Files" (Microsoft, 2001) for the extensible header.
"""

import os
import struct
from typing import TYPE_CHECKING, BinaryIO

from vqcodec.errors import MediaError
from vqcodec.media.g711 import ALAW, MULAW, table
from vqcodec.media.spans import Spans

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
# bytes that a sample may take
WIDTHS = {PCM: (1, 2, 3, 4), FLOAT: (4, 8), ALAW: (1,), MULAW: (1,)}
ENDLESS = 0x7F000000  # from this size on, a header may say that its writer did not know
UNKNOWN = 0xFFFFFFFF
HEADER_BYTES = 80  # of `wav_header`


class UnknownCoding(MediaError):
    """The samples of a WAV file are coded in a way that is not read here."""


class WavReader:
    """Reads the frames of a WAV file in order, without seeking.

    Attributes:
        channels: how many.
        sample_rate: in Hz.
        frames: samples of each channel, or None where the header does not know.
    """

    def __init__(self, file: BinaryIO | Spans, name: str) -> None:
        """Read the header.

        Raises:
            MediaError: it is damaged.
            UnknownCoding: its samples are coded in none of the ways of `WIDTHS`.
        """
        self.file, self.name = file, name
        self._taken = 0
        riff, whole, _ = struct.unpack("<4sI4s", self._take(12))
        found: tuple[int, ...] | None = None
        while True:
            kind, size = struct.unpack("<4sI", self._take(8))
            if kind == b"data":
                break
            if kind == b"fmt " and 16 <= size <= 4096:
                found = self._format(self._take(size))
                size &= 1
            else:
                size += size & 1
            while size:
                size -= len(self._take(min(size, 1 << 16)))
        if riff != b"RIFF" or found is None:
            raise MediaError(f"{name}: damaged WAV file, without a header")
        self.coding, self.width, self.channels, self.sample_rate = found
        self.frame_bytes = self.channels * self.width
        # where more than this header is announced, there are no samples, but something behind them
        silent = self._taken < whole + 8 < ENDLESS or not self._may_hold(1)
        endless = not silent if size == 0 else size >= ENDLESS and not self._holds(size)
        self.frames = None if endless else size // self.frame_bytes
        self._left = self.frames

    def read(self, count: int) -> "Samples":
        """Return the next `count` frames, (n, channels), fewer only at the end."""
        if self._left is not None:
            count = min(count, self._left)
        data = self.file.read(count * self.frame_bytes)
        data = data[: len(data) // self.frame_bytes * self.frame_bytes]
        if self._left is not None:
            self._left -= len(data) // self.frame_bytes
        return self._samples(data).reshape(-1, self.channels)

    def _samples(self, data: bytes) -> "Samples":
        import numpy as np

        if self.coding in (ALAW, MULAW):
            return table(self.coding)[np.frombuffer(data, np.uint8)]
        if self.coding == FLOAT:
            with np.errstate(over="ignore", invalid="ignore"):  # infinity is what it then is
                return np.frombuffer(data, f"<f{self.width}").astype(np.float32)
        if self.width == 1:
            return np.frombuffer(data, np.uint8).astype(np.float32) / np.float32(128) - np.float32(
                1
            )
        if self.width == 3:
            wide = np.zeros((len(data) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            return wide.view("<i4")[:, 0].astype(np.float32) / np.float32(1 << 31)
        whole = np.frombuffer(data, f"<i{self.width}").astype(np.float32)
        return whole / np.float32(1 << (8 * self.width - 1))

    def _format(self, chunk: bytes) -> tuple[int, ...]:
        """Return coding, bytes of a sample, channels and rate.

        Integers of other than whole bytes are at the upper end of theirs, and so are those of up to
        24 bits in four bytes. Where bits and bytes disagree otherwise, it is the bytes that writers
        get wrong, unless what they say of a second of sound goes with them.
        """
        coding, channels, rate, speed, align, bits = struct.unpack("<HHIIHH", chunk[:16])
        if coding == EXTENSIBLE and len(chunk) >= 26:
            coding = struct.unpack("<H", chunk[24:26])[0]
        if coding not in WIDTHS or not channels:
            raise UnknownCoding(f"{self.name}: a WAV file of coding {coding} with {bits} bits")
        width = (bits + 7) // 8
        if align > channels * width and speed != rate * channels * width:
            width = 4 if align == 4 * channels and 16 < bits <= 24 else 0
        if width not in WIDTHS[coding]:
            raise MediaError(
                f"{self.name}: damaged WAV header: {channels} samples of {bits} bits are said to "
                f"take {align} bytes"
            )
        return coding, width, channels, rate

    def _may_hold(self, size: int) -> bool:
        """Tell whether a file may go on for so many bytes."""
        return not self.file.seekable() or self._holds(size)

    def _holds(self, size: int) -> bool:
        """Tell whether a file is known to go on for so many bytes."""
        if not self.file.seekable():
            return False
        here = self.file.tell()
        end = self.file.seek(0, os.SEEK_END)
        self.file.seek(here)
        return end - here >= size

    def _take(self, count: int) -> bytes:
        data = self.file.read(count)
        if len(data) < count:
            raise MediaError(f"{self.name}: truncated WAV file")
        self._taken += count
        return data


def wav_header(channels: int, sample_rate: int, frames: int | None, comment: str = "") -> bytes:
    """Return the header of 16-bit samples, its sizes left open where `frames` is None.

    From 4 GiB on it is one of RF64 (EBU Tech 3306), which has room for the size; every header has
    `HEADER_BYTES`, and more only for a comment.
    """
    told = _comment(comment)
    align = 2 * channels
    form = struct.pack("<HHIIHH", PCM, channels, sample_rate, sample_rate * align, align, 16)
    size = UNKNOWN if frames is None else align * frames
    whole = size + HEADER_BYTES + len(told) - 8
    large = frames is not None and whole > UNKNOWN
    # a chunk that says nothing keeps the place of the one that tells large sizes
    extra = struct.pack("<QQQI", *((whole, size, frames, 0) if large else (0, 0, 0, 0)))
    chunks = ((b"ds64" if large else b"JUNK", extra), (b"fmt ", form))
    head = struct.pack("<4sI4s", b"RF64" if large else b"RIFF", min(whole, UNKNOWN), b"WAVE")
    head += b"".join(struct.pack("<4sI", name, len(c)) + c for name, c in chunks)
    return head + told + struct.pack("<4sI", b"data", min(size, UNKNOWN))


def _comment(text: str) -> bytes:
    """Return the chunk of a comment, the ICMT of a LIST of INFO; nothing for none."""
    if not text:
        return b""
    data = text.encode() + b"\0"
    data += bytes(len(data) & 1)
    return struct.pack("<4sI4s4sI", b"LIST", len(data) + 12, b"INFO", b"ICMT", len(data)) + data
