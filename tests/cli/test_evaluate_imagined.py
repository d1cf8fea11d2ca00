"""`vqcodec evaluate --imagine`, and what tells actions apart."""

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.clips import clip
from tests.helpers import Run
from vqcodec.codec.sampling import SamplingParams
from vqcodec.evaluate.imagination import dynamics
from vqcodec.evaluate.imagination.dynamics import InverseDynamics, shrunk
from vqcodec.sampling.video import VideoSampler

SHIFTS = (0, 3, -3)  # pixels, by action


def walk(length: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Stripes that move as actions have it, (T, 24, 32, 3), and the actions."""
    rng = np.random.default_rng(seed)
    frame = np.repeat(np.repeat(rng.integers(256, size=(6, 8, 3)), 4, 0), 4, 1).astype(np.uint8)
    actions = rng.integers(3, size=length)
    frames = []
    for action in actions:
        frames.append(frame)
        frame = np.roll(frame, SHIFTS[action], axis=1)
    return np.stack(frames), actions


def test_a_network_tells_movements_apart() -> None:
    clips = [walk(40, seed) for seed in range(6)]
    frames = shrunk(np.concatenate([pixels for pixels, _ in clips]))
    assert frames.shape == (240, 48, 48, 3)
    pairs = np.concatenate([40 * i + np.arange(39) for i in range(6)])
    actions = np.concatenate([led[:-1] for _, led in clips])
    network = InverseDynamics(3, width=8)
    network.learn(frames, pairs, actions, steps=100)
    pixels, led = walk(300, seed=99)
    assert np.mean(network.tell(shrunk(pixels)) == led[:-1]) > 0.7  # by chance 0.33


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    rows = ["file,frame,action\n"]
    for number in range(3):
        pixels, led = walk(34, number)
        name = f"{number}.mkv"
        (folder / name).write_bytes(clip(pixels))
        rows += [f"{name},{t},{a}\n" for t, a in enumerate(led)]
    (folder / "actions.csv").write_text("".join(rows))
    return folder


def test_a_report(
    run: Run, walking_weights: Path, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamics, "STEPS", 5)
    asked = ("evaluate", clips, "--imagine", clips, "--model", "walking", "-o", "report")
    found = run(*asked, "--json")
    assert found.returncode == 0, found.stderr
    tree = json.loads((tmp_path / "report" / "results.json").read_text())
    assert tree == json.loads(found.stdout)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "report" / "results.csv").read_text())))
    assert len(rows) == 3 * 5 * 10
    # by hand: the copied frame, and the frames that the seed of each stretch draws
    sampler = VideoSampler.load("walking")
    names = sampler.actions
    copied, imagined = [], []
    for number in range(3):
        pixels, led = walk(34, number)
        for seed, start in enumerate((0, 16)):
            truth = pixels[start + 6 : start + 16].astype(float)
            actions = [names[a] for a in led[start + 5 : start + 15]]
            given = pixels[start : start + 6]
            drawn = list(sampler.imagine(given, actions, SamplingParams(seed=seed)))
            imagined.append([_psnr(a, b) for a, b in zip(truth, drawn, strict=True)])
            copied.append([_psnr(a, given[-1]) for a in truth])
    for variant, expected in (("still", copied), ("vqcodec", imagined)):
        assert tree["imagined"][variant]["psnr"] == pytest.approx(np.mean(expected, 0), abs=2e-3)
        low, high = tree["imagined"][variant]["interval"]
        assert low <= tree["imagined"][variant]["mean"] <= high
    assert tree["imagined"]["still"]["obeyed"] is None
    assert 0 <= tree["imagined"]["vqcodec"]["obeyed"] <= 1
    names_of_bits = [f"{n} and no action" for n in ("2 frames", "1 frame", "0 frames")]
    assert list(tree["bits_per_frame"]) == ["frames and action", *names_of_bits]
    bits = 0.0
    for number in range(3):
        pixels, led = walk(34, number)
        grid = torch.from_numpy(sampler.codec.encode(pixels).grids[0].astype(np.int64))[None]
        found = sampler.prior((grid,), torch.from_numpy(1 + led)[None])[0]
        bits += float(found[:, 2:].sum())
    assert tree["bits_per_frame"]["frames and action"] == pytest.approx(bits / 3 / 32, abs=0.06)
    assert "Obeyed" in run(*asked).stdout.decode()  # goes on, with nothing left to do


def _psnr(a: NDArray[np.float64], b: NDArray[np.uint8]) -> float:
    error = float(((a - b) ** 2).mean())
    return 100.0 if not error else 10 * math.log10(255**2 / error)


def test_what_is_wrong(run: Run, walking_weights: Path, clips: Path, tmp_path: Path) -> None:
    asked = ("evaluate", clips, "--model", "walking", "-o", "report")
    found = run(*asked, "--imagine", "none")
    assert found.returncode == 1 and b"none: no such file or folder" in found.stderr
    found = run(*asked, "--imagine", clips, "--against", "h264")
    assert found.returncode == 2 and b"--imagine goes with" in found.stderr
    (clips / "actions.csv").unlink()
    found = run(*asked, "--imagine", clips)
    assert found.returncode == 1 and b"there are no actions beside it" in found.stderr
