"""Training a codec of two index maps, and its priors: each codebook by itself."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from accelerate import Accelerator

from tests import twomaps
from tests.helpers import Run, picture
from vqcodec import Codec, Codes, Image
from vqcodec.codingpriors import coding_priors, lattice_prior
from vqcodec.config import Tree, override
from vqcodec.errors import TrainingError
from vqcodec.files.header import read_header
from vqcodec.files.reader import Reader
from vqcodec.models.vqvae import build
from vqcodec.sampling.image import Sampler
from vqcodec.train.export import export
from vqcodec.train.image.task import _start_from, train_image
from vqcodec.train.loop import Progress, Usage
from vqcodec.train.run import TrainingJob
from vqcodec.weights import read_weights

SMALL = ["train.steps=12", "train.batch_size=4", "train.crop_size=16", "train.picture_side=40"]
SMALL += ["train.evaluate_every=4", "train.restart_every=3", "train.warmup_steps=2"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i in range(6):
        Image(picture(40 + 8 * i, 56, seed=i)).save(folder / f"{i}.png")
    return folder


def settings(*more: str) -> Tree:
    twomaps.install()
    return override(twomaps.config(), [*SMALL, *more])


def train(photos: Path, run: Path, config: Tree | None = None, **arguments: Any) -> Progress:
    return train_image(TrainingJob([photos], run, config or settings(), [], **arguments))


def test_figures_are_told_of_each_map_and_the_run_exports(photos: Path, tmp_path: Path) -> None:
    progress = train(photos, tmp_path / "run")
    lines = [json.loads(x) for x in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [x["step"] for x in lines] == [4, 8, 12]
    for level, size in enumerate(twomaps.SIZES):
        assert 1 < lines[-1][f"train/perplexity_{level}"] <= size
        assert 1 < progress.figures[f"perplexity_{level}"] <= size
        assert 0 < progress.figures[f"usage_{level}"] <= 1
    assert not {"perplexity", "usage"} & progress.figures.keys()
    assert lines[-1]["held_out/bits_per_dim"] < lines[0]["held_out/bits_per_dim"]
    # one coarse index for four fine ones
    bits = (np.log2(24) + 4 * np.log2(32)) / 5
    assert progress.figures["kl_bits_per_index"] == pytest.approx(bits)
    export(tmp_path / "run", "mine", tmp_path, notes="", force=False)
    codec = Codec.load(tmp_path / "mine", device="cpu")
    assert codec.weights.codebook_sizes == twomaps.SIZES
    codes = codec.encode(Image(picture(20, 20)))
    assert codes.model == "mine" and codec.decode(codes).size == (20, 20)
    assert "| perplexity 1 |" in (tmp_path / "mine" / "README.md").read_text()
    again = train_image(
        TrainingJob([photos], tmp_path / "more", settings(), []), str(tmp_path / "mine")
    )
    assert again.figures["psnr"] > progress.figures["psnr"] - 1


class Killed(BaseException):
    """Stands for kill -9: nothing is cleaned up after it."""


def test_a_killed_run_continues_as_if_nothing_had_happened(photos: Path, tmp_path: Path) -> None:
    train(photos, tmp_path / "whole")

    def kill(progress: Progress, done: float) -> None:
        if progress.step == 7:
            raise Killed

    with pytest.raises(Killed):
        train(photos, tmp_path / "cut", on_step=kill)
    train(photos, tmp_path / "cut")
    whole, cut = (
        safetensors.torch.load_file(tmp_path / run / "checkpoint" / "average.safetensors")
        for run in ("whole", "cut")
    )
    assert {"quantizer.top.codebook", "quantizer.bottom.codebook"} <= whole.keys()
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())


def test_each_codebook_begins_as_clusters_of_its_own_latents(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vqcodec.models.quantizers.vq import VectorQuantizer

    seen: list[tuple[int, torch.Tensor, torch.Tensor]] = []
    initialize = VectorQuantizer.initialize

    def remember(self: VectorQuantizer, latents: torch.Tensor, seed: int) -> None:
        initialize(self, latents, seed)
        seen.append((len(self.codebook), latents, self.codebook.clone()))

    monkeypatch.setattr(VectorQuantizer, "initialize", remember)
    train(photos, tmp_path / "run", settings("train.steps=1", "train.restart_every=9"))
    assert [size for size, *_ in seen] == list(twomaps.SIZES)
    for size, latents, codebook in seen:
        assert len(latents) >= 16 * size
        error = torch.cdist(latents, codebook).amin(1).square().mean()
        assert error < 0.5 * latents.var(0, correction=0).sum()
    # a batch, 4 crops of 16 x 16 pixels, has 16 coarse cells and 64 fine ones
    assert [len(latents) for _, latents, _ in seen] == [24 * 16, 32 * 16]


def test_dead_codes_of_one_map_restart_from_its_own_latents() -> None:
    quantizer = build(settings()["model"]).quantizer
    top, bottom = quantizer.codebooks
    top.counts.fill_(10.0)  # type: ignore[attr-defined]
    bottom.counts.fill_(10.0)  # type: ignore[attr-defined]
    top.counts[3] = 0.0  # type: ignore[attr-defined]
    alive = bottom.codebook.clone()
    assert top.restart(torch.full((40, 4), 7.0), seed=0) == 1
    assert bottom.restart(torch.full((40, 4), -7.0), seed=0) == 0
    assert torch.equal(top.codebook[3], torch.full((4,), 7.0))
    assert torch.equal(bottom.codebook, alive)


def test_a_dead_codebook_cannot_hide_behind_a_live_one(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings("model.quantizer.codebook_sizes=[24, 32]")

    class Task:
        def quantizer(self) -> Any:
            return build(config["model"]).quantizer

    usage = Usage(Task())  # type: ignore[arg-type]
    usage.add((torch.zeros(6, 4).long(), torch.arange(32)))
    usage.add((torch.zeros(2, 4).long(), torch.arange(32)))
    counts = usage.counts(Accelerator(cpu=True))
    assert [own.tolist() for own in counts] == [[32] + 23 * [0], 32 * [2]]
    # codes of the coarse map that are all the same stop the run
    monkeypatch.setattr("vqcodec.models.quantizers.vq.VectorQuantizer.restart", lambda *_: 0)
    from vqcodec.models.quantizers.vq import VectorQuantizer

    nearest = VectorQuantizer.nearest

    def stuck(self: VectorQuantizer, latents: torch.Tensor) -> torch.Tensor:
        found = nearest(self, latents)
        return torch.zeros_like(found) if len(self.codebook) == 24 else found

    monkeypatch.setattr(VectorQuantizer, "nearest", stuck)
    with pytest.raises(TrainingError, match=r"collapsed \(perplexity 1\.0"):
        train(photos, tmp_path / "run")


def test_priors_learned_along_are_exported_one_for_each_map(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings()
    config["model"]["prior"] = {"kind": "integer", "rate_weight": 2.0, "units": 8, "blocks": 1}
    progress = train(photos, tmp_path / "run", config)
    assert 0 < progress.figures["bits_per_index"] < 10
    export(tmp_path / "run", "along", tmp_path, notes="", force=False)
    weights = read_weights(tmp_path / "along")
    priors = coding_priors(weights)
    assert [prior.codebook_size for prior in priors] == list(twomaps.SIZES)
    codec = Codec.load(tmp_path / "along", device="cpu", precision="fp32")
    codes = codec.encode(Image(picture(64, 64)))
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(tmp_path))
    assert Codes.from_bytes(codes.to_bytes(".vqc"), "x") == codes
    model = build(config["model"])
    _start_from(model, weights)
    assert model.prior is not None
    maps = tuple(torch.from_numpy(g.astype(np.int64))[None] for g in codes.grids)
    with torch.no_grad():
        nats = -model.prior.log_prob(maps).item()
    bits = sum(p.bits([g]).sum() for p, g in zip(priors, codes.grids, strict=True))
    assert nats / np.log(2) == pytest.approx(bits, rel=0.02)


def test_the_rate_of_several_maps_is_that_of_all_their_indices() -> None:
    torch.manual_seed(0)
    table = settings()["model"]
    table["prior"] = {"kind": "integer", "rate_weight": 1.0, "units": 8, "blocks": 1}
    model = build(table).train()
    assert model.prior is not None
    quantized = model.quantizer(model.encoder(torch.rand(2, 3, 16, 16)), soft=True)
    rate, pull = model._rate(quantized, 3 * 16 * 16)
    cost = -model.prior.log_prob(quantized.indices).sum()
    assert rate.item() == pytest.approx(cost.item() / (2 * 3 * 16 * 16), rel=1e-4)
    assert pull.item() > 0


@pytest.mark.parametrize("preset", ["prior-image", "prior-coding", "prior-lattice"])
def test_priors_on_the_codes_of_both_maps(
    photos: Path, paired_weights: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch,
    preset: str,
) -> None:  # fmt: skip
    import shutil

    folder = tmp_path / "weights"
    shutil.copytree(paired_weights, folder / "paired")
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(folder))
    small = ["train.steps=30", "train.batch_size=4", "train.crop_size=32", "train.picture_side=40"]
    small += ["train.evaluate_every=15", "train.warmup_steps=2", "train.crops=4"]
    small += ["train.learning_rate=0.02", "train.muon_learning_rate=0.02"]
    small += ["prior.width=16", "prior.dilations=[1, 2]"] if preset == "prior-image" else []
    small += ["prior.units=16", "prior.blocks=1"] if preset == "prior-coding" else []
    small += ["prior.units=[16]", "prior.depth=1"] if preset == "prior-lattice" else []
    command: tuple[str | Path, ...] = ("train", "prior", photos, "-o", "run", "--codec", "paired")
    command += () if preset == "prior-lattice" else ("--preset", preset)  # the default
    done = run(*command, *(f"--set={s}" for s in small))
    assert done.returncode == 0, done.stderr.decode()
    logged = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    first, last = (json.loads(line)["held_out/bits_per_index"] for line in logged)
    assert min(first, last) < (np.log2(24) + 4 * np.log2(32)) / 5  # what equal chances cost
    again = run(*command, *(f"--set={s}" for s in small))
    assert again.returncode == 0 and b"was finished already" in again.stdout
    before = coding_priors(read_weights(folder / "paired"))
    assert run("export", "run", "paired", "-o", "weights").returncode == 1  # there is one
    done = run("export", "run", "paired", "-o", "weights", "--force")
    assert done.returncode == 0, done.stderr.decode()
    if preset == "prior-image":
        (drawn,) = Sampler.load("paired", "cpu", "fp32").sample(1, (40, 40))
        assert drawn.size == (40, 40)
        return
    if preset == "prior-lattice":
        lattice = lattice_prior(read_weights(folder / "paired"))
        assert lattice is not None and lattice.ratios == (1, 2)
        codes = Codec.load("paired", device="cpu").encode(Image(picture(120, 120, seed=3)))
        data = codes.to_bytes(".vqc")
        assert read_header(Reader(data)).joint
        assert len(data) < len(codes.to_bytes(".vqc", prior=False))
        assert Codes.from_bytes(data, "x") == codes
        return
    after = coding_priors(read_weights(folder / "paired"))
    assert {p.identity for p in before}.isdisjoint(p.identity for p in after)
    codes = Codec.load("paired", device="cpu").encode(Image(picture(120, 120, seed=3)))
    data = codes.to_bytes(".vqc")
    header = read_header(Reader(data))
    assert header.prior_ids[1] == after[1].identity
    assert len(data) < len(codes.to_bytes(".vqc", prior=False))
    assert Codes.from_bytes(data, "x") == codes
