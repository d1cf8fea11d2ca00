"""Pictures at every quality: codes of what a first codec lacks, and pictures of them."""

import hashlib
import itertools
import json
import pickle
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch.nn import functional as F

from tests.helpers import Run, followed_costs, picture
from vqcodec import Codec, Codes, Image
from vqcodec.codec.graphs import add_graphs
from vqcodec.codec.rate import encode_to, file_bytes, squared_error
from vqcodec.codec.refined import DEFAULT_WEIGHT, SMALLER, RefinedCodec
from vqcodec.codec.refiners import OnnxRefine, TorchRefine
from vqcodec.codec.sampling import SamplingParams
from vqcodec.coding.lattice import Walk
from vqcodec.config import to_json
from vqcodec.errors import FormatError, UsageError, VqcodecError, WeightsError
from vqcodec.models.nn.pixels import to_pixels, to_signal
from vqcodec.models.pretrained import load_refiner
from vqcodec.weights import (
    ANALYSIS,
    CODEBOOKS,
    CODING_PRIOR,
    CONFIG,
    MODEL,
    NETWORK,
    REFINER,
    read_weights,
)

SIZES = [(1, 1), (3, 5), (16, 16), (17, 4), (50, 71)]
LONG = (28, 1060)  # more than a block of 256 cells, and than a tile of 160
Arrays = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def codec(refined_weights: Path) -> RefinedCodec:
    found = Codec.load(refined_weights, "cpu", "fp32")
    assert isinstance(found, RefinedCodec)
    return found


def errors(pixels: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> torch.Tensor:
    """What is lacking, (1, 3, H, W), filled up by nothing to whole cells."""
    lacks = torch.from_numpy(pixels.astype(np.float32) - decoded).movedim(-1, 0)[None]
    height, width = lacks.shape[-2:]
    return F.pad(lacks, (0, -width % 4, 0, -height % 4))


def test_the_transform_is_pixel_unshuffles_and_keeps_distances(codec: RefinedCodec) -> None:
    refinement = codec.refinement
    square = np.linalg.qr(np.random.default_rng(0).normal(size=(48, 48)))[0].astype(np.float32)
    whole = replace(refinement, analysis=square)
    for size in SIZES:
        pixels, decoded = picture(*size, seed=1), picture(*size, seed=2)
        lacks = errors(pixels, decoded)
        z = whole.lacking(pixels, decoded)
        cells = F.pixel_unshuffle(lacks, 4)[0].movedim(0, -1).numpy()
        np.testing.assert_allclose(z, cells @ square, atol=1e-2)
        assert float((z**2).sum()) == pytest.approx(float(lacks.square().sum()), rel=1e-4)
    kept = refinement.analysis.T @ refinement.analysis  # fewer directions, orthogonal ones
    np.testing.assert_allclose(kept, np.eye(12) * kept[0, 0], atol=1e-6)
    curvature = np.array(refinement.rates.curvature)
    np.testing.assert_allclose(curvature * kept[0, 0], 1, rtol=1e-3)


@pytest.mark.parametrize("weight", [0.0, 40.0, 700.0])
def test_each_code_is_the_cheapest_given_those_before_it(
    codec: RefinedCodec, weight: float
) -> None:
    """Against a plain reckoning in float64, and the frequencies of a walk over the result."""
    refinement, rates = codec.refinement, codec.rates
    prepared = codec.prepare(Image(picture(36, 52, seed=1)))
    pixels, decoded, (first,) = prepared.pixels, prepared.decoded, prepared.first.grids
    maps = refinement.codes(pixels, decoded, first, weight).grids[1:]
    weight = max(weight, 1.0)  # of less nothing gets better
    z = F.pixel_unshuffle(errors(pixels, decoded), 4)[0].movedim(0, -1).double().numpy()
    left = z @ refinement.analysis.astype(np.float64)
    walk = Walk(rates.prior, rates.condition(weight))
    walk.know(first[None])
    checked = 0
    usual = refinement.usual[rates.condition(weight)].astype(np.float64)
    books = np.stack(refinement.codebooks).astype(np.float64)
    for number, (grid, curvature) in enumerate(zip(maps, rates.curvature, strict=True)):
        costs = followed_costs(left, number, books, usual, curvature / weight)

        def take(
            cells: tuple[slice, slice],
            cumulative: NDArray[np.int32],
            grid: NDArray[np.uint16] = grid,
            costs: NDArray[np.float64] = costs,
        ) -> NDArray[np.int32]:
            nonlocal checked
            sizes = np.diff(cumulative[..., :16].astype(np.int64), axis=-1, prepend=0)
            cost = costs[cells][None] - np.log2(sizes)
            taken = grid[cells][None].astype(np.int64)
            here = np.take_along_axis(cost, taken[..., None], -1)[..., 0]
            np.testing.assert_allclose(here, cost.min(-1), rtol=1e-4, atol=1e-2)
            checked += taken.size
            return taken.astype(np.int32)

        walk.go((1, 9, 13), take)
        left = left - books[number][grid]
    assert checked == 3 * 9 * 13
    assert all(len(np.unique(grid)) > 3 for grid in maps) or weight == 700.0
    said = refinement.vectors(maps)
    np.testing.assert_allclose(left, z @ refinement.analysis - said, atol=1e-4)


@pytest.mark.parametrize("size", [(36, 52), LONG])
def test_choosing_anew_after_what_codes_say_is_choosing_the_same(
    codec: RefinedCodec, size: tuple[int, int]
) -> None:
    """As long as a network adds nothing of its own to it."""
    prepared, refinement = codec.prepare(Image(picture(*size, seed=1))), codec.refinement
    pixels, decoded, (first,) = prepared.pixels, prepared.decoded, prepared.first.grids
    grids = refinement.codes(pixels, decoded, first, 100.0).grids
    said = refinement.vectors(grids[1:])
    values = torch.from_numpy(said @ np.linalg.pinv(refinement.analysis)).movedim(-1, 0)
    added = F.pixel_shuffle(values[None], 4)[0].movedim(0, -1).numpy()
    told = decoded + added[: size[0], : size[1]]
    again = refinement.codes(pixels, told, first, 100.0, said=said).grids
    assert any(grid.any() for grid in grids[1:])
    assert all(np.mean(a != b) < 0.01 for a, b in zip(grids, again, strict=True))  # rounding
    without = refinement.codes(pixels, told, first, 100.0).grids
    assert any(np.mean(a != b) > 0.05 for a, b in zip(grids, without, strict=True))


def test_blocks_are_chosen_as_they_are_coded(codec: RefinedCodec) -> None:
    """Cells of two blocks know nothing of each other, neither here nor in a file."""
    refinement = codec.refinement
    pixels, decoded = picture(*LONG, seed=1), picture(*LONG, seed=2)
    first = np.random.default_rng(0).integers(0, 32, (7, 265)).astype(np.uint16)
    whole = refinement.codes(pixels, decoded, first, 60.0).grids[1:]
    for begin, end in ((0, 256), (256, 265)):
        part = slice(4 * begin, 4 * end)
        alone = refinement.codes(pixels[:, part], decoded[:, part], first[:, begin:end], 60.0)
        for grid, own in zip(whole, alone.grids[1:], strict=True):
            np.testing.assert_array_equal(grid[:, begin:end], own)


@pytest.mark.parametrize("weight", [0.0, 40.0, 9000.0])
@pytest.mark.parametrize("flat", [False, True])
def test_bytes_made_while_codes_were_chosen_are_those_of_the_file(
    codec: RefinedCodec, weight: float, flat: bool
) -> None:
    """Of all blocks, or where one of two has nothing to say; and never those of other codes."""
    prepared = codec.prepare(Image(picture(*LONG, seed=4)), 1.0)
    if flat:
        pixels = prepared.pixels.copy()
        pixels[:, :1024] = prepared.decoded[:, :1024]  # lacks nothing
        prepared = replace(prepared, pixels=pixels)
    codes = codec.finish(prepared, weight, tinted=False)
    assert codes.chosen is not None
    lanes = [len(own) for own in codes.chosen.lanes]
    assert lanes[1] == 3 and (not flat or lanes[0] < 3)
    files = [codes.first(n).to_bytes(".vqc") for n in (1, 2, 3, 4)]
    other = replace(codes, grids=tuple(grid[::-1].copy() for grid in codes.grids))
    changed = other.to_bytes(".vqc")
    forgotten = replace(codes, chosen=None)
    assert [forgotten.first(n).to_bytes(".vqc") for n in (1, 2, 3, 4)] == files
    assert replace(other, chosen=None).to_bytes(".vqc") == changed


@pytest.mark.parametrize("size", [*SIZES, LONG])
def test_files_come_back(codec: RefinedCodec, tmp_path: Path, size: tuple[int, int]) -> None:
    image = Image(picture(*size, seed=4))
    codes = codec.encode(image, rate_weight=9000.0, scale=1)
    cells = (-(-size[0] // 4), -(-size[1] // 4))
    assert [grid.shape for grid in codes.grids] == [cells] * 4
    assert codes.codebook_sizes == codec.codebook_sizes == (32, 16, 16, 16)
    assert (codes.model, codes.condition) == ("refined", codec.rates.condition(9000.0))
    decoded = codec.decode(codes)
    assert decoded.size == size
    for suffix in (".vqc", ".npz"):
        codes.save(tmp_path / f"a{suffix}")
        back = Codes.load(tmp_path / f"a{suffix}")
        assert back == codes
        np.testing.assert_array_equal(codec.decode(back).pixels, decoded.pixels)
    packed = len(codes.to_bytes(".vqc", prior=False))
    if cells[0] * cells[1] > 100:  # or it is packed after all
        assert (tmp_path / "a.vqc").stat().st_size < packed


def test_more_bits_make_better_pictures(codec: RefinedCodec) -> None:
    image = Image(picture(64, 80, seed=5))
    found = []
    for weight in (15.0, 900.0, 5000.0, 50000.0):
        codes = codec.encode(image, rate_weight=weight, scale=1)
        found.append((squared_error(codec, image, codes), -file_bytes(codec, codes)))
    assert found == sorted(found)
    assert found[0][0] < 0.7 * found[-1][0]
    assert codec.encode(image) == codec.encode(image, rate_weight=DEFAULT_WEIGHT)


def test_the_best_quality_is_the_best() -> None:
    """However little a bit may cost, codes are chosen by what follows them."""
    codec, image = RefinedCodec.load("image"), Image(picture(64, 96))
    found = [
        codec.encode(image, rate_weight=weight)
        for weight in (codec.weight_of(99), 1.0, 1e-3, codec.weight_of(100))
    ]
    errors = [squared_error(codec, image, codes) for codes in found]
    assert errors[0] > errors[1] == errors[2] == errors[3]


def test_a_large_weight_takes_the_scale_that_is_best(codec: RefinedCodec) -> None:
    image, weight = Image(picture(48, 64, seed=5)), 5000.0

    def cost(codes: Codes) -> float:
        return squared_error(codec, image, codes) + weight * 8 * file_bytes(codec, codes)

    free, fixed = codec.encode(image, rate_weight=weight), None
    for scale in (1.0, 0.75):
        fixed = codec.encode(image, rate_weight=weight, scale=scale)
        assert cost(free) <= cost(fixed)
    assert free.media.coded_size != (48, 64)


def test_an_error_of_a_smaller_picture_weighs_what_it_becomes(codec: RefinedCodec) -> None:
    image = Image(picture(96, 128, seed=5))
    small = codec.encode(image, rate_weight=800.0, scale=0.5)
    same = codec.encode(image.shrink((48, 64)), rate_weight=200.0)
    assert all(map(np.array_equal, small.grids, same.grids))
    assert small.condition == same.condition and small.image.tint == same.image.tint


def test_smooth_pictures_alone_are_coded_at_a_smaller_scale_by_default() -> None:
    codec = Codec.load("image")
    y, x = np.mgrid[:192, :224] / 40
    waves = np.stack([np.sin(x + y), np.cos(x - 2 * y), np.sin(2 * x)], -1)
    smooth = Image((120 + 90 * waves).astype(np.uint8))
    noisy = Image(np.random.default_rng(0).integers(0, 256, (96, 96, 3)).astype(np.uint8))
    assert codec.encode(smooth).image.coded_size < smooth.size
    assert codec.encode(smooth, rate_weight=SMALLER).image.coded_size == smooth.size
    assert codec.encode(noisy).image.coded_size == noisy.size


def test_more_bytes_are_never_worse(codec: RefinedCodec) -> None:
    image = Image(picture(28, 36, seed=5))
    least, most = (
        file_bytes(codec, codec.encode(image, rate_weight=weight, scale=1)) for weight in (3e4, 0.0)
    )
    before = np.inf
    for target in np.linspace(least, most, 4).astype(int).tolist():
        codes = encode_to(codec, image, target)
        assert file_bytes(codec, codes) <= target
        assert squared_error(codec, image, codes) <= before
        before = squared_error(codec, image, codes)


def test_the_first_map_is_the_first_codecs(codec: RefinedCodec, tmp_path: Path) -> None:
    image = Image(picture(70, 90, seed=6))
    codes = codec.encode(image, rate_weight=30.0)
    assert codes.image.tint is not None
    base = codec.base
    (plain,) = base.encode(image, tinted=False).grids
    np.testing.assert_array_equal(codes.grids[0], plain)
    alone = replace(codes.first(1), model="plain", codebook_id=base.weights.codebook_id)
    expected = base.decode(replace(alone, condition=0)).pixels
    np.testing.assert_array_equal(codec.decode(codes, levels=1).pixels, expected)
    codes.save(tmp_path / "a.vqc")
    preview = Codes.load(tmp_path / "a.vqc", levels=1)
    np.testing.assert_array_equal(codec.decode(preview).pixels, expected)
    lost = [
        float(np.square(codec.decode(codes, levels=n).pixels - image.pixels.astype(float)).sum())
        for n in (1, 2, 3, 4)
    ]
    assert lost == sorted(lost, reverse=True)
    with pytest.raises(UsageError, match="levels is 5, must be 1 to 4"):
        codec.decode(codes, levels=5)


def test_maps_that_say_nothing_are_left_out(codec: RefinedCodec, tmp_path: Path) -> None:
    image = Image(picture(40, 40, seed=7))
    codes = codec.encode(image, rate_weight=50.0)
    empty, said = np.zeros((10, 10), np.uint16), codes.grids[2]
    for maps, number in (
        ((empty, empty, empty), 1),
        ((said, empty, empty), 2),
        ((empty, said, empty), 3),
        ((empty, empty, said), 4),
    ):
        given = replace(codes, grids=(codes.grids[0], *maps))
        found = codec.without_unseen(given)
        assert len(found.grids) == len(found.codebook_sizes) == number
        found.save(tmp_path / "a.vqc", force=True)
        back = Codes.load(tmp_path / "a.vqc")
        assert back == found
        expected = codec.decode(given).pixels
        np.testing.assert_array_equal(codec.decode(back).pixels, expected)
    nothing = codec.encode(image, rate_weight=1e9, scale=1)
    assert not any(grid.any() for grid in nothing.grids[1:])


def test_cells_that_no_pixel_shows_are_plain_in_files(codec: RefinedCodec) -> None:
    pixels = picture(96, 96, seed=8)
    pixels[:, 32:] = (200, 40, 90)
    codes = codec.encode(Image(pixels), rate_weight=200.0, scale=1)
    assert codes.image.tint is not None and codes.image.tint.smooth.any()
    saved = codec.without_unseen(codes)
    assert (saved.grids[0] != codes.grids[0]).any()
    np.testing.assert_array_equal(codec.decode(saved).pixels, codec.decode(codes).pixels)


def test_pictures_are_what_the_network_makes_in_one_pass(
    codec: RefinedCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = codec.encode(Image(picture(*LONG, seed=9)), rate_weight=30.0)
    tiled = codec.decode(codes).pixels.astype(int)
    monkeypatch.setattr("vqcodec.codec.refiners.WINDOW", 1 << 20)
    assert np.abs(codec.decode(codes).pixels - tiled).max() <= 1
    before = to_signal(torch.from_numpy(codec.decode(codes, levels=1).pixels).movedim(-1, 0)[None])
    z_q = torch.from_numpy(codec.refinement.vectors(codes.grids[1:])).movedim(-1, 0)[None]
    with torch.inference_mode():
        expected = to_pixels(load_refiner(codec.weights)(before, z_q))[0].movedim(0, -1).numpy()
    assert np.abs(tiled - expected).max() <= 1
    assert np.abs(tiled - codec.decode(codes, levels=1).pixels).mean() > 2


def test_many_pictures_are_coded_as_one_by_one(codec: RefinedCodec) -> None:
    images = [Image(picture(24, 28, seed)) for seed in (1, 2)]
    assert codec.encode_images(images) == [codec.encode(image) for image in images]
    grids = codec.encode_batch(np.stack([image.pixels for image in images]))
    assert [grid.shape for grid in grids] == [(2, 6, 7)] * 4
    decoded = codec.decode_batch(grids)
    for n, image in enumerate(images):
        alone = codec.encode(image, tinted=False)
        assert all(np.array_equal(a, b[n]) for a, b in zip(alone.grids, grids, strict=True))
        assert np.abs(codec.decode(alone).pixels - decoded[n].astype(int)).max() <= 1
    again = pickle.loads(pickle.dumps(codec))
    assert type(again) is RefinedCodec and again.encode(images[0]) == codec.encode(images[0])


def test_threads_do_not_change_bytes(codec: RefinedCodec, monkeypatch: pytest.MonkeyPatch) -> None:
    image, found = Image(picture(*LONG, seed=3)), set()
    for threads in (1, 2, 5):
        monkeypatch.setattr("vqcodec.codec.refinement.usable_cores", lambda n=threads: n)
        with threadpool_limits(threads, user_api="blas"):
            found.add(codec.encode(image, rate_weight=40.0).to_bytes(".vqc"))
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(codec.encode, image, rate_weight=40.0) for _ in range(4)]
        found |= {job.result().to_bytes(".vqc") for job in jobs}
    assert len(found) == 1


def test_an_effort_searches_for_a_better_first_map() -> None:
    codec, image = RefinedCodec.load("image"), Image(picture(64, 96))
    costs = []
    for effort in (0, 4):
        codes = codec.encode(image, scale=1.0, rate_weight=300.0, effort=effort)
        costs.append(squared_error(codec, image, codes) + 2400.0 * file_bytes(codec, codes))
    assert costs[1] < 0.98 * costs[0]
    plain, searched = (encode_to(codec, image, 700, effort=effort) for effort in (0, 4))
    assert max(file_bytes(codec, codes) for codes in (plain, searched)) <= 700
    assert squared_error(codec, image, searched) < squared_error(codec, image, plain)


def test_what_it_cannot_do(codec: RefinedCodec, photo: Path, run: Run) -> None:
    image = Image.open(photo)
    codes = codec.encode(image)
    with pytest.raises(UsageError, match="effort is 10, must be 0 to 9"):
        codec.encode(image, effort=10)
    with pytest.raises(UsageError, match="without drawing"):
        codec.decode(codes, params=SamplingParams())
    with pytest.raises(UsageError, match="that of 'plain' makes its first map"):
        codec.model  # noqa: B018
    with pytest.raises(FormatError, match="does not fit"):
        codec.decode(replace(codes, grids=(codes.grids[0], *(g[:-1] for g in codes.grids[1:]))))


def test_on_the_command_line(photo: Path, run: Run, tmp_path: Path) -> None:
    sizes = []
    for quality in (20, 60, 90):
        name = f"{quality}.vqc"
        done = run("encode", photo, "--model", "refined", "--quality", str(quality), "-o", name)
        assert done.returncode == 0, done.stderr
        sizes.append((tmp_path / name).stat().st_size)
        assert run("decode", name, "-o", f"{quality}.png").returncode == 0
        assert Image.open(tmp_path / f"{quality}.png").size == (52, 40)
    assert sizes == sorted(sizes)
    facts = json.loads(run("info", "20.vqc", "--json").stdout)
    told = facts[0] if isinstance(facts, list) else facts
    assert told["model"] == "refined" and told["coding"] == "range-coded"
    assert run("encode", photo, "--model", "refined", "-o", "a.npz").returncode == 0
    assert run("decode", "a.npz", "--levels", "1", "-o", "first.png").returncode == 0


def test_damaged_files_are_told(codec: RefinedCodec) -> None:
    codes = codec.encode(Image(picture(24, 24, seed=2)), rate_weight=20.0)
    data = codec.without_unseen(codes).to_bytes(".vqc")
    for position, bit in itertools.product(range(len(data)), (1, 128)):
        damaged = bytearray(data)
        damaged[position] ^= bit
        with pytest.raises(VqcodecError):
            codec.decode(Codes.from_bytes(bytes(damaged), "a.vqc"))
    whole = 0
    for cut in range(len(data)):
        try:
            found = Codes.from_bytes(data[:cut], "a.vqc")
        except VqcodecError:
            continue
        whole += 1  # it ends where a map does
        codec.decode(found)
    assert whole == 3


def other_weights(
    folder: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], **files: bytes
) -> Path:
    """Copy weights, beside the first codec, with another config and other files."""
    home = tmp_path / "weights"
    for name in ("refined", "plain"):
        shutil.copytree(folder.parent / name, home / name)
    config = json.loads((home / "refined" / CONFIG).read_text())
    for key, data in files.items():
        name = {"model": MODEL, "prior": CODING_PRIOR}[key]
        (home / "refined" / name).write_bytes(data)
        config["files"][name] = hashlib.sha256(data).hexdigest()
    change(config)
    (home / "refined" / CONFIG).write_text(to_json(config))
    return home / "refined"


def refused(folder: Path, run: Run, photo: Path) -> str:
    """Return the one sentence that weights are refused with, to encode or then to decode."""
    done = run("encode", photo, "--model", folder, "-o", "no.vqc")
    if not done.returncode:  # the network is needed only now
        done = run("decode", "no.vqc", "--model", folder, "-o", "no.png")
    words = done.stderr.decode()
    assert done.returncode == 1, words
    assert "Traceback" not in words and len(words.strip().splitlines()) == 1
    return words


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("model.refiner", {}, "and nothing else"),
        ("model.refiner.dim", 1024, "not the tensors"),
        ("model.refiner.dim", "many", "not the tensors"),
        ("model.refiner.blocks", 60, "its tensors are not those|larger than its file"),
        ("model.refiner.blocks", 10**9, "not the tensors"),
        ("model.refiner.width", 2048, "its tensors are not those|larger than its file"),
        ("model.refiner.stride", 0, "not the tensors"),
        ("model.refiner.stride", 8, "not the tensors"),
        ("model.refiner.activation", "exec", "activation"),
        ("model.on.name", "absent", "no weights named 'absent'"),
        ("model.on.codebook_id", "00000000", "that it was trained on"),
        ("model.on", "plain", "names no codec"),
        ("codebook_id", "01020304", "made for another|codebook is not the one"),
        ("rates", {}, "says of rates what cannot be"),
        ("rates.curvature", [1.0, 1.0], "says of rates what cannot be"),
        ("maps", [{"codebook_size": 32}], "not a coding prior"),
        ("modality", "audio", "codes speech"),
    ],
)
def test_configs_that_say_what_cannot_be(
    refined_weights: Path,
    tmp_path: Path,
    run: Run,
    photo: Path,
    key: str,
    value: object,
    sentence: str,
) -> None:
    def change(config: dict[str, Any]) -> None:
        *path, last = key.split(".")
        for part in path:
            config = config[part]
        config[last] = value

    words = refused(other_weights(refined_weights, tmp_path, change), run, photo)
    assert re.search(sentence, words), words


def nan(tensors: Arrays) -> None:
    tensors[ANALYSIS][3, 3] = np.nan


def narrow(tensors: Arrays) -> None:
    tensors[ANALYSIS] = tensors[ANALYSIS][:, :5].copy()


def flat(tensors: Arrays) -> None:
    tensors[ANALYSIS] = tensors[ANALYSIS].ravel()


def single(tensors: Arrays) -> None:
    tensors[ANALYSIS] = np.ones((), np.float32)


def loud(tensors: Arrays) -> None:
    tensors[CODEBOOKS][1, 0, 0] = 1


def fewer(tensors: Arrays) -> None:
    tensors[CODEBOOKS] = tensors[CODEBOOKS][:2].copy()


def moved(tensors: Arrays) -> None:
    tensors[CODEBOOKS][1, 3] *= 1.5


def without(tensors: Arrays) -> None:
    del tensors[f"{NETWORK}synthesis.weight"]


def nothing(tensors: Arrays) -> None:
    tensors.clear()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        *((damage, "not the tensors of weights") for damage in (nan, narrow, flat, single)),
        *((damage, "not the tensors of weights") for damage in (loud, fewer, nothing)),
        (moved, "its codebook is not the one"),
        (without, "its tensors are not those"),
    ],
)
def test_tensors_that_do_not_fit(
    refined_weights: Path,
    tmp_path: Path,
    run: Run,
    photo: Path,
    damage: Callable[[Arrays], None],
    sentence: str,
) -> None:
    tensors = safetensors.numpy.load((refined_weights / MODEL).read_bytes())
    tensors = {name: np.array(array) for name, array in tensors.items()}
    damage(tensors)
    data = safetensors.numpy.save(tensors)
    folder = other_weights(refined_weights, tmp_path, lambda _: None, model=data)
    assert sentence in refused(folder, run, photo)


def test_a_prior_that_does_not_fit(
    refined_weights: Path, tmp_path: Path, run: Run, photo: Path
) -> None:
    arrays = safetensors.numpy.load((refined_weights / CODING_PRIOR).read_bytes())
    every, first = set(arrays), {name for name in arrays if name.startswith("first.")}
    for number, (kept, sentence) in enumerate(
        (
            (every - first, "says of rates what cannot be"),
            (every - {"first.head"}, "not a coding prior"),
            (first, "not a coding prior"),
        )
    ):
        data = safetensors.numpy.save({name: arrays[name] for name in kept})
        place = tmp_path / str(number)
        folder = other_weights(refined_weights, place, lambda _: None, prior=data)
        assert sentence in refused(folder, run, photo)
    fewer = {n: arrays[n][..., :20].copy() for n in ("first.head", "first.head_bias")}
    fewer["first.codes"] = arrays["first.codes"][:20].copy()
    data = safetensors.numpy.save({**arrays, **fewer})
    folder = other_weights(refined_weights, tmp_path / "small", lambda _: None, prior=data)
    assert "not a coding prior" in refused(folder, run, photo)


def test_flipped_bits_in_weights_are_told(
    refined_weights: Path, tmp_path: Path, run: Run, photo: Path
) -> None:
    for name in (MODEL, CODING_PRIOR):
        folder = other_weights(refined_weights, tmp_path / name, lambda _: None)
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2] ^= 4
        (folder / name).write_bytes(data)
        assert "damaged, its SHA-256" in refused(folder, run, photo)


def test_codes_of_other_codebooks_are_refused(codec: RefinedCodec) -> None:
    codes = codec.encode(Image(picture(16, 16)))
    with pytest.raises(WeightsError, match="were made with 'refined', codebook 00010203"):
        codec.decode(replace(codes, codebook_id=bytes(range(4))))
    with pytest.raises(WeightsError, match="were made with 'refined'"):
        codec.base.decode(codes)


@pytest.mark.graphs
def test_onnx_and_torch_agree(
    refined_weights: Path, graphed_weights: tuple[Path, Path], tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")

    def change(config: dict[str, Any]) -> None:  # the same first codec, with graphs
        config["model"]["on"]["name"] = graphed_weights[0].name

    folder = other_weights(refined_weights, tmp_path, change)
    add_graphs(read_weights(folder))
    assert (folder / REFINER).is_file()
    onnx, plain = (Codec.load(folder, "cpu", "fp32", engine=e) for e in ("onnx", "torch"))
    assert isinstance(onnx, RefinedCodec) and isinstance(plain, RefinedCodec)
    assert (onnx.engine.name, plain.engine.name) == ("onnx", "torch")
    codes = plain.encode(Image(picture(44, 71, seed=3)), rate_weight=30.0)
    difference = onnx.decode(codes).pixels.astype(int) - plain.decode(codes).pixels
    assert np.abs(difference).max() <= 1
    assert isinstance(onnx._refine, OnnxRefine) and isinstance(plain._refine, TorchRefine)
    pixels = np.stack([picture(24, 40, seed) for seed in range(3)])
    z_q = np.random.default_rng(0).normal(size=(3, 6, 10, 12)).astype(np.float32)
    apart = onnx._refine(pixels, z_q).astype(int) - plain._refine(pixels, z_q)
    assert np.abs(apart).max() <= 1
    again = onnx.encode(Image(picture(44, 71, seed=3)), rate_weight=30.0)
    same = [float(np.mean(a == b)) for a, b in zip(again.grids, codes.grids, strict=True)]
    assert min(same) > 0.98
