"""Stage two: a prior on the codes of a finished codec."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState
from torch import nn
from torch.nn import functional as F

from vqcodec.codec import Codec
from vqcodec.config import Tree, check_range, parse
from vqcodec.device import choose_bf16
from vqcodec.errors import UsageError
from vqcodec.priors.base import Prior
from vqcodec.train.config import Config
from vqcodec.train.data import Crops, Pictures, centre_squares
from vqcodec.train.loop import Loop, Progress
from vqcodec.train.maps import Maps, encode_maps, load_maps, save_maps
from vqcodec.train.run import HELD_OUT_SIDE, Start, checkpoint_step, claim, command, hold_out
from vqcodec.train.tasks import Evaluation, Loss
from vqcodec.vqvae import build_prior

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ENCODED_AT_ONCE = 32  # crops
MEASURED_AT_ONCE = 8  # maps


@dataclass(frozen=True)
class PriorData:
    """Settings of the data in a preset's ``train`` table.

    Attributes:
        crop_size: side in pixels of the crops whose maps are learned.
        picture_side: larger pictures are shrunk to this short side first.
        zoom: a crop is cut as a square of crop_size times a factor from this range, then shrunk.
        crops: encoded for each picture, on average; half of them mirrored.
    """

    crop_size: int
    picture_side: int
    zoom: tuple[float, float]
    crops: int

    def __post_init__(self) -> None:
        check_range("crop_size", self.crop_size, 8, 2048)
        check_range("picture_side", self.picture_side, self.crop_size, 8192)
        check_range("zoom", self.zoom[0], 1, self.zoom[1])
        check_range("crops", self.crops, 1, 10000)


class PriorOverMaps:
    """A prior on maps.

    Args:
        model: the prior to train.
        maps: what to learn from and to measure on.
        batch_size: maps per batch.
        seed: of the choice of maps.
    """

    def __init__(self, model: Prior, maps: Maps, batch_size: int, seed: int) -> None:
        self.model, self.maps = model, maps
        self.batch_size, self.seed = batch_size, seed

    def batch(self, number: int) -> "NDArray[np.uint16]":
        """Return training batch `number`, (B, maps, h, w)."""
        import numpy as np

        rng = np.random.default_rng([self.seed, number])
        return self.maps.train[rng.integers(len(self.maps.train), size=self.batch_size)]

    def loss(self, model: nn.Module, batch: torch.Tensor) -> Loss:
        """Return nats per index."""
        indices = batch.long()
        logits = model(indices)
        nats = F.cross_entropy(logits.flatten(0, -2).float(), indices.flatten())
        return Loss(nats, {"bits_per_index": nats.detach() / math.log(2)})

    def quantizer(self) -> None:
        """Return None: the codes are frozen."""
        return

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> Evaluation:
        """Return bits per index, and bits/dim of the bound on the pictures' likelihood."""
        assert isinstance(model, Prior)
        device = next(model.parameters()).device
        nats = 0.0
        for start in range(0, len(self.maps.held_out), MEASURED_AT_ONCE):
            part = torch.from_numpy(self.maps.held_out[start : start + MEASURED_AT_ONCE])
            nats -= float(model.log_prob(part.long().to(device).unbind(1)).sum())
        bound = (nats - float(self.maps.log_prob.sum())) / len(self.maps.held_out)
        figures = {
            "bits_per_index": nats / self.maps.held_out.size / math.log(2),
            "bits_per_dim": bound / self.maps.dimensions / math.log(2),
        }
        return Evaluation(figures)


def train_prior(
    codec_name: str,
    data: list[Path],
    folder: Path,
    config: Tree,
    *,
    held_out: list[Path],
    minutes: float | None = None,
    on_encode: Callable[[float], None] | None = None,
    on_start: Callable[[Start], None] | None = None,
    on_step: Callable[[Progress, float], None] | None = None,
) -> Progress:
    """Train a prior on the codes of pictures, or continue the run in `folder`.

    Pictures are encoded once; their maps are kept in the folder.

    Args:
        codec_name: weights (name or folder) whose codes are learned.
        data: picture files, folders and tars.
        folder: the run's folder; made if it is not there.
        config: a preset's tree, with what was set on top of it.
        held_out: pictures to measure on; empty for every twentieth of `data`, at most 100.
        minutes: train this long instead of `train.steps` steps.
        on_encode: called with the fraction of pictures encoded.
        on_start: called once before the first step.
        on_step: called after every step, with the fraction done.

    Raises:
        TrainingError: no pictures, other settings than the run in `folder` has, or a failed run.
        UsageError: settings that do not fit.
        WeightsError: no such codec.
    """
    table = dict(config.get("train", {}))
    keys = {f.name for f in fields(PriorData)}
    settings = parse(PriorData, {k: v for k, v in table.items() if k in keys}, "train")
    loop_config = parse(Config, {k: v for k, v in table.items() if k not in keys}, "train")
    codec = Codec.load(codec_name)
    config = {**config, "prior": _of_codec(config.get("prior"), codec)}
    torch.manual_seed(loop_config.seed)
    model = build_prior(config["prior"])
    description: Tree = {
        "command": command(),
        "codec": codec.weights.name,
        "codebook_id": codec.weights.codebook_id.hex(),
        "data": [str(p) for p in data],
        "held_out": [str(p) for p in held_out],
        "minutes": minutes,
        "config": config,
    }
    state = PartialState(cpu=not torch.cuda.is_available())
    with state.main_process_first():  # the others find the maps that it has made
        if state.is_main_process:
            claim(folder, description)
        maps = load_maps(folder)
        if maps is None:
            maps, skipped = _encode(codec, data, held_out, settings, loop_config.seed, on_encode)
            save_maps(folder, maps)
        else:
            skipped = []
    if len(codec.codebook_sizes) == 1:
        model.initialize(_codebook(codec))
    task = PriorOverMaps(model, maps, loop_config.batch_size, loop_config.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loop = Loop(
        task, loop_config, folder, bf16=choose_bf16(loop_config.precision, device), minutes=minutes
    )
    if on_start and loop.accelerator.is_main_process:
        parameters = sum(p.numel() for p in model.parameters())
        resumed = checkpoint_step(folder)
        counts = len(maps.train), len(maps.held_out)
        on_start(Start(*counts, skipped, resumed, parameters, what="maps"))
    return loop.run(on_step if loop.accelerator.is_main_process else None)


def _of_codec(table: Any, codec: Codec) -> Tree:
    """Return the ``prior`` table of a preset with what the codec settles.

    Raises:
        UsageError: there is no such table, or the codec's maps cannot be modelled together.
    """
    if not isinstance(table, dict):
        raise UsageError("the preset lacks the table 'prior'")
    sizes = codec.codebook_sizes
    if len(set(sizes)) != 1:
        raise UsageError("maps of different codebook sizes cannot be modelled by one prior")
    return {**table, "codebook_size": sizes[0], "channels": len(sizes)}


def _encode(
    codec: Codec,
    data: list[Path],
    held_out: list[Path],
    settings: PriorData,
    seed: int,
    report: Callable[[float], None] | None,
) -> tuple[Maps, list[str]]:
    """Return the maps of all pictures, and a sentence for each that cannot be read."""
    sources, measured = hold_out(data, held_out)
    pictures = Pictures(sources, settings.picture_side, settings.crop_size)
    test = Pictures(measured, HELD_OUT_SIDE, HELD_OUT_SIDE)
    crops = Crops(pictures, ENCODED_AT_ONCE, settings.crop_size, settings.zoom, seed)
    batches = -(-settings.crops * len(pictures) // ENCODED_AT_ONCE)
    squares = centre_squares(test, HELD_OUT_SIDE)
    maps = encode_maps(codec, crops, batches, squares, report)
    return maps, pictures.skipped + test.skipped


@torch.no_grad()
def _codebook(codec: Codec) -> torch.Tensor:
    """Return the code vectors, (K, D), of a codec with one map."""
    (size,) = codec.codebook_sizes
    every = torch.arange(size, device=codec.device).view(1, 1, size)
    vectors = codec.model.quantizer.lookup((every,))
    return vectors[0, :, 0].T.float().cpu()
