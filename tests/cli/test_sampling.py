"""From a codec to new pictures: train prior, export, sample, complete."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import Run, picture
from vqcodec import Codec, Codes, Image
from vqcodec.benchmark.sampling import speedup
from vqcodec.config import load_preset, override
from vqcodec.evaluate.bits import SAMPLING, BitMeter
from vqcodec.sampling.image import Sampler
from vqcodec.train.priors import train_prior
from vqcodec.train.run import TrainingJob

SMALL = (
    "prior.width=16", "prior.dilations=[1, 2]", "prior.embedding=8", "prior.first=[1, 1]",
    "train.steps=40", "train.batch_size=8", "train.crop_size=32", "train.picture_side=48",
    "train.crops=4", "train.evaluate_every=20", "train.warmup_steps=2",
    "train.muon_learning_rate=0.01", "train.learning_rate=0.02",
)  # fmt: skip
PRIOR = "sampling_prior.safetensors"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i in range(8):
        Image(picture(48, 56, seed=i)).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def trained(
    photos: Path, tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A finished run, and a copy of the tiny weights with its prior, found by its path."""
    folder = tmp_path_factory.mktemp("trained")
    run, weights = folder / "run", folder / "tiny"
    config = override(load_preset("prior-image"), list(SMALL))
    train_prior(TrainingJob([photos], run, config, [photos / "3.png"]), str(tiny_weights))
    shutil.copytree(tiny_weights, weights)
    return run, weights


@pytest.fixture(scope="module")
def model(trained: tuple[Path, Path]) -> Path:
    from vqcodec.train.export import export_part

    run, weights = trained
    export_part(run, "tiny", weights.parent, force=False)
    return weights


def command(*words: str | Path) -> tuple[str | Path, ...]:
    return words + tuple(f"--set={s}" for s in SMALL)


def test_a_prior_learns_and_its_maps_are_encoded_once(
    trained: tuple[Path, Path], photos: Path, tiny_weights: Path, run: Run
) -> None:
    folder = trained[0]
    lines = [json.loads(x) for x in (folder / "log.jsonl").read_text().splitlines()]
    bits = [line["held_out/bits_per_index"] for line in lines]
    assert [line["step"] for line in lines] == [20, 40]
    assert bits[1] < bits[0] < 5  # K = 32
    # the bound: bits of the indices, less those that the decoder saves, per dimension
    maps = np.load(folder / "maps.npz")
    assert maps["train_map_0"].shape == (32, 8, 8)
    assert maps["held_out_map_0"].shape == (1, 32, 32)
    nats = 1024 * bits[1] * np.log(2) - maps["log_prob"].sum()
    dimensions = 3 * 128 * 128
    assert lines[1]["held_out/bits_per_dim"] == pytest.approx(
        nats / dimensions / np.log(2), rel=1e-4
    )
    before = (folder / "maps.npz").stat().st_mtime_ns
    again = run(
        *command("train", "prior", photos, "-o", folder, "--codec", tiny_weights),
        "--held-out", photos / "3.png",
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert b"32 maps to train on, 1 to measure on" in again.stderr
    assert b"was finished already" in again.stdout
    assert (folder / "maps.npz").stat().st_mtime_ns == before


def test_from_pictures_to_new_pictures(photos: Path, tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(Codec.load("tiny").weights.folder, folder / "tiny")
    done = run(*command("train", "prior", photos, "-o", "run", "--codec", folder / "tiny"))
    assert done.returncode == 0, done.stderr
    assert b"left out: broken.png" in done.stderr and b"bits_per_index" in done.stderr
    exported = run("export", "run", "tiny", "-o", folder)
    assert exported.returncode == 0 and b"bits_per_index" in exported.stdout
    assert (folder / "tiny" / PRIOR).is_file()
    card = (folder / "tiny" / "README.md").read_text()
    assert "## Sampling prior" in card and "train prior" in card
    assert run("export", "run", "tiny", "-o", folder).returncode == 1
    assert run("export", "run", "tiny", "-o", folder, "--force").returncode == 0
    assert (folder / "tiny" / "README.md").read_text() == card
    by_hand = "\n## Licence\n\nNone.\n\n### Sampling prior\n\nIts own.\n"
    (folder / "tiny" / "README.md").write_text(by_hand + card + by_hand)
    assert run("export", "run", "tiny", "-o", folder, "--force").returncode == 0
    assert (folder / "tiny" / "README.md").read_text() == by_hand + card + by_hand
    shutil.copy(photos / "1.png", tmp_path / "photo.png")
    commands: tuple[tuple[str, ...], ...] = (
        ("sample", "-o", "grid.png", "-n", "3", "--size", "20x12", "--seed", "5"),
        ("complete", "photo.png", "--top-k", "4", "--temperature", "0.9"),
    )
    for words in commands:
        result = run(*words, "--model", folder / "tiny")
        assert result.returncode == 0, result.stderr
        assert result.stderr == b""
    assert Image.open(tmp_path / "grid.png").size == (26, 42)
    assert Image.open(tmp_path / "photo.completed.png").size == (48, 56)
    streamed = run(
        "complete", "-", "--model", folder / "tiny", "--top-k", "4", "--temperature", "0.9",
        stdin=(tmp_path / "photo.png").read_bytes(),
    )  # fmt: skip
    assert streamed.stdout == (tmp_path / "photo.completed.png").read_bytes()


def test_equal_seeds_give_equal_pictures(model: Path, tmp_path: Path, run: Run) -> None:
    def sample(name: str, *words: str) -> bytes:
        done = run("sample", "-o", name, "--model", model, "--size", "32x24", *words, "--json")
        assert done.returncode == 0, done.stderr
        facts = json.loads(done.stdout)
        assert (facts["width"], facts["height"], facts["output"]) == (32, 24, name)
        return (tmp_path / name).read_bytes()

    assert sample("a.png", "-n", "2", "--seed", "7") == sample("b.png", "-n", "2", "--seed", "7")
    assert sample("c.png", "-n", "2", "--seed", "8") != sample("d.png", "-n", "2", "--seed", "9")


def test_the_first_of_many_samples_are_those_of_few(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = Sampler.load(model)
    many = sampler.sample(5, (16, 20))
    monkeypatch.setattr("vqcodec.sampling.base.CELLS_AT_ONCE", 40)
    few = sampler.sample(3, (16, 20))
    for a, b in zip(few, many, strict=False):
        np.testing.assert_array_equal(a.pixels, b.pixels)


def test_completion_keeps_the_upper_codes(model: Path) -> None:
    sampler = Sampler.load(model)
    alpha = np.tile(np.arange(40, dtype=np.uint8), (48, 1))
    image = Image(picture(48, 40), alpha)
    decoded = sampler.codec.decode(sampler.codec.encode(image, tinted=False)).pixels
    half = sampler.complete(image)
    halo = sampler.codec.stride * sampler.codec.model.decoder.halo
    upper = slice(0, max(1, 24 - halo))
    np.testing.assert_array_equal(half.pixels[upper], decoded[upper])
    assert not np.array_equal(half.pixels, decoded)
    assert half.alpha is not None
    np.testing.assert_array_equal(half.alpha, alpha)
    np.testing.assert_array_equal(sampler.complete(image, 1.0).pixels, decoded)


def test_measures_of_sampling(model: Path, photos: Path) -> None:
    found = speedup(str(model), side=16, rounds=1)
    assert found["indices"] == 256
    assert found["ratio"] == pytest.approx(
        found["naive_seconds"] / found["cached_seconds"], rel=0.1
    )
    sampler = Sampler.load(model)
    codes = sampler.codec.encode(Image.open(photos / "0.png"))
    indices = torch.from_numpy(codes.grids[0].astype(np.int64))[None]
    bits = -float(sampler.prior.log_prob((indices,))) / np.log(2)
    assert BitMeter(sampler.codec).measure(codes)[SAMPLING] == pytest.approx((bits,), rel=1e-5)
    assert 0 < bits < 5 * indices.numel()


def test_models_without_a_prior_say_so(photos: Path, run: Run) -> None:
    for words in (("sample", "-o", "x.png"), ("complete", photos / "0.png", "-o", "x.png")):
        done = run(*words, "--model", "tiny")
        assert done.returncode == 1
        assert b"no sampling prior" in done.stderr and done.stderr.count(b"\n") == 1


def test_wrong_requests_are_refused(model: Path, photos: Path, run: Run) -> None:
    sample = ("sample", "-o", "x.png", "--model", model)
    for words, said in (
        ((*sample, "--size", "12"), b"--size 12"),
        ((*sample, "--size", "0x12"), b"is empty"),
        ((*sample, "--size", "4096x4096"), b"megapixels"),
        ((*sample, "--temperature", "0"), b"temperature"),
        ((*sample, "--top-k", "-1"), b"top-k"),
        ((*sample, "--seed", "-1"), b"seed"),
        (("sample", "-o", "x.abc", "--model", model), b".abc"),
        (("complete", photos / "0.png", "-o", "x.png", "--model", model, "--keep", "2"), b"keep"),
        (("complete", photos, "-o", "x", "--model", model), b"is a folder"),
        (("complete", photos / "none.png", "-o", "x.png", "--model", model), b"no such file"),
    ):
        done = run(*words)
        assert done.returncode in (1, 2) and said in done.stderr, done.stderr
        assert b"Traceback" not in done.stderr


def test_priors_of_other_codes_are_refused(
    trained: tuple[Path, Path], model: Path, tmp_path: Path, run: Run
) -> None:
    def broken(**changes: object) -> Path:
        shutil.rmtree(tmp_path / "tiny", ignore_errors=True)
        shutil.copytree(model, tmp_path / "tiny")
        config = json.loads((model / "config.json").read_text())
        (tmp_path / "tiny" / "config.json").write_text(json.dumps({**config, **changes}))
        return tmp_path / "tiny"

    table = json.loads((model / "config.json").read_text())["sampling_prior"]
    for said, changes in (
        ("another codebook", {"sampling_prior": {**table, "codebook_id": "00000000"}}),
        ("larger than its file", {"sampling_prior": _set(table, width=2048)}),
        ("not those of the model", {"sampling_prior": _set(table, reach=0)}),
        ("of kind 'os'", {"sampling_prior": _set(table, kind="os")}),
        ("no setting", {"sampling_prior": _set(table, depth=3)}),
    ):
        done = run("sample", "-o", "x.png", "--model", broken(**changes))
        assert done.returncode == 1 and said.encode() in done.stderr, done.stderr
    path = broken() / PRIOR
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    done = run("sample", "-o", "x.png", "--model", tmp_path / "tiny")
    assert done.returncode == 1 and b"damaged" in done.stderr
    broken(codebook_id="00000000")
    done = run("export", trained[0], "tiny", "-o", tmp_path, "--force")
    assert done.returncode == 1 and b"trained for codebook" in done.stderr


def _set(table: dict[str, dict[str, object]], **changes: object) -> dict[str, object]:
    return {**table, "prior": {**table["prior"], **changes}}


def test_a_coding_prior_learns_and_makes_files_smaller(
    photos: Path,
    tiny_weights: Path,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = [s for s in SMALL if s.startswith("train.")]
    settings += ["prior.units=16", "prior.blocks=1", "prior.embedding=8"]
    done = run(
        "train", "prior", photos, "--codec", tiny_weights, "-o", "run", "--preset", "prior-coding",
        *(f"--set={s}" for s in settings),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "weights"
    shutil.copytree(tiny_weights, folder / "tiny")
    assert run("export", "run", "tiny", "-o", folder).returncode == 0
    assert "## Coding prior" in (folder / "tiny" / "README.md").read_text()
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(folder))
    Image(picture(120, 120, seed=3)).save(tmp_path / "photo.png")
    sizes = []
    for name, words in (("a.vqc", ()), ("b.vqc", ("--no-prior",))):
        done = run("encode", "photo.png", "-o", name, "--model", "tiny", "--json", *words)
        assert done.returncode == 0, done.stderr
        sizes.append(json.loads(done.stdout)["bytes"])
    assert sizes[0] < sizes[1]
    assert Codes.load(tmp_path / "a.vqc") == Codes.load(tmp_path / "b.vqc")
