"""Maps drawn coarse to fine: the first by its own prior, the others by the coding prior."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from tests.helpers import TINY_PRIOR, Run, lattice_prior, picture
from vqcodec import Codec, Image
from vqcodec.codec.sampling import SamplingParams
from vqcodec.coding import latticecoder
from vqcodec.coding.lattice import LatticeModel, Walk
from vqcodec.errors import WeightsError
from vqcodec.models.fixedpoint import to_arrays
from vqcodec.models.pretrained import coding_bytes, prior_bytes, write_part
from vqcodec.models.priors.coarsetofine import CoarseToFine
from vqcodec.models.vqvae import build_prior
from vqcodec.sampling.image import Sampler
from vqcodec.sampling.priors import sampling_prior
from vqcodec.weights import CODING_PRIOR, read_weights

GRID = {"first": [1, 1], "kernel": [1, 1]}  # of a prior that reads rows and columns


@pytest.fixture(scope="module")
def sampled(refined_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`refined`, and `plain` with a sampling prior, in a folder of their own."""
    folder = tmp_path_factory.mktemp("sampled")
    for name in ("plain", "refined"):
        shutil.copytree(refined_weights.parent / name, folder / name)
    table = {**TINY_PRIOR, **GRID}
    torch.manual_seed(3)
    prior = build_prior(table)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    plain = read_weights(folder / "plain")
    part = {"codebook_id": plain.codebook_id.hex(), "prior": table}
    write_part(plain, part, *prior_bytes(prior), force=False)
    return folder / "refined"


def test_maps_are_as_frequent_as_the_coder_takes_them_to_be() -> None:
    """Every pair of maps of one and two cells, drawn 40,000 times, against bits of integers."""
    prior = lattice_prior((3, 3), (1, 2), slope=0.4)
    model, number = LatticeModel(to_arrays(prior)), 40_000
    shapes = ((number, 1, 1), (number, 1, 2))
    generator = torch.Generator().manual_seed(0)
    coarse, fine = CoarseToFine(None, prior).sample(shapes, generator=generator)
    every = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    cells = every.astype(np.uint16)[:, None, :]
    bits = latticecoder.bits(model, [cells[..., :1], cells[..., 1:]])
    expected = 2.0 ** -sum(own.sum((1, 2)) for own in bits)
    drawn = torch.cat([coarse.flatten(1), fine.flatten(1)], 1).numpy()
    found = np.bincount(drawn @ [9, 3, 1], minlength=27) / number
    assert expected.sum() == pytest.approx(1, abs=0.01) and expected.max() > 3 * expected.min()
    np.testing.assert_allclose(found, expected, atol=4 * 0.5 / math.sqrt(number))


def test_likeliest_codes_are_those_that_cost_least(sampled: Path) -> None:
    """At a temperature of almost 0, against the integers' own choice of the cheapest codes."""
    codec = Codec.load(sampled)
    prior = sampling_prior(codec)
    assert isinstance(prior, CoarseToFine)
    first, *finer = prior.sample(((2, 9, 12),) * 4, temperature=1e-6)
    assert codec.rates is not None
    walk = Walk(codec.rates.prior, codec.rates.condition(200.0))
    walk.know(first.numpy().astype(np.uint16))
    agree = []
    for grid in finer:  # all follow from what was drawn
        cheapest = latticecoder.choose(walk, np.zeros((2, 9, 12, 16), np.float32))
        agree.append(float((grid.numpy() == cheapest).mean()))
    assert min(agree) > 0.95, agree  # near ties turn out otherwise in integers


def test_bits_are_those_of_both_priors(sampled: Path) -> None:
    codec = Codec.load(sampled)
    prior = sampling_prior(codec)
    assert isinstance(prior, CoarseToFine) and prior.first is not None
    maps = codec.encode(Image(picture(40, 52))).grids
    indices = tuple(torch.from_numpy(grid.astype(np.int64))[None] for grid in maps)
    assert codec.rates is not None
    _, *finer = latticecoder.bits(
        codec.rates.prior, [grid[None] for grid in maps], codec.rates.condition(200.0)
    )
    bits = float(sum(own.sum() for own in finer))
    expected = float(prior.first.log_prob(indices[:1])) - bits * math.log(2)
    assert float(prior.log_prob(indices)) == pytest.approx(expected, rel=0.01)


def test_the_first_map_is_what_its_prior_draws_alone(sampled: Path) -> None:
    params = SamplingParams(seed=4, temperature=0.9, top_k=12)
    refined, plain = Sampler.load(sampled), Sampler.load(sampled.parent / "plain")
    pictures = refined.sample(3, (24, 36), params)
    shapes = ((3, 6, 9),)
    drawn = [
        sampler.prior.sample(
            shapes * len(sampler.codec.maps),
            generator=torch.Generator().manual_seed(4),
            temperature=0.9,
            top_k=12,
        )
        for sampler in (refined, plain)
    ]
    assert torch.equal(drawn[0][0], drawn[1][0])
    assert all(grid.any() for grid in drawn[0])
    grids = tuple(grid.numpy().astype(np.uint16) for grid in drawn[0])
    np.testing.assert_array_equal(
        np.stack([p.pixels for p in pictures]), refined.codec.decode_batch(grids)
    )
    again = refined.sample(2, (24, 36), params)
    for few, many in zip(again, pictures, strict=False):
        np.testing.assert_array_equal(few.pixels, many.pixels)


def test_large_maps_are_drawn_block_by_block() -> None:
    """Further than a block of 256 cells away nothing is known: each block is drawn like any."""
    prior = lattice_prior((5, 5), (1, 1))
    shapes = ((1, 3, 300),) * 2
    known = torch.full(shapes[0], -1)
    drawn = CoarseToFine(None, prior).sample(shapes, generator=torch.Generator().manual_seed(1))
    known[..., 256:] = 4
    other = CoarseToFine(None, prior).sample(
        shapes, generator=torch.Generator().manual_seed(1), known=(known, drawn[1] * 0 - 1)
    )
    for one, two in zip(drawn, other, strict=True):
        assert torch.equal(one[..., :256], two[..., :256])
    assert (other[0][..., 256:] == 4).all() and not torch.equal(drawn[1], other[1])


def test_completion_keeps_the_upper_codes_of_all_maps(sampled: Path) -> None:
    sampler = Sampler.load(sampled)
    image = Image(picture(160, 40), np.tile(np.arange(40, dtype=np.uint8), (160, 1)))
    decoded = sampler.codec.decode(sampler.codec.encode(image, tinted=False)).pixels
    half = sampler.complete(image)
    np.testing.assert_array_equal(half.pixels[:40], decoded[:40])
    assert not np.array_equal(half.pixels[80:], decoded[80:])
    assert half.alpha is not None
    np.testing.assert_array_equal(half.alpha, image.alpha)
    np.testing.assert_array_equal(sampler.complete(image, 1.0).pixels, decoded)


def test_a_hierarchy_is_drawn_from_its_coding_prior(latticed_weights: Path, tmp_path: Path) -> None:
    """With a sampling prior, too, that draws the first map; without, the coding prior does."""
    both = sampling_prior(Codec.load(latticed_weights))
    assert isinstance(both, CoarseToFine) and both.first is not None
    assert both.first.codebook_sizes == both.codebook_sizes[:1]
    folder = tmp_path / "latticed"
    shutil.copytree(latticed_weights, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del config["files"]["sampling_prior.safetensors"], config["sampling_prior"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    sampler = Sampler.load(folder)
    assert isinstance(sampler.prior, CoarseToFine) and sampler.prior.first is None
    one, two = sampler.sample(2, (30, 41))
    assert one.size == (30, 41) and not np.array_equal(one.pixels, two.pixels)


@pytest.mark.parametrize("level", [0, 1])
def test_levels_that_are_not_alike_cannot_be_drawn_from(
    latticed_weights: Path, tmp_path: Path, level: int
) -> None:
    """Files are coded with it all the same: of a level there is one block less than of others."""
    weights = read_weights(latticed_weights)
    arrays = safetensors.numpy.load((weights.folder / CODING_PRIOR).read_bytes())
    gone = {f"level.{level}.block.0.{part}" for part in ("conv", "mix")}
    names = sorted(name for name in arrays if f"{name}_bias" in arrays)
    assert gone <= set(names)
    arrays["shifts"] = arrays["shifts"][[name not in gone for name in names]]
    left = {n: a.astype(np.int64) for n, a in arrays.items() if n.removesuffix("_bias") not in gone}
    LatticeModel(left)
    folder = tmp_path / "latticed"
    shutil.copytree(weights.folder, folder)
    part = {"codebook_id": weights.codebook_id.hex()}
    write_part(read_weights(folder), part, CODING_PRIOR, coding_bytes([left]), force=True)
    with pytest.raises(WeightsError, match="cannot be drawn from"):
        sampling_prior(Codec.load(folder))


def test_commands_draw_from_weights_that_refine(
    sampled: Path, photo: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(sampled.parent))
    for words in (
        ("sample", "-o", "grid.png", "-n", "2", "--size", "40x24"),
        ("complete", photo, "-o", "whole.png"),
    ):
        done = run(*words, "--model", "refined", "--seed", "3")
        assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "grid.png").size == (24, 82)
    assert Image.open(tmp_path / "whole.png").size == Image.open(photo).size
    files = sorted(p.name for p in (sampled.parent / "plain").iterdir())
    assert "sampling_prior.safetensors" in files
    bare = tmp_path / "bare"
    shutil.copytree(sampled.parent, bare)
    config = json.loads((bare / "plain" / "config.json").read_text(encoding="utf-8"))
    del config["sampling_prior"]
    (bare / "plain" / "config.json").write_text(json.dumps(config), encoding="utf-8")
    done = run("sample", "-o", "none.png", "--model", bare / "refined")
    assert done.returncode == 1 and b"plain: has no sampling prior" in done.stderr
    assert not (tmp_path / "none.png").exists()
