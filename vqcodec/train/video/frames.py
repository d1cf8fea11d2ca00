"""Videos to the maps of frames, with actions, that a prior of successive frames learns from."""

import io
import math
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState
from torch import nn

from vqcodec.codec.video import VideoCodec
from vqcodec.config import check_range
from vqcodec.data.actions import Actions
from vqcodec.data.sources import Source
from vqcodec.errors import MediaError, TrainingError, UsageError
from vqcodec.files.atomic import writing
from vqcodec.media.video import open_video
from vqcodec.modality import VIDEO
from vqcodec.models.priors.base import UNKNOWN, Prior
from vqcodec.models.priors.frames import FramesPrior
from vqcodec.train.config import split
from vqcodec.train.priortask import PriorTask
from vqcodec.train.run import Ready, TrainingJob, hold_out
from vqcodec.train.tasks import Evaluation, Loss, Tensors, maps_of, named_maps
from vqcodec.train.video.groups import check_video

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from vqcodec.train.tasks import Arrays

    Coded = tuple[tuple[NDArray[np.uint16], ...], list[int]]  # maps and actions of a video

CACHE = "frames.npz"
MEASURED = 256  # frames, at most
MEASURED_AT_ONCE = 16


@dataclass(frozen=True)
class FramesData:
    """Settings of the data in a preset's ``train`` table.

    Attributes:
        noise: of each example's frames before, up to this share of the codes is replaced by others:
            what is imagined is never quite right, and must be gone on from.
        unknown: share of the examples whose action is not told.
        beginnings: share of the examples that are told fewer frames than there are, or none.
        mirrored: learn from each video in a mirror, too; there actions go right whose names, such
            as ``turn_left``, say left.
    """

    noise: float
    unknown: float
    beginnings: float
    mirrored: bool

    def __post_init__(self) -> None:
        for name in ("noise", "unknown", "beginnings"):
            check_range(name, getattr(self, name), 0, 1)


@dataclass(frozen=True)
class CodedVideos:
    """Videos with their codes and actions, one behind the other.

    Attributes:
        maps: of each map, coarse to fine, (T, h, w) uint16.
        actions: that lead from each frame to the next, (T,) int64; 0 where one is not known.
        ends: of each video, in frames.
    """

    maps: "tuple[NDArray[np.uint16], ...]"
    actions: "NDArray[np.int64]"
    ends: "NDArray[np.int64]"

    def window(self, frame: int, told: int, sizes: tuple[int, ...], n: int) -> "Arrays":
        """Return a frame after those before it, and the actions of all: (n + 1, ...) each.

        Args:
            frame: its number among all.
            told: how many of those before it are, if its video has so many; the codes of the others
                are K.
            sizes: K of each map.
            n: how many there are room for.
        """
        import numpy as np

        video = int(np.searchsorted(self.ends, frame, side="right"))
        first = int(self.ends[video - 1]) if video else 0
        told = min(told, frame - first, n)
        some = slice(frame - told, frame + 1)
        maps = []
        for grid, size in zip(self.maps, sizes, strict=True):
            window = np.full((n + 1, *grid.shape[1:]), size, np.int64)
            window[n - told :] = grid[some]
            maps.append(window)
        actions = np.full(n + 1, UNKNOWN, np.int64)
        actions[n - told : n] = self.actions[frame - told : frame]
        return {**named_maps(maps), "cond": actions}


class FramesTask(PriorTask):
    """A prior on the frame after others.

    Args:
        model: the prior to train.
        train: what to learn from.
        held_out: what to measure on.
        data: settings of what an example is.
        batch_size: examples per batch.
        seed: of their choice.
    """

    model: FramesPrior

    def __init__(
        self,
        model: FramesPrior,
        train: CodedVideos,
        held_out: CodedVideos,
        data: FramesData,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__(model)
        self.train, self.held_out, self.data = train, held_out, data
        self.batch_size, self.seed = batch_size, seed

    def batch(self, number: int) -> "Arrays":
        """Return training batch `number`: frames behind others, codes of which are replaced."""
        import numpy as np

        rng = np.random.default_rng([self.seed, number])
        n, data = self.model.config.frames, self.data
        windows = []
        for frame in rng.integers(len(self.train.actions), size=self.batch_size):
            told = int(rng.integers(n)) if rng.random() < data.beginnings else n
            window = self.train.window(int(frame), told, self.model.codebook_sizes, n)
            share = data.noise * rng.random()
            for name, size in zip(
                named_maps(self.train.maps), self.model.codebook_sizes, strict=True
            ):
                before = window[name][:-1]
                wrong = (rng.random(before.shape) < share) & (before < size)
                before[wrong] = rng.integers(size, size=wrong.sum())
            if rng.random() < data.unknown:
                window["cond"][:] = UNKNOWN
            windows.append(window)
        return {name: np.stack([w[name] for w in windows]) for name in windows[0]}

    def loss(self, model: nn.Module, batch: Tensors) -> Loss:
        """Return nats per index of the last frames."""
        bits = model(maps_of(batch), batch["cond"], last=True)
        mean = torch.cat([b.flatten(1) for b in bits], 1).float().mean()
        return Loss(mean * math.log(2), {"bits_per_index": mean.detach()})

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> Evaluation:
        """Return bits per index, and how many bits a frame knowing the action saves."""
        import numpy as np

        assert isinstance(model, FramesPrior)
        device = next(model.parameters()).device
        videos, n = self.held_out, model.config.frames
        number = min(MEASURED, len(videos.actions))
        frames = np.linspace(0, len(videos.actions) - 1, number).round().astype(int)
        known = unknown = 0.0
        for start in range(0, number, MEASURED_AT_ONCE):
            some = frames[start : start + MEASURED_AT_ONCE]
            windows = [videos.window(int(t), n, model.codebook_sizes, n) for t in some]
            batch = {
                name: torch.from_numpy(np.stack([w[name] for w in windows])).to(device)
                for name in windows[0]
            }
            maps, actions = maps_of(batch), batch["cond"]
            known += sum(float(b.sum()) for b in model(maps, actions, last=True))
            if model.config.actions:
                unknown += sum(float(b.sum()) for b in model(maps, None, last=True))
        cells = sum(math.prod(grid.shape[1:]) for grid in videos.maps)
        figures = {
            "bits_per_index": known / number / cells,
            "bits_per_frame": known / number,
        }
        if model.config.actions:
            figures["bits_per_frame_saved_by_action"] = (unknown - known) / number
        return Evaluation(figures)


def prepare(model: Prior, codec: VideoCodec, job: TrainingJob) -> Ready:
    """Return the task of training a prior on the maps of frames, which the folder keeps.

    Args:
        model: the prior.
        codec: encodes, where that has not been done.
        job: whose data.

    Raises:
        UsageError: the prior is not one of successive frames.
    """
    if not isinstance(model, FramesPrior):
        raise UsageError("the preset's prior is not of kind 'frames', which videos need")
    data, loop_config = split(job.config, FramesData)
    skipped: list[str] = []
    with PartialState().main_process_first():  # the others find what it has made
        found = load_videos(job.folder)
        if found is None:
            found, skipped = _encode_videos(codec, job, Actions(model.config.actions), data)
            save_videos(job.folder, found)
    train, held_out = found
    task = FramesTask(model, train, held_out, data, loop_config.batch_size, loop_config.seed)
    return Ready(task, len(train.actions), len(held_out.actions), skipped, "frames")


def _encode_videos(
    codec: VideoCodec, job: TrainingJob, actions: Actions, settings: FramesData
) -> tuple[tuple[CodedVideos, CodedVideos], list[str]]:
    """Return what to learn from, what to measure on, and a sentence for each that was left out."""
    *sets, passed = hold_out(job.data, job.held_out, check_video, VIDEO)
    skipped, found = list(passed), []
    ways = [(False, True) if settings.mirrored else (False,), (False,)]
    total, done = sum(len(s) * len(w) for s, w in zip(sets, ways, strict=True)), 0
    for sources, mirrors in zip(sets, ways, strict=True):
        coded: list[Coded] = []
        for source in sources:
            try:
                some = [_coded(codec, source, actions, mirror) for mirror in mirrors]
                if coded and _shapes(some[0]) != _shapes(coded[0]):
                    raise MediaError(f"{source.name}: its frames are of another size")
                coded += some
            except MediaError as error:
                skipped.append(str(error))
            done += len(mirrors)
            if job.on_encode:
                job.on_encode(done / total)
        if not coded:
            raise TrainingError(
                f"none of the {len(sources)} videos can be learned from; the first: {skipped[-1]}"
            )
        found.append(_joined(coded))
    train, held_out = found
    if not train.actions.any() and actions.names:
        skipped.append("actions of all videos: there is no actions.csv, nor a .json, beside them")
    return (train, held_out), skipped


def _coded(codec: VideoCodec, source: Source, actions: Actions, mirror: bool) -> "Coded":
    """Return the maps and actions of a video, or of what a mirror shows of it."""
    with open_video(io.BytesIO(source.read()), source.name) as reader:
        if mirror:
            seen = reader.pictures
            reader.pictures = (p._replace(pixels=p.pixels[:, ::-1].copy()) for p in seen)
        grids = codec.encode_reader(reader).grids
    told = actions.of(source, len(grids[0])) if actions.names else None
    told = told or [UNKNOWN] * len(grids[0])
    return grids, actions.mirrored(told) if mirror else told


def _shapes(coded: "Coded") -> list[tuple[int, ...]]:
    return [grid.shape[1:] for grid in coded[0]]


def _joined(coded: "list[Coded]") -> CodedVideos:
    import numpy as np

    lengths = [len(grids[0]) for grids, _ in coded]
    maps = zip(*(grids for grids, _ in coded), strict=True)
    joined = tuple(np.concatenate(grids) for grids in maps)
    actions = np.concatenate([told for _, told in coded]).astype(np.int64)
    return CodedVideos(joined, actions, np.cumsum(lengths))


def save_videos(folder: "Path", found: tuple[CodedVideos, CodedVideos]) -> None:
    """Keep what to learn from, and what to measure on, in the folder of a run."""
    import numpy as np

    arrays: dict[str, Any] = {}
    for which, videos in zip(("train", "held_out"), found, strict=True):
        own = {**named_maps(videos.maps), "actions": videos.actions, "ends": videos.ends}
        arrays |= {f"{which}_{name}": array for name, array in own.items()}
    with writing(folder / CACHE, force=True) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def load_videos(folder: "Path") -> tuple[CodedVideos, CodedVideos] | None:
    """Return what a run's folder holds; None if it holds nothing.

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
            train, held_out = (
                CodedVideos(
                    tuple(arrays[f"{which}_map_{i}"] for i in range(number)),
                    arrays[f"{which}_actions"],
                    arrays[f"{which}_ends"],
                )
                for which in ("train", "held_out")
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise TrainingError(f"{path}: damaged; delete it, and it will be made again") from None
    return train, held_out
