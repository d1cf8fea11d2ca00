"""Code files of sound: streams and what they tell of it, whole, damaged and hostile."""

import io
import random
import tracemalloc
import zlib
from dataclasses import replace

import numpy as np
import pytest

from tests.fuzz.test_mutations import attempt
from vqcodec.errors import FormatError
from vqcodec.files.codes import Codes
from vqcodec.files.contents import AudioInfo, ImageInfo
from vqcodec.files.header import Header
from vqcodec.files.reader import varint
from vqcodec.files.stream import StreamFrames, StreamWriter
from vqcodec.maps import MapSpec

MEDIA = AudioInfo((2, 27_123), (2, 9841), 44_100, -7, bytes(range(120, 136)))
GRID = np.random.default_rng(0).integers(0, 512, (2, 154)).astype(np.uint16)
CODES = Codes((GRID,), (512,), "ct", "speech-64x", b"abcd", MEDIA)
UNKNOWN = replace(MEDIA, size=(2, 0), coded_size=(2, 0))
MAPS = (MapSpec(512, (1, 64)),)
HEADER = Header("ct", "speech-64x", b"abcd", MAPS, UNKNOWN, (None,), stream=True)


class Pipe(io.BytesIO):
    """Gives a few bytes at a time as a pipe may, and does not seek."""

    def seekable(self) -> bool:
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        raise OSError("a pipe does not seek")


def stream(*, frame: int = 50) -> bytes:
    file = Pipe()
    writer = StreamWriter(file, HEADER)
    for start in range(0, GRID.shape[1], frame):
        writer.write(GRID[None, :, start : start + frame])
    writer.finish(27_123, 9841)
    assert writer.size == len(file.getvalue())
    return file.getvalue()


def read(data: bytes) -> Codes:
    """Read a stream as it comes."""
    frames = StreamFrames.open(Pipe(data))
    grids = tuple(np.concatenate(list(frames), axis=2))
    header = frames.header
    return Codes(grids, header.codebook_sizes, "ct", header.model, b"abcd", frames.media)


@pytest.mark.parametrize("frame", [1, 7, 50, 153, 154, 1000])
def test_streams_are_read_as_they_come_and_as_files(frame: int) -> None:
    data = stream(frame=frame)
    assert read(data) == Codes.from_bytes(data, "file") == CODES


@pytest.mark.parametrize("suffix", [".npz", ".vqc"])
def test_what_is_told_of_a_sound_comes_back(suffix: str) -> None:
    again = Codes.from_bytes(CODES.to_bytes(suffix), "x")
    assert again == CODES and again.media == MEDIA
    for change in ({"level": -6}, {"sample_rate": 44_101}, {"speaker": b""}):
        assert replace(CODES, media=replace(MEDIA, **change)) != CODES


def test_bytes_are_these() -> None:
    """As published: a change to any of them is a breaking release."""
    media = AudioInfo((1, 5), (1, 10), 8000, -3, b"\x01\xff")
    codes = Codes((np.array([[7, 0]], np.uint16),), (8,), "ct", "m", b"abcd", media)
    start = b"VQC\x01\x0dabcd\x01m\x01\x07\x04\x00\x04\x00\x09\x02\x05\xc0\x3e\xfd\x01\xff\x00"
    packed = start + b"\xe0" + zlib.crc32(b"\x07\0\0\0", zlib.crc32(start)).to_bytes(4, "little")
    assert codes.to_bytes(".vqc") == packed
    file = io.BytesIO()
    header = Header.of(codes, (None,))
    unknown = replace(media, size=(1, 0), coded_size=(1, 0))
    writer = StreamWriter(file, replace(header, media=unknown, stream=True))
    writer.write(codes.grids[0][None])
    writer.finish(5, 10)
    start = b"VQC\x01\x25abcd\x01m\x01\x07\x04\x00\x02\x05\xc0\x3e\xfd\x01\xff\x00"
    crc = zlib.crc32(b"\x02\xe0", zlib.crc32(start))
    frame = b"\x02\xe0" + crc.to_bytes(4, "little")
    end = b"\x00\x04\x09" + zlib.crc32(b"\x00\x04\x09", crc).to_bytes(4, "little")
    assert file.getvalue() == start + frame + end


def test_every_bit_matters_and_no_cut_goes_unnoticed() -> None:
    data = stream()
    for position in range(8 * len(data)):
        changed = bytearray(data)
        changed[position // 8] ^= 1 << position % 8
        assert attempt(bytes(changed)) is None, f"bit {position} was not noticed"
    for length in range(len(data)):
        assert attempt(data[:length]) is None
        with pytest.raises(FormatError):
            read(data[:length])
    for wrong in (data + b"\0", data + data):
        assert attempt(wrong) is None
        with pytest.raises(FormatError, match="foreign bytes"):
            read(wrong)


def test_frames_cannot_be_exchanged_or_left_out() -> None:
    data, width = stream(frame=22), 1 + 2 * 22 * 9 // 8 + 1 + 4
    start = data.index(b"\x16", 40)
    frames = [data[start + i * width :][:width] for i in range(7)]
    assert b"".join(frames) == data[start : start + 7 * width]
    assert attempt(data[:start] + b"".join(frames[1:]) + data[start + 7 * width :]) is None
    frames[2], frames[3] = frames[3], frames[2]
    assert attempt(data[:start] + b"".join(frames) + data[start + 7 * width :]) is None


@pytest.mark.parametrize("suffix", [".npz", ".vqc", "stream"])
def test_random_mutations(suffix: str) -> None:
    original = stream() if suffix == "stream" else CODES.to_bytes(suffix)
    rng = random.Random(0)
    for _ in range(700):
        data = bytearray(original)
        for _ in range(rng.choice([1, 1, 2, 8])):
            where = rng.randrange(len(data))
            if rng.random() < 0.5:
                data[where] = rng.randrange(256)
            else:
                data[where : where + rng.randrange(1, 20)] = rng.randbytes(rng.randrange(20))
        found = attempt(bytes(data))
        if found is not None and bytes(data) != original:
            assert suffix == ".npz" and found == CODES
        if suffix == "stream" and bytes(data) != original:
            with pytest.raises(FormatError):
                read(bytes(data))


def start(flags: int = 0x25, **changes: bytes) -> bytes:
    fields = {
        "magic": b"VQC\1" + bytes([flags]) + b"abcd\1m",
        "grids": b"\1\x07\x3f",
        "channels": b"\0",
        "sections": b"\2\3\xc0\x3e\0\0",
    }
    return b"".join({**fields, **changes}.values())


def sealed(begin: bytes, *parts: bytes) -> bytes:
    """A stream of these frames with right checksums."""
    crc, out = zlib.crc32(begin), begin
    for part in parts:
        crc = zlib.crc32(part, crc)
        out += part + crc.to_bytes(4, "little")
    return out


FRAME, END = b"\2\0", b"\0\x07\x7f"  # of two indices; 8 samples, 128 coded ones

ATTACKS: dict[str, bytes] = {
    "01 no frames": sealed(start(), END),
    "02 no end": sealed(start(), FRAME),
    "03 a frame of a billion": start() + varint(1 << 30) + b"\0" * 100,
    "04 a frame that is more than is left": start() + varint(60_000) + b"\0" * 100,
    "05 an end of another length": sealed(start(), FRAME, b"\0\x07\xff\x01"),
    "06 an end of days": sealed(start(), FRAME, b"\0" + varint(1 << 50) + b"\x7f"),
    "07 two maps": sealed(start(grids=b"\2\x07\x3f\x07\x3f"), FRAME, END),
    "08 a picture as a stream": sealed(start(flags=0x24), FRAME, END),
    "09 range-coded stream": sealed(start(flags=0x35), FRAME, END),
    "10 scaled stream": sealed(start(flags=0x2D), FRAME, END),
    "11 many channels": sealed(start(channels=varint(1 << 40)), FRAME, END),
    "12 codebook too large": sealed(start(grids=b"\1" + varint(1 << 20) + b"\x3f"), FRAME, END),
    "13 index beyond the codebook": sealed(start(grids=b"\1\x04\x3f"), b"\2\xfc", END),
    "14 padding that is not zero": sealed(start(), b"\2\1", END),
    "15 section beyond the end": start(sections=b"\2" + varint(1 << 40)),
    "16 sections without end": start(sections=b"\x07\0" * 9),
    "17 sound told twice": sealed(start(sections=b"\2\3\xc0\x3e\0" * 2 + b"\0"), FRAME, END),
    "18 empty sound section": sealed(start(sections=b"\2\0\0"), FRAME, END),
    "19 impossible rate": sealed(start(sections=b"\2\7" + varint(1 << 33) + b"\0\0\0"), FRAME, END),
    "20 vast speaker": sealed(
        start(sections=b"\2" + varint(3000) + bytes(3000) + b"\0"), FRAME, END
    ),
    "21 transparency of sound": sealed(
        start(sections=b"\1\x0b" + zlib.compress(b"abc") + b"\0"), FRAME, END
    ),
    "22 no bytes": b"",
    "23 magic alone": b"VQC\1\x25",
}


def test_the_stream_that_attacks_are_made_of_is_good() -> None:
    made = sealed(start(), FRAME, END)
    codes = attempt(made)
    assert codes is not None and codes == replace(read(made), model="m")
    assert codes.media == AudioInfo((1, 8), (1, 128), 8000)


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks(attack: str) -> None:
    tracemalloc.start()
    try:
        assert attempt(ATTACKS[attack]) is None
        with pytest.raises(FormatError):
            read(ATTACKS[attack])
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_picture_that_tells_of_sound_is_refused() -> None:
    media = ImageInfo((8, 68), (8, 68))
    codes = Codes((GRID[:, :17],), (512,), "hw", "m", b"abcd", media)
    with pytest.raises(FormatError, match="is of audio"):
        replace(codes, media=AudioInfo(media.size, media.coded_size, level=3))
    told = replace(codes, media=replace(codes.image, alpha=np.zeros((8, 68), np.uint8)))
    data = bytearray(told.to_bytes(".vqc"))
    section = data.index(b"\x78\xda") - 2  # the type of that of transparency, before its length
    assert data[section] == 1
    data[section] = 2  # sound
    with pytest.raises(FormatError, match="another medium"):
        Codes.from_bytes(bytes(data), "x.vqc")
