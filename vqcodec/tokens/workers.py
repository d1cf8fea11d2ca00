"""Processes of one machine that share shards: those of one run, and those of others beside it."""

import contextlib
import functools
import multiprocessing
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait

from vqcodec.coding.threads import usable_cores
from vqcodec.errors import OutputError, VqcodecError
from vqcodec.tokens.task import Event, Task, Tell, attempt, load_codec, on_gpu

GRACE = 20.0  # seconds in which workers may end by themselves


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


def default_workers(task: Task) -> int:
    """Return how many processes keep a machine busy: one a core, or one on a GPU."""
    return 1 if on_gpu(task) else usable_cores()


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
        finally:
            for which in (signal.SIGINT, signal.SIGTERM):
                signal.signal(which, signal.SIG_DFL)  # what is left is Python's own end


def _work(task: Task, turns: _Turns, number: int, tell: Tell) -> None:
    from vqcodec.codec.device import one_thread

    with one_thread():
        _take_turns(task, turns, number, tell)


def _take_turns(task: Task, turns: _Turns, number: int, tell: Tell) -> None:
    codec = functools.cache(lambda: load_codec(task))
    for position in turns:
        event = attempt(task, task.shards[position], codec, tell, number)
        if event.problem:
            turns.fail(position)
        if event.problem or event.record:
            tell(event)
