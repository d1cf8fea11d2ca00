"""What is to be done with a data set, and one shard of it done: by whichever process that is."""

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vqcodec.errors import MediaError, OutputError
from vqcodec.modality import Modality, load
from vqcodec.tokens.commit import HOME, claim
from vqcodec.tokens.encode import encode_shard, target, working_name
from vqcodec.tokens.formats import find_format
from vqcodec.tokens.inputs import Shard
from vqcodec.tokens.manifest import Record, read_record, records, write_totals
from vqcodec.tokens.settings import Settings

LEFT = (".claim", ".tmp")


@dataclass(frozen=True)
class Task:
    """What is to be done.

    Attributes:
        shards: of the input.
        output: the folder of all output.
        settings: how.
        modality: what is coded.
        model: the weights, a name or a path.
        device: where to compute; engine and precision are among the settings.
    """

    shards: tuple[Shard, ...]
    output: Path
    settings: Settings
    modality: Modality
    model: str
    device: str

    def is_done(self, shard: Shard) -> bool:
        """Return whether a shard is there."""
        return target(self.output, shard, self.settings).exists()

    def claim(self, shard: Shard) -> "contextlib.AbstractContextManager[bool]":
        """Hold a shard; see `commit.claim`."""
        name = working_name(self.output, shard, self.settings)
        return claim(name.with_name(f"{name.name}.claim"))


@dataclass(frozen=True)
class Event:
    """What a worker tells.

    Attributes:
        worker: its number.
        shard: what it is at.
        done: the part of the shard that is done.
        samples: of the shard, coded so far.
        errors: of the shard, so far.
        record: what became of the shard, when it is committed.
        problem: why the shard could not be done.
        held: another process is at it.
    """

    worker: int
    shard: Shard
    done: float = 0.0
    samples: int = 0
    errors: int = 0
    record: Record | None = None
    problem: str = ""
    held: bool = False


Tell = Callable[[Event], None]


def find_stale(task: Task) -> Iterator[Shard]:
    """Yield the shards that were done of tars which have another size by now."""
    for shard in filter(task.is_done, task.shards):
        size = 0 if shard.files is not None else shard.path.stat().st_size
        if size != read_record(task.output, shard.name).source_bytes:
            yield shard


def attempt(
    task: Task, shard: Shard, codec: Callable[[], Any], tell: Tell, worker: int = 0
) -> Event:
    """Do a shard, unless it is done or another process is at it.

    Args:
        task: what it is part of.
        shard: which one.
        codec: returns what codes it; is asked only if there is something to code.
        tell: is told from time to time how far it is; what it raises ends the work.
        worker: the number of whoever does it.

    Returns:
        What became of it: a record, a problem, or neither where there was nothing to do.

    Raises:
        VqcodecError: no shard can be done: the weights are missing, the disk is full.
        OSError, MemoryError: as well.
    """
    if task.is_done(shard):
        return Event(worker, shard, 1.0)
    with task.claim(shard) as ours:
        if not ours:
            return Event(worker, shard, held=True)
        if task.is_done(shard):
            return Event(worker, shard, 1.0)

        def at(done: float, samples: int, errors: int) -> None:
            tell(Event(worker, shard, done, samples, errors))

        suffixes = load(task.modality.suffixes)()
        try:
            record = encode_shard(codec(), shard, task.output, task.settings, suffixes, at)
        except MediaError as error:
            _release(task, shard)
            return Event(worker, shard, problem=str(error))
        _release(task, shard)
        return Event(worker, shard, 1.0, record.samples, record.errors, record)


def load_codec(task: Task) -> Any:
    """Return the codec of a task.

    Raises:
        WeightsError: there are no such weights.
        OutputError: they are not those that the folder's shards were made with.
    """
    codec = load(task.modality.codec).load(
        task.model, task.device, task.settings.precision, task.settings.engine
    )
    if codec.weights.codebook_id.hex() != task.settings.codebook_id:
        raise OutputError(f"{task.output}: its shards are of another codebook; name a new folder")
    return codec


def on_gpu(task: Task) -> bool:
    """Return whether a GPU is to compute."""
    if task.settings.engine != "torch" or task.device == "cpu":
        return False
    if task.device == "cuda":  # of whichever machine does it
        return True
    from vqcodec.codec.device import choose_device

    return choose_device(task.device).type == "cuda"


def finish(task: Task) -> None:
    """Count what there is, and tidy up, when all shards of a task are done."""
    name_of = find_format(task.settings.format).name_of
    found = [r for r in records(task.output) if (task.output / name_of(r.shard)).exists()]
    write_totals(task.output, task.settings, found)
    ours = {f"{s.name}.{end}" for s in task.shards for end in ("json", "errors.jsonl")}
    ours |= {name_of(shard.name) for shard in task.shards}
    for path in (task.output / HOME).rglob("*"):  # what was left by processes that were killed
        name = path.relative_to(task.output / HOME).as_posix()
        if re.sub(r"\.claim|\.[^.]+-\d+\.tmp", "", name) in ours and path.suffix in LEFT:
            path.unlink(missing_ok=True)


def _release(task: Task, shard: Shard) -> None:
    """Remove the file of a claim, of a shard that is done or cannot be."""
    name = working_name(task.output, shard, task.settings)
    with contextlib.suppress(OSError):
        os.unlink(name.with_name(f"{name.name}.claim"))
