"""Training: data, optimizer, loop, resume, several processes, export."""

import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.helpers import Run, picture, tiny_config
from vqcodec import Codec, Codes, Image
from vqcodec.codingpriors import coding_priors
from vqcodec.config import Tree, override
from vqcodec.data.sources import find_sources
from vqcodec.errors import MediaError, OutputError, TrainingError
from vqcodec.models.vqvae import build
from vqcodec.train.export import export, shortfall
from vqcodec.train.image.data import Crops, Pictures, Prefetcher, centre_squares
from vqcodec.train.image.task import ImageVQVAE, _start_from, train_image
from vqcodec.train.loop import Progress
from vqcodec.train.muon import Muon, orthogonalize, split_parameters
from vqcodec.train.run import Ready, TrainingJob
from vqcodec.train.tasks import Loss, Tensors
from vqcodec.weights import read_weights

SMALL = ["train.steps=12", "train.batch_size=4", "train.crop_size=16", "train.picture_side=40"]
SMALL += ["train.evaluate_every=4", "train.restart_every=3", "train.warmup_steps=2"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    (folder / "deeper").mkdir()
    for i in range(6):
        name = f"deeper/{i}.png" if i % 2 else f"{i}.png"
        Image(picture(40 + 8 * i, 56, seed=i)).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    (folder / "broken.png").write_bytes(b"no picture either")
    return folder


def settings(*more: str) -> Tree:
    return override(tiny_config(), [*SMALL, *more])


def averaged(run: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(run / "checkpoint" / "average.safetensors")


def train(photos: Path, run: Path, *more: str, **arguments: Any) -> Progress:
    return train_image(TrainingJob([photos], run, settings(*more), [], **arguments))


def test_sources_come_from_folders_tars_and_files(photos: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(photos, "set")
    assert len(find_sources([photos])) == 7
    from_tar = find_sources([tmp_path / "x.tar"])
    assert sorted(s.read() for s in from_tar) == sorted(s.read() for s in find_sources([photos]))
    assert len(find_sources([photos / "0.png"])) == 1
    (tmp_path / "bad.tar").write_bytes(b"x" * 600)
    for wrong in (tmp_path / "absent", tmp_path / "bad.tar"):
        with pytest.raises(MediaError):
            find_sources([wrong])
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaError, match="no pictures"):
        find_sources([tmp_path / "empty"])


def test_pictures_are_shrunk_enlarged_and_skipped(photos: Path) -> None:
    pictures = Pictures(find_sources([photos]), side=48, minimum=44)
    assert len(pictures) == 6 and len(pictures.skipped) == 1 and "broken" in pictures.skipped[0]
    assert all(44 <= min(pictures[i].shape[:2]) <= 48 for i in range(6))


def test_batches_are_a_function_of_their_number(photos: Path) -> None:
    pictures = Pictures(find_sources([photos]), side=48, minimum=16)
    crops = Crops(pictures, 5, 16, (1.0, 2.0), seed=3)
    fetched = Prefetcher(crops.batch, start=7)
    for number in (7, 8, 9):
        np.testing.assert_array_equal(fetched.get(), crops.batch(number))
    fetched.close()
    assert crops.batch(0).shape == (5, 3, 16, 16)
    assert not np.array_equal(crops.batch(0), crops.batch(1))
    assert not np.array_equal(crops.batch(0), Crops(pictures, 5, 16, (1.0, 2.0), 4).batch(0))


def test_centre_squares_are_the_middle(photos: Path) -> None:
    pictures = Pictures(find_sources([photos / "0.png"]), side=40, minimum=40)
    (square,) = centre_squares(pictures, 40)
    np.testing.assert_array_equal(square, pictures[0][:, 8:48].transpose(2, 0, 1))


@pytest.mark.parametrize("shape", [(8, 8), (4, 40), (40, 4)])
def test_orthogonalization_against_the_svd(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    found = orthogonalize(matrix)
    values = torch.diagonal(u.T @ found @ v.T)
    assert 0.6 < values.min() and values.max() < 1.3
    residue = found - u @ torch.diag(values) @ v
    assert residue.abs().max() < 1e-3  # the singular vectors are those of the matrix


def test_muon_update_has_the_size_of_adamws() -> None:
    weight = torch.nn.Parameter(torch.zeros(32, 16, 3, 3))
    weight.grad = torch.randn_like(weight)
    Muon([weight], lr=0.1).step()
    assert weight.detach().square().mean().sqrt().item() == pytest.approx(0.02, rel=0.3)


def test_muon_gets_inner_kernels_only() -> None:
    model = build(override(tiny_config(), ["model.encoder.widths=[16, 32]"])["model"])
    matrices, rest = split_parameters(model)
    assert len(matrices) + len(rest) == len(list(model.parameters()))
    assert {tuple(m.shape[:2]) for m in matrices} == {(32, 16), (32, 32)}


def test_a_run_learns_logs_and_exports(photos: Path, tmp_path: Path) -> None:
    starts: list[Ready] = []
    progress = train(photos, tmp_path / "run", on_start=lambda ready, _: starts.append(ready))
    assert starts[0].samples + starts[0].held_out == 6
    assert starts[0].skipped[0] == "1 passed over: no pictures by their suffix"
    assert "broken" in starts[0].skipped[1]
    assert progress.step == 12
    lines = [json.loads(x) for x in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [x["step"] for x in lines] == [4, 8, 12]
    assert lines[-1]["held_out/bits_per_dim"] < lines[0]["held_out/bits_per_dim"]
    assert lines[0]["held_out/kl_bits_per_index"] == 5
    assert {"held_out/psnr", "held_out/usage", "train/perplexity"} <= lines[-1].keys()
    assert list((tmp_path / "run" / "tensorboard").iterdir())

    config = export(tmp_path / "run", "mine", tmp_path, notes="# Licence\n\nNone.", force=False)
    codec = Codec.load(tmp_path / "mine", device="cpu")
    assert codec.encode(Image(picture(20, 20))).model == "mine"
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "None." in card and config["codebook_id"] in card
    with pytest.raises(OutputError):
        export(tmp_path / "run", "mine", tmp_path, notes="", force=False)
    job = TrainingJob([photos], tmp_path / "fine", settings(), [])
    again = train_image(job, start_from=str(tmp_path / "mine"))
    assert again.figures["psnr"] > progress.figures["psnr"] - 1


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"psnr": 15.2, "usage": 1.0}, "PSNR of 15.2 dB"),
        ({"psnr": 20.1}, None),
        ({"stoi": 0.55, "mel_distance": 6.0}, "STOI of 0.55 "),
        ({"stoi": 0.7}, None),
        ({"mel_distance": 6.0}, None),  # where pystoi is not installed
    ],
)
def test_figures_too_low_to_be_of_use_are_named(
    figures: dict[str, float], said: str | None
) -> None:
    sentence = shortfall(figures)
    assert sentence is None if said is None else said in str(sentence)


def test_a_prior_learned_along_is_exported_and_taken_up_again(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings()
    config["model"]["prior"] = {"kind": "integer", "rate_weight": 2.0, "units": 8, "blocks": 1}
    progress = train_image(TrainingJob([photos], tmp_path / "run", config, []))
    assert 0 < progress.figures["bits_per_index"] < 10
    export(tmp_path / "run", "along", tmp_path, notes="", force=False)
    weights = read_weights(tmp_path / "along")
    (prior,) = coding_priors(weights)
    assert "prior" not in weights.config["model"]
    codec = Codec.load(tmp_path / "along", device="cpu", precision="fp32")
    codes = codec.encode(Image(picture(64, 64)))
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(tmp_path))
    assert Codes.from_bytes(codes.to_bytes(".vqc"), "x") == codes
    model = build(config["model"])
    _start_from(model, weights)
    assert model.prior is not None
    grid = codes.grids[0].astype(np.int64)
    with torch.no_grad():
        nats = -model.prior.log_prob((torch.from_numpy(grid)[None],)).item()
    assert nats / math.log(2) == pytest.approx(prior.bits([codes.grids[0]]).sum(), rel=0.02)


class Killed(BaseException):
    """Stands for kill -9: nothing is cleaned up after it."""


def test_a_killed_run_continues_as_if_nothing_had_happened(photos: Path, tmp_path: Path) -> None:
    train(photos, tmp_path / "whole")

    def kill(progress: Progress, done: float) -> None:
        if progress.step == 7:
            raise Killed

    with pytest.raises(Killed):
        train(photos, tmp_path / "cut", on_step=kill)
    # a kill between the two renames of a checkpoint leaves the old one beside the new one
    resumed: list[int] = []
    measured: list[int] = []
    train(
        photos,
        tmp_path / "cut",
        on_start=lambda _, step: resumed.append(step),
        on_step=lambda progress, _: measured.append(progress.measured),
    )
    assert resumed == [4]
    assert measured == [0, 0, 0, 1, 1, 1, 1, 2]  # at steps 8 and 12, and not at the one after 4
    whole, cut = averaged(tmp_path / "whole"), averaged(tmp_path / "cut")
    for name, value in whole.items():
        torch.testing.assert_close(cut[name], value, rtol=1e-4, atol=1e-5)


def test_a_run_that_is_stopped_continues_as_if_nothing_had_happened(
    photos: Path, tmp_path: Path
) -> None:
    train(photos, tmp_path / "whole")
    asked = iter([False, False, True])
    progress = train(photos, tmp_path / "cut", stop=lambda: next(asked))
    assert progress.step == 3 and progress.figures  # it was measured, for whoever exports it
    resumed: list[int] = []
    train(photos, tmp_path / "cut", on_start=lambda _, step: resumed.append(step))
    assert resumed == [3]
    whole, cut = averaged(tmp_path / "whole"), averaged(tmp_path / "cut")
    for name, value in whole.items():
        torch.testing.assert_close(cut[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_keeps_what_it_has(
    photos: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, kind: signal.Signals
) -> None:
    loss, steps, before = ImageVQVAE.loss, 0, signal.getsignal(kind)
    times = {0: 1}  # of the signal in step 1, 2, ...; 0 are those before, which set codebooks

    def interrupted(self: ImageVQVAE, model: torch.nn.Module, batch: Tensors) -> Loss:
        nonlocal steps
        steps += self.model.training
        for _ in range(times.pop(steps, 0)):
            signal.raise_signal(kind)
        return loss(self, model, batch)

    monkeypatch.setattr(ImageVQVAE, "loss", interrupted)
    small = [f"--set={s}" for s in (*SMALL, "train.evaluate_every=100")]
    small += ["--set=model.encoder.widths=[4, 8]", "--set=model.decoder.widths=[8, 4]"]
    command = ("train", "image", photos, "-o", "runs/a", *small)
    early = run(*command)
    assert early.returncode == 128 + kind and b"nothing that was learned is kept" in early.stderr
    assert not (tmp_path / "runs").exists()
    times[4] = 1  # the step is done
    once = run(*command)
    assert once.returncode == 128 + kind and b"interrupted and kept at step 4" in once.stderr
    times[4 + 3] = 2  # this one is not
    twice = run(*command)
    assert twice.returncode == 128 + kind and b"interrupted and kept at step 4" in twice.stderr
    assert steps == 4 + 3 and not times and signal.getsignal(kind) is before
    done = run(*command)
    assert done.returncode == 0 and steps == 4 + 3 + 8


def test_a_kill_while_saving_leaves_a_checkpoint(photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    train(photos, run)
    (run / "checkpoint").rename(run / "checkpoint.old")
    resumed: list[int] = []
    train(photos, run, on_start=lambda _, step: resumed.append(step))
    assert resumed == [12]


def test_other_settings_do_not_continue_a_run(photos: Path, tmp_path: Path) -> None:
    train(photos, tmp_path / "run")
    with pytest.raises(TrainingError, match="other settings"):
        train(photos, tmp_path / "run", "train.seed=5")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    with pytest.raises(TrainingError, match="not empty"):
        train(photos, tmp_path / "full")


def test_a_run_that_never_began_leaves_nothing(photos: Path, tmp_path: Path, run: Run) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    failed = run("train", "image", bad, "-o", "runs/a")
    assert failed.returncode == 1 and b"can be read; the first: " in failed.stderr
    assert not (tmp_path / "runs").exists()
    (tmp_path / "mine" / "tensorboard").mkdir(parents=True)  # somebody else's
    (tmp_path / "empty").mkdir()
    for name in ("mine", "empty"):
        assert run("train", "image", bad, "-o", name).returncode == 1
    assert (tmp_path / "mine" / "tensorboard").is_dir() and (tmp_path / "empty").is_dir()
    train(photos, tmp_path / "run")
    there = sorted(tmp_path.rglob("*"))
    assert b"other settings" in run("train", "image", bad, "-o", "run").stderr
    shutil.rmtree(tmp_path / "run" / "checkpoint")  # as before the first
    assert b"other settings" in run("train", "image", bad, "-o", "run").stderr
    assert [p for p in there if "checkpoint" not in p.parts] == sorted(tmp_path.rglob("*"))


def test_losses_that_are_no_numbers_stop_the_run(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = ImageVQVAE.loss

    def poisoned(self: ImageVQVAE, model: torch.nn.Module, batch: Tensors) -> Loss:
        found = loss(self, model, batch)
        return replace(found, total=found.total * torch.nan)

    monkeypatch.setattr(ImageVQVAE, "loss", poisoned)
    with pytest.raises(TrainingError, match="the loss is nan at step 4; nothing was saved"):
        train(photos, tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoint").exists()


def test_collapsed_codebooks_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vqcodec.train.loop.COLLAPSED", 2)  # these runs are too short to fall low
    for i in range(3):
        Image(np.full((40, 40, 3), 99, np.uint8)).save(tmp_path / f"{i}.png")
    with pytest.raises(TrainingError, match="collapsed"):
        train(tmp_path, tmp_path / "run", "model.quantizer.dead_below=0.0")
    assert (tmp_path / "run" / "checkpoint").is_dir()


def test_few_indices_of_many_codes_are_no_collapse(photos: Path, tmp_path: Path) -> None:
    often = ("train.steps=4", "train.evaluate_every=1", "train.batch_size=1")
    train(photos, tmp_path / "run", "model.quantizer.codebook_size=32768", *often)


def test_minutes_bound_the_run(photos: Path, tmp_path: Path) -> None:
    progress = train(photos, tmp_path / "run", "train.steps=1000000", minutes=0.05)
    assert 1 <= progress.step < 1_000_000 and progress.seconds < 60
    assert (tmp_path / "run" / "checkpoint").is_dir()


def test_two_processes_hold_one_codebook(photos: Path, tmp_path: Path) -> None:
    updates = ("ema", "gradient")  # one after the other, for processes take long to start
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    configs = {u: settings(f"model.quantizer.update={u}", "train.batch_size=2") for u in updates}
    (tmp_path / "configs.json").write_text(json.dumps(configs))
    script = tmp_path / "rank.py"
    script.write_text(
        "import json, os, sys\n"
        "from pathlib import Path\n"
        "import torch\n"
        "from vqcodec.train.image.task import train_image\n"
        "from vqcodec.train.loop import Loop\n"
        "from vqcodec.train.run import TrainingJob\n"
        "torch.set_num_threads(1)\n"
        "kept = []\n"
        "start = Loop.__init__\n"
        "def remember(self, *a, **k):\n"
        "    start(self, *a, **k); kept.append(self)\n"
        "Loop.__init__ = remember\n"
        "for name, config in json.loads(Path('configs.json').read_text()).items():\n"
        "    train_image(TrainingJob([Path(sys.argv[1])], Path(name), config, []))\n"
        "    state = {k: v.detach() for k, v in kept[-1].task.model.state_dict().items()}\n"
        "    torch.save(state, f'{name}{os.environ[\"RANK\"]}.pt')\n"
    )
    processes = []
    for rank in range(2):
        env = {
            **os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        command = [sys.executable, str(script), str(photos)]
        processes.append(subprocess.Popen(command, env=env, cwd=tmp_path, stderr=subprocess.PIPE))
    errors = [process.communicate(timeout=300)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(errors)
    for update in updates:
        states = [torch.load(tmp_path / f"{update}{rank}.pt") for rank in range(2)]
        assert len(states[0]) > 10
        for name, value in states[0].items():
            torch.testing.assert_close(states[1][name], value, rtol=1e-6, atol=1e-7, msg=name)


@pytest.mark.graphs
def test_training_from_the_command_line(photos: Path, tmp_path: Path, run: Run) -> None:
    done = run(
        "train", "image", photos, "-o", "run", "--minutes", "0.02",
        *(f"--set={s}" for s in SMALL),
        "--set=model.encoder.widths=[4, 8]", "--set=model.decoder.widths=[8, 4]",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"left out: broken.png" in done.stderr and b"psnr" in done.stderr
    exported = run("export", "run", "mine", "-o", "w")
    assert exported.returncode == 0, exported.stderr
    assert (tmp_path / "w" / "mine" / "model.safetensors").is_file()
    assert "--minutes 0.02" in (tmp_path / "w" / "mine" / "README.md").read_text()
    if find_spec("onnxscript"):
        assert Codec.load(tmp_path / "w" / "mine", "cpu", engine="onnx").codebook_sizes == (512,)


def test_export_says_what_to_give(tmp_path: Path, run: Run) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "run.json").write_text('{"config": {}}')
    for arguments, code, words in (
        ((), 2, "vqcodec export RUN NAME"),
        (("runs",), 2, "say how to call the weights: vqcodec export runs NAME"),
        (("tiny", "-o", "graphs"), 2, "tiny: holds no training run; graphs of weights"),
        (("runs", "./mine"), 2, "'./mine' cannot name weights; use a-z, 0-9, '.', '_' and '-', "),
    ):
        done = run("export", *arguments)
        assert (done.returncode, words in done.stderr.decode()) == (code, True), done.stderr
    for kind in ("prior", "decoder"):  # which the codec's name is wanted for
        (tmp_path / "runs" / "run.json").write_text(json.dumps({"config": {kind: {}}}))
        done = run("export", "runs", "weights/tiny")
        assert done.returncode == 2 and b"and -o for the folder" in done.stderr
