"""Several sounds in one file: all are read, or none."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.helpers import voice
from vqcodec.errors import MediaError
from vqcodec.media.audio import Audio
from vqcodec.media.spans import Spans


def encoded(kind: str, coding: str, seconds: float, rate: int = 48_000, channels: int = 1) -> bytes:
    file = io.BytesIO()
    samples = voice(int(seconds * rate), rate, channels).samples.T
    soundfile.write(file, samples, rate, coding, format=kind)
    return file.getvalue()


KINDS = [
    ("OGG", "VORBIS"),
    ("OGG", "OPUS"),
    ("FLAC", "PCM_16"),
    ("FLAC", "PCM_24"),
    ("WAV", "PCM_16"),
    ("WAV", "ULAW"),
    ("WAV", "IMA_ADPCM"),
    ("MP3", "MPEG_LAYER_III"),
]


@pytest.mark.parametrize(("kind", "coding"), KINDS)
@pytest.mark.parametrize("as_file", [True, False])
def test_all_sounds_are_read(kind: str, coding: str, as_file: bool, tmp_path: Path) -> None:
    parts = [encoded(kind, coding, seconds) for seconds in (1.3, 0.4, 2.1)]
    right = [soundfile.read(io.BytesIO(p), dtype="float32")[0] for p in parts]
    (tmp_path / "x").write_bytes(b"".join(parts))
    found = Audio.open(tmp_path / "x" if as_file else io.BytesIO(b"".join(parts)))
    assert found.notes[0] == "3 sounds, one after the other, are read as one"
    np.testing.assert_allclose(found.samples[0], np.concatenate(right).clip(-1, 1), atol=1e-6)


@pytest.mark.parametrize(("kind", "coding"), [k for k in KINDS if "OPUS" not in k])
def test_sounds_of_different_kinds_are_refused(kind: str, coding: str) -> None:
    first = encoded(kind, coding, 0.5)
    for other in (encoded(kind, coding, 0.5, 44_100), encoded(kind, coding, 0.5, channels=2)):
        with pytest.raises(MediaError, match="x: sounds of different kinds"):
            Audio.open(io.BytesIO(first + other), "x")


def test_streams_side_by_side_are_not_one_after_the_other() -> None:
    data = encoded("OGG", "VORBIS", 1)
    first = data[: data.index(b"OggS", 4)]
    lonely = bytearray(first)  # another stream that begins, and says no more
    lonely[14:18] = b"odd!"
    assert Audio.open(io.BytesIO(data), "x").notes == ()
    try:
        found = Audio.open(io.BytesIO(bytes(first + lonely + data[len(first) :])), "x")
    except MediaError as error:
        assert "several" not in str(error)
    else:
        assert found.notes == ()


def test_spans_are_a_file_like_any_other() -> None:
    rng = np.random.default_rng(0)
    data = rng.bytes(1000)
    spans = [(10, 15), (20, 20), (7, 300), (999, 1000)]
    right = io.BytesIO(b"head" + b"".join(data[a:b] for a, b in spans))
    found = Spans(io.BytesIO(data), spans, b"head")
    for _ in range(500):
        offset, whence, count = int(rng.integers(-50, 400)), int(rng.integers(3)), 90
        base = (0, right.tell(), len(right.getvalue()))[whence]
        place = right.seek(max(0, base + offset))
        assert found.seek(offset, whence) == place == found.tell()
        assert found.read(count) == right.read(count)
        assert found.tell() == right.tell()
    found.seek(0)
    assert found.read() == right.getvalue()


def test_damage_leaves_no_traceback_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    data = encoded("FLAC", "PCM_16", 1)
    for length in range(1, 200, 7):
        with pytest.raises(MediaError):
            Audio.open(io.BytesIO(data[:length]), "x")
    with pytest.raises(MediaError):
        Audio.open(io.BytesIO(b"caff\0\1\0\0desc" + bytes(200)), "x")
    assert capfd.readouterr().err == ""


def test_files_of_nothing_but_beginnings_are_refused() -> None:
    page = encoded("OGG", "VORBIS", 0.1)[:28]
    other = page[:5] + b"\0" + page[6:]
    beginnings = (page + bytes(page[27]) + other + bytes(page[27])) * 10_002
    with pytest.raises(MediaError, match="x: more than 10,000 sounds in one file"):
        Audio.open(io.BytesIO(beginnings), "x")
    flac = encoded("FLAC", "PCM_16", 0.01)[:42] * 10_002
    with pytest.raises(MediaError, match="x: more than 10,000 sounds in one file"):
        Audio.open(io.BytesIO(flac), "x")
