"""A training run: a folder that says what was asked, and the loop that does it."""

import contextlib
import json
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import PartialState

from vqcodec.codec.device import choose_bf16, choose_device
from vqcodec.config import Tree, to_json
from vqcodec.data.sources import Source, find_sources
from vqcodec.errors import MediaError, TrainingError
from vqcodec.modality import IMAGE, Modality
from vqcodec.train.config import Config
from vqcodec.train.log import EVENTS
from vqcodec.train.loop import CHECKPOINT, Loop, Progress
from vqcodec.train.tasks import Task

SETTINGS = "run.json"
MAX_HELD_OUT = 100


@dataclass(frozen=True)
class Ready:
    """A task whose data have been read.

    Attributes:
        task: what the loop trains.
        samples: how many it trains on.
        held_out: how many it measures on.
        skipped: a sentence for each file that could not be read.
        what: what the samples are.
    """

    task: Task
    samples: int
    held_out: int
    skipped: list[str]
    what: str

    @property
    def parameters(self) -> int:
        """Numbers to learn."""
        return sum(p.numel() for p in self.task.model.parameters())


@dataclass(frozen=True)
class Training:
    """What training knows of one kind of media.

    Attributes:
        prior_settings: those of the data, in the ``train`` table of a preset for a prior.
        prepare_prior: returns the task of training a prior on the codes of a codec.
        measured: of what the figures of a finished codec are.
        figures: what they mean.
    """

    prior_settings: type
    prepare_prior: "Callable[[Any, Any, TrainingJob], Ready]"
    measured: str
    figures: str


@dataclass(frozen=True)
class TrainingJob:
    """What is asked of a run.

    Attributes:
        data: files, folders and tars.
        folder: of the run; made if it is not there.
        config: a preset's tree, with what was set on top of it.
        held_out: what to measure on; empty for every twentieth of `data`, at most 100.
        minutes: train this long instead of `train.steps` steps.
        device: to compute on: ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``.
        on_encode: called with the fraction encoded, where codes are learned.
        on_start: called before the first step, with the step that is continued from, or 0.
        on_step: called after every step, with the fraction done.
        stop: asked after every step of a single process whether to end there, and go on another
            time.
    """

    data: list[Path]
    folder: Path
    config: Tree
    held_out: list[Path]
    minutes: float | None = None
    device: str = "auto"
    on_encode: Callable[[float], None] | None = None
    on_start: Callable[[Ready, int], None] | None = None
    on_step: Callable[[Progress, float], None] | None = None
    stop: Callable[[], bool] | None = None

    @property
    def on_cpu(self) -> bool:
        """Whether no CUDA device is used, though there may be one."""
        return choose_device(self.device).type == "cpu"


def claim(job: TrainingJob, **own: Any) -> None:
    """Write what is asked into the job's folder, or make sure that a run there was asked the same.

    Args:
        job: what is asked.
        own: what else this kind of run is asked.

    Raises:
        TrainingError: it was asked something else, or the folder holds something else.
    """
    description: Tree = {
        "command": shlex.join(["vqcodec", *sys.argv[1:]]),
        **own,
        "data": [str(p) for p in job.data],
        "held_out": [str(p) for p in job.held_out],
        "minutes": job.minutes,
        "config": job.config,
    }
    state = PartialState(cpu=job.on_cpu)
    if state.is_main_process:
        _claim(job.folder, description)
    state.wait_for_everyone()


@contextlib.contextmanager
def tidied(job: TrainingJob) -> Iterator[None]:
    """Leave nothing in the job's folder of a new run that ends before anything of it was kept."""
    path = job.folder / SETTINGS
    new = not path.exists()
    made = [folder for folder in (job.folder, *job.folder.parents) if not folder.exists()]
    try:
        yield
    except BaseException:
        if new and path.exists() and PartialState(cpu=job.on_cpu).is_main_process:
            if {child.name for child in job.folder.iterdir()} <= {SETTINGS, EVENTS}:
                shutil.rmtree(job.folder / EVENTS, ignore_errors=True)
                path.unlink()
                with contextlib.suppress(OSError):  # others may have put something there
                    for folder in made:
                        folder.rmdir()
        raise


def train(job: TrainingJob, config: Config, ready: Ready, *, taken: int = 0) -> Progress:
    """Train a task in a folder that was claimed, from its last checkpoint if it has one.

    Args:
        job: what is asked.
        config: settings of the loop.
        ready: the task.
        taken: how many codebooks are set already; k-means would undo them.

    Raises:
        TrainingError: see `Loop.run`.
    """
    bf16 = choose_bf16(config.precision, choose_device(job.device))
    loop = Loop(
        ready.task, config, job.folder, bf16=bf16, cpu=job.on_cpu, minutes=job.minutes, taken=taken
    )
    main = loop.accelerator.is_main_process
    if job.on_start and main:
        job.on_start(ready, checkpoint_step(job.folder))
    alone = loop.accelerator.num_processes == 1  # others would wait for one that stops
    return loop.run(job.on_step if main else None, job.stop if alone else None)


def hold_out(
    data: list[Path],
    held_out: list[Path],
    read: Callable[[Source], object],
    modality: Modality = IMAGE,
) -> tuple[list[Source], list[Source], list[str]]:
    """Return the pictures (or recordings) to train on, and those to measure on.

    And a line for each kind of file that was passed over.

    Args:
        data: files, folders and tars.
        held_out: the same, to measure on; empty for every twentieth of `data`, at most 100, or the
            next one where that cannot be read.
        read: reads one, or raises MediaError.
        modality: of which there must be some.

    Raises:
        MediaError: there are none.
    """
    sources = find_sources(data, modality)
    if held_out:
        others = find_sources(held_out, modality)
        return sources, others, [*sources.notes, *others.notes]
    every = max(20, len(sources) // MAX_HELD_OUT)
    stretches = [sources[start : start + every] for start in range(0, len(sources), every)]
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda stretch: _first_readable(stretch, read), stretches)
    measured = [source for source in found if source is not None] or sources[:1]
    taken = set(measured)
    rest = [s for s in sources if s not in taken]
    if _first_readable(rest, read) is None:  # few files: what is learned is measured
        rest = sources
    return rest, measured, list(sources.notes)


def _first_readable(sources: list[Source], read: Callable[[Source], object]) -> Source | None:
    for source in sources:
        try:
            read(source)
        except MediaError:
            continue
        return source
    return None


def checkpoint_step(folder: Path) -> int:
    """Return the step of the run's checkpoint; 0 if it has none."""
    path = folder / CHECKPOINT / "progress.json"
    if not path.is_file():
        return 0
    return int(json.loads(path.read_text(encoding="utf-8"))["step"])


def _claim(folder: Path, description: Tree) -> None:
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
