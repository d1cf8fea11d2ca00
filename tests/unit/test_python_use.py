"""What somebody at a Python prompt meets: names, help, what is accepted, how things look."""

import pydoc
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import vqcodec
from tests.helpers import picture, voice
from vqcodec import Audio, Codec, Codes, Image, SpeechCodec
from vqcodec.files.contents import ImageInfo


@pytest.fixture(scope="module")
def codec(tiny_weights: Path) -> Codec:
    return Codec.load(tiny_weights, "cpu", "fp32")


def test_names_and_help() -> None:
    assert set(vqcodec.__all__) <= set(dir(vqcodec))
    assert not [n for n in dir(vqcodec) if n.startswith("_") and not n.endswith("__")]
    text = pydoc.plain(pydoc.render_doc(vqcodec))
    for name in vqcodec.__all__:
        assert re.search(rf"class {name}\b|\b{name} = class ", text), name


def test_the_example_of_the_help_runs(
    tmp_path: Path,
    photo: Path,
    tiny_weights: Path,
    spoken_weights: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert vqcodec.__doc__ is not None
    example = "\n".join(
        line[4:] for line in vqcodec.__doc__.splitlines() if line.startswith("    ")
    )
    voice(8000).save(tmp_path / "talk.wav")
    monkeypatch.chdir(tmp_path)
    example = example.replace("image-f4", tiny_weights.name)
    exec(example.replace("speech-64x", spoken_weights.name), {})
    assert Image.open("decoded.png").size == Image.open(photo).size
    assert Audio.open("decoded.wav").size == (1, 8000)


def test_pictures_come_in_any_shape_that_is_one(codec: Codec, photo: Path) -> None:
    expected = codec.encode(Image.open(photo))
    with Pillow.open(photo) as opened:
        for source in (str(photo), photo, opened, np.asarray(opened)):
            assert codec.encode(source) == expected


def test_images_of_pillow_are_read_as_their_files_are_and_left_alone(
    codec: Codec, tmp_path: Path
) -> None:
    pixels = picture(30, 40)
    clear = Pillow.fromarray(np.dstack([pixels, pixels[..., :1]]))
    exif = Pillow.Exif()
    exif[0x0112] = 6  # lies on its side
    clear.save(tmp_path / "clear.png", exif=exif)
    with Pillow.open(tmp_path / "clear.png") as opened:
        codes = codec.encode(opened)
        assert opened.size == (40, 30) and opened.mode == "RGBA"
    assert codes == codec.encode(tmp_path / "clear.png")
    assert isinstance(codes.media, ImageInfo) and codes.media.alpha is not None
    assert codes.media.size == (40, 30)
    assert codec.encode(Pillow.fromarray(pixels).convert("P")).media.size == (30, 40)


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (np.zeros((3, 8, 8), np.uint8), r"\(3, 8, 8\) uint8"),
        (np.zeros((8, 8, 3)), r"\(8, 8, 3\) float64"),
        (None, "NoneType"),
        (b"bytes", "bytes"),
    ],
)
def test_what_is_no_picture_is_told_what_is(codec: Codec, wrong: object, found: str) -> None:
    with pytest.raises(TypeError, match=rf"a path, a Pillow image or an array.*{found}"):
        codec.encode(wrong)  # type: ignore[arg-type]


def test_speech_comes_as_sound_or_a_path(spoken_weights: Path, tmp_path: Path) -> None:
    codec = SpeechCodec.load(spoken_weights, "cpu", "fp32")
    sound = voice(5000)
    sound.save(tmp_path / "talk.wav")
    expected = codec.encode(Audio.open(tmp_path / "talk.wav"))
    assert codec.encode(tmp_path / "talk.wav") == codec.encode(str(tmp_path / "talk.wav"))
    assert codec.encode(tmp_path / "talk.wav") == expected
    with pytest.raises(TypeError, match=r"a path, or vqcodec\.Audio\(samples, sample_rate\).*nda"):
        codec.encode(sound.samples)  # type: ignore[arg-type]


def test_a_line_tells_what_a_thing_is(codec: Codec) -> None:
    codes = codec.encode(picture(52, 40))
    assert repr(codec) == (
        "ImageCodec('tiny', codebook_sizes=(32,), stride=4, device='cpu', precision='fp32')"
    )
    assert repr(codes) == "Codes('tiny', image of (52, 40), indices (13, 10) below 32)"


def test_indices_are_the_map_or_all_of_them() -> None:
    maps = tuple(np.zeros((n, n), np.uint16) for n in (2, 4))
    media = ImageInfo((16, 16), (16, 16))
    one = Codes(maps[1:], (8,), "hw", "m", b"1234", media)
    two = Codes(maps, (8, 16), "hw", "m", b"1234", media)
    assert one.indices is maps[1] and two.indices is maps
    assert repr(two) == "Codes('m', image of (16, 16), indices (2, 2) below 8 and (4, 4) below 16)"
