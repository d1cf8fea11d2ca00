"""Stage two: a prior on the codes of a finished codec."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from vqcodec.basecodec import BaseCodec
from vqcodec.codec import Codec
from vqcodec.config import Tree
from vqcodec.device import choose_bf16
from vqcodec.errors import UsageError
from vqcodec.speech import SpeechCodec
from vqcodec.train import maps, rows
from vqcodec.train.config import split
from vqcodec.train.loop import Loop, Progress
from vqcodec.train.run import Start, checkpoint_step, claim, command
from vqcodec.vqvae import build_prior
from vqcodec.weights import find_weights


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
    """Train a prior on the codes of pictures or recordings, or continue the run in `folder`.

    They are encoded once; their codes are kept in the folder.

    Args:
        codec_name: weights (name or folder) whose codes are learned.
        data: files, folders and tars.
        folder: the run's folder; made if it is not there.
        config: a preset's tree, with what was set on top of it.
        held_out: what to measure on; empty for every twentieth of `data`, at most 100.
        minutes: train this long instead of `train.steps` steps.
        on_encode: called with the fraction encoded.
        on_start: called once before the first step.
        on_step: called after every step, with the fraction done.

    Raises:
        TrainingError: no data, other settings than the run in `folder` has, or a failed run.
        UsageError: settings that do not fit.
        WeightsError: no such codec.
    """
    weights = find_weights(codec_name)
    modality = weights.modality
    if config.get("modality") != modality:
        raise UsageError(f"'{codec_name}' codes {modality}, and the preset is for other codes")
    speech = modality == SpeechCodec.modality
    codec = SpeechCodec(weights) if speech else Codec(weights)
    table = dict(config.get("train", {}))
    loop_config = split(table, rows.RowData if speech else maps.PriorData)[1]
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
        source = data, held_out, folder, table, on_encode
        if isinstance(codec, SpeechCodec):
            ready = rows.prepare(model, codec, *source)
        else:
            ready = maps.prepare(model, codec, *source)
    if len(codec.codebook_sizes) == 1:
        model.initialize(_codebook(codec))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loop = Loop(
        ready.task,
        loop_config,
        folder,
        bf16=choose_bf16(loop_config.precision, device),
        minutes=minutes,
    )
    if on_start and loop.accelerator.is_main_process:
        parameters = sum(p.numel() for p in model.parameters())
        resumed = checkpoint_step(folder)
        counts = ready.samples, ready.held_out
        on_start(Start(*counts, ready.skipped, resumed, parameters, ready.what))
    return loop.run(on_step if loop.accelerator.is_main_process else None)


def _of_codec(table: Any, codec: BaseCodec) -> Tree:
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


@torch.no_grad()
def _codebook(codec: BaseCodec) -> torch.Tensor:
    """Return the code vectors, (K, D), of a codec with one map."""
    (size,) = codec.codebook_sizes
    every = torch.arange(size, device=codec.device).view(1, 1, size)
    vectors = codec.model.quantizer.lookup((every,))
    return vectors[0, :, 0].T.float().cpu()
