"""Tints: numbers of blocks to bytes and back, and colours that come back right."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.helpers import Run, picture
from vqcodec import Codes, Image, ImageCodec
from vqcodec.codec.tint import TO_RGB, apply_tint, measure_tint
from vqcodec.codec.unseen import unseen_cells
from vqcodec.coding.adaptive import ESCAPE, LIMIT, Guess, NumberDecoder, NumberEncoder, expecting
from vqcodec.coding.rangecoder import TOTAL
from vqcodec.errors import FormatError
from vqcodec.files.contents import ImageInfo
from vqcodec.files.tint import BLOCK, MAX_STEP, Tint, blocks, pack, unpack
from vqcodec.media.image import Image as Picture

COLOURS = [
    *((200, 30, 30), (30, 60, 200), (128, 128, 128), (0, 0, 0), (255, 255, 255)),
    *((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (90, 110, 40)),
]


def some_tint(height: int, width: int, seed: int = 0, spread: float = 6.0) -> Tint:
    rng = np.random.default_rng(seed)
    numbers = np.rint(rng.laplace(0, spread, (*blocks((height, width)), 3))).astype(np.int16)
    return Tint(3, numbers, rng.random(numbers.shape[:2]) < 0.4)


def flat(colour: tuple[int, ...], height: int = 128, width: int = 128) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


@pytest.fixture(scope="module")
def codec() -> ImageCodec:
    return ImageCodec.load("image-f4", device="cpu", precision="fp32")


def test_numbers_come_back_and_cost_about_what_they_must() -> None:
    rng = np.random.default_rng(1)
    numbers = np.rint(rng.laplace(0, 2, 6000)).astype(int).tolist()
    numbers += [LIMIT - 1, 1 - LIMIT, ESCAPE // 2, -ESCAPE // 2, ESCAPE, -ESCAPE, 0]
    encoder = NumberEncoder([expecting(300)])
    for number in numbers:
        encoder.encode(0, number)
    data = encoder.finish()
    decoder = NumberDecoder(data, [expecting(300)])
    assert [decoder.decode(0) for _ in numbers] == numbers
    counts = np.unique(numbers, return_counts=True)[1] / len(numbers)
    entropy = -(counts * np.log2(counts)).sum() * len(numbers)
    assert 8 * len(data) < 1.07 * entropy + 200


@pytest.mark.parametrize("symbols", [2, 32])
def test_every_symbol_stays_possible(symbols: int) -> None:
    guess = Guess([1 << 30, *[1] * (symbols - 1)])
    for symbol in [symbols - 1] * 3000 + [0] * 3000:
        guess.learn(symbol)
        sizes = np.diff(guess.cumulative)
        assert sizes.min() >= 1
        assert guess.cumulative[0] == 0
        assert guess.cumulative[-1] == TOTAL
    assert sizes[0] > 0.98 * TOTAL


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (17, 100), (300, 40)])
def test_packing_loses_nothing(size: tuple[int, int]) -> None:
    for spread in (0.2, 6.0, 300.0):
        tint = some_tint(*size, spread=spread)
        assert unpack(pack(tint), size) == tint


def test_damage_is_told_or_gives_another_tint() -> None:
    size = (70, 90)
    data = pack(some_tint(*size))
    for position in range(len(data)):
        for bit in (1, 16, 128):
            damaged = bytearray(data)
            damaged[position] ^= bit
            try:
                unpack(bytes(damaged), size).check(size)
            except FormatError:
                continue
    for cut in range(len(data)):
        try:
            unpack(data[:cut], size).check(size)
        except FormatError:
            continue
    with pytest.raises(FormatError, match="tint"):
        unpack(b"", size)
    with pytest.raises(FormatError, match="tint"):
        unpack(bytes([MAX_STEP + 1]) + data[1:], size)


def test_what_does_not_fit_is_refused() -> None:
    tint = some_tint(64, 64)
    for wrong in (
        replace(tint, step=0),
        replace(tint, numbers=tint.numbers[:-1]),
        replace(tint, numbers=tint.numbers.astype(np.int32)),
        replace(tint, smooth=tint.smooth[:, :-1]),
        replace(tint, smooth=tint.smooth.astype(np.uint8)),
        replace(tint, numbers=np.full_like(tint.numbers, LIMIT - 1)),
    ):
        with pytest.raises(FormatError, match="tint does not fit"):
            wrong.check((64, 64))
    with pytest.raises(FormatError, match="tint does not fit"):
        ImageInfo((64, 64), (64, 64), tint=some_tint(64, 80)).check()


def test_colours_lie_on_lines_between_the_middles_of_blocks() -> None:
    size = (5 * BLOCK, 7 * BLOCK)
    decoded = picture(*size, seed=2)
    numbers = some_tint(*size, spread=3).numbers
    for smooth in (False, True):
        tint = Tint(2, numbers, np.full(numbers.shape[:2], smooth))
        found = apply_tint(decoded, tint)
        grid = torch.from_numpy(numbers * (1.0 if smooth else 2.0) @ TO_RGB.T).movedim(-1, 0)[None]
        spread = F.interpolate(grid, scale_factor=BLOCK, mode="bilinear", align_corners=False)
        base = 0 if smooth else decoded
        expected = (base + spread[0].movedim(0, -1).numpy()).clip(0, 255)
        half = BLOCK // 2  # beyond the outermost middles lines go on, where torch stops
        inner = (slice(half, -half), slice(half, -half))
        assert np.abs(found[inner] - expected[inner]).max() <= 0.51


def test_a_slope_is_a_slope_to_its_ends() -> None:
    y, x = np.mgrid[:96, :112]
    pixels = np.stack([40 + y, 200 - x, 60 + y // 2 + x // 2], -1).astype(np.uint8)
    tint = measure_tint(pixels, picture(96, 112, seed=9))
    assert tint is not None
    assert tint.smooth.all()
    assert np.abs(apply_tint(np.zeros_like(pixels), tint).astype(int) - pixels).max() <= 3


def test_nothing_is_told_where_nothing_is_wrong() -> None:
    pixels = picture(80, 96, seed=3)
    assert measure_tint(pixels, pixels) is None
    noise = np.random.default_rng(4).integers(0, 256, pixels.shape, np.uint8)
    assert measure_tint(pixels, noise, rate_weight=1e9) is None


def test_bands_that_are_computed_apart_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    tint = some_tint(27 * BLOCK - 3, 5 * BLOCK, spread=20)
    tint.smooth[:9], tint.smooth[17:] = True, False  # of one kind, of both, of the other
    decoded = picture(27 * BLOCK - 3, 5 * BLOCK, seed=2)
    found = apply_tint(decoded, tint)
    monkeypatch.setattr("vqcodec.codec.tint.BAND", 100)
    assert np.array_equal(found, apply_tint(decoded, tint))


def test_what_smooth_blocks_were_decoded_to_does_not_matter() -> None:
    size = (96, 128)
    tint, decoded = some_tint(*size, spread=2), picture(*size, seed=5)
    here = np.repeat(np.repeat(tint.smooth, BLOCK, 0), BLOCK, 1)
    other = np.where(here[..., None], 255 - decoded, decoded)
    np.testing.assert_array_equal(apply_tint(decoded, tint), apply_tint(other, tint))


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_unseen_cells_are_those_that_no_pixel_outside_smooth_blocks_sees(stride: int) -> None:
    rng, halo = np.random.default_rng(6), 3
    smooth = rng.random((9, 11)) < 0.96
    shape = (9 * BLOCK // stride - 1, 11 * BLOCK // stride)
    found = unseen_cells(smooth, shape, stride, halo)
    per = BLOCK // stride
    for y, x in np.ndindex(shape):
        near = [
            (i, j)
            for i in range(max(0, y - halo), min(shape[0], y + halo + 1))
            for j in range(max(0, x - halo), min(shape[1], x + halo + 1))
        ]
        assert found[y, x] == all(smooth[i // per, j // per] for i, j in near)
    assert found.any()
    assert not found.all()


@pytest.mark.parametrize("colour", COLOURS)
def test_flat_colour_comes_back_right_in_few_bytes(
    codec: ImageCodec, colour: tuple[int, ...]
) -> None:
    pixels = flat(colour)
    codes = codec.encode(pixels)
    assert np.abs(codec.decode(codes).pixels.astype(int) - pixels).max() <= 2
    small = codec.without_unseen(codes)
    np.testing.assert_array_equal(codec.decode(small).pixels, codec.decode(codes).pixels)
    assert len(small.to_bytes(".vqc")) <= 0.06 * 128 * 128 / 8


def test_half_a_flat_picture_keeps_the_other_half(codec: ImageCodec, tmp_path: Path) -> None:
    pixels = flat((90, 110, 40), 192, 320)
    pixels[:, 160:] = picture(192, 160, seed=7)
    codes = codec.encode(pixels)
    tint = codes.image.tint
    assert tint is not None
    assert tint.smooth[:, :8].all()
    small = codec.without_unseen(codes)
    assert not np.array_equal(small.grids[0], codes.grids[0])
    assert len(small.to_bytes(".vqc")) < len(codes.to_bytes(".vqc"))
    decoded = codec.decode(codes).pixels
    np.testing.assert_array_equal(codec.decode(small).pixels, decoded)
    assert np.abs(decoded[:, :128].astype(int) - pixels[:, :128]).max() <= 2
    bare = codec.decode(replace(codes, media=replace(codes.image, tint=None))).pixels
    error, before = (np.square(p - pixels.astype(float)).mean() for p in (decoded, bare))
    assert error < before
    for suffix in (".npz", ".vqc"):
        path = tmp_path / f"half{suffix}"
        codes.save(path)
        assert Codes.load(path) == codes


def test_arrays_of_others_are_looked_at(codec: ImageCodec, tmp_path: Path) -> None:
    codes = codec.encode(flat((30, 60, 200), 40, 50))
    path = tmp_path / "flat.npz"
    codes.save(path)
    arrays = dict(np.load(path))
    for name, wrong in (
        ("flags", np.full_like(arrays["tint"], 2)),
        ("shape", arrays["tint"][:-1]),
        ("type", arrays["tint"].astype(np.int32)),
        ("numbers", arrays["tint"].astype(np.float32)),
    ):
        np.savez(tmp_path / f"{name}.npz", **(arrays | {"tint": wrong}))
        with pytest.raises(FormatError):
            Codes.load(tmp_path / f"{name}.npz")


def test_batches_have_the_tints_of_single_pictures(codec: ImageCodec) -> None:
    images = [Picture(flat(c, 60, 40)) for c in COLOURS[:3]] + [Image(picture(60, 40, seed=8))]
    for image, codes in zip(images, codec.encode_images(images), strict=True):
        assert codes == codec.encode(image)
    plain = codec.encode_images(images, tinted=False)
    assert all(codes.image.tint is None for codes in plain)


def test_info_tells_of_a_tint(tmp_path: Path, run: Run) -> None:
    Picture(flat((200, 30, 30), 50, 70)).save(tmp_path / "flat.png")
    assert run("encode", "flat.png", "-o", "flat.vqc").returncode == 0
    told = run("info", "flat.vqc").stdout.decode()
    assert "5×4 blocks, 100% of them smooth" in told


def test_scaled_pictures_are_tinted_as_they_are_coded(codec: ImageCodec) -> None:
    pixels = flat((255, 0, 0), 150, 90)
    codes = codec.encode(pixels, scale=0.5)
    tint = codes.image.tint
    assert tint is not None
    assert tint.smooth.shape == tuple(math.ceil(n / 2 / BLOCK) for n in (150, 90))
    assert np.abs(codec.decode(codes).pixels.astype(int) - pixels).max() <= 2
