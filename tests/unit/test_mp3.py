"""MP3: every frame of it is decoded, once, in one go."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from tests.helpers import voice
from vqcodec.errors import MediaError
from vqcodec.media.audio import Audio
from vqcodec.media.mp3 import Frame

RATES = [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000]


def encoded(rate: int, mode: str = "VARIABLE", level: float = 0.9, channels: int = 1) -> bytes:
    """Three seconds, of speech that rests now and then, so that the bit rate goes up and down."""
    samples = voice(3 * rate, rate, channels).samples.copy()
    samples[:, rate : rate + rate // 2] = 0
    file = io.BytesIO()
    options: dict[str, Any] = {"bitrate_mode": mode, "compression_level": level}
    with soundfile.SoundFile(file, "w", rate, channels, format="MP3", **options) as sound:
        sound.write(samples.T)
    return file.getvalue()


def starts(data: bytes) -> list[int]:
    """Return where the frames of a clean file begin."""
    places, place = [], 0
    while place < len(data):
        frame = Frame.read(data[place : place + 4])
        assert frame is not None
        places.append(place)
        place += frame.length
    return places


def headless(data: bytes) -> bytes:
    """Leave out the first frame if it counts the others."""
    places = starts(data)
    first = data[: places[1]]
    return data[places[1] :] if b"Xing" in first or b"Info" in first else data


def whole(data: bytes) -> NDArray[np.float32]:
    """Decode in a single call, which has nothing to seek for."""
    samples: NDArray[np.float32] = soundfile.read(io.BytesIO(data), dtype="float32")[0]
    return samples


def of_ffmpeg(data: bytes) -> NDArray[np.float32]:
    av = pytest.importorskip("av")
    with av.open(io.BytesIO(data)) as container:
        return np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])


def snr(found: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    assert found.shape == right.shape
    return float(10 * np.log10((right**2).sum() / ((found - right) ** 2).sum().clip(1e-12)))


def opened(data: bytes) -> Audio:
    return Audio.open(io.BytesIO(data), "x")


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("mode", "level"), [("VARIABLE", 0.9), ("CONSTANT", 0.99)])
def test_blocks_are_as_one_read(rate: int, mode: str, level: float, tmp_path: Path) -> None:
    data = encoded(rate, mode, level)
    assert snr(opened(data).samples[0], whole(data)) > 60
    (tmp_path / "x.mp3").write_bytes(data)
    np.testing.assert_array_equal(Audio.open(tmp_path / "x.mp3").samples, opened(data).samples)
    assert snr(opened(data).samples[0], of_ffmpeg(data)) > 60


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("level", [0.0, 0.9])
def test_nothing_is_lost_without_a_header(rate: int, level: float) -> None:
    data = headless(encoded(rate, level=level))
    samples = 1152 if rate >= 32000 else 576
    found = opened(data)
    assert found.notes == () and found.size[1] >= 3 * rate and found.size[1] % samples == 0
    assert snr(found.samples[0], of_ffmpeg(data)) > 60


def test_nothing_is_lost_with_a_header_that_counts_too_few() -> None:
    data = encoded(44100)
    both = opened(data + headless(data))
    assert both.notes == ()  # one sound: nothing says that another begins
    assert both.size[1] > 2 * 3 * 44100
    assert snr(both.samples[0, : 3 * 44100], whole(data)) > 60


def test_cut_files_are_read_as_far_as_they_go_and_say_so() -> None:
    data = encoded(44100)
    found = opened(data[: len(data) // 2])
    assert "cut off" in found.notes[0]
    right = whole(data)[: found.size[1] - 1152]
    assert len(right) > 44100 and snr(found.samples[0, : len(right)], right) > 60


def test_files_may_begin_in_the_middle_of_a_frame() -> None:
    data = headless(encoded(44100, "CONSTANT"))
    found = opened(data[len(data) // 2 + 33 :])
    assert found.size[1] > 44100
    # what the first frames need was in those before
    assert snr(found.samples[0, 9 * 1152 :], opened(data).samples[0, 9 * 1152 - found.size[1] :])


def test_tags_are_no_sound_wherever_they_lie() -> None:
    data = headless(encoded(16000))
    id3 = b"ID3\x04\0\0\0\0\x10\0" + bytes(1024) + b"\xff\xfb\x90\x00" * 256
    half = starts(data)[50]
    found = opened(id3 + data[:half] + id3 + data[half:] + b"TAG" + bytes(125))
    assert found.notes == ()
    np.testing.assert_array_equal(found.samples, opened(data).samples)


def test_what_is_no_sound_is_passed_over_and_said() -> None:
    data = headless(encoded(16000, "CONSTANT"))
    place = starts(data)[50]
    found = opened(data[:place] + bytes(5000) + data[place:])
    assert found.notes == ("5,000 bytes between its frames are no sound and were passed over",)
    np.testing.assert_array_equal(found.samples, opened(data).samples)


def test_damage_is_a_note_and_no_line_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(headless(encoded(44100)))
    rng = np.random.default_rng(0)
    for place in starts(bytes(data))[10::5]:
        data[place + 4 : place + 30] = rng.bytes(26)
    found = opened(bytes(data))
    assert any("damaged in" in note for note in found.notes)
    opened(encoded(44100) + headless(encoded(44100)))  # "Warning: Xing stream size off"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "content", [bytes(3000), b"\xff\xfb\x90\x00" * 700, b"ID3 is a tag. " * 99]
)
def test_what_only_seems_to_be_mp3_is_refused_in_silence(
    content: bytes, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "x.mp3").write_bytes(content)
    for file in (tmp_path / "x.mp3", io.BytesIO(content)):
        with pytest.raises(MediaError):
            Audio.open(file, "x")
    assert capfd.readouterr().err == ""


def test_files_of_nothing_but_pieces_are_refused() -> None:
    data = headless(encoded(8000))
    places = starts(data)
    frame = data[places[4] : places[5]]
    pieces = (frame + b"TAG" + bytes(125)) * 100_002
    with pytest.raises(MediaError, match="x: damaged MP3, in more than 100,000 pieces"):
        opened(pieces)
