"""Processes that share shards: those of one run, and those of others on the same folder."""

import contextlib
import multiprocessing
import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from vqcodec.coding.threads import usable_cores
from vqcodec.errors import MediaError, OutputError, VqcodecError
from vqcodec.modality import Modality, load
from vqcodec.tokens.commit import HOME, claim
from vqcodec.tokens.encode import encode_shard, target, working_name
from vqcodec.tokens.formats import find_format
from vqcodec.tokens.inputs import Shard
from vqcodec.tokens.manifest import Record, read_record, records, write_totals
from vqcodec.tokens.settings import Settings

LEFT = (".claim", ".tmp")
GRACE = 20.0  # seconds in which workers may end by themselves


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
    """

    worker: int
    shard: Shard
    done: float = 0.0
    samples: int = 0
    errors: int = 0
    record: Record | None = None
    problem: str = ""


Tell = Callable[[Event], None]


class _Turns:
    """Deals shards out to the workers of one run: each is offered once, and again at the end.

    The second time is for shards that another process had claimed, and then left.
    """

    def __init__(self, number: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._number, self._next = number, context.Value("q", 0)
        self._failed = context.Array("b", number)

    def __iter__(self) -> Iterator[int]:
        """Yield positions of shards."""
        while True:
            with self._next.get_lock():
                turn = self._next.value
                self._next.value += 1
            if turn >= 2 * self._number:
                return
            position = turn % self._number
            if not self._failed[position]:
                yield position

    def fail(self, position: int) -> None:
        """Offer a shard no more."""
        self._failed[position] = 1


def find_stale(task: Task) -> Iterator[Shard]:
    """Yield the shards that were done of tars which have another size by now."""
    for shard in filter(task.is_done, task.shards):
        size = 0 if shard.files is not None else shard.path.stat().st_size
        if size != read_record(task.output, shard.name).source_bytes:
            yield shard


def default_workers(task: Task) -> int:
    """Return how many processes keep a machine busy: one a core, or one on a GPU."""
    if task.settings.engine == "torch":
        from vqcodec.codec.device import choose_device

        if choose_device(task.device).type == "cuda":
            return 1
    return usable_cores()


def run(task: Task, workers: int, tell: Tell) -> None:
    """Do what is left of a task, as far as no other process does it.

    Args:
        task: what to do.
        workers: how many processes; one is this process itself.
        tell: is told of all that happens; what it raises ends the work.

    Raises:
        VqcodecError: no shard can be done: the weights are missing, the disk is full.
        OSError, MemoryError: as well.
    """
    turns = _Turns(len(task.shards))
    if workers == 1:
        _work(task, turns, 0, tell)
        return
    context = multiprocessing.get_context("spawn")
    processes, ends = [], list[Connection]()
    try:
        for number in range(workers):
            ours, theirs = context.Pipe(duplex=True)
            arguments = (task, turns, number, theirs)
            process = context.Process(target=_worker, args=arguments, daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            ends.append(ours)
        _listen(list(ends), tell)
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    finally:
        for process, end in zip(processes, ends, strict=True):
            process.join(GRACE)
            process.kill()
            end.close()


def _listen(ends: list[Connection], tell: Tell) -> None:
    """Pass on what workers tell, until all have ended; raise what ended one of them early."""
    killed = 0
    while ends:
        for end in wait(ends):
            assert isinstance(end, Connection)
            try:
                told = end.recv()
            except (EOFError, OSError):
                killed += 1
                told = None
            if told is None:
                ends.remove(end)
            elif isinstance(told, Exception):
                raise told
            else:
                tell(told)
    if killed:
        raise OutputError(
            f"{killed} of the workers were killed, perhaps for want of memory; "
            "run again, with fewer --workers"
        )


def _worker(task: Task, turns: _Turns, number: int, end: Connection) -> None:
    """Work in a process of its own."""

    def tell(event: Event) -> None:
        end.send(event)  # raises if nobody listens any more, since the first process was killed

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it cleans up
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError, ConnectionResetError):
        try:
            _work(task, turns, number, tell)
            end.send(None)
        except (VqcodecError, OSError, MemoryError, ImportError) as error:
            end.send(error)


def _work(task: Task, turns: _Turns, number: int, tell: Tell) -> None:
    from vqcodec.codec.device import one_thread

    with one_thread():
        _take_turns(task, turns, number, tell)


def _take_turns(task: Task, turns: _Turns, number: int, tell: Tell) -> None:
    codec: Any = None
    suffixes = load(task.modality.suffixes)()
    for position in turns:
        shard = task.shards[position]
        if task.is_done(shard):
            continue
        with contextlib.ExitStack() as stack:
            if not stack.enter_context(task.claim(shard)) or task.is_done(shard):
                continue
            if codec is None:
                codec = _load(task)

            def at(done: float, samples: int, errors: int, shard: Shard = shard) -> None:
                tell(Event(number, shard, done, samples, errors))

            try:
                record = encode_shard(codec, shard, task.output, task.settings, suffixes, at)
            except MediaError as error:
                turns.fail(position)
                _release(task, shard)
                tell(Event(number, shard, problem=str(error)))
            else:
                _release(task, shard)
                samples, errors = record.samples, record.errors
                tell(Event(number, shard, 1.0, samples, errors, record))


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


def _load(task: Task) -> Any:
    codec = load(task.modality.codec).load(
        task.model, task.device, task.settings.precision, task.settings.engine
    )
    if codec.weights.codebook_id.hex() != task.settings.codebook_id:
        raise OutputError(f"{task.output}: its shards are of another codebook; name a new folder")
    return codec


def _release(task: Task, shard: Shard) -> None:
    """Remove the file of a claim, of a shard that is done or cannot be."""
    name = working_name(task.output, shard, task.settings)
    with contextlib.suppress(OSError):
        os.unlink(name.with_name(f"{name.name}.claim"))
