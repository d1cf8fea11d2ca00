"""A Ray cluster that shares shards: each is a task of Ray's, done as by any other process.

Where a node is lost, Ray does its tasks again elsewhere, maybe while they still run on a node that
it cannot reach. That is safe: the final name of a shard is its commit, see `commit`. All nodes see
the input and the output under the same paths.
"""

import contextlib
import functools
import math
import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vqcodec.codec.device import one_thread
from vqcodec.errors import MediaError, OutputError, UsageError, VqcodecError
from vqcodec.tokens.inputs import Shard
from vqcodec.tokens.manifest import read_settings
from vqcodec.tokens.task import Event, Task, Tell, attempt, load_codec, on_gpu
from vqcodec.weights import find_weights

RETRIES = 5  # nodes that may be lost with the same shard
PATIENCE = 30.0  # seconds that a shard is waited for at last, which another process seems to be at
GRACE = 20.0  # seconds in which tasks may end by themselves
SHARE = "all nodes must see inputs and output under the same paths"
STORE = 80 << 20  # bytes of shared memory: nothing large is passed around


@dataclass(frozen=True)
class Cluster:
    """What there is to compute with.

    Attributes:
        cores: of all of them.
        free: how many of the cores nobody uses.
        largest: the cores of the machine that has most.
    """

    cores: float
    free: float
    largest: float

    @classmethod
    def look(cls) -> "Cluster":
        """Ask the cluster that this process is connected to."""
        import ray

        each = [n["Resources"].get("CPU", 0.0) for n in ray.nodes() if n["Alive"]]
        free = ray.available_resources().get("CPU", 0.0)
        return cls(sum(each), free, max(each, default=0.0))


@contextlib.contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """Connect this process to a cluster.

    Args:
        address: ``auto`` for the one that this machine is part of, ``HOST:PORT``, or ``local`` to
            start one of this machine alone.

    Raises:
        UsageError: there is none.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # or Ray reports to its makers
    import ray

    more = {"object_store_memory": STORE, "include_dashboard": False} if address == "local" else {}
    try:
        _knock(address)
        ray.init(address, log_to_driver=False, logging_level="ERROR", **more)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UsageError(
            f"no Ray cluster at '{address}' ({reason}); start one with: ray start --head"
        ) from None
    try:
        aside: Any = _Aside(sys.stdout)
        with contextlib.redirect_stdout(aside):
            yield Cluster.look()
    finally:
        ray.shutdown()


class _Aside:
    """Standard output, which is for results; what threads of Ray's print goes to stderr."""

    def __init__(self, stdout: Any) -> None:
        self._stdout = stdout

    def write(self, text: str) -> None:
        """Write to one or the other."""
        ours = not threading.current_thread().name.startswith("ray_")
        (self._stdout if ours else sys.stderr).write(text)

    def __getattr__(self, name: str) -> Any:
        """Be like standard output otherwise."""
        return getattr(self._stdout, name)


def _knock(address: str) -> None:
    """Raise an error at once if nobody answers; Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host:
        socket.create_connection((host, int(port)), timeout=10).close()


def run(task: Task, cores: float, most: int | None, tell: Tell) -> None:
    """Do what is left of a task on the cluster that this process is connected to.

    Args:
        task: what to do.
        cores: what to reserve for a shard; it is computed on one, whatever is reserved.
        most: shards at a time; as many as there is room for by default.
        tell: is told what became of each shard; what it raises ends the work.

    Raises:
        VqcodecError: no shard can be done: the weights are missing, the disk is full.
        OSError, MemoryError: as well.
    """
    import ray

    gpu = on_gpu(task)
    model, device = _model_elsewhere(task.model), "cuda" if gpu else "cpu"
    lean = replace(task, shards=(), model=model, device=device)
    reserved = {"num_cpus": cores, "num_gpus": int(gpu), "max_retries": RETRIES}
    work = ray.remote(_work).options(**reserved)
    waiting = deque((shard, 0.0) for shard in task.shards if not task.is_done(shard))
    again, running = list[Shard](), dict[Any, tuple[Shard, float]]()
    try:
        while waiting or running or again:
            if not (waiting or running):
                waiting.extend((shard, PATIENCE) for shard in again)
                again = []
            while waiting and len(running) < (most or _room(cores)):
                shard, patience = waiting.popleft()
                running[work.remote(lean, shard, patience)] = shard, patience
            for found in _wait(running, 1):
                shard, patience = running.pop(found)
                event = _result(found, shard)
                if event.held and not patience:
                    again.append(shard)
                if event.problem or event.record:
                    tell(event)
    except BaseException:
        for started in running:
            ray.cancel(started)
        with contextlib.suppress(KeyboardInterrupt):  # a second one
            _wait(running, len(running), GRACE)
        raise


def _wait(running: Collection[Any], number: int, seconds: float = 1.0) -> list[Any]:
    """Return what has ended: so many, or fewer after so many seconds."""
    import ray

    if not running:
        return []
    try:
        ended: list[Any] = ray.wait(list(running), num_returns=number, timeout=seconds)[0]
    except SystemError as error:  # as which Ctrl-C comes out of it
        raise error.__cause__ or error from None
    return ended


def _model_elsewhere(name: str) -> str:
    """Return what a node in another folder finds the same weights by: their name, or a path."""
    folder = Path(name).resolve()
    return str(folder) if find_weights(name).folder.resolve() == folder else name


def _room(cores: float) -> int:
    """Return how many tasks to start: some wait, for nodes that join are given to who waits."""
    import ray

    return 4 + math.ceil(2 * ray.cluster_resources().get("CPU", 0.0) / cores)


def _result(found: Any, shard: Shard) -> Event:
    """Return what became of a shard, or raise what stands in the way of all."""
    import ray

    try:
        result = ray.get(found)
    except ray.exceptions.RayTaskError as error:
        last = str(error).strip().split("\n")[-1]
        raise OutputError(f"a node failed ({last}); has it got the same vqcodec?") from None
    except ray.exceptions.RayError as error:
        reason = str(error).strip().split("\n")[0]
        return Event(0, shard, problem=f"{shard.path}: was lost with its worker ({reason})")
    if isinstance(result, Exception):
        raise result
    event: Event = result
    return event


def _work(task: Task, shard: Shard, patience: float) -> Event | Exception:
    """Do a shard on whatever node this is.

    Args:
        task: without its shards.
        shard: what to do.
        patience: seconds to wait for another process that seems to be at it: one on a node that
            was lost may take a while to end.

    Returns:
        What became of it, or what stands in the way of all.
    """
    end = time.monotonic() + patience
    try:
        if read_settings(task.output) != task.settings:
            raise OutputError(f"{task.output}: is not the folder that it is elsewhere; {SHARE}")
        if not shard.path.exists():
            raise MediaError(f"{shard.path}: no such file or folder; {SHARE}")
        with one_thread():
            while True:
                event = attempt(task, shard, functools.partial(_codec, task), lambda event: None)
                if not event.held or time.monotonic() >= end:
                    return event
                time.sleep(0.5)
    except VqcodecError as error:
        return type(error)(f"node {socket.gethostname()}: {error}")
    except (OSError, MemoryError, ImportError) as error:
        return error


@functools.lru_cache(1)  # a process does many shards
def _codec(task: Task) -> Any:
    return load_codec(task)
