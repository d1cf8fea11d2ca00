"""MP3 files, taken apart into their frames.

libsndfile reads as many samples as the header in the first frame announces, and, without one, as
many as the bit rate of the first frame suggests; where that is too few, the rest is lost. So every
frame is counted, and every sound of a file is given to it clean, and so that it reads all of it.

See ISO 11172-3 and 13818-3 for the frames, and gabriel.mp3-tech.org/mp3infotag.html for the header.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from vqcodec.errors import MediaError
from vqcodec.media.spans import Spans

MPEG1 = 3  # in the two bits that tell the version; 2 is MPEG-2, 0 MPEG-2.5
KBPS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
KBPS_LOW = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)  # of MPEG-2 and 2.5
RATES = {MPEG1: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
XING = (b"Xing", b"Info")
LOOK = 192  # bytes of a frame that are looked at: all that its header of the file may take
MAX_PIECES = 100_000  # that a sound lies in, between tags and damage
MAX_BYTES, MIN_BYTES = 1441, 24  # of a frame
TAG_BYTES = 128  # of one at the end of a file
SEARCH = 1 << 16  # bytes that are searched at once for the next frame


@dataclass(frozen=True)
class Frame:
    """The four bytes that a frame begins with.

    Attributes:
        kind: version and sample rate, which the frames of one sound share.
        mono: whether it has one channel.
        length: bytes of the frame.
        side: bytes from its beginning to where a header of the file would be.
    """

    kind: tuple[int, int]
    mono: bool
    length: int
    side: int

    @classmethod
    def read(cls, head: bytes) -> "Frame | None":
        """Read a frame of layer III; None where there is none."""
        if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
            return None
        version, bits, rate = head[1] >> 3 & 3, head[2] >> 4, head[2] >> 2 & 3
        if version == 1 or bits in (0, 15) or rate == 3 or head[3] & 3 == 2:
            return None
        sample_rate = RATES[version][rate]
        kbps, factor = (KBPS[bits], 144) if version == MPEG1 else (KBPS_LOW[bits], 72)
        length = factor * kbps * 1000 // sample_rate + (head[2] >> 1 & 1)
        mono = head[3] >> 6 == 3
        side = (17 if mono else 32) if version == MPEG1 else (9 if mono else 17)
        return cls((version, sample_rate), mono, length, 4 + side)


@dataclass
class Sound:
    """One sound of a file: its frames, and what the header in its first frame announces.

    Attributes:
        first: bytes of its first frame, up to `LOOK`.
        announced: frames, or None without a header.
        frames: how many there are, but for one that is a header.
        spans: where they lie.
    """

    first: bytes
    announced: int | None
    frames: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list)

    def add(self, place: int, length: int) -> None:
        """Add a frame."""
        if self.spans and self.spans[-1][1] == place:
            self.spans[-1] = (self.spans[-1][0], place + length)
        else:
            self.spans.append((place, place + length))

    @property
    def missing(self) -> int:
        """Frames that are announced and are not there; some writers count the header's own."""
        missing = (self.announced or 0) - self.frames
        return missing if missing > 1 else 0

    def clean(self, file: BinaryIO) -> tuple[Spans, int | None]:
        """Return a file of its own, of which libsndfile reads every frame; see `parts`."""
        if self.announced is not None and self.announced >= self.frames:
            return Spans(file, self.spans), None
        patched = recounted(self.first, self.frames)
        if patched is None:
            samples = 1152 if self.first[1] >> 3 & 3 == MPEG1 else 576
            return _Uncounted(file, self.spans), samples * self.frames
        (start, end), *rest = self.spans
        return Spans(file, [(start + len(patched), end), *rest], patched), None


class _Uncounted(Spans):
    """Frames without a header, in a file so long that no bit rate of its first is too high for it.

    Behind the last frame it ends for whoever reads on, and only there; libmpg123 must find a place
    for a tag at the end, with none in it.
    """

    @property
    def length(self) -> int:
        return super().length * (MAX_BYTES // MIN_BYTES)

    def read(self, count: int = -1) -> bytes:
        left = self.length - self._at
        if 0 < left <= TAG_BYTES:
            self._at += min(left, max(0, count))
            return bytes(min(left, max(0, count)))
        return super().read(count)


def recounted(first: bytes, frames: int) -> bytes | None:
    """Return the beginning of a frame that is a header, with another count; None if it has none.

    What it says of samples to leave out at the end is not true then, and is removed.
    """
    frame = Frame.read(first)
    place = None if frame is None else _place_of_count(first, frame)
    if place is None:
        return None
    told = bytearray(first)
    struct.pack_into(">I", told, place, frames)
    if told[place - 8 : place - 4] in XING:
        flags = told[place - 1]
        lame = place + 4 + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
        if len(told) >= lame + 24:
            told[lame + 22] &= 0xF0
            told[lame + 23] = 0
    return bytes(told)


def parts(file: BinaryIO, name: str, most: int) -> tuple[list[tuple[Spans, int | None]], list[str]]:
    """Return each sound of a file as a file of its own, and what a user should know of them.

    With each comes how many samples there are, where its own header does not tell.

    Args:
        file: it can seek, and is at its beginning, where it is left.
        name: what messages call it.
        most: behind so many sounds and one more, no others are looked for.

    Raises:
        MediaError: it is in more than `MAX_PIECES`.
    """
    found, passed = sounds(file, name, most)
    notes = []
    if missing := sum(sound.missing for sound in found):
        notes.append(f"cut off or damaged: {missing:,} of the frames it announces are not there")
    if passed:
        notes.append(f"{passed:,} bytes between its frames are no sound and were passed over")
    return [sound.clean(file) for sound in found], notes


def sounds(file: BinaryIO, name: str, most: int) -> tuple[list[Sound], int]:
    """Find the sounds in a file, and how many bytes between their frames are none; see `parts`."""
    begin = file.tell()
    found: list[Sound] = []
    passed = 0
    last: tuple[object, ...] | None = None
    for place, frame, data in _frames(file):
        if frame is None:
            passed += place if found else 0
            continue
        announced = _announced(data, frame)
        if last is None or announced is not None or (frame.kind, frame.mono) != last:
            if found and not found[-1].frames:
                found.pop()
            if len(found) > most:
                break
            found.append(Sound(data[: frame.length], announced))
        found[-1].add(place, frame.length)
        found[-1].frames += announced is None
        last = (frame.kind, frame.mono)
        if len(found[-1].spans) > MAX_PIECES:
            raise MediaError(f"{name}: damaged MP3, in more than {MAX_PIECES:,} pieces")
    file.seek(begin)
    return [sound for sound in found if sound.frames], passed


def _announced(data: bytes, frame: Frame) -> int | None:
    """Return how many frames a header in this frame announces; None if it is none."""
    place = _place_of_count(data, frame)
    if place is None:
        return None
    return int(struct.unpack_from(">I", data, place)[0])


def _place_of_count(data: bytes, frame: Frame) -> int | None:
    """Return where a header of the file counts its frames; None if the frame is none."""
    for at in (frame.side, frame.side + 2):  # behind a checksum, too
        if data[at : at + 4] in XING and data[at + 7] & 1:
            return at + 8
    return 50 if data[36:40] == b"VBRI" else None


def _frames(file: BinaryIO) -> Iterator[tuple[int, Frame | None, bytes]]:
    """Yield the place of each whole frame, its header, and its first bytes.

    Where something else lies between two, that is no tag: how many bytes, and no frame.
    """
    place = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(place)
    last: Frame | None = None
    while place < end:
        file.seek(place)
        data = file.read(LOOK)
        frame = Frame.read(data)
        if frame is None or (frame.kind != last.kind if last else True):
            if tag := tag_length(data):
                place += tag
                continue
            step = _silt(file, place, last)
            if step is None:
                return
            if step:
                yield step, None, b""
                place += step
                continue
            assert frame is not None  # it begins another sound
        if place + frame.length > end:
            return
        yield place, frame, data.ljust(LOOK, b"\0")  # as if it were as long as any
        last = frame
        place += frame.length


def tag_length(data: bytes) -> int:
    """Return how many bytes a tag takes that begins here; 0 if none does."""
    if data[:3] == b"ID3" and len(data) >= 10 and max(data[6:10]) < 128:
        a, b, c, d = data[6:10]
        return 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if data[5] & 16 else 0)
    if data[:3] == b"TAG":
        return TAG_BYTES
    if data[:8] == b"APETAGEX" and len(data) >= 24:
        size, _, flags = struct.unpack_from("<III", data, 12)
        return int(size) + 32 if flags & 1 << 29 else 32
    return 0


def _silt(file: BinaryIO, place: int, last: Frame | None) -> int | None:
    """Return how many bytes lie before the next frames; None where there are none.

    Before the first frame, a file of something else would be searched in vain, and not for long.
    """
    start = place
    while last is not None or place == start:
        file.seek(place)
        data = file.read(SEARCH)
        if len(data) < 4:
            return None
        at = data.find(b"\xff")
        while 0 <= at <= len(data) - 4:
            frame = Frame.read(data[at : at + 4])
            if frame is not None and _goes_on(file, place + at, frame):
                return place + at - start
            at = data.find(b"\xff", at + 1)
        place += len(data) - 3
    return None


def _goes_on(file: BinaryIO, place: int, frame: Frame) -> bool:
    """Tell whether what seems to be a frame is followed by two more, or the end of the sound."""
    here: Frame = frame
    for _ in range(2):
        place += here.length
        file.seek(place)
        after = file.read(32)
        if len(after) < 4 or tag_length(after):
            return True
        follower = Frame.read(after)
        if follower is None or follower.kind != frame.kind:
            return False
        here = follower
    return True
