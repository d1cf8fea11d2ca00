"""Pictures of more than 8 bits, turned ones, and those whose colours are named by numbers."""

import io
import struct
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from tests.helpers import picture
from vqcodec.media.image import Image

GREY = picture(24, 36)[..., 0]
DTYPES = {1: "u", 2: "i", 3: "f"}  # TIFF's SampleFormat


def tiff(
    values: NDArray[np.generic],
    *,
    photometric: int = 1,
    orientation: int = 1,
    order: Literal["<", ">"] = "<",
    tags: dict[int, tuple[str, float]] | None = None,
) -> bytes:
    """Write an uncompressed TIFF by hand: (H, W) or (H, W, C), of any kind of numbers."""
    height, width, *rest = values.shape
    channels = rest[0] if rest else 1
    kind = next(n for n, c in DTYPES.items() if c == values.dtype.kind)
    data = values.astype(values.dtype.newbyteorder(order)).tobytes()
    entries: dict[int, tuple[str, float]] = {
        256: ("I", width), 257: ("I", height), 258: ("H", 8 * values.itemsize), 259: ("H", 1),
        262: ("H", photometric), 273: ("I", 0), 274: ("H", orientation), 277: ("H", channels),
        278: ("I", height), 279: ("I", len(data)), 339: ("H", kind), **(tags or {}),
    }  # fmt: skip
    after = 8 + 2 + 12 * len(entries) + 4
    extra = b""
    if channels > 1:
        bits = struct.pack(f"{order}{channels}H", *[8 * values.itemsize] * channels)
        if channels < 3:
            entries[258] = ("H", struct.unpack(order + "I", bits)[0])
        else:
            extra = bits
        if channels in (2, 4):
            entries[338] = ("H", 2)
            after += 12
    entries[273] = ("I", after + len(extra))
    out = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HIH", 42, 8, len(entries))
    for tag, (code, value) in sorted(entries.items()):
        number = {"H": 3, "I": 4, "f": 11}[code]
        if tag == 258 and channels > 1:
            packed = bits if channels < 3 else struct.pack(order + "I", after)
            out += struct.pack(order + "HHI", tag, 3, channels) + packed
        elif tag == 339:
            out += struct.pack(order + "HHI", tag, 3, 1) + struct.pack(order + "Hxx", kind)
        else:
            out += struct.pack(order + "HHI", tag, number, 1)
            out += struct.pack(order + code, value).ljust(4, b"\0")
    return out + bytes(4) + extra + data


def opened(data: bytes) -> Image:
    return Image.open(io.BytesIO(data), "x")


def near(image: Image, right: NDArray[np.generic]) -> bool:
    return bool(np.abs(image.pixels[..., 0] - right.astype(float)).max() <= 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_turned_tiff_is_the_same_by_path_and_from_bytes(
    tmp_path: Path, channels: int, orientation: int
) -> None:
    values = np.random.default_rng(0).integers(0, 255, (20, 30, channels)).astype(np.uint8)
    shaped = values[..., 0] if channels == 1 else values
    data = tiff(shaped, photometric=1 if channels == 1 else 2, orientation=orientation)
    (tmp_path / "x.tif").write_bytes(data)
    by_path, by_bytes = Image.open(tmp_path / "x.tif"), opened(data)
    assert by_path.size == ((20, 30) if orientation < 5 else (30, 20))
    np.testing.assert_array_equal(by_path.pixels, by_bytes.pixels)
    first: NDArray[np.uint8] = np.broadcast_to(values[..., :3], (20, 30, 3))
    flat = first.transpose(1, 0, 2) if orientation > 4 else first
    down, right = ((1, 1), (1, -1), (-1, -1), (-1, 1))[(orientation - 1) % 4]
    np.testing.assert_array_equal(by_path.pixels, flat[::down, ::right])


@pytest.mark.parametrize(
    ("kind", "top", "order"),
    [("u1", 255, "<"), ("u2", 65535, "<"), ("f4", 1, "<"), ("f4", 1, ">")],
)
@pytest.mark.parametrize("photometric", [0, 1])
def test_white_may_be_zero(kind: str, top: int, order: Literal["<", ">"], photometric: int) -> None:
    values = GREY / 255 if photometric else 1 - GREY / 255
    data = tiff((values * top + (kind[0] == "u") / 2).astype(kind), photometric=photometric)
    image = opened(data)
    assert near(image, GREY) and image.notes == ()


@pytest.mark.parametrize(
    ("kind", "top"),
    [
        ("u4", 2**32 - 1),
        ("u4", 70_000),
        ("u4", 255),
        ("i4", 2**31 - 1),
        ("i2", 2**15 - 1),
        ("f4", 255),
        ("f4", 65_535),
        ("f4", 1e6),
    ],
)
def test_scales_that_are_not_said_are_guessed_with_a_note(kind: str, top: float) -> None:
    image = opened(tiff((GREY / GREY.max() * top).astype(kind)))
    assert len(image.notes) == 1 and f"{top:,.10g} was taken" in image.notes[0]
    assert near(image, GREY / GREY.max() * 255)


@pytest.mark.parametrize("kind", ["u4", "f4"])
def test_a_scale_that_is_said_is_taken(kind: str) -> None:
    code = "I" if kind == "u4" else "f"
    image = opened(tiff((GREY * 10.0).astype(kind), tags={341: (code, 2550)}))
    assert image.notes == () and near(image, GREY)
    image = opened(tiff((GREY * 10.0).astype(kind), tags={341: (code, 1000)}))
    assert image.notes == ("values above 1,000 were taken as white",)


def test_values_below_zero_are_black_and_not_bright() -> None:
    for kind in ("i1", "i2", "i4", "f4"):
        values = (np.arange(60).reshape(6, 10) - 30).astype(kind)
        image = opened(tiff(values))
        assert image.pixels[:3].max() == 0 and "below 0" in image.notes[0]
        assert (np.diff(image.pixels[3:, :, 0].ravel().astype(int)) > 0).all()


def test_floats_a_little_beyond_the_range_are_clipped_with_a_note() -> None:
    values = (GREY / 255).astype(np.float32)
    values[0, :3] = (1.2, -0.1, 30)
    image = opened(tiff(values))
    assert image.notes == (
        "values below 0 were taken as black",
        "values above 1 were taken as white",
    )
    assert near(image, (values.clip(0, 1) * 255))


def test_what_is_infinite_or_no_number_does_not_spoil_the_rest() -> None:
    values = (GREY / 255).astype(np.float32)
    values[0, :3] = (np.inf, -np.inf, np.nan)
    image = opened(tiff(values))
    assert "infinite" in image.notes[0] and len(image.notes) == 1
    assert list(image.pixels[0, :3, 0]) == [255, 0, 0]
    assert np.abs(image.pixels[1:, :, 0] - GREY[1:].astype(float)).max() <= 1
    for value in (np.nan, np.inf):
        assert opened(tiff(np.full((4, 5), value, np.float32))).notes


def test_bright_scenes_keep_their_lights() -> None:
    linear = np.linspace(0.1, 3, 24 * 36).reshape(24, 36).astype(np.float32)
    assert len(np.unique(opened(tiff(linear)).pixels)) > 200
    linear[0, 0] = 1e6  # the sun
    image = opened(tiff(linear))
    assert len(np.unique(image.pixels)) > 200 and "taken as white" in image.notes[0]


@pytest.mark.parametrize("kind", ["u4", "i4", "i2", "u2", "f4"])
def test_black_is_black(kind: str) -> None:
    assert opened(tiff(np.zeros((3, 4), kind))).pixels.max() == 0


def with_cicp(*numbers: int) -> bytes:
    file = io.BytesIO()
    Pillow.fromarray(GREY).save(file, "PNG")
    data = file.getvalue()
    body = b"cICP" + bytes(numbers)
    chunk = struct.pack(">I", len(numbers)) + body + struct.pack(">I", zlib.crc32(body))
    return data[:33] + chunk + data[33:]


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((9, 16, 0, 1), "BT.2020 with PQ"),
        ((9, 18, 0, 1), "BT.2020 with HLG"),
        ((12, 13, 0, 1), "Display P3"),
        ((1, 8, 0, 1), "linear light"),
        ((22, 99, 0, 1), "22/99"),
        ((1, 13, 0, 1), None),
        ((2, 2, 0, 1), None),
        ((), None),
    ],
)
def test_colours_named_by_numbers_are_noted_unless_srgb(
    numbers: tuple[int, ...], words: str | None
) -> None:
    image = opened(with_cicp(*numbers))
    np.testing.assert_array_equal(image.pixels[..., 0], GREY)
    assert (words is None) == (image.notes == ())
    assert words is None or words in image.notes[0]


def test_avif_names_its_colours_too(tmp_path: Path) -> None:
    Image(np.dstack([GREY] * 3)).save(tmp_path / "x.avif")
    data = (tmp_path / "x.avif").read_bytes()
    assert opened(data).notes == ()
    at = data.index(b"colrnclx") + 8
    assert "BT.2020 with PQ" in opened(data[:at] + b"\0\x09\0\x10" + data[at + 4 :]).notes[0]


@pytest.mark.parametrize("told", [1e-45, 3e38, np.inf, np.nan, -1, 0])
def test_scales_that_make_no_sense_are_no_error(told: float) -> None:
    values = GREY.astype(np.float32)
    values[0, 0] = np.inf
    assert opened(tiff(values, tags={341: ("f", told)})).size == GREY.shape
