"""WAV as programs write it, into files and into pipes."""

import io
import os
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from vqcodec.errors import MediaError
from vqcodec.media.audio import Audio
from vqcodec.media.wav import wav_header

RATE, FRAMES = 16_000, 12_001
CODINGS = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"]
ALL = 0xFFFFFFFF
# sizes of the file and of the samples, as programs write them that do not know; where the second is
# below zero, rounded down to a whole frame
UNKNOWN = {
    "GStreamer, Python's wave": (36, 0),
    "zeros": (0, 0),
    "ffmpeg": (ALL, ALL),
    "sox, espeak": (0x7FFFF024, -0x7FFFF000),
    "arecord": (0x80000024, -0x80000000),
    "lame, mpg123": (ALL, -0x7FFFFFFF + 36),
    "zero, ones": (0, ALL),
    "ones, zero": (ALL, 0),
    "ones less a header": (ALL, ALL - 44),
}


def written(coding: str, container: str = "WAV", channels: int = 1) -> bytes:
    samples = np.random.default_rng(0).uniform(-0.9, 0.9, (FRAMES, channels))
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, coding, format=container)
    return file.getvalue()


def resized(data: bytes, name: str) -> bytes:
    """Write other sizes into a header, and leave out what lies behind the samples."""
    whole, size = UNKNOWN[name]
    align = struct.unpack_from("<H", data, data.index(b"fmt ") + 20)[0]
    if size < 0:
        size = -size // align * align
    at = data.index(b"data")
    real = struct.unpack_from("<I", data, at + 4)[0]
    head = data[:4] + struct.pack("<I", whole) + data[8 : at + 4] + struct.pack("<I", size)
    return head + data[at + 8 : at + 8 + real]


def through_a_pipe(data: bytes) -> Audio:
    end, start = os.pipe()

    def write() -> None:
        with os.fdopen(start, "wb") as pipe:
            pipe.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(end, "rb") as pipe:
        audio = Audio.open(pipe, "pipe")
    writer.join()
    return audio


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize(("container", "channels"), [("WAV", 1), ("WAVEX", 1), ("WAV", 2)])
def test_sizes_that_nobody_knew(name: str, coding: str, container: str, channels: int) -> None:
    data = written(coding, container, channels)
    right: NDArray[np.float32] = soundfile.read(io.BytesIO(data), dtype="float32")[0]
    data = resized(data, name)
    for found in (Audio.open(io.BytesIO(data), "x"), through_a_pipe(data)):
        assert found.notes == () and found.size == (channels, FRAMES)
        np.testing.assert_array_equal(found.samples, right.T.reshape(channels, -1))


def test_standard_input_is_such_a_pipe() -> None:
    program = (
        "import sys; from vqcodec.media.audio import Audio; "
        "print(Audio.open(sys.stdin.buffer, '-').size)"
    )
    for name in UNKNOWN:
        data = resized(written("PCM_24"), name)
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, input=data, capture_output=True, check=False)
        assert done.stdout.decode().strip() == f"(1, {FRAMES})", (name, done.stderr)


def test_no_samples_are_none_whatever_follows() -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return kind + struct.pack("<I", len(content)) + content

    form = struct.pack("<HHIIHH", 1, 1, RATE, 2 * RATE, 2, 16)
    body = b"WAVE" + chunk(b"fmt ", form) + chunk(b"data", b"") + chunk(b"LIST", bytes(400))
    with pytest.raises(MediaError, match="holds no samples"):
        Audio.open(io.BytesIO(b"RIFF" + struct.pack("<I", len(body)) + body), "x")
    with pytest.raises(MediaError, match="holds no samples"):
        Audio.open(io.BytesIO(wav_header(1, RATE, 0)), "x")


def test_files_that_are_too_short_are_still_refused(tmp_path: Path) -> None:
    data = written("PCM_16")
    (tmp_path / "cut.wav").write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match="truncated"):
        Audio.open(tmp_path / "cut.wav")
    with pytest.raises(MediaError, match="truncated"):
        through_a_pipe(data[: len(data) // 2])


def with_header(
    channels: int, bits: int, align: int, speed: int, body: bytes, extensible: bool
) -> bytes:
    coding = 0xFFFE if extensible else 1
    form = struct.pack("<HHIIHH", coding, channels, RATE, speed, align, bits)
    if extensible:
        form += struct.pack("<HHI", 22, bits, 0)
        form += bytes.fromhex("0100000000001000800000aa00389b71")
    head = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data"
    head += struct.pack("<I", len(body))
    return b"RIFF" + struct.pack("<I", len(head) + len(body)) + head + body


@pytest.mark.parametrize("extensible", [True, False])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("bits", "width"), [(24, 4), (20, 4), (18, 4), (20, 3), (12, 2), (10, 2), (4, 1)]
)
def test_bits_may_be_fewer_than_bytes_hold(
    bits: int, width: int, channels: int, extensible: bool
) -> None:
    values = np.random.default_rng(0).integers(-(1 << bits - 1), 1 << bits - 1, (channels, 500))
    raised = values << (8 * width - bits)
    if width == 1:
        raised = raised + 128
    wide = raised.T.astype("<i8").reshape(-1, 1).view(np.uint8)[:, :width]
    align = channels * width
    data = with_header(channels, bits, align, RATE * align, wide.tobytes(), extensible)
    found = Audio.open(io.BytesIO(data), "x")
    np.testing.assert_allclose(found.samples, values / (1 << bits - 1), atol=1e-7)


@pytest.mark.parametrize("extensible", [True, False])
@pytest.mark.parametrize("align", [0, 1, 2])
def test_bytes_that_cannot_hold_the_bits_are_not_believed(align: int, extensible: bool) -> None:
    values = np.random.default_rng(0).integers(-30_000, 30_000, (500, 2)).astype("<i2")
    data = with_header(2, 16, align, RATE * align, values.tobytes(), extensible)
    found = Audio.open(io.BytesIO(data), "x")
    np.testing.assert_array_equal(found.samples.T * 32768, values)


@pytest.mark.parametrize("extensible", [True, False])
@pytest.mark.parametrize(("bits", "align"), [(16, 4), (16, 3), (8, 2), (40, 5), (0, 0), (24, 7)])
def test_headers_that_contradict_themselves_are_refused(
    bits: int, align: int, extensible: bool
) -> None:
    data = with_header(1, bits, align, RATE * align, bytes(4200), extensible)
    with pytest.raises(MediaError, match="damaged WAV header"):
        Audio.open(io.BytesIO(data), "x")
