"""Pictures to the index maps that a prior learns from, encoded once and kept."""

import math
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from accelerate import PartialState
from torch import nn

from vqcodec.codec.image import ImageCodec
from vqcodec.config import check_range
from vqcodec.data.sources import Source
from vqcodec.errors import TrainingError
from vqcodec.files.atomic import writing
from vqcodec.models.nn.pixels import to_signal
from vqcodec.models.priors.base import UNKNOWN, Prior
from vqcodec.train.config import split
from vqcodec.train.image.data import Crops, Pictures, centre_squares, read_picture
from vqcodec.train.priortask import PriorTask
from vqcodec.train.run import Ready, TrainingJob, hold_out
from vqcodec.train.tasks import Evaluation, named_maps
from vqcodec.weights import HELD_OUT_SIDE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vqcodec.train.tasks import Arrays

    Labels = NDArray[np.int64]
    Indices = tuple[NDArray[np.uint16], ...]

CACHE = "maps.npz"
ENCODED_AT_ONCE = 32  # crops
MEASURED_AT_ONCE = 8  # maps
UNTOLD = 0.1  # share of the examples whose class is not told, so that maps of none can be drawn


@dataclass(frozen=True)
class PriorData:
    """Settings of the data in a preset's ``train`` table.

    Attributes:
        crop_size: side in pixels of the crops whose maps are learned.
        picture_side: larger pictures are shrunk to this short side first.
        zoom: a crop is cut as a square of crop_size times a factor from this range, then shrunk.
        crops: encoded for each picture, on average; half of them mirrored.
        held_out_side: of pictures to measure on the middle square is taken, shrunk to this side.
    """

    crop_size: int
    picture_side: int
    zoom: tuple[float, float]
    crops: int
    held_out_side: int = HELD_OUT_SIDE

    def __post_init__(self) -> None:
        check_range("crop_size", self.crop_size, 8, 2048)
        check_range("picture_side", self.picture_side, self.crop_size, 8192)
        check_range("zoom", self.zoom[0], 1, self.zoom[1])
        check_range("crops", self.crops, 1, 10000)
        check_range("held_out_side", self.held_out_side, 8, 2048)


@dataclass(frozen=True)
class Maps:
    """Codes of pictures: all that stage two sees of them.

    Attributes:
        train: of each map, coarse to fine, (N, h, w) uint16.
        held_out: the same, (M, h', w').
        log_prob: (M,) log p(x | z_q) of the held-out pictures, in nats.
        dimensions: numbers in one held-out picture.
        train_labels: (N,), the classes of maps to learn from, see `Prior.classes`; or None.
        held_out_labels: (M,), of the others; or None.
    """

    train: "Indices"
    held_out: "Indices"
    log_prob: "NDArray[np.float64]"
    dimensions: int
    train_labels: "Labels | None" = None
    held_out_labels: "Labels | None" = None


class PriorOverMaps(PriorTask):
    """A prior on maps.

    Args:
        model: the prior to train.
        maps: what to learn from and to measure on.
        batch_size: maps per batch.
        seed: of the choice of maps.
    """

    def __init__(self, model: Prior, maps: Maps, batch_size: int, seed: int) -> None:
        super().__init__(model)
        self.maps = maps
        self.batch_size, self.seed = batch_size, seed

    def batch(self, number: int) -> "Arrays":
        """Return training batch `number`: the maps of some pictures, (B, h, w) each.

        And their classes, where they have some, or for a few that these are unknown.
        """
        import numpy as np

        rng = np.random.default_rng([self.seed, number])
        chosen = rng.integers(len(self.maps.train[0]), size=self.batch_size)
        maps = named_maps([grid[chosen] for grid in self.maps.train])
        if self.maps.train_labels is None:
            return maps
        told = rng.random(self.batch_size) >= UNTOLD
        return {**maps, "cond": np.where(told, self.maps.train_labels[chosen], UNKNOWN)}

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> Evaluation:
        """Return bits per index, and bits/dim of the bound on the pictures' likelihood.

        Of a prior of classes also bits per index where it is told none, or the next one instead.
        """
        assert isinstance(model, Prior)
        labels, held_out = self.maps.held_out_labels, self.maps.held_out
        nats = self._nats(model, labels)
        per_index = sum(g.size for g in held_out) * math.log(2)
        bound = (nats - float(self.maps.log_prob.sum())) / len(held_out[0])
        figures = {
            "bits_per_index": nats / per_index,
            "bits_per_dim": bound / self.maps.dimensions / math.log(2),
        }
        if labels is not None:
            wrong = 1 + labels % len(model.classes)
            figures["bits_per_index_without_class"] = self._nats(model, None) / per_index
            figures["bits_per_index_of_wrong_class"] = self._nats(model, wrong) / per_index
        return Evaluation(figures)

    def _nats(self, model: Prior, labels: "Labels | None") -> float:
        """Return what the held-out maps cost if they are of such classes."""
        device, held_out = next(model.parameters()).device, self.maps.held_out
        nats = 0.0
        for start in range(0, len(held_out[0]), MEASURED_AT_ONCE):
            some = slice(start, start + MEASURED_AT_ONCE)
            maps = tuple(torch.from_numpy(grid[some]).long().to(device) for grid in held_out)
            cond = None if labels is None else torch.from_numpy(labels[some]).to(device)
            nats -= float(model.log_prob(maps, cond).sum())
        return nats


def prepare(model: Prior, codec: ImageCodec, job: TrainingJob) -> Ready:
    """Return the task of training a prior on the maps of pictures, which the folder keeps.

    Args:
        model: the prior.
        codec: encodes, where that has not been done.
        job: whose data.
    """
    settings, loop_config = split(job.config, PriorData)
    skipped: list[str] = []
    with PartialState().main_process_first():  # the others find what it has made
        maps = load_maps(job.folder)
        if maps is None:
            seed = loop_config.seed
            maps, skipped = _encode_pictures(codec, job, settings, seed, model.classes)
            save_maps(job.folder, maps)
    task = PriorOverMaps(model, maps, loop_config.batch_size, loop_config.seed)
    return Ready(task, len(maps.train[0]), len(maps.held_out[0]), skipped, "maps")


def _encode_pictures(
    codec: ImageCodec,
    job: TrainingJob,
    settings: PriorData,
    seed: int,
    classes: tuple[str, ...],
) -> tuple[Maps, list[str]]:
    """Return the maps of all pictures, and a sentence for each that cannot be read."""
    side = settings.held_out_side
    read = partial(read_picture, side=side, minimum=side)
    sources, measured, passed = hold_out(job.data, job.held_out, read)
    pictures = Pictures(sources, settings.picture_side, settings.crop_size)
    test = Pictures(measured, side, side)
    crops = Crops(pictures, ENCODED_AT_ONCE, settings.crop_size, settings.zoom, seed)
    batches = -(-settings.crops * len(pictures) // ENCODED_AT_ONCE)
    labels = labels_of(pictures.sources, classes), labels_of(test.sources, classes)
    squares = centre_squares(test, side)
    maps = encode_maps(codec, crops, batches, squares, labels, job.on_encode)
    return maps, passed + pictures.skipped + test.skipped


def encode_maps(
    codec: ImageCodec,
    crops: Crops,
    batches: int,
    held_out: "NDArray[np.uint8]",
    labels: "tuple[Labels | None, Labels | None]" = (None, None),
    report: Callable[[float], None] | None = None,
) -> Maps:
    """Encode crops, and the pictures to measure on.

    Args:
        codec: the encoder.
        crops: training crops.
        batches: how many batches of them.
        held_out: (M, 3, H, W) pictures.
        labels: the classes of the pictures that crops are cut from, and of these, if they have any.
        report: called with the fraction done.
    """
    import numpy as np

    found, numbers = [], []
    with ThreadPoolExecutor(1) as pool:  # cuts the next crops meanwhile
        cut = pool.map(crops.numbered, range(batches))
        for number, (pixels, pictures) in enumerate(cut, 1):
            found.append(_encode(codec, pixels))
            numbers.append(pictures)
            if report:
                report(number / batches)
    log_prob = [_log_prob(codec, held_out[i : i + 8]) for i in range(0, len(held_out), 8)]
    return Maps(
        tuple(np.concatenate(grids) for grids in zip(*found, strict=True)),
        _encode(codec, held_out),
        np.concatenate(log_prob),
        held_out[0].size,
        labels[0] if labels[0] is None else labels[0][np.concatenate(numbers)],
        labels[1],
    )


def labels_of(sources: list[Source], classes: tuple[str, ...]) -> "Labels | None":
    """Return the classes of files by the folders that they lie in, (N,); None without classes.

    Raises:
        TrainingError: a file lies in no folder of such a name.
    """
    import numpy as np

    if not classes:
        return None
    numbers = {name: number for number, name in enumerate(classes, UNKNOWN + 1)}
    strange = [source.name for source in sources if source.folder not in numbers]
    if strange:
        raise TrainingError(f"{strange[0]}: lies in no folder of a class that is trained on")
    return np.array([numbers[source.folder] for source in sources])


def save_maps(folder: Path, maps: Maps) -> None:
    """Keep maps in the folder of a run."""
    import numpy as np

    arrays: Arrays = {f"train_{name}": grid for name, grid in named_maps(maps.train).items()}
    arrays |= {f"held_out_{name}": grid for name, grid in named_maps(maps.held_out).items()}
    for name, labels in (("train", maps.train_labels), ("held_out", maps.held_out_labels)):
        if labels is not None:
            arrays[f"{name}_labels"] = labels
    with writing(folder / CACHE, force=True) as file:
        np.savez_compressed(
            file, allow_pickle=False, log_prob=maps.log_prob, dimensions=maps.dimensions, **arrays
        )


def load_maps(folder: Path) -> Maps | None:
    """Return the maps that a run's folder holds; None if it holds none.

    Raises:
        TrainingError: the file is damaged.
    """
    import numpy as np

    path = folder / CACHE
    if not path.exists():
        return None
    try:
        with np.load(path) as arrays:
            number = max(1, sum(name.startswith("train_map_") for name in arrays))
            return Maps(
                tuple(arrays[f"train_map_{i}"] for i in range(number)),
                tuple(arrays[f"held_out_map_{i}"] for i in range(number)),
                arrays["log_prob"],
                int(arrays["dimensions"]),
                *(arrays[name] for name in ("train_labels", "held_out_labels") if name in arrays),
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise TrainingError(f"{path}: damaged; delete it, and it will be made again") from None


def _encode(codec: ImageCodec, pixels: "NDArray[np.uint8]") -> "Indices":
    """Return the maps, (N, h, w) each, of pictures, (N, 3, H, W)."""
    return codec.encode_batch(pixels.transpose(0, 2, 3, 1))


@torch.inference_mode()
def _log_prob(codec: ImageCodec, pixels: "NDArray[np.uint8]") -> "NDArray[np.float64]":
    """Return log p(x | z_q) in nats, (N,)."""
    x = to_signal(torch.from_numpy(pixels).to(codec.device))
    found: NDArray[np.float64] = codec.model.elbo(x).log_prob.double().cpu().numpy()
    return found
