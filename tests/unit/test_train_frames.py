"""Training a prior of successive frames: in a small world it learns what actions do."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from numpy.typing import NDArray

from vqcodec.codec.device import choose_bf16
from vqcodec.coding.framemodel import FrameModel
from vqcodec.config import Tree, load_preset, parse
from vqcodec.files import interframe
from vqcodec.framepriors import FRAME_PRIOR
from vqcodec.models.pretrained import prior_bytes
from vqcodec.models.priors.frames import FramesPrior
from vqcodec.models.vqvae import build_prior
from vqcodec.train.config import Config
from vqcodec.train.loop import Loop
from vqcodec.train.video.frames import CodedVideos, FramesData, FramesTask

SHIFTS = (0, 1, -1)  # of a row of cells, by action


def walks(number: int, length: int, seed: int) -> CodedVideos:
    """Rings of 2x8 codes that turn as actions have it: all is known once a frame is."""
    rng = np.random.default_rng(seed)
    maps, actions = [], rng.integers(3, size=(number, length))
    for led in actions:
        frame = rng.integers(4, size=(2, 8))
        for action in led:
            maps.append(frame)
            frame = np.roll(frame, SHIFTS[action], axis=1)
    ends = length * np.arange(1, number + 1)
    return CodedVideos((np.stack(maps).astype(np.uint16),), 1 + actions.ravel(), ends)


def task(noise: float = 0.0) -> FramesTask:
    torch.manual_seed(0)
    table: Tree = {"kind": "frames", "codebook_sizes": [4], "ratios": [1]}
    table |= {"actions": ["stay", "right", "left"]}
    table |= {"frames": 2, "width": 16, "inner": 16, "layers": 1, "units": 16, "embedding": 8}
    model = build_prior({**table, "depth": 0})
    assert isinstance(model, FramesPrior)
    data = FramesData(noise=noise, unknown=0.2, beginnings=0.2, mirrored=False)
    return FramesTask(model, walks(200, 8, seed=0), walks(8, 8, seed=1), data, 32, 0)


def test_it_learns_what_actions_do(tmp_path: Path) -> None:
    table = dict(load_preset("prior-frames")["train"])
    for key in ("noise", "unknown", "beginnings", "mirrored"):
        del table[key]
    table |= {"steps": 100, "batch_size": 32, "warmup_steps": 5, "ema_decay": 0.9}
    table |= {"learning_rate": 0.02, "muon_learning_rate": 0.02, "evaluate_every": 100}
    config = parse(Config, table, "train")
    learned = task()
    figures = Loop(learned, config, tmp_path, bf16=choose_bf16("auto", "cpu")).run().figures
    # an eighth of the frames begin, at 2 bits a cell; what comes in at the sides is on the ring
    assert figures["bits_per_index"] < 0.8
    assert figures["bits_per_frame"] == pytest.approx(16 * figures["bits_per_index"])
    assert figures["bits_per_frame_saved_by_action"] > 4
    truth = walks(16, 6, seed=2)
    whole = truth.maps[0].reshape(16, 6, 2, 8).astype(np.int64)
    wanted = np.concatenate([whole[:, :2], np.full_like(whole[:, 2:], -1)], 1)
    (drawn,) = learned.model.sample(
        (whole.shape,),
        torch.from_numpy(truth.actions.reshape(16, 6)),
        generator=torch.Generator().manual_seed(0),
        known=(torch.from_numpy(wanted),),
    )
    assert (drawn.numpy() == whole)[:, 2].mean() > 0.8
    assert (drawn.numpy() == whole)[:, 2:].mean() > 0.6


def test_a_prior_to_code_with_learns_what_follows_and_becomes_integers() -> None:
    torch.manual_seed(0)
    table = {**load_preset("prior-coding-video")["prior"], "codebook_sizes": [4], "ratios": [1]}
    table |= {"width": 16, "units": 16, "embedding": 8, "depth": 0}
    model = build_prior(table)
    assert isinstance(model, FramesPrior)
    model.requires_grad_(True)
    data = FramesData(noise=0.0, unknown=0.0, beginnings=0.2, mirrored=False)
    videos = (walks(200, 8, seed=0), walks(8, 8, seed=1))
    train, held_out = (replace(v, actions=np.zeros_like(v.actions)) for v in videos)
    learned = FramesTask(model, train, held_out, data, 32, 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    for step in range(60):
        batch = {name: torch.from_numpy(a) for name, a in learned.batch(step).items()}
        learned.loss(model, batch).total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    figures = learned.evaluate(model).figures
    assert set(figures) == {"bits_per_index", "bits_per_frame"}
    name, content = prior_bytes(model)
    assert name == FRAME_PRIOR
    arrays = safetensors.numpy.load(content)
    integers = FrameModel({name: array.astype(np.int64) for name, array in arrays.items()})
    grid = learned.held_out.maps[0][:8]
    told, alone = (interframe.bits(grid, integers, n).sum() for n in (2, 0))
    assert told < 0.8 * alone
    (costs,) = model((torch.from_numpy(grid.astype(np.int64))[None],))
    assert told == pytest.approx(float(costs.detach().sum()), rel=0.02)


def test_examples_are_frames_behind_others_of_their_video() -> None:
    made = task()
    videos = made.train
    window = videos.window(18, 2, (4,), 2)  # the third frame of the third video
    assert np.array_equal(window["map_0"], videos.maps[0][16:19])
    assert window["cond"].tolist() == [*videos.actions[16:18], 0]
    first = videos.window(16, 2, (4,), 2)
    assert (first["map_0"][:2] == 4).all() and first["cond"].tolist() == [0, 0, 0]
    second = videos.window(17, 2, (4,), 2)
    assert (second["map_0"][0] == 4).all() and second["cond"].tolist() == [0, videos.actions[16], 0]
    told = videos.window(18, 0, (4,), 2)
    assert (told["map_0"][:2] == 4).all() and told["cond"].tolist() == [0, 0, 0]


def test_batches_repeat_and_codes_of_frames_before_are_replaced() -> None:
    plain, noisy = task(), task(noise=1.0)
    batch = noisy.batch(3)
    again = noisy.batch(3)
    assert all(np.array_equal(batch[name], again[name]) for name in batch)
    assert not np.array_equal(batch["map_0"], noisy.batch(4)["map_0"])
    assert set(_turned(plain.batch(0)["map_0"])) == {True}
    changed = _turned(batch["map_0"])
    assert changed.count(False) > len(changed) / 2
    whole = walks(200, 8, seed=0).maps[0]  # the frames that are learned stay as they are
    assert all((whole == last).all((1, 2)).any() for last in batch["map_0"][:, -1])


def _turned(windows: NDArray[np.int64]) -> list[bool]:
    """Tell of each example whether the frame before the last, if told, is a turned last one."""
    found = []
    for window in windows:
        before, last = window[-2], window[-1]
        if (before < 4).all():
            found.append(any(np.array_equal(np.roll(before, s, 1), last) for s in SHIFTS))
    return found
