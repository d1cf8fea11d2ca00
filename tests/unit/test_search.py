"""The search for better codes: it lowers what it says it lowers, within the tiles it runs in."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.helpers import Run, add_coding_prior, picture, tiny_config
from vqcodec import Codec, Image
from vqcodec.codec import rate, search
from vqcodec.codec.effort import weight_of
from vqcodec.codec.rate import encode_to
from vqcodec.codec.search import PictureSearch, Search
from vqcodec.codingpriors import coding_priors
from vqcodec.errors import MediaError, UsageError
from vqcodec.metrics.basic import psnr
from vqcodec.models.nn.pixels import to_signal
from vqcodec.models.pretrained import write_weights
from vqcodec.models.priors.integer import from_arrays
from vqcodec.models.vqvae import VQVAE


@pytest.fixture(scope="module")
def codec(tiny_weights: Path, tiny_model: VQVAE) -> Codec:
    """Weights `calm`: the tiny model with a decoder that seldom leaves [-1, 1], and a prior."""
    model = copy.deepcopy(tiny_model)
    with torch.no_grad():
        for layer in model.decoder.modules():
            if isinstance(layer, torch.nn.ConvTranspose2d):
                layer.weight *= 0.4
    folder = tiny_weights.parent / "calm"
    folder.mkdir()
    config = {"name": "calm", "modality": "image", "model": tiny_config()["model"]}
    write_weights(folder, config, model)
    add_coding_prior(folder, 32, slope=17)
    return Codec.load(folder, device="cpu", precision="fp32")


@pytest.fixture(autouse=True)
def untinted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a search finds is measured by itself, without the colours told beside it."""
    monkeypatch.setattr(Codec, "tinted", lambda _, codes, *__: codes)


def true_cost(
    codec: Codec,
    pixels: NDArray[np.uint8] | NDArray[np.float32],
    grid: NDArray[np.uint16],
    w: float,
) -> float:
    """J by the codec's own decoder and the integer prior."""
    signal = codec.model.decode((torch.from_numpy(grid.astype(np.int64))[None],))[0]
    height, width = pixels.shape[:2]
    decoded = (signal[:, :height, :width].permute(1, 2, 0).numpy() + 1) * 127.5
    (prior,) = coding_priors(codec.weights)
    assert prior is not None
    return float(((decoded - pixels) ** 2).sum() + w * prior.bits([grid]).sum())


@pytest.mark.parametrize("rate_weight", [0.0, 400.0])
def test_each_sweep_lowers_error_plus_weighted_bits(codec: Codec, rate_weight: float) -> None:
    pixels = picture(45, 38)
    start = codec.encode(Image(pixels)).grids[0]
    found = codec.search(pixels, (start,), rate=True)
    costs = [true_cost(codec, pixels, start, rate_weight)]
    for _ in range(3):
        found.sweep(rate_weight)
        costs.append(true_cost(codec, pixels, found.grid, rate_weight))
    assert costs[1] < 0.99 * costs[0]
    assert costs[2] < costs[1] and costs[3] <= costs[2]


def test_a_grid_is_decoded_once_for_each_lattice(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the test of one lattice and the gradients of the next; and the first for itself."""
    pixels = picture(40, 40)
    found = codec.search(pixels, (codec.encode(Image(pixels)).grids[0],), rate=True)
    found.sweep(400.0)
    decoded = []
    decode = codec.model.decoder.reconstruct

    def counted(z: torch.Tensor) -> torch.Tensor:
        decoded.append(len(z))
        return decode(z)

    monkeypatch.setattr(codec.model.decoder, "reconstruct", counted)
    found.sweep(400.0)
    assert len(decoded) == search.SPACING**2 + 1


def test_its_own_cost_is_the_true_one(codec: Codec) -> None:
    pixels = picture(32, 40)
    grid = codec.encode(Image(pixels)).grids[0]
    (prior,) = coding_priors(codec.weights)
    assert prior is not None
    x = to_signal(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    one = Search(codec.model, from_arrays(prior.arrays), x, (32, 40), bf16=False)
    cost = float(one.cost(torch.from_numpy(grid.astype(np.int64))[None], 100.0))
    assert cost == pytest.approx(true_cost(codec, pixels, grid, 100.0), rel=0.01)


def test_tiles_together_do_as_well_as_one_search(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = picture(150, 170)
    start = codec.encode(Image(pixels)).grids[0]
    gains = []
    for window in (search.WINDOW, 24):
        monkeypatch.setattr(search, "WINDOW", window)
        found = PictureSearch(codec.model, None, pixels, start, bf16=False)
        assert (len(found.tiles) > 1) == (window == 24)
        found.sweep(0.0)
        gains.append(
            true_cost(codec, pixels, start, 0.0) - true_cost(codec, pixels, found.grid, 0.0)
        )
    assert gains[1] == pytest.approx(gains[0], rel=0.15)


@pytest.mark.parametrize("window", [search.WINDOW, 9])
def test_what_is_added_after_decoding_counts(
    codec: Codec, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    """The original less what is added is what has to be decoded."""
    monkeypatch.setattr(search, "WINDOW", window)
    pixels = picture(45, 38)
    added = np.random.default_rng(0).normal(0, 15, pixels.shape).astype(np.float32)
    start = codec.encode(Image(pixels)).grids[0]
    found = codec.search(pixels, (start,), rate=True)
    found.expect(added)
    for one in found.tiles:
        shown = one[2].x[0].permute(1, 2, 0).numpy()[: pixels.shape[0], : pixels.shape[1]]
        rows, columns = (span.start * one[2].stride for span in one[:2])
        part = (pixels - added)[rows : rows + len(shown), columns : columns + shown.shape[1]]
        there = shown[: len(part), : part.shape[1]]
        np.testing.assert_allclose((there + 1) * 127.5, part, atol=1e-3)
    costs = [true_cost(codec, pixels - added, start, 50.0)]
    for _ in range(2):
        found.sweep(50.0)
        costs.append(true_cost(codec, pixels - added, found.grid, 50.0))
    assert costs[2] <= costs[1] < costs[0]


def test_filling_beyond_the_picture_does_not_count(codec: Codec) -> None:
    """A picture of 1 x 1 pixels has one cell, of which 15 of 16 pixels are filling."""
    pixels = np.array([[[10, 200, 90]]], np.uint8)
    plain, searched = (codec.encode(Image(pixels), effort=e) for e in (0, 9))
    errors = [np.abs(codec.decode(c).pixels.astype(int) - pixels).sum() for c in (plain, searched)]
    assert errors[1] <= errors[0]


def test_more_weight_gives_fewer_bytes(codec: Codec) -> None:
    image = Image(picture(64, 64))
    sizes = [
        len(codec.encode(image, rate_weight=w, effort=2).to_bytes(".vqc")) for w in (1, 1e5, 1e6)
    ]
    assert sizes[0] > sizes[1] > sizes[2]
    weights = [weight_of(quality) for quality in range(1, 101)]
    assert weights == sorted(weights, reverse=True) and weights[-1] == 0


def test_files_of_a_wanted_size(codec: Codec) -> None:
    image = Image(picture(64, 80))
    nearest = codec.encode(image)
    full = len(nearest.to_bytes(".vqc"))
    for target in (full, full * 2 // 3, full // 2):
        codes = encode_to(codec, image, target, effort=1)
        assert len(codes.to_bytes(".vqc")) <= target
        quality = psnr(image.pixels, codec.decode(codes).pixels)
        if target == full:
            assert quality > psnr(image.pixels, codec.decode(nearest).pixels)
    with pytest.raises(MediaError, match="of this picture do not go below"):
        encode_to(codec, image, 61, effort=1)
    with pytest.raises(MediaError, match="a single code throughout$"):
        encode_to(codec, image, 20, effort=1)
    noise = np.random.default_rng(0).integers(0, 256, image.size).astype(np.uint8)
    with pytest.raises(MediaError, match="transparency kept; put"):
        encode_to(codec, Image(image.pixels, noise), full, effort=1)


def test_the_search_for_a_size_ends_soon_even_on_noise(
    codec: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps: list[float] = []
    sweep = PictureSearch.sweep

    def counted(self: PictureSearch, rate_weight: float) -> None:
        sweeps.append(rate_weight)
        sweep(self, rate_weight)

    monkeypatch.setattr(PictureSearch, "sweep", counted)
    noise = Image(np.random.default_rng(0).integers(0, 256, (48, 48, 3)).astype(np.uint8))
    full = len(codec.encode(noise).to_bytes(".vqc"))
    codes = encode_to(codec, noise, full // 2, effort=1)
    assert len(codes.to_bytes(".vqc")) <= full // 2
    assert len(sweeps) <= 3 * 13
    sweeps.clear()
    monkeypatch.setattr(rate, "DOUBTFUL", 1.2)  # tiny files are mostly what no search changes
    monkeypatch.setattr(rate, "NEAR", 1.02)
    with pytest.raises(MediaError, match="of this picture do not go below"):
        encode_to(codec, Image(picture(96, 120)), 99, effort=9)
    assert sweeps == 3 * [1e5]  # which tell that there is no hope
    prior = codec.search(noise.pixels, (codec.encode(noise).grids[0],), rate=True).tiles[0][2].prior
    again = codec.search(noise.pixels, (codec.encode(noise).grids[0],), rate=True).tiles[0][2].prior
    assert prior is again  # made of its integers but once


def test_searching_twice_gives_the_same(codec: Codec) -> None:
    image = Image(picture(40, 40))
    assert codec.encode(image, effort=3) == codec.encode(image, effort=3)


def test_what_cannot_be_searched_is_refused(codec: Codec, tiny_weights: Path) -> None:
    image = Image(picture(16, 16))
    with pytest.raises(UsageError, match="no coding prior"):
        Codec.load(tiny_weights).encode(image, rate_weight=1.0, effort=1)
    with pytest.raises(UsageError, match="needs an effort"):
        codec.encode(image, rate_weight=1.0, effort=0)
    with pytest.raises(UsageError, match="must be 0 to 9"):
        codec.encode(image, effort=10)


def test_commands_search(run: Run, photo: Path, codec: Codec) -> None:
    def size(*options: str) -> tuple[int, float]:
        done = run(
            "encode", photo, "-o", "x.vqc", "--model", "calm", "--verify", "--json", "--force",
            *options,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        facts = json.loads(done.stdout)
        return facts["bytes"], facts["psnr"]

    plain, better = size(), size("--effort", "2")
    assert better[1] > plain[1]
    low, target = (
        size("--quality", "1", "--effort", "2"),
        size("--target-bytes", str(plain[0] * 3 // 4), "--effort", "1"),
    )
    assert low[0] < plain[0] and target[0] <= plain[0] * 3 // 4
    for wrong in (
        ("--quality", "0"),
        ("--effort", "10"),
        ("--quality", "5", "--rate-weight", "1"),
        ("--quality", "5", "--effort", "0"),
    ):
        assert run("encode", photo, "-o", "y.vqc", "--model", "calm", *wrong).returncode == 2
    for output, flags, words in (
        ("y.npz", (), b"is the size of a .vqc: give -o NAME.vqc or --format vqc"),
        ("y.vqc", ("--no-prior",), b"leave out --no-prior"),
        ("y.vqc", ("--scale", "0.5"), b"leave out --scale"),
    ):
        done = run("encode", photo, "-o", output, "--model", "calm", "--target-bytes", "90", *flags)
        assert done.returncode == 2 and words in done.stderr
    done = run(
        "encode", photo, "-o", "y.vqc", "--model", "calm", "--target-bytes", "5", "--effort", "1"
    )
    assert done.returncode == 1
    assert b"photo.png: cannot be coded in 5 bytes" in done.stderr
