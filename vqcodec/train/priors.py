"""Stage two: a prior on the codes of a finished codec."""

from dataclasses import replace
from typing import Any

import torch

from vqcodec.codec.base import BaseCodec
from vqcodec.config import Tree
from vqcodec.errors import UsageError
from vqcodec.modality import by_name, load
from vqcodec.models.vqvae import build_prior
from vqcodec.train.config import split
from vqcodec.train.loop import Progress
from vqcodec.train.run import Job, Training, claim, train
from vqcodec.weights import find_weights


def train_prior(job: Job, codec_name: str) -> Progress:
    """Train a prior on codes of pictures or recordings, or continue the run in the job's folder.

    They are encoded once; their codes are kept in the folder.

    Args:
        job: what is asked.
        codec_name: weights (name or folder) whose codes are learned.

    Raises:
        TrainingError: no data, other settings than the run in the folder has, or a failed run.
        UsageError: settings that do not fit.
        WeightsError: no such codec.
    """
    weights = find_weights(codec_name)
    modality = by_name(weights.modality)
    if job.config.get("modality") != modality.name:
        raise UsageError(f"'{codec_name}' codes {modality.name}, and the preset is for other codes")
    codec: BaseCodec = load(modality.codec)(weights)
    training: Training = load(modality.training)
    _, loop_config = split(job.config, training.prior_settings)
    prior = _of_codec(job.config.get("prior"), codec)
    job = replace(job, config={**job.config, "prior": prior})
    torch.manual_seed(loop_config.seed)
    model = build_prior(prior)
    claim(job, codec=weights.name, codebook_id=weights.codebook_id.hex())
    ready = training.prepare_prior(model, codec, job)
    if len(codec.codebook_sizes) == 1:
        model.initialize(_codebook(codec))
    return train(job, loop_config, ready)


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
