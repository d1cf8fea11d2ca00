"""The codec on a tiny model: tiles, batches, threads, weights."""

import json
import pickle
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import vqcodec.codec.image
from tests.helpers import picture
from vqcodec import Codec, Image
from vqcodec.errors import FormatError, UsageError, WeightsError
from vqcodec.models.pretrained import read_state
from vqcodec.weights import find_named, find_weights


@pytest.fixture
def codec() -> Codec:
    return Codec.load("tiny", device="cpu", precision="fp32")


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (83, 2), (64, 64), (131, 97)])
def test_tiles_give_what_one_pass_gives(
    codec: Codec, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    image = Image(picture(*size))
    whole = codec.encode(image)
    decoded = codec.decode(whole)
    monkeypatch.setattr(vqcodec.codec.image, "WINDOW", 15)
    tiled = codec.encode(image)
    agree = np.mean([np.mean(a == b) for a, b in zip(whole.grids, tiled.grids, strict=True)])
    assert agree >= 0.999  # the rest are ties that floating point breaks either way
    again = codec.decode(whole)
    assert np.abs(again.pixels.astype(int) - decoded.pixels).max() <= 1
    assert decoded.size == size


def test_whole_equals_the_network_alone(codec: Codec) -> None:
    pixels = picture(32, 48)
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        expected = codec.model.encode(x)[0][0].numpy()
    np.testing.assert_array_equal(codec.encode(Image(pixels)).grids[0], expected)


@pytest.mark.parametrize("size", [(32, 32), (30, 41)])
def test_batches_equal_single_pictures(codec: Codec, size: tuple[int, int]) -> None:
    pixels = np.stack([picture(*size, seed=s) for s in range(5)])
    (maps,) = codec.encode_batch(pixels)
    assert maps.dtype == np.uint16 and maps.shape == (5, -(-size[0] // 4), -(-size[1] // 4))
    for one, grid in zip(pixels, maps, strict=True):
        assert np.mean(codec.encode(Image(one)).grids[0] == grid) > 0.99
    decoded = codec.decode_batch((maps,))
    single = codec.decode(codec.encode(Image(pixels[0]), tinted=False)).pixels
    assert np.abs(decoded[0, : size[0], : size[1]].astype(int) - single).max() <= 1 or not (
        np.array_equal(codec.encode(Image(pixels[0])).grids[0], maps[0])
    )


def test_mixed_sizes_keep_their_order(codec: Codec) -> None:
    images = [Image(picture(8 + 4 * (s % 2), 16, seed=s)) for s in range(6)]
    for image, codes in zip(images, codec.encode_images(images), strict=True):
        assert codes.media.size == image.size
        assert np.mean(codes.grids[0] == codec.encode(image).grids[0]) > 0.99


def test_scale_codes_a_smaller_picture_and_gives_back_the_size(codec: Codec) -> None:
    codes = codec.encode(Image(picture(61, 40)), scale=0.5)
    assert codes.media.size == (61, 40) and codes.media.coded_size == (30, 20)
    assert codes.grids[0].shape == (8, 5)
    assert codec.decode(codes).size == (61, 40)


def test_read_only_arrays_are_fine(codec: Codec) -> None:
    pixels = picture(16, 16)
    pixels.flags.writeable = False
    assert codec.encode(Image(pixels)).grids[0].shape == (4, 4)


def test_transparency_comes_back_exactly(codec: Codec) -> None:
    alpha = np.random.default_rng(0).integers(0, 256, (21, 33)).astype(np.uint8)
    codes = codec.encode(Image(picture(21, 33), alpha), scale=0.4)
    np.testing.assert_array_equal(codec.decode(codes).alpha, alpha)


def test_survives_pickling_and_several_threads(codec: Codec) -> None:
    again = pickle.loads(pickle.dumps(codec))
    pixels = np.stack([picture(16, 16, seed=s) for s in range(4)])
    expected = codec.encode_batch(pixels)[0]
    np.testing.assert_array_equal(again.encode_batch(pixels)[0], expected)
    with ThreadPoolExecutor(4) as pool:
        for (maps,) in pool.map(codec.encode_batch, [pixels] * 12):
            np.testing.assert_array_equal(maps, expected)


def test_codes_of_other_weights_are_refused(codec: Codec) -> None:
    codes = codec.encode(Image(picture(8, 8)))
    with pytest.raises(WeightsError, match="made with"):
        codec.decode(replace(codes, codebook_id=b"\0\0\0\0"))
    with pytest.raises(FormatError, match="does not fit"):
        codec.decode(replace(codes, media=replace(codes.media, coded_size=(90, 90))))


@pytest.mark.parametrize(
    "pixels", [np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8, 3)), np.zeros((0, 8, 8, 3), "u1")]
)
def test_arrays_that_are_no_pictures_are_refused(codec: Codec, pixels: np.ndarray) -> None:
    with pytest.raises(UsageError):
        codec.encode_batch(pixels)


def test_index_maps_out_of_range_are_refused(codec: Codec) -> None:
    with pytest.raises(UsageError):
        codec.decode_batch((np.full((1, 4, 4), 32, np.uint16),))


def test_names_from_files_are_never_paths(tiny_weights: Path) -> None:
    assert find_weights(str(tiny_weights)).name == "tiny"
    for name in [str(tiny_weights), "../tiny", "tiny/../tiny", "", "TINY", "no-such"]:
        with pytest.raises(WeightsError):
            find_named(name)


def test_damaged_weights_are_refused(tiny_weights: Path, tmp_path: Path) -> None:
    def copy() -> Path:
        shutil.rmtree(tmp_path / "w", ignore_errors=True)
        return Path(shutil.copytree(tiny_weights, tmp_path / "w"))

    def config_of(folder: Path) -> dict[str, object]:
        config: dict[str, object] = json.loads((folder / "config.json").read_text())
        return config

    folder = copy()
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(WeightsError, match="SHA-256"):
        Codec.load(folder)
    folder = copy()
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="incomplete"):
        Codec.load(folder)
    folder = copy()
    (folder / "config.json").write_text("{")
    with pytest.raises(WeightsError, match="not valid JSON"):
        Codec.load(folder)
    folder = copy()
    config = config_of(folder)
    config["model"]["encoder"]["widths"] = [4, 2048]  # type: ignore[index]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="larger than its file"):
        Codec.load(folder)
    config["model"]["encoder"]["widths"] = [4, 9]  # type: ignore[index]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="not those of the model"):
        Codec.load(folder)
    folder = copy()
    (folder / "config.json").write_text(
        json.dumps({**config_of(folder), "codebook_id": "00000000"})
    )
    with pytest.raises(WeightsError, match="codebook"):
        Codec.load(folder)
    folder = copy()
    (folder / "config.json").write_text(json.dumps({**config_of(folder), "modality": "audio"}))
    with pytest.raises(WeightsError, match="not pictures"):
        Codec.load(folder)


def test_weights_on_disk_are_those_of_the_model(tiny_weights: Path) -> None:
    state = read_state(find_weights(str(tiny_weights)))
    assert all(v.dtype == torch.float32 for v in state.values())
