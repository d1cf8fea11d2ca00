"""The range coder and the integer network, against slow oracles."""

import math

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.helpers import coding_prior_arrays
from vqcodec.coding.contextmodel import (
    EXP_LENGTH,
    FRACTION,
    LIMIT,
    ContextModel,
    _exp_table,
)
from vqcodec.coding.rangecoder import TOTAL, RangeDecoder, RangeEncoder
from vqcodec.models.pretrained import coding_bytes
from vqcodec.models.priors.integer import Config, IntegerPrior, from_arrays

K = 24
SHAPES = [(1, 1), (1, 9), (9, 1), (2, 2), (5, 7), (7, 5), (13, 3)]


@pytest.fixture(scope="module", params=[(), (1, 3)], ids=["maps", "rows"])
def arrays(request: pytest.FixtureRequest) -> dict[str, NDArray[np.int64]]:
    return coding_prior_arrays(K, dilations=request.param)


@pytest.fixture(scope="module")
def model(arrays: dict[str, NDArray[np.int64]]) -> ContextModel:
    return ContextModel(arrays)


def random_map(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(0, K, shape).astype(np.uint16)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_range_coder_gives_back_what_it_got(data: st.DataObject) -> None:
    number = data.draw(st.integers(1, 60))
    cuts = data.draw(st.lists(st.integers(1, TOTAL - 1), min_size=0, max_size=6, unique=True))
    bounds = [0, *sorted(cuts), TOTAL]
    symbols = data.draw(st.lists(st.integers(0, len(bounds) - 2), min_size=number, max_size=number))
    encoder = RangeEncoder()
    bits = 0.0
    for symbol in symbols:
        size = bounds[symbol + 1] - bounds[symbol]
        encoder.encode(bounds[symbol], size)
        bits += math.log2(TOTAL / size)
    coded = encoder.finish()
    decoder = RangeDecoder(coded)
    assert [decoder.decode(bounds) for _ in symbols] == symbols
    assert len(coded) <= bits / 8 + 2


def test_range_coder_carries_through_many_bytes() -> None:
    """Always the last of the range: low creeps up to just below where a carry must ripple."""
    bounds = [0, 1, TOTAL - 1, TOTAL]
    for symbols in ([2] * 400, [1] * 4000 + [2] * 40, ([1] * 7 + [2]) * 90, [0] * 300):
        encoder = RangeEncoder()
        for s in symbols:
            encoder.encode(bounds[s], bounds[s + 1] - bounds[s])
        decoder = RangeDecoder(encoder.finish())
        assert [decoder.decode(bounds) for _ in symbols] == symbols


def test_range_coder_reads_foreign_bytes_without_end_or_error() -> None:
    rng = np.random.default_rng(0)
    bounds = [0, 1, 2, 30000, TOTAL]
    for length in range(12):
        decoder = RangeDecoder(rng.bytes(length))
        assert all(0 <= decoder.decode(bounds) < 4 for _ in range(200))


def test_exp_table_is_exp() -> None:
    expected = 2**24 * np.exp(-np.arange(EXP_LENGTH) / 2**FRACTION)
    assert np.abs(_exp_table() - expected).max() < 2
    assert _exp_table()[[0, 1, 256, -1]].tolist() == [16777216, 16711807, 6171992, 0]


def slow_sizes(
    arrays: dict[str, NDArray[np.int64]], grid: NDArray[np.uint16], row: int, column: int
) -> list[int]:
    """The frequencies of one cell in Python's integers, by recursion instead of a wavefront."""
    shifts = [int(s) for s in arrays["shifts"]]
    blocks = (len(shifts) - 2) // 2
    height, width = grid.shape
    layout = ContextModel(arrays).layout

    def product(x: list[int], weight: NDArray[np.int64], bias: list[int], shift: int) -> list[int]:
        return [
            (sum(a * int(b) for a, b in zip(x, weight[:, out], strict=True)) + c) >> shift
            for out, c in enumerate(bias)
        ]

    def clamp(values: list[int]) -> list[int]:
        return [max(-LIMIT, min(LIMIT, v)) for v in values]

    def h(depth: int, r: int, c: int) -> list[int]:
        units = arrays["window"].shape[2]
        if not (0 <= r < height and 0 <= c < width):
            return [0] * units
        if (depth, r, c) not in known:
            known[depth, r, c] = fresh(depth, r, c, units)
        return known[depth, r, c]

    def fresh(depth: int, r: int, c: int, units: int) -> list[int]:
        if depth == 0:
            total = [0] * units
            for offset, (up, right) in enumerate(layout.window):
                y, x = r - up, c + right
                inside = 0 <= y < height and 0 <= x < width
                z = arrays["embedding"][int(grid[y, x]) if inside else K].tolist()
                part = product(z, arrays["window"][offset], [0] * units, shifts[0])
                total = [a + b for a, b in zip(total, part, strict=True)]
            return clamp(total)
        name = f"block.{depth - 1}"
        around = [
            max(0, v)
            for up, right in layout.blocks[depth - 1]
            for v in h(depth - 1, r - up, c + right)
        ]
        v = product(
            around, arrays[f"{name}.conv"], arrays[f"{name}.conv_bias"].tolist(),
            shifts[2 * depth - 1],
        )  # fmt: skip
        v = [min(LIMIT, max(0, a)) for a in v]
        bias = arrays[f"{name}.mix_bias"].tolist()
        mixed = product(v, arrays[f"{name}.mix"], bias, shifts[2 * depth])
        return clamp([a + b for a, b in zip(h(depth - 1, r, c), mixed, strict=True)])

    known: dict[tuple[int, int, int], list[int]] = {}
    last = [max(0, v) for v in h(blocks, row, column)]
    scores = product(last, arrays["head"], arrays["head_bias"].tolist(), shifts[-1])
    table = _exp_table().tolist()
    share = [table[min(max(scores) - s, EXP_LENGTH - 1)] for s in scores]
    sizes = [1 + s * (TOTAL - K) // sum(share) for s in share]
    sizes[scores.index(max(scores))] += TOTAL - sum(sizes)
    return sizes


@pytest.mark.parametrize("shape", [(1, 6), (4, 5), (6, 2)])
def test_frequencies_are_those_of_slow_integers(
    model: ContextModel, arrays: dict[str, NDArray[np.int64]], shape: tuple[int, int]
) -> None:
    grid = random_map(shape, seed=3)
    bits = model.bits([grid])[0]
    for (row, column), index in np.ndenumerate(grid):
        sizes = slow_sizes(arrays, grid, row, column)
        assert sum(sizes) == TOTAL and min(sizes) >= 1
        assert bits[row, column] == math.log2(TOTAL / sizes[index])


@pytest.mark.parametrize("shape", SHAPES)
def test_maps_survive_and_cost_what_the_model_says(
    model: ContextModel, shape: tuple[int, int]
) -> None:
    grids = [random_map(shape, seed) for seed in range(3)]
    payloads = model.encode(grids)
    assert np.array_equal(model.decode(payloads, shape), np.stack(grids))
    for grid, payload in zip(grids, payloads, strict=True):
        assert model.encode([grid]) == [payload], (
            "a map's bytes depend on its neighbours in a batch"
        )
        assert len(payload) <= model.bits([grid]).sum() / 8 + 2


def test_each_cell_depends_only_on_earlier_ones(model: ContextModel) -> None:
    shape = (7, 9)
    grid = random_map(shape)
    before = model.bits([grid])[0]
    for row, column in ((0, 0), (3, 4), (2, 8), (6, 0)):
        other = grid.copy()
        other[row, column] = (other[row, column] + 1) % K
        changed = model.bits([other])[0] != before
        changed[row, column] = False  # its own cost may change, its distribution may not
        for r, c in np.argwhere(changed):
            assert r > row or (r == row and c > column)
            assert c + (r - row) >= column, "seen further up-right than a column for each row"


def test_rows_do_not_see_each_other() -> None:
    model = ContextModel(coding_prior_arrays(K, dilations=(1, 3)))
    grid = random_map((3, 60))
    apart = [model.bits([row[None]])[0, 0] for row in grid]
    np.testing.assert_array_equal(model.bits([grid])[0], apart)
    other = grid.copy()
    other[1, 10] = (other[1, 10] + 1) % K
    changed = np.argwhere(model.bits([other])[0] != model.bits([grid])[0])
    seen = 24 + 2 * (1 + 3)  # by the window, and two blocks behind it
    assert set(changed[:, 0]) == {1} and changed[:, 1].min() >= 10
    assert 10 + 24 < changed[:, 1].max() <= 10 + seen


@pytest.mark.parametrize("dilations", [(), (1, 3)])
def test_integers_follow_the_trained_network(dilations: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    prior = lively_prior(dilations)
    grid = random_map((12, 30), seed=1)
    with torch.no_grad():
        nats = -float(prior.log_prob((torch.from_numpy(grid.astype(np.int64))[None],)))
    bits = ContextModel(prior.arrays()).bits([grid]).sum()
    assert bits == pytest.approx(nats / math.log(2), rel=0.01)


@pytest.mark.parametrize("dilations", [(), (1, 3)])
def test_the_trained_network_comes_back_from_its_integers(dilations: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    prior = lively_prior(dilations)
    again = from_arrays(prior.arrays())
    grid = (torch.from_numpy(random_map((9, 8)).astype(np.int64))[None],)
    with torch.no_grad():
        assert torch.allclose(prior.log_prob(grid), again.log_prob(grid), rtol=1e-3)


def test_the_integers_survive_their_file() -> None:
    """Some come out of transposed weights, whose memory lies otherwise."""
    arrays = lively_prior((2, 1)).arrays()
    data = coding_bytes([arrays])
    again = safetensors.numpy.load(data)
    assert set(again) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)
    wide = {name: array.astype(np.int64) for name, array in again.items()}
    assert ContextModel(wide).identity == ContextModel(arrays).identity


def lively_prior(dilations: tuple[int, ...]) -> IntegerPrior:
    prior = Config(K, 1, units=16, blocks=2, embedding=6, dilations=dilations).build()
    for parameter in prior.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return prior


@pytest.mark.parametrize(
    "damage",
    [
        {"head": np.zeros((3, 3), np.int64)},
        {"shifts": np.array([0])},
        {"embedding": np.full((K + 1, 6), 1 << 16)},
        {"block.0.conv_bias": np.full(8, 1 << 46)},
        {"dilations": np.array([1])},
        {"dilations": np.array([1, 257])},
        {"dilations": np.array([[1, 1]])},
    ],
)
def test_arrays_that_could_leave_exact_arithmetic_are_refused(
    arrays: dict[str, NDArray[np.int64]], damage: dict[str, NDArray[np.int64]]
) -> None:
    with pytest.raises(ValueError, match="its array"):
        ContextModel({**arrays, **damage})


def told_prior() -> IntegerPrior:
    """Of a map of 16 codes, told of two before it, of 8 and 12."""
    torch.manual_seed(3)
    prior = Config(16, 1, 12, 2, 6, (1, 2), coarser=(8, 12)).build()
    for parameter in prior.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return prior.eval()


def test_a_prior_sees_the_maps_before_its_own_and_nothing_later() -> None:
    prior, rng = told_prior(), np.random.default_rng(0)
    model = ContextModel(prior.arrays())
    assert model.coarser == (8, 12)
    maps = [rng.integers(0, k, (3, 2, 40)).astype(np.uint16) for k in (8, 12, 16)]
    before, own = [list(m) for m in maps[:2]], list(maps[2])
    payloads = model.encode(own, before)
    np.testing.assert_array_equal(model.decode(payloads, (2, 40), before), maps[2])
    bits = model.bits(own, before)
    tensors = tuple(torch.from_numpy(m.astype(np.int64)) for m in maps)
    nats = -prior.log_prob(tensors).detach().numpy()
    np.testing.assert_allclose(bits.sum((1, 2)), nats / np.log(2), rtol=0.01)
    for which in (0, 1):
        other = [list(m.copy()) for m in maps[:2]]
        for n in range(3):
            other[which][n][1, 20] = (other[which][n][1, 20] + 1) % (8, 12)[which]
        changed = np.argwhere((model.bits(own, other) != bits).any(0))
        assert set(changed[:, 0]) == {1} and changed[:, 1].min() == 20  # its own cell on
    with pytest.raises(ValueError, match="told of 2 maps"):
        model.encode(own)
