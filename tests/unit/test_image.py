"""Reading and writing pictures of all kinds, all synthesised here."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from tests.helpers import picture
from vqcodec.errors import MediaError, OutputError, UsageError
from vqcodec.files.contents import MAX_PIXELS
from vqcodec.media.image import Image, check_size, parse_colour, peek_size

RGB = picture(24, 36)


def reopened(image: Pillow.Image, kind: str = "PNG", **options: object) -> Image:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    buffer.seek(0)
    return Image.open(buffer, "test")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV", "LAB"])
def test_every_mode_becomes_srgb(mode: str) -> None:
    source = Pillow.fromarray(RGB)
    if mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(source, srgb, lab, outputMode="LAB")
        assert converted is not None
        source = converted
    else:
        source = source.convert(mode)
    kind = {"CMYK": "TIFF", "YCbCr": "TIFF", "LAB": "TIFF"}.get(mode, "PNG")
    if mode == "HSV":
        source = source.convert("RGB")
    image = reopened(source, kind)
    expected = np.asarray(
        Pillow.fromarray(RGB).convert(mode if mode in "1LP" else "RGB").convert("RGB")
    )
    assert image.alpha is None
    # LAB and YCbCr hold rounded values of their own
    assert np.abs(image.pixels.astype(int) - expected).mean() < (
        3 if mode in ("LAB", "YCbCr") else 1
    )


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_is_kept_apart(mode: str) -> None:
    alpha = np.random.default_rng(0).integers(0, 255, RGB.shape[:2]).astype(np.uint8)
    source = Pillow.fromarray(RGB).convert("RGBA" if mode == "PA" else mode)
    source.putalpha(Pillow.fromarray(alpha))
    image = reopened(source)
    np.testing.assert_array_equal(image.alpha, alpha)
    if mode == "RGBA":
        np.testing.assert_array_equal(image.pixels, RGB)


def test_opaque_alpha_is_no_alpha() -> None:
    assert reopened(Pillow.fromarray(RGB).convert("RGBA")).alpha is None


def test_one_transparent_colour_becomes_alpha() -> None:
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[1, 2] = (10, 20, 30)
    alpha = reopened(Pillow.fromarray(pixels), transparency=(10, 20, 30)).alpha
    assert alpha is not None and alpha[1, 2] == 0 and (alpha == 255).sum() == 23


def test_sixteen_bit_grey_keeps_its_brightness() -> None:
    values = np.linspace(0, 65535, 24 * 36).reshape(24, 36).astype(np.uint16)
    image = reopened(Pillow.fromarray(values))
    expected = np.round(values / 257)
    assert np.abs(image.pixels[..., 0] - expected).max() <= 1


def test_floating_point_grey() -> None:
    values = np.linspace(0, 1, 24 * 36).reshape(24, 36).astype(np.float32)
    image = reopened(Pillow.fromarray(values), "TIFF")
    assert np.abs(image.pixels[..., 0] - np.round(values * 255)).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(orientation: int) -> None:
    undo: dict[int, Callable[[Any], Any]] = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, 1),
    }
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    image = reopened(Pillow.fromarray(RGB), exif=exif)
    np.testing.assert_array_equal(image.pixels, undo[orientation](RGB))


def test_profiles_are_converted_and_broken_ones_noted() -> None:
    linear = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert reopened(Pillow.fromarray(RGB), icc_profile=linear).notes == ()
    image = reopened(Pillow.fromarray(RGB), icc_profile=b"nonsense")
    assert "colour profile" in image.notes[0]
    np.testing.assert_array_equal(image.pixels, RGB)


def test_first_frame_of_an_animation_with_a_note() -> None:
    frames = [Pillow.fromarray(picture(8, 8, seed=s)) for s in range(3)]
    image = reopened(frames[0], save_all=True, append_images=frames[1:])
    assert "first of 3 frames" in image.notes[0]
    np.testing.assert_array_equal(image.pixels, picture(8, 8, seed=0))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp"])
def test_lossless_formats_give_back_the_pixels(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x{suffix}"
    Image(RGB).save(path)
    np.testing.assert_array_equal(Image.open(path).pixels, RGB)
    assert peek_size(path) == (24, 36)


def test_formats_without_transparency_get_white(tmp_path: Path) -> None:
    Image(RGB, np.zeros(RGB.shape[:2], np.uint8)).save(tmp_path / "x.jpg")
    assert Image.open(tmp_path / "x.jpg").pixels.min() == 255


def test_flattening_is_alpha_blending() -> None:
    alpha = np.full(RGB.shape[:2], 64, np.uint8)
    flat = Image(RGB, alpha).flatten((255, 0, 100)).pixels
    expected = (RGB * 64.0 + np.array([255, 0, 100]) * 191.0) / 255
    assert np.abs(flat - expected).max() <= 0.5


def test_saving_never_overwrites_silently(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image(RGB).save(path)
    with pytest.raises(OutputError, match="--force"):
        Image(RGB[:4]).save(path)
    Image(RGB[:4]).save(path, force=True)
    assert Image.open(path).size == (4, 36)
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


@pytest.mark.parametrize("suffix", ["", ".xyz", ".npz", ".mp4", ".ico", ".icns"])
def test_unfit_suffixes_leave_nothing_behind(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(UsageError):
        Image(RGB).save(tmp_path / f"x{suffix}")
    assert not list(tmp_path.iterdir())


def test_what_a_format_cannot_hold_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="cannot be written"):
        Image(np.zeros((1, 70000, 3), np.uint8)).save(tmp_path / "x.jpg")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"])
def test_truncated_files_are_one_sentence(kind: str) -> None:
    buffer = io.BytesIO()
    Pillow.fromarray(picture(64, 64)).save(buffer, kind)
    data = buffer.getvalue()
    for length in (0, 1, 10, len(data) // 2):
        with pytest.raises(MediaError) as raised:
            Image.open(io.BytesIO(data[:length]), "cut.img")
        assert str(raised.value).startswith("cut.img: ") and "\n" not in str(raised.value)


def test_large_pictures_are_refused_by_their_header() -> None:
    header = io.BytesIO()
    Pillow.new("1", (1, 1)).save(header, "PNG")
    data = bytearray(header.getvalue())
    data[16:24] = (60000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    with pytest.raises(MediaError, match="megapixels"):
        Image.open(io.BytesIO(bytes(data)), "bomb.png")
    check_size(1, MAX_PIXELS, "x")
    with pytest.raises(MediaError):
        check_size(1, MAX_PIXELS + 1, "x")


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such file"):
        Image.open(tmp_path / "x.png")
    with pytest.raises(MediaError, match="folder"):
        Image.open(tmp_path)


def test_colours() -> None:
    assert parse_colour("white") == (255, 255, 255)
    assert parse_colour("#ff8000") == (255, 128, 0)
    with pytest.raises(UsageError):
        parse_colour("octarine")


def test_what_shrinking_loses_is_what_enlarging_does_not_bring_back() -> None:
    image = Image(picture(50, 70, seed=3))
    back = image.shrink((25, 30)).resize((50, 70)).pixels.astype(np.float64)
    assert image.lost((25, 30)) == pytest.approx(np.square(back - image.pixels).sum())
    assert image.lost(image.size) == 0
