"""A training run: a folder that says what was asked, and the loop that does it."""

import json
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from vqcodec.config import Tree, check_range, to_json
from vqcodec.device import choose_bf16
from vqcodec.errors import TrainingError
from vqcodec.media.sources import Source, find_sources
from vqcodec.pretrained import read_state
from vqcodec.priors.integer import from_arrays
from vqcodec.train.config import split
from vqcodec.train.data import Crops, Pictures, centre_squares
from vqcodec.train.loop import CHECKPOINT, Loop, Progress
from vqcodec.train.tasks import ImageVQVAE
from vqcodec.vqvae import VQVAE, build
from vqcodec.weights import Weights, coding_prior, find_weights

SETTINGS = "run.json"
HELD_OUT_SIDE = 128  # pictures to measure on: short side shrunk to this, the middle square
MOST_HELD_OUT = 100


@dataclass(frozen=True)
class ImageData:
    """Settings of the data in a preset's ``train`` table.

    Attributes:
        crop_size: side of a training crop in pixels.
        picture_side: larger pictures are shrunk to this short side first.
        zoom: a crop is cut as a square of crop_size times a factor from this range, then shrunk.
    """

    crop_size: int
    picture_side: int
    zoom: tuple[float, float]

    def __post_init__(self) -> None:
        check_range("crop_size", self.crop_size, 8, 2048)
        check_range("picture_side", self.picture_side, self.crop_size, 8192)
        check_range("zoom", self.zoom[0], 1, self.zoom[1])


@dataclass(frozen=True)
class Start:
    """What a run is about to do, for whoever shows it.

    Attributes:
        samples: how many it trains on.
        held_out: how many it measures on.
        skipped: one sentence for each picture that could not be read.
        resumed: the step it continues from; 0 for a fresh run.
        parameters: numbers to learn.
        what: what the samples are.
    """

    samples: int
    held_out: int
    skipped: list[str]
    resumed: int
    parameters: int
    what: str = "pictures"


def train_image(
    data: list[Path],
    folder: Path,
    config: Tree,
    *,
    held_out: list[Path],
    minutes: float | None = None,
    start_from: str | None = None,
    on_start: Callable[[Start], None] | None = None,
    on_step: Callable[[Progress, float], None] | None = None,
) -> Progress:
    """Train a VQ-VAE on pictures, or continue the run in `folder`.

    Args:
        data: picture files, folders and tars.
        folder: the run's folder; made if it is not there.
        config: a preset's tree, with what was set on top of it.
        held_out: pictures to measure on; empty for every twentieth of `data`, at most 100.
        minutes: train this long instead of `train.steps` steps.
        start_from: weights (name or folder) to start from instead of random ones.
        on_start: called once before the first step.
        on_step: called after every step, with the fraction done.

    Raises:
        TrainingError: no pictures, other settings than the run in `folder` has, or a failed run.
        UsageError: settings that do not fit.
    """
    settings, loop_config = split(dict(config.get("train", {})), ImageData)
    torch.manual_seed(loop_config.seed)
    model = build(config.get("model", {}))
    sources, measured = hold_out(data, held_out)
    description: Tree = {
        "command": command(),
        "data": [str(p) for p in data],
        "held_out": [str(p) for p in held_out],
        "minutes": minutes,
        "start_from": start_from,
        "config": config,
    }
    cuda = torch.cuda.is_available()
    state = PartialState(cpu=not cuda)
    if state.is_main_process:
        claim(folder, description)
    state.wait_for_everyone()
    pictures = Pictures(sources, settings.picture_side, settings.crop_size)
    test = Pictures(measured, HELD_OUT_SIDE, HELD_OUT_SIDE)
    if start_from is not None:
        _start_from(model, find_weights(start_from))
    crops = Crops(
        pictures, loop_config.batch_size, settings.crop_size, settings.zoom, loop_config.seed
    )
    task = ImageVQVAE(model, crops, centre_squares(test, HELD_OUT_SIDE))
    loop = Loop(
        task,
        loop_config,
        folder,
        bf16=choose_bf16(loop_config.precision, "cuda" if cuda else "cpu"),
        minutes=minutes,
    )
    if start_from is not None:
        loop.progress.started = True  # its codebook is set; k-means would undo it
    if on_start and loop.accelerator.is_main_process:
        skipped = pictures.skipped + test.skipped
        parameters = sum(p.numel() for p in model.parameters())
        resumed = checkpoint_step(folder)
        on_start(Start(len(pictures), len(test), skipped, resumed, parameters))
    return loop.run(on_step if loop.accelerator.is_main_process else None)


def _start_from(model: VQVAE, weights: Weights) -> None:
    """Take over weights, and for a prior that learns along their coding prior."""
    state = read_state(weights)
    integers = coding_prior(weights)
    if model.prior is not None and integers is not None:
        state |= {f"prior.{k}": v for k, v in from_arrays(integers.arrays).state_dict().items()}
    model.load_state_dict(state)


def hold_out(
    data: list[Path], held_out: list[Path], modality: str = "image"
) -> tuple[list[Source], list[Source]]:
    """Return the pictures (or recordings) to train on, and those to measure on.

    Args:
        data: files, folders and tars.
        held_out: the same, to measure on; empty for every twentieth of `data`, at most 100.
        modality: ``image`` or ``audio``.

    Raises:
        MediaError: there are none.
    """
    sources = find_sources(data, modality)
    if held_out:
        return sources, find_sources(held_out, modality)
    every = max(20, len(sources) // MOST_HELD_OUT)
    measured = sources[::every] if len(sources) > 1 else sources
    return [s for s in sources if s not in measured] or sources, measured


def checkpoint_step(folder: Path) -> int:
    """Return the step of the run's checkpoint; 0 if it has none."""
    path = folder / CHECKPOINT / "progress.json"
    if not path.is_file():
        return 0
    return int(json.loads(path.read_text(encoding="utf-8"))["step"])


def claim(folder: Path, description: Tree) -> None:
    """Write the run's settings, or make sure that they are those of the run already there.

    Raises:
        TrainingError: they are not, or the folder holds something else.
    """
    path = folder / SETTINGS
    if path.exists():
        there = json.loads(path.read_text(encoding="utf-8"))
        asked = json.loads(json.dumps(description))
        for key in sorted({*there, *asked} - {"command"}):
            if there.get(key) != asked.get(key):
                raise TrainingError(
                    f"{folder}: holds a run with other settings ({key} differs); "
                    "name another folder, or repeat its command to continue it"
                )
        return
    if folder.exists() and any(folder.iterdir()):
        raise TrainingError(f"{folder}: is not empty and holds no run; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(to_json(description), encoding="utf-8")


def command() -> str:
    """Return the command line of this process, as it would be typed."""
    return shlex.join(["vqcodec", *sys.argv[1:]])


def read_run(folder: Path) -> dict[str, Any]:
    """Return what `folder` was asked to train.

    Raises:
        TrainingError: it holds no run.
    """
    try:
        run: dict[str, Any] = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise TrainingError(f"{folder}: holds no training run") from None
    return run
