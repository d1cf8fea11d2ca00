"""Sound that libsndfile does not read: through PyAV where it is installed, else a sentence."""

import io
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.helpers import voice
from vqcodec.data.sources import find_sources
from vqcodec.errors import MediaError, VqcodecError
from vqcodec.media.audio import Audio
from vqcodec.media.image import Image
from vqcodec.media.soundformats import SOUND_SUFFIXES, is_sound
from vqcodec.modality import AUDIO

CASES = Path(__file__).parents[1] / "cases"
RATE = 48_000
HEADS = {
    ".m4a": b"\0\0\0\x1cftypM4A \0\0",
    ".webm": b"\x1aE\xdf\xa3\x9f\x42\x86\x81",
    ".amr": b"#!AMR\n\x3c",
    ".wma": bytes.fromhex("3026b2758e66cf11a6d9"),
    ".aac": b"\xff\xf1\x50\x80\x02\x1f",
}


def encoded(container: str, codec: str, **options: Any) -> bytes:
    av = pytest.importorskip("av")
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV was built without {codec}")
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=RATE, layout="stereo")
        for name, value in options.items():
            setattr(stream, name, value)
        samples = voice(RATE, RATE, 2).samples
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
        for packet in (*stream.encode(frame), *stream.encode(None)):
            output.mux(packet)
    return file.getvalue()


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("mp4", "aac", {}),
        ("mp4", "alac", {"format": "s16p"}),
        ("adts", "aac", {}),
        ("matroska", "pcm_s16le", {}),
        ("webm", "libopus", {}),
        ("asf", "wmav2", {"bit_rate": 96_000}),
        ("ac3", "ac3", {}),
        ("wv", "wavpack", {}),
        ("tta", "tta", {"format": "s16"}),
        ("ogg", "libspeex", {}),  # in a container that libsndfile does read
        ("wav", "wmav2", {"bit_rate": 96_000}),
    ],
)
def test_samples_are_those_of_one_whole_decode(
    container: str, codec: str, options: dict[str, Any], tmp_path: Path
) -> None:
    data = encoded(container, codec, **options)
    av = pytest.importorskip("av")
    parts = []
    with av.open(io.BytesIO(data)) as opened:
        for frame in opened.decode(audio=0):
            part = frame.to_ndarray()
            part = part if frame.format.is_planar else part.reshape(-1, 2).T
            scale = 2.0 ** (8 * part.itemsize - 1) if part.dtype.kind == "i" else 1.0
            parts.append((part / scale).astype(np.float32))
    whole = np.concatenate(parts, axis=1)
    (tmp_path / "x.png").write_bytes(data)  # a name says nothing
    for found in (Audio.open(io.BytesIO(data), "x"), Audio.open(tmp_path / "x.png")):
        assert found.sample_rate == RATE
        np.testing.assert_allclose(found.samples, whole.clip(-1, 1), atol=1e-6)
    assert np.corrcoef(whole[0, :RATE], voice(RATE, RATE, 2).samples[0, : whole.shape[1]])[
        0, 1
    ] > 0.9 or codec in ("aac", "wmav2", "ac3")  # these begin with what their encoder lags behind


@pytest.mark.parametrize("name", ["sound_a.m4a", "sound_a.webm"])
def test_recordings_of_phones_and_browsers_are_read(name: str) -> None:
    pytest.importorskip("av")
    audio = Audio.open(CASES / name)
    assert audio.seconds == pytest.approx(3, abs=0.05) and np.abs(audio.samples).max() > 0.1
    assert [s.name for s in find_sources([CASES], AUDIO) if s.name == name] == [name]


@pytest.mark.parametrize("suffix", HEADS)
def test_without_pyav_the_kind_is_named_and_what_to_install(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "sound.bin"
    path.write_bytes(HEADS[suffix].ljust(400, b"\0"))
    assert is_sound(HEADS[suffix].ljust(12, b"\0")[:12], ".bin") and suffix in SOUND_SUFFIXES
    with pytest.raises(MediaError, match=r"pip install 'vqcodec\[media\]'") as caught:
        Audio.open(path)
    assert str(caught.value).startswith(f"{path}: is ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".m4a", ".webm"])
def test_damaged_files_give_sound_or_one_sentence(suffix: str) -> None:
    pytest.importorskip("av")
    original = (CASES / f"sound_a{suffix}").read_bytes()
    rng = np.random.default_rng(0)
    for number in range(60):
        data = bytearray(original)
        for place in rng.integers(12, len(data), rng.choice([1, 10, 200])):
            data[place] = rng.integers(256)
        if number % 3 == 0:
            del data[int(rng.integers(12, len(data))) :]
        try:
            audio = Audio.open(io.BytesIO(bytes(data)), "mutated")
            assert np.abs(audio.samples).max() <= 1
        except VqcodecError as error:
            assert str(error).startswith("mutated: ") and "\n" not in str(error)


def test_pictures_in_the_same_container_are_no_sound() -> None:
    file = io.BytesIO()
    Image(np.zeros((16, 16, 3), np.uint8)).write(file, "AVIF", "x")
    assert not is_sound(file.getvalue()[:12], ".avif")
    assert not is_sound(b"\0\0\0\x18ftypheic", ".heic")


def test_lists_of_other_files_are_not_followed(tmp_path: Path) -> None:
    voice(1000).save(tmp_path / "secret.wav")
    listed = f"#EXTM3U\n#EXTINF:1,\n{tmp_path / 'secret.wav'}\n#EXT-X-ENDLIST\n"
    for head in (b"", *HEADS.values()):
        (tmp_path / "x.m4a").write_bytes(head + b"\n" + listed.encode())
        with pytest.raises(MediaError):
            Audio.open(tmp_path / "x.m4a")
