"""The command line with weights of two index maps."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import Run, picture
from vqcodec import Codec, Codes, Image
from vqcodec.benchmark.priors import measure_priors

MODEL = ("--model", "paired")


@pytest.fixture
def photos(paired_weights: Path, tmp_path: Path) -> list[Path]:
    paths = []
    for seed, size in enumerate(((52, 44), (64, 31))):
        paths.append(tmp_path / f"photo{seed}.png")
        Image(picture(*size, seed=seed)).save(paths[-1])
    return paths


def test_from_a_picture_to_a_file_and_back(photos: list[Path], tmp_path: Path, run: Run) -> None:
    decoded = []
    for name in ("a.npz", "a.vqc"):
        done = run("encode", photos[0], "-o", name, *MODEL, "--json")
        assert done.returncode == 0, done.stderr.decode()
        assert json.loads(done.stdout)["indices"] == 7 * 6 + 13 * 11
        done = run("decode", name, "-o", f"{name}.png")
        assert done.returncode == 0, done.stderr.decode()
        decoded.append(Image.open(tmp_path / f"{name}.png").pixels)
    np.testing.assert_array_equal(decoded[0], decoded[1])
    assert decoded[0].shape == (52, 44, 3)
    assert Codes.load(tmp_path / "a.npz") == Codes.load(tmp_path / "a.vqc")
    done = run("repack", "a.npz", "-o", "b.vqc", "--no-prior", "--json")
    assert done.returncode == 0, done.stderr.decode()
    assert Codes.load(tmp_path / "b.vqc") == Codes.load(tmp_path / "a.vqc")
    assert run("encode", *photos, "-o", "many", *MODEL).returncode == 0
    codec = Codec.load("paired", device="cpu")
    for photo in photos:
        codes = Codes.load(tmp_path / "many" / f"{photo.stem}.npz")
        single = codec.encode(Image.open(photo))
        for many, one in zip(codes.grids, single.grids, strict=True):
            assert np.mean(many == one) > 0.99


def test_info_and_models_tell_of_both_maps(photos: list[Path], run: Run) -> None:
    for name, flags in (("a.vqc", ()), ("b.vqc", ("--no-prior",))):
        assert run("encode", photos[0], "-o", name, *MODEL, *flags).returncode == 0
    facts = [json.loads(x) for x in run("info", "a.vqc", "b.vqc", "--json").stdout.splitlines()]
    for fact in facts:
        assert fact["maps"] == [[7, 6], [13, 11]] and fact["codebook_sizes"] == [24, 32]
        assert len(fact["codes_used"]) == 2 and fact["indices"] == 185
    assert facts[1]["coding"] == "packed"
    listed = [json.loads(line) for line in run("models", "--json").stdout.splitlines()]
    (own,) = (line for line in listed if line["name"] == "paired")
    assert own["codebook_sizes"] == [24, 32]
    (line,) = (x for x in run("models").stdout.splitlines() if x.startswith(b"paired "))
    assert b" 24, 32 " in line


def test_what_needs_one_map_says_so(photos: list[Path], run: Run) -> None:
    for flags in (("--quality", "50"), ("--target-bytes", "900"), ("--effort", "2")):
        done = run("encode", photos[0], "-o", "x.vqc", *MODEL, *flags)
        assert done.returncode in (1, 2) and b"several maps cannot be searched" in done.stderr
        assert not photos[0].with_name("x.vqc").exists()


def test_pictures_are_drawn_and_completed(photos: list[Path], tmp_path: Path, run: Run) -> None:
    done = run("sample", "-o", "new.png", *MODEL, "--number", "2", "--size", "30x20", "--seed", "1")
    assert done.returncode == 0, done.stderr.decode()
    assert Image.open(tmp_path / "new.png").size[0] == 20
    done = run("complete", photos[0], "-o", "done.png", *MODEL, "--seed", "1")
    assert done.returncode == 0, done.stderr.decode()
    assert Image.open(tmp_path / "done.png").size == (52, 44)


def test_inspect_draws_and_prints_both_maps(photos: list[Path], tmp_path: Path, run: Run) -> None:
    done = run("inspect", photos[0], "-o", "one.png", *MODEL)
    assert done.returncode == 0, done.stderr.decode()
    codes = Codec.load("paired", device="cpu").encode(Image.open(photos[0]))
    used = [len(np.unique(g)) for g in codes.grids]
    for number, own, size in zip((42, 143), used, (24, 32), strict=True):
        assert f"{number} indices, {own} of {size} codes in use".encode() in done.stdout
    done = run("inspect", *photos, "-o", "many.png", *MODEL)
    assert done.returncode == 0, done.stderr.decode()
    assert b"24 codes" in done.stdout and b"32 codes" in done.stdout
    assert b"by 2 pictures" in done.stdout
    done = run("inspect", "-o", "model.png", *MODEL)
    assert done.returncode == 0, done.stderr.decode()
    heights = [Image.open(tmp_path / f"{n}.png").size[0] for n in ("model", "many")]
    assert heights[1] > heights[0] > 1000  # a sheet for each map, and then their use
    done = run("inspect", photos[0], "--codes", "csv", *MODEL)
    blocks = done.stdout.decode().strip().split("\n\n")
    for block, grid in zip(blocks, codes.grids, strict=True):
        rows = [list(map(int, row.split(","))) for row in block.splitlines()]
        assert np.mean(np.array(rows) == grid) > 0.99


def test_evaluation_measures_both_maps(photos: list[Path], tmp_path: Path, run: Run) -> None:
    done = run("evaluate", *photos, "-o", "report", *MODEL, "--against", "")
    assert done.returncode == 0, done.stderr.decode()
    results = json.loads((tmp_path / "report" / "results.json").read_text())
    codes = results["evaluation"]["codes"]
    assert [own["codebook_size"] for own in codes["maps"]] == [24, 32]
    numbers = [own["indices"] for own in codes["maps"]]
    assert numbers == [7 * 6 + 8 * 4, 13 * 11 + 16 * 8] and codes["indices"] == sum(numbers)
    bits = codes["bits_per_index"]
    uniform = (numbers[0] * np.log2(24) + numbers[1] * np.log2(32)) / sum(numbers)
    assert bits["uniform"] == pytest.approx(uniform, abs=1e-3)
    assert {"order 0", "coding prior", "sampling prior"} <= bits.keys()
    assert done.stdout.count(b"used, perplexity") == 2
    each = [own["bits_per_index"] for own in codes["maps"]]
    assert [own["uniform"] for own in each] == [
        pytest.approx(np.log2(k), abs=1e-4) for k in (24, 32)
    ]
    assert [own["order 0"] for own in each] == [own["order_0_entropy"] for own in codes["maps"]]
    coded = sum(n * own["coding prior"] for n, own in zip(numbers, each, strict=True))
    assert coded / sum(numbers) == pytest.approx(bits["coding prior"], abs=1e-3)
    row = next(line for line in done.stdout.decode().splitlines() if "coding prior" in line)
    told = [float(word) for word in row.split()[2:]]
    expected = [bits["coding prior"], *(own["coding prior"] for own in each)]
    assert told == pytest.approx(expected, abs=1e-3)


def test_the_benchmark_times_both_maps(paired_weights: Path) -> None:
    found = measure_priors("paired", rounds=1)
    assert [own["shape"] for own in found["coding"][:2]] == [(16, 16), (32, 32)]
    assert found["sampling"]["indices"] == 16 * 16 + 32 * 32
