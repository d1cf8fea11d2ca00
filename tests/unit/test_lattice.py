"""The lattice prior: the order of its passes, its integers, and the codes that it helps choose."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.helpers import lattice_prior
from vqcodec.coding import latticecoder
from vqcodec.coding.lanes import TOTAL, LaneDecoder, LaneEncoder
from vqcodec.coding.lattice import LatticeModel, Walk
from vqcodec.coding.layers import CAP, Head, Layer
from vqcodec.coding.quadtree import PHASES, REACH, levels
from vqcodec.models import fixedpoint
from vqcodec.models.priors import lattice

SIZES, RATIOS = (24, 32, 20, 30), (1, 2, 1, 4)
SHAPES = ((5, 7), (9, 13), (9, 13), (36, 49))


@pytest.fixture(scope="module")
def prior() -> lattice.LatticePrior:
    return lattice_prior(SIZES, RATIOS, conditions=3)


@pytest.fixture(scope="module")
def model(prior: lattice.LatticePrior) -> LatticeModel:
    return LatticeModel(fixedpoint.to_arrays(prior))


def maps(batch: int = 2, seed: int = 0) -> list[NDArray[np.uint16]]:
    rng = np.random.default_rng(seed)
    pairs = zip(SIZES, SHAPES, strict=True)
    return [rng.integers(k, size=(batch, *shape)).astype(np.uint16) for k, shape in pairs]


def tensors(grids: list[NDArray[np.uint16]]) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(grid.astype(np.int64)) for grid in grids)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 5), (16, 33)])
@pytest.mark.parametrize(("ratios", "depth"), [((1,), 0), ((1,), 3), ((1, 1, 4, 2), 2)])
def test_levels_reach_every_cell_once_and_see_only_earlier_ones(
    shape: tuple[int, int], ratios: tuple[int, ...], depth: int
) -> None:
    order = {m: np.full(shape, -1) for m in range(len(ratios))}
    steps = itertools.count()
    for level in levels(ratios, depth):
        grid = order[level.number]
        for phase in level.phases:
            cells = grid[level.cells(phase)]
            assert (cells == -1).all()
            cells[:] = step = next(steps)
            lattice_grid = grid[:: level.spacing, :: level.spacing]
            padded = np.pad(lattice_grid, REACH, constant_values=-2)
            row, column = PHASES[phase]
            for y, x in level.taps(phase):
                seen = padded[REACH + y + row :: 2, REACH + x + column :: 2]
                seen = seen[: cells.shape[0], : cells.shape[1]]
                assert ((seen == -2) | ((0 <= seen) & (seen < step))).all()
    assert all((grid >= 0).all() for grid in order.values())


def test_lanes_give_back_what_they_took_in_close_to_the_fewest_bytes() -> None:
    rng = np.random.default_rng(0)
    for blocks, lanes, columns, codes in ((1, 1, 40, 16), (2, 3, 31, 48), (9, 4, 10, 32)):
        share = rng.dirichlet(np.full(codes, 0.05), (blocks, 30, columns))
        sizes = 1 + (share * (TOTAL - codes - 1)).astype(np.int32)
        cumulative = np.cumsum(sizes, -1, dtype=np.int32)
        cumulative[..., -1] = TOTAL
        sizes = np.diff(cumulative, axis=-1, prepend=0)
        drawn = (cumulative <= rng.integers(TOTAL, size=(blocks, 30, columns, 1))).sum(-1)
        size = np.take_along_axis(sizes, drawn[..., None], -1)[..., 0]
        start = np.take_along_axis(cumulative, drawn[..., None], -1)[..., 0] - size
        encoder = LaneEncoder(blocks, lanes)
        for rows in (slice(0, 11), slice(11, 30)):
            encoder.encode(start[:, rows], size[:, rows])
        coded = encoder.finish()
        bits = np.log2(TOTAL / size).sum()
        used = 8 * sum(len(lane) for block in coded for lane in block)
        assert bits - 8 * blocks * lanes < used < bits * 1.001 + 8 * blocks * lanes
        decoder = LaneDecoder(coded)  # in parts of its own
        parts = [decoder.decode(cumulative[:, rows]) for rows in (slice(0, 3), slice(3, 30))]
        np.testing.assert_array_equal(np.concatenate(parts, 1), drawn)


def test_one_lane_of_many_has_the_bytes_that_it_has_alone() -> None:
    """Python and NumPy take turns by the number of lanes; nobody may see which it was."""
    rng = np.random.default_rng(1)
    ends = np.sort(rng.integers(1, TOTAL, (20, 60, 5, 2)), -1).astype(np.int32)
    ends[..., 1] += 1
    start, size = ends[..., 0], np.diff(ends, axis=-1)[..., 0]
    size[0, :9] = 1  # the rarest, and carries
    start[0, :9] = TOTAL - 1
    together = LaneEncoder(20, 1)
    together.encode(start, size)
    for number, block in enumerate(together.finish()):
        alone = LaneEncoder(1, 1)
        alone.encode(start[number : number + 1], size[number : number + 1])
        assert alone.finish() == [block]


def test_layers_compute_integers_exactly() -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(-60, 61, (256, 9))
    bias = rng.integers(-4000, 4000, 9)
    x = rng.integers(0, CAP + 1, (50, 256))
    found = Layer(weight, bias, 5)(x.astype(np.float32))
    np.testing.assert_array_equal(found, (x @ weight + bias) >> 5)


def test_frequencies_are_nearly_the_softmax_and_add_up() -> None:
    rng = np.random.default_rng(0)
    weight, bias, shift = rng.integers(-900, 900, (8, 40)), rng.integers(-9999, 9999, 40), 8
    x = rng.integers(0, 300, (64, 8))
    cumulative = Head(weight, bias, shift)(x.astype(np.float32))
    assert cumulative.shape == (64, 48) and (cumulative[:, 39:] == TOTAL).all()
    sizes = np.diff(cumulative[:, :40], axis=1, prepend=0)
    assert sizes.min() >= 1
    scores = (x @ weight + bias) / 2.0 ** (shift + 6)
    share = 2.0 ** (scores - scores.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    likely = share > 1e-4
    assert np.abs(np.log2(sizes[likely] / TOTAL / share[likely])).max() < 0.1


def test_integers_say_what_the_network_says(
    prior: lattice.LatticePrior, model: LatticeModel
) -> None:
    grids = maps()
    for condition in range(3):
        with torch.no_grad():
            expected = prior(tensors(grids), torch.full((2,), condition))
        found = latticecoder.bits(model, grids, condition)
        for own, bits in zip(found, expected, strict=True):
            assert np.abs(own - bits.numpy()).max() < 0.2  # straight lines for powers of two
            assert abs(own.mean() - float(bits.mean())) < 0.02
    assert model.codebook_sizes == SIZES and model.conditions == 3


def test_conditions_matter(model: LatticeModel) -> None:
    one, other = (latticecoder.bits(model, maps(), condition)[0] for condition in (0, 2))
    assert np.abs(one - other).max() > 0.01


def test_a_network_of_integers_becomes_one_of_floats(
    prior: lattice.LatticePrior, model: LatticeModel
) -> None:
    again = fixedpoint.from_arrays(model.arrays)
    assert replace(again.config, units=(8,)) == prior.config
    for a, b in zip(again(tensors(maps())), prior(tensors(maps())), strict=True):
        assert (a - b).abs().max() < 0.1
    same = fixedpoint.to_arrays(again)
    for name, array in model.arrays.items():
        if array.size:
            assert np.abs(same[name] - array).max() <= 1, name  # of a bias that is a sum


def test_codes_cost_the_same_in_any_company_and_batch(model: LatticeModel) -> None:
    grids = maps(batch=5)
    together = latticecoder.encode(model, grids, 1)
    for number in range(5):
        alone = latticecoder.encode(model, [grid[number : number + 1] for grid in grids], 1)
        assert [own[0] for own in alone] == [own[number] for own in together]


def test_a_block_in_lanes_and_in_parts_is_coded_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = LatticeModel(fixedpoint.to_arrays(lattice_prior((30,), (1,))))
    rng = np.random.default_rng(0)
    grid = rng.integers(30, size=(1, 130, 145)).astype(np.uint16)
    coded = latticecoder.encode(model, [grid], 0)
    assert len(coded[0][0]) == latticecoder.lanes_of((130, 145)) == 3
    monkeypatch.setattr("vqcodec.coding.lattice.CHUNK", 5000)
    assert latticecoder.encode(model, [grid], 0) == coded
    (found,) = latticecoder.decode(model, coded, [(130, 145)], 0)
    np.testing.assert_array_equal(found, grid)


def test_maps_come_back_and_so_do_those_after_known_ones(model: LatticeModel) -> None:
    grids = maps()
    coded = latticecoder.encode(model, grids, 2)
    for known in itertools.product((False, True), repeat=4):
        given = [g if k else c for g, c, k in zip(grids, coded, known, strict=True)]
        for a, b in zip(latticecoder.decode(model, given, SHAPES, 2), grids, strict=True):
            np.testing.assert_array_equal(a, b)
    first = latticecoder.decode(model, coded[:2], SHAPES[:2], 2)
    np.testing.assert_array_equal(first[1], grids[1])


def test_foreign_bytes_give_some_maps(model: LatticeModel) -> None:
    rng = np.random.default_rng(0)
    for length in (0, 1, 50):
        lanes = [[[rng.bytes(length)] for _ in range(2)] for _ in SHAPES]
        for grid, k in zip(latticecoder.decode(model, lanes, SHAPES, 0), SIZES, strict=True):
            assert int(grid.max()) < k


def test_a_cell_depends_on_coarser_maps_and_earlier_passes_only(
    prior: lattice.LatticePrior,
) -> None:
    grids = tensors(maps())
    with torch.no_grad():
        before = prior(grids)
        step = 0
        order = [torch.full(shape, -1) for shape in SHAPES]
        for level in levels(RATIOS, prior.config.depth):
            for phase in level.phases:
                order[level.number][level.cells(phase)] = step
                step += 1
        rng = np.random.default_rng(0)
        for m, (h, w) in enumerate(SHAPES):
            y, x = int(rng.integers(h)), int(rng.integers(w))
            changed = [grid.clone() for grid in grids]
            changed[m][:, y, x] = (changed[m][:, y, x] + 1) % SIZES[m]
            after = prior(tuple(changed))
            reached = 0
            for own, new, when in zip(before, after, order, strict=True):
                moved = (own - new).abs().amax(0) > 1e-5
                if own is before[m]:
                    moved[y, x] = False
                assert not (moved & (when <= order[m][y, x])).any()
                reached += int(moved.sum())
            assert reached


def test_every_code_has_its_bits_and_they_are_probabilities(
    prior: lattice.LatticePrior,
) -> None:
    grids = tensors(maps())
    walk = lattice.Walk(prior)
    for grid, bits, size in zip(grids, prior(grids), SIZES, strict=True):
        coded = walk.take(grid)
        torch.testing.assert_close(coded.bits, bits)
        for cells, every in coded.passes:
            assert every.shape[1] == size
            total = torch.exp2(-every).sum(1)
            torch.testing.assert_close(total, torch.ones_like(total))
            own = every.gather(1, grid[:, *cells][:, None])[:, 0]
            torch.testing.assert_close(own, bits[:, *cells])
    nats = torch.stack([bits.flatten(1).sum(1) for bits in prior(grids)]).sum(0) * math.log(2)
    torch.testing.assert_close(prior.log_prob(grids), -nats)


def test_codes_are_chosen_by_distance_and_bits(prior: lattice.LatticePrior) -> None:
    generator = torch.Generator().manual_seed(0)
    walk, nearest, cheap = lattice.Walk(prior), lattice.Walk(prior), lattice.Walk(prior)
    for size, shape in zip(SIZES, SHAPES, strict=True):
        cost = 6 * torch.rand(2, size, *shape, generator=generator)
        coded = walk.choose(cost)
        for cells, every in coded.passes:  # none is better where it was chosen
            total = cost[:, :, *cells] + every
            chosen = total.gather(1, coded.indices[:, *cells][:, None])[:, 0]
            torch.testing.assert_close(chosen, total.amin(1))
        far = nearest.choose(1000 * cost)
        assert (far.indices == cost.argmin(1)).float().mean() > 0.9
        assert cheap.choose(0 * cost).bits.mean() < coded.bits.mean() < far.bits.mean()


def test_integers_choose_like_floats(prior: lattice.LatticePrior, model: LatticeModel) -> None:
    generator = torch.Generator().manual_seed(0)
    walk, exact = lattice.Walk(prior), Walk(model)
    for size, shape in zip(SIZES, SHAPES, strict=True):
        cost = 40 * torch.rand(2, size, *shape, generator=generator)
        chosen = latticecoder.choose(exact, cost.movedim(1, -1).numpy())
        assert (walk.choose(cost).indices.numpy() == chosen).mean() > 0.9


@pytest.mark.parametrize(
    "damage",
    [
        {"ratios": np.array([1, 2, 1, 3])},
        {"ratios": np.array([1, 2])},
        {"depth": np.array([9])},
        {"shifts": np.array([5])},
        {"map.1.head": np.ones((9, 32), np.int64)},
        {"map.0.codes": np.full((24, 4), CAP + 1)},
        {"level.0.see.1": np.full((12, 8), 30_000)},
        {"level.2.above_bias": np.zeros((3, 8), np.int64)},
        {"foreign": np.zeros(1, np.int64)},
    ],
    ids="".join,
)
def test_arrays_that_do_not_fit_or_could_be_inexact_are_refused(
    model: LatticeModel, damage: dict[str, NDArray[np.int64]]
) -> None:
    with pytest.raises(ValueError, match="its|it has|zip"):
        LatticeModel({**model.arrays, **damage})


@pytest.mark.parametrize(
    "changes",
    [
        {"codebook_sizes": (2000,)},
        {"ratios": (1, 2)},
        {"units": (8, 8)},
        {"depth": 9},
        {"conditions": 0},
        {"codebook_sizes": (8, 8), "ratios": (1, 3)},
    ],
    ids=str,
)
def test_settings_that_do_not_fit_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        replace(lattice.Config((8,), (1,)), **changes)
