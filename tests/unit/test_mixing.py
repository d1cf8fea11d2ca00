"""Adaptive context mixing: honest probabilities, from earlier indices only, that learn."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.helpers import coding_prior_arrays
from vqcodec import Codec, Codes
from vqcodec.coding.contextmodel import ContextModel
from vqcodec.evaluate import bits as bits_module
from vqcodec.evaluate import mixing
from vqcodec.evaluate.bits import BitMeter
from vqcodec.evaluate.mixing import ContextMixing, ranks
from vqcodec.files import frames
from vqcodec.files.contents import MediaInfo
from vqcodec.weights import coding_prior

K = 24
CODEBOOK = np.random.default_rng(0).standard_normal((K, 3)).astype(np.float32)


def random_map(height: int, width: int, seed: int = 0) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).integers(0, K, (height, width)).astype(np.uint16)


def frequencies(grid: NDArray[np.uint16]) -> NDArray[np.uint16]:
    return ContextModel(coding_prior_arrays(K)).frequencies(grid)


@pytest.mark.parametrize("prior", [False, True])
def test_every_index_has_a_share_of_one_and_sees_earlier_ones_only(prior: bool) -> None:
    grid = random_map(4, 5)
    row, column = 2, 3
    costs = []
    for index in range(K):
        other = grid.copy()
        other[row, column] = index
        model = ContextMixing(CODEBOOK, prior=prior)
        model.bits(grid, frequencies(grid) if prior else None)  # it has learned before
        cost = model.bits(other, frequencies(other) if prior else None)
        costs.append(cost)
    shares = [2 ** -c[row, column] for c in costs]
    # a quarter of the leaves belongs to no code, and keeps what adaptation has not yet taken
    assert 0.7 < sum(shares) <= 1
    before = np.array([c.ravel()[: row * 5 + column] for c in costs])
    assert (before == before[0]).all()
    after = np.array([c.ravel()[row * 5 + column + 1 :] for c in costs])
    assert not (after == after[0]).all()


def test_it_learns_what_follows_what() -> None:
    chain = (np.cumsum(np.ones((40, 40), int), axis=1) * 7 % K).astype(np.uint16)
    shuffled = np.random.default_rng(0).permutation(chain.ravel()).reshape(chain.shape)
    assert ContextMixing(CODEBOOK).bits(chain).mean() < 1
    alone = ContextMixing(CODEBOOK).bits(shuffled).mean()
    assert np.log2(K) - 0.1 < alone < 5.5
    model = ContextMixing(CODEBOOK)
    assert model.bits(chain).sum() > 2 * model.bits(chain).sum()


def test_beside_a_prior_it_costs_about_what_the_prior_says_and_less_where_that_is_wrong() -> None:
    grid = random_map(30, 30)
    expected = frequencies(grid)
    own = np.take_along_axis(expected, grid[..., None].astype(int), -1)[..., 0]
    said = -np.log2(own / 65536)
    mixed = ContextMixing(CODEBOOK, prior=True).bits(grid, expected)
    assert mixed[0, 0] == pytest.approx(said[0, 0], abs=0.1)
    assert said.mean() > 5.5 and mixed.mean() < said.mean() - 0.3  # the prior errs on noise


def test_a_perfect_prior_is_believed() -> None:
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(K) / 4, (40, 40))
    expected = np.maximum(1, p * 65000).astype(np.uint16)
    grid = (rng.random((40, 40, 1)) < p.cumsum(-1)).argmax(-1).astype(np.uint16)
    own = np.take_along_axis(expected / expected.sum(-1, keepdims=True), grid[..., None], -1)
    mixed = ContextMixing(CODEBOOK, prior=True).bits(grid, expected).sum()
    assert mixed == pytest.approx(-np.log2(own).sum(), rel=0.03)


def test_compiled_or_not_it_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = random_map(6, 5)
    compiled = ContextMixing(CODEBOOK, prior=True).bits(grid, frequencies(grid))
    monkeypatch.setattr(mixing, "_tell", getattr(mixing._tell, "py_func", mixing._tell))
    np.testing.assert_array_equal(
        ContextMixing(CODEBOOK, prior=True).bits(grid, frequencies(grid)), compiled
    )


@pytest.mark.parametrize("size", [2, 3, 24, 32, 33])
def test_codes_have_leaves_of_their_own_near_ones_in_one_branch(size: int) -> None:
    line = np.random.default_rng(size).permutation(size).astype(np.float32)[:, None]
    found = ranks(line)
    assert len(set(found.tolist())) == size
    assert 0 <= found.min() and found.max() < 2 ** (size - 1).bit_length()
    along = found[np.argsort(line[:, 0])]
    halves = along >= 2 ** ((size - 1).bit_length() - 1)
    assert np.abs(np.diff(halves.astype(int))).sum() == 1  # each half of the line is a branch


def test_expected_shares_are_those_that_files_are_coded_with() -> None:
    model, grid = ContextModel(coding_prior_arrays(K)), random_map(7, 9)
    expected = model.frequencies(grid)
    assert (expected.sum(-1, dtype=int) == 65536).all()
    own = np.take_along_axis(expected, grid[..., None].astype(int), -1)[..., 0]
    np.testing.assert_array_equal(np.log2(65536 / own), model.bits([grid])[0])


def test_the_meter_asks_the_coding_prior_block_by_block(
    coded_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = Codec.load(coded_weights)
    prior = coding_prior(codec.weights)
    assert prior is not None
    grid = (random_map(20, 30) % 8).astype(np.uint16)
    media = MediaInfo((80, 120), (80, 120))
    codes = Codes((grid,), (32,), "hw", "coded", codec.weights.codebook_id, media)
    meter = BitMeter(codec)
    found = meter.measure(codes)
    assert found.keys() == {bits_module.MIXING, bits_module.CODING, bits_module.MIXED}
    assert found[bits_module.CODING] == pytest.approx(prior.bits([grid]).sum())
    size = 8 * len(prior.encode([grid])[0])
    assert found[bits_module.CODING] == pytest.approx(size, abs=16)
    monkeypatch.setattr(frames, "BLOCKS", {"hw": (16, 16)})
    parts = [grid[:16, :16], grid[:16, 16:], grid[16:, :16], grid[16:, 16:]]
    expected = sum(prior.bits([part]).sum() for part in parts)
    assert meter.measure(codes)[bits_module.CODING] == pytest.approx(expected)
