"""A prior trained on maps whose entropy is known comes close to it."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vqcodec.codec.device import choose_bf16
from vqcodec.config import load_preset, parse
from vqcodec.models.vqvae import build_prior
from vqcodec.train.config import Config
from vqcodec.train.image.codes import Maps, PriorOverMaps
from vqcodec.train.loop import Loop

STAY = 0.9  # how likely an index repeats the one that it follows


def chains(number: int, height: int, width: int, seed: int) -> NDArray[np.uint16]:
    """Maps of four indices, each a Markov chain: along the row, or down where there are rows."""
    rng = np.random.default_rng(seed)
    maps = rng.integers(0, 4, (number, height, width))
    axis = 1 if height > 1 else 2
    length = maps.shape[axis]
    steps = np.moveaxis(maps, axis, 0)
    for i in range(1, length):
        stay = rng.random(steps[i].shape) < STAY
        other = (steps[i - 1] + rng.integers(1, 4, steps[i].shape)) % 4
        steps[i] = np.where(stay, steps[i - 1], other)
    return maps.astype(np.uint16)


@pytest.mark.parametrize("shape", [(1, 64), (8, 8)])
def test_bits_come_close_to_the_entropy(shape: tuple[int, int], tmp_path: Path) -> None:
    table = dict(load_preset("prior-image")["train"])
    for key in ("crop_size", "picture_side", "zoom", "crops", "held_out_side"):
        del table[key]
    table |= {"steps": 120, "batch_size": 16, "warmup_steps": 5}
    table |= {"learning_rate": 0.02, "muon_learning_rate": 0.02, "evaluate_every": 60}
    config = parse(Config, table, "train")
    speech = {"first": [0, 3], "kernel": [0, 2]} if shape[0] == 1 else {}
    prior = {"kind": "pixelcnn", "codebook_size": 4, "width": 16, "dilations": [1, 2], **speech}
    torch.manual_seed(0)
    train, held_out = chains(512, *shape, seed=0), chains(64, *shape, seed=1)
    maps = Maps((train,), (held_out,), np.zeros(64), 1)
    task = PriorOverMaps(build_prior(prior), maps, config.batch_size, 0)
    figures = Loop(task, config, tmp_path, bf16=choose_bf16("auto", "cpu")).run().figures
    entropy = -STAY * math.log2(STAY) - (1 - STAY) * math.log2((1 - STAY) / 3)
    length = shape[0] if shape[0] > 1 else shape[1]
    expected = (2 + (length - 1) * entropy) / length  # the first of a chain is anything
    assert figures["bits_per_index"] == pytest.approx(expected, rel=0.06)
    generator = torch.Generator().manual_seed(0)
    (drawn,) = task.model.sample(((64, *shape),), generator=generator)
    steps = np.moveaxis(drawn.numpy(), 1 if shape[0] > 1 else 2, 0)
    assert (steps[1:] == steps[:-1]).mean() == pytest.approx(STAY, abs=0.05)
