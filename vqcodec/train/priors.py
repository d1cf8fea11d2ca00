"""Stage two: a prior on the codes of a finished codec."""

from dataclasses import replace

import torch

from vqcodec.codec.base import BaseCodec
from vqcodec.config import Tree
from vqcodec.data.sources import find_sources
from vqcodec.errors import TrainingError, UsageError
from vqcodec.modality import IMAGE, by_name, load
from vqcodec.models.vqvae import build_prior, for_maps
from vqcodec.train.config import split
from vqcodec.train.loop import Progress
from vqcodec.train.run import Training, TrainingJob, claim, train
from vqcodec.weights import Weights, find_weights, first_codec


def train_prior(job: TrainingJob, codec_name: str, *, classes: bool = False) -> Progress:
    """Train a prior on codes of some media, or continue the run in the job's folder.

    They are encoded once; their codes are kept in the folder.

    Args:
        job: what is asked.
        codec_name: weights (name or folder) whose codes are learned.
        classes: learn the first folders below the data as classes.

    Raises:
        TrainingError: no data, or no classes among them; other settings than the run in the folder
            has; or a failed run.
        UsageError: settings that do not fit.
        WeightsError: no such codec.
    """
    weights = find_weights(codec_name)
    modality = by_name(str(job.config.get("modality")))
    if not modality.coded_by(weights.modality):
        raise UsageError(
            f"'{codec_name}' codes {weights.modality}, and the preset is for other codes"
        )
    if weights.refiner:
        alone: Weights | None = weights
        while alone is not None and alone.refiner:
            alone = first_codec(alone)
        raise UsageError(
            f"the prior of '{weights.name}' was trained along with its codes, and no other can be; "
            f"train one on those of '{alone.name if alone else weights.first}', which it stands on"
        )
    weights = weights.with_codebooks(max(1, len(weights.codebook_ids)))
    codec: BaseCodec = load(modality.codec)(weights, job.device)
    training: Training = load(modality.training)
    _, loop_config = split(job.config, training.prior_settings)
    table = job.config.get("prior")
    if not isinstance(table, dict):
        raise UsageError("the preset lacks the table 'prior'")
    if classes:
        table = {**table, "classes": find_classes(job, table)}
    prior = for_maps(table, codec.maps)
    job = replace(job, config={**job.config, "prior": prior})
    torch.manual_seed(loop_config.seed)
    model = build_prior(prior)
    claim(job, codec=weights.name, codebook_id=weights.codebook_id.hex())
    ready = training.prepare_prior(model, codec, job)
    books = codec.model.quantizer.codebooks
    model.initialize(tuple(book.codebook.detach().float().cpu() for book in books))
    return train(job, loop_config, ready)


def find_classes(job: TrainingJob, table: Tree) -> list[str]:
    """Return the names of the first folders that pictures to learn from lie in, sorted.

    Args:
        job: whose data.
        table: the ``prior`` of the preset.

    Raises:
        TrainingError: some lie in no folder, or all in one.
        UsageError: such a prior knows no classes.
    """
    if job.config.get("modality") != IMAGE.name or table.get("kind") != "pixelcnn":
        raise UsageError(
            "--classes is for a prior that pictures are drawn from, --preset prior-image"
        )
    sources = find_sources(job.data)
    names = sorted({source.folder for source in sources})
    if "" in names:
        bare = next(source for source in sources if not source.folder)
        raise TrainingError(
            f"{bare.name}: lies in no folder of a class; with --classes DATA holds FOLDER/picture"
        )
    if len(names) < 2:
        raise TrainingError(
            f"all pictures lie in '{names[0]}'; with --classes DATA holds a folder for each class"
        )
    return names
