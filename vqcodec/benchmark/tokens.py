"""How fast a data set becomes tokens: each stage by itself, and all in several processes."""

import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from vqcodec.codec.device import one_thread
from vqcodec.errors import MediaError, VqcodecError
from vqcodec.files.codes import Codes
from vqcodec.modality import load
from vqcodec.tokens.commit import committing
from vqcodec.tokens.entry import Entry
from vqcodec.tokens.formats import find_format
from vqcodec.tokens.manifest import begin
from vqcodec.tokens.samples import Samples
from vqcodec.tokens.task import Event, Task
from vqcodec.tokens.workers import run

MOST, MOST_BYTES = 2000, 1 << 27  # files, and bytes of them, that stages are measured with
WARM = 32  # files that are coded before anything is measured


def measure(
    task: Task,
    read: Callable[[bytes, str], Any],
    amount: Callable[[Codes], float],
    workers: list[int],
) -> dict[str, Any]:
    """Return what stages take, on one core, and how many samples a second processes make.

    Args:
        task: what to measure; its output is a folder that this makes and removes.
        read: decodes a media file.
        amount: how much media codes stand for.
        workers: numbers of processes.

    Raises:
        MediaError: nothing can be coded.
    """
    suffixes = load(task.modality.suffixes)()
    with one_thread(), tempfile.TemporaryDirectory(prefix="vqcodec-") as name:
        task = replace(task, output=Path(name))
        start = time.perf_counter()
        files = _take(task, suffixes)
        seconds = {"read": time.perf_counter() - start}
        codec = load(task.modality.codec).load(
            task.model, task.device, task.settings.precision, task.settings.engine
        )
        list(codec.encode_files(iter(files[:WARM])))
        start = time.perf_counter()
        for file, data in files:
            _try(read, data, file)
        seconds["decode"] = time.perf_counter() - start
        start = time.perf_counter()
        found = [codes for codes in codec.encode_files(iter(files)) if isinstance(codes, Codes)]
        seconds["encode"] = time.perf_counter() - start - seconds["decode"]
        if not found:
            raise MediaError("none of the first files can be coded")
        start = time.perf_counter()
        _write(task, codec, found)
        seconds["write"] = time.perf_counter() - start
    total = sum(seconds.values())
    size = sum(len(data) for _, data in files)
    return {
        "samples": len(found),
        "bytes": size,
        "amount": sum(amount(codes) for codes in found),
        "seconds": seconds,
        "samples_per_second": len(found) / total,
        "read_mb_per_second": size / total / 1e6,
        "workers": {number: _rate(task, number) for number in workers},
    }


def _take(task: Task, suffixes: frozenset[str]) -> list[tuple[str, bytes]]:
    files, room = [], MOST_BYTES
    every = itertools.chain.from_iterable(Samples(s, suffixes) for s in task.shards)
    for sample in every:
        if not sample.problem:
            files.append((sample.name, sample.data))
            room -= len(sample.data)
        if len(files) >= MOST or room <= 0:
            break
    return files


def _try(read: Callable[[bytes, str], Any], data: bytes, name: str) -> None:
    try:
        read(data, name)
    except VqcodecError:
        pass


def _write(task: Task, codec: Any, found: list[Codes]) -> None:
    path = task.output / "it"
    with committing(path, path) as file:
        writer = find_format(task.settings.format).Writer(file, task.settings, codec.maps)
        for number, codes in enumerate(found):
            writer.write(Entry.of(f"{number}", codes, {}))
        writer.close()


def _rate(task: Task, workers: int) -> float:
    """Return the samples a second of so many processes, while all of them are at work."""
    told: list[tuple[float, int, int]] = []
    counts: dict[str, int] = {}

    def tell(event: Event) -> None:
        counts[event.shard.name] = event.samples
        told.append((time.perf_counter(), event.worker, sum(counts.values())))

    with tempfile.TemporaryDirectory(prefix="vqcodec-") as name:
        task = replace(task, output=Path(name))
        begin(task.output, task.settings)
        run(task, workers, tell)
    spoke = {worker for _, worker, _ in told}
    begun = max(next(i for i, event in enumerate(told) if event[1] == w) for w in spoke)
    ended = min(max(i for i, event in enumerate(told) if event[1] == w) for w in spoke)
    if len(spoke) < workers or ended <= begun:  # too little for all to have a share
        begun, ended = 0, len(told) - 1
    (start, _, before), (end, _, after) = told[begun], told[ended]
    return (after - before) / max(1e-9, end - start)
