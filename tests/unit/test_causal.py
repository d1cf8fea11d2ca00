"""The coding prior of pictures in float32, against slow oracles."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vqcodec.codec.search import float_prior
from vqcodec.coding.causal import CausalModel
from vqcodec.coding.lanes import TOTAL
from vqcodec.coding.layers import CAP, FRACTION, OCTAVES
from vqcodec.coding.layout import TAPS, WINDOW
from vqcodec.coding.memory import Memory
from vqcodec.coding.priors import read_priors
from vqcodec.codingpriors import coding_priors, former_priors
from vqcodec.files.frames import code, read_coded, write_coded
from vqcodec.files.reader import Reader
from vqcodec.models.priors.causal import CausalPrior, Config, floating, from_arrays
from vqcodec.weights import find_weights

K = 24
SHAPES = [(1, 1), (1, 9), (9, 1), (2, 2), (9, 2), (3, 3), (5, 7), (13, 3)]
Arrays = dict[str, NDArray[np.int64]]


def lively_prior() -> CausalPrior:
    torch.manual_seed(0)
    prior = Config(K, units=12, inner=8, blocks=2, embedding=5).build()
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.copy_(torch.randn_like(parameter) / parameter[0].numel() ** 0.5)
        prior.head.weight.mul_(0.3)
    return prior.eval()


@pytest.fixture(scope="module")
def prior() -> CausalPrior:
    return lively_prior()


@pytest.fixture(scope="module")
def arrays(prior: CausalPrior) -> Arrays:
    return prior.arrays()


@pytest.fixture(scope="module")
def model(arrays: Arrays) -> CausalModel:
    return CausalModel(arrays)


def random_map(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(0, K, shape).astype(np.uint16)


def slow_sizes(arrays: Arrays, grid: NDArray[np.uint16]) -> NDArray[np.int64]:
    """The parts of every code at every cell, (h, w, K), in int64, layer by layer."""
    names = sorted(name for name in arrays if f"{name}_bias" in arrays)
    shifts = dict(zip(names, arrays["shifts"].tolist(), strict=True))

    def layer(name: str, x: NDArray[np.int64]) -> NDArray[np.int64]:
        found: NDArray[np.int64] = (x @ arrays[name] + arrays[f"{name}_bias"]) >> shifts[name]
        return found

    def around(x: NDArray[np.int64], taps: tuple[tuple[int, int], ...]) -> NDArray[np.int64]:
        height, width, _ = x.shape
        wide = np.pad(x, ((8, 8), (8, 8), (0, 0)))
        return np.concatenate(
            [wide[8 - up : 8 - up + height, 8 + r : 8 + r + width] for up, r in taps], -1
        )

    h = layer("window", around(arrays["codes"][grid], WINDOW))
    for i in range(2):
        inner = layer(f"block.{i}.conv", around(np.clip(h, 0, CAP), TAPS))
        h = h + layer(f"block.{i}.mix", np.clip(inner, 0, CAP))
    scores = np.clip(h, 0, CAP) @ arrays["head"] + arrays["head_bias"]
    unit = 1 << (FRACTION + shifts["head"])  # of scores, an octave
    depth = np.minimum(scores.max(-1, keepdims=True) - scores, OCTAVES * unit)
    whole, part = depth // unit, depth % unit
    # 2^20 halved so many times, and a straight line on to half of that
    power = (1 << 20) * (1 - part / (2 * unit)) / 2.0**whole
    share = np.floor(power.astype(np.float32)).sum(-1, keepdims=True) + K
    factor = (np.float32(TOTAL - K - 8) / share.astype(np.float32)).astype(np.float32)
    sizes: NDArray[np.int64] = (power.astype(np.float32) * factor).astype(np.int64) + 1
    sizes[..., -1] += TOTAL - sizes.sum(-1)
    return sizes


@pytest.mark.parametrize("shape", SHAPES)
def test_the_network_is_what_plain_integers_give(
    model: CausalModel, arrays: Arrays, shape: tuple[int, int]
) -> None:
    maps = [random_map(shape, seed) for seed in range(3)]
    expected = [
        np.take_along_axis(slow_sizes(arrays, m), m[..., None].astype(int), -1)[..., 0]
        for m in maps
    ]
    assert np.allclose(model.bits(maps), 22 - np.log2(expected), atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_maps_come_back(model: CausalModel, shape: tuple[int, int]) -> None:
    maps = [random_map(shape, seed) for seed in range(20)]  # more than Python takes one by one
    payloads = model.encode(maps)
    assert np.array_equal(model.decode(payloads, shape), maps)
    bits = model.bits(maps).sum((1, 2))
    assert all(len(p) <= b / 8 + 2 for p, b in zip(payloads, bits, strict=True))
    # side by side or each alone
    assert payloads == [own for m in maps for own in model.encode([m])]


def test_foreign_bytes_give_some_map(model: CausalModel) -> None:
    rng = np.random.default_rng(0)
    for length in (0, 1, 7, 40):
        found = model.decode([rng.bytes(length)], (6, 7))
        assert found.shape == (1, 6, 7) and found.max() < K


def test_float_and_integer_network_agree(prior: CausalPrior, model: CausalModel) -> None:
    (grid,) = model.decode([np.random.default_rng(3).bytes(400)], (11, 13))
    indices = torch.from_numpy(grid.astype(np.int64))[None]
    with torch.no_grad():
        nats = -float(prior.log_prob((indices,)))
        again = -float(from_arrays(model.arrays).log_prob((indices,)))
    bits = float(model.bits([grid]).sum())
    assert bits == pytest.approx(nats / np.log(2), rel=0.02)
    assert again == pytest.approx(nats, rel=0.02)


def test_each_cell_depends_only_on_earlier_ones(model: CausalModel) -> None:
    grid = random_map((7, 9))
    before = model.bits([grid])[0]
    changed = grid.copy()
    changed[3, 4] = (changed[3, 4] + 1) % K
    differs = model.bits([changed])[0] != before
    rows, columns = np.nonzero(differs)
    places = zip(rows.tolist(), columns.tolist(), strict=True)
    assert all(place >= (3, 4) for place in places)
    assert differs[3, 5] and differs[4].any()


@pytest.mark.parametrize(
    "damage",
    [
        {"codes": np.full((K, 5), CAP + 1)},
        {"head": np.full((12, K), 1 << 14)},
        {"block.0.mix_bias": np.full(12, 1 << 24)},
        {"window": np.zeros((3, 12), np.int64)},
        {"shifts": np.full(6, 15)},
        {"more": np.zeros(1, np.int64)},
    ],
)
def test_what_could_be_inexact_is_refused(arrays: Arrays, damage: Arrays) -> None:
    with pytest.raises(ValueError, match=r"too large|not those|out of range"):
        CausalModel({**arrays, **damage})


def test_a_file_tells_by_its_arrays_which_kind_it_is(arrays: Arrays) -> None:
    (found,) = read_priors(arrays, (K,))  # type: ignore[misc]
    assert isinstance(found, CausalModel)
    assert isinstance(floating(arrays), CausalPrior)
    with pytest.raises(ValueError, match="codebook sizes"):
        read_priors(arrays, (K + 1,))


@pytest.mark.parametrize("cores", [1, 2])
def test_bytes_are_the_same_for_any_number_of_threads(
    model: CausalModel, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr("vqcodec.files.frames.BLOCKS", {"hw": (8, 8)})
    grid = random_map((19, 30))
    alone = [model.encode([grid[i : i + 8, j : j + 8]]) for i in (0, 8, 16) for j in (0, 8, 16, 24)]
    monkeypatch.setattr("vqcodec.files.frames.usable_cores", lambda: cores)
    payloads = code((grid,), "hw", model)
    assert payloads == [own for (own,) in alone]
    data, crc = write_coded(grid, "hw", payloads, 7, last=True)
    found, end = read_coded(Reader(data), (), grid.shape, "hw", model, 7, last=True)
    assert np.array_equal(found, grid) and end == crc


def test_a_map_of_few_bytes_is_read(model: CausalModel) -> None:
    """Zeros at the end of a payload are not written, so its length bounds nothing."""
    likely = model.decode([b""], (40, 40))[0]
    assert model.encode([likely]) == [b""]
    data, _ = write_coded(likely, "hw", [b""], 0, last=True)
    found, _ = read_coded(Reader(data), (), likely.shape, "hw", model, 0, last=True)
    assert np.array_equal(found, likely)


def test_memory_gives_what_lies_around() -> None:
    taps, height, width = ((0, 0), (0, -1), (1, -1), (1, 0), (2, 2)), 6, 9
    values = np.random.default_rng(1).random((2, height, width, 3))
    wide = np.pad(values, ((0, 0), (4, 4), (4, 4), (0, 0)))
    memory = Memory((2, height, 3), taps, 2, np.float64, itself=True)
    for step in range(width + 2 * (height - 1)):
        first, last = max(0, -((width - 1 - step) // 2)), min(height - 1, step // 2)
        if first > last:
            continue
        rows = range(first, last + 1)
        memory.keep(np.stack([values[:, r, step - 2 * r] for r in rows], 1), rows)
        expected = np.concatenate(
            [
                np.stack([wide[:, r - up + 4, step - 2 * r + right + 4] for r in rows], 1)
                for up, right in taps
            ],
            -1,
        )
        assert np.array_equal(memory.around(rows), expected.reshape(-1, 15))


def test_the_shipped_one_is_searched_by_and_the_former_one_kept() -> None:
    weights = find_weights("image-f4")
    (now,), (before,) = coding_priors(weights), former_priors(weights)  # type: ignore[misc]
    assert isinstance(now, CausalModel) and now.identity != before.identity
    assert isinstance(float_prior(weights), CausalPrior)
