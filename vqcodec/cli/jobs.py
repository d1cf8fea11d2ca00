"""Many inputs to many outputs: what goes where."""

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from vqcodec.cli import console
from vqcodec.errors import OutputError, UsageError

STREAM = Path("-")


@dataclass(frozen=True)
class Job:
    """One input file and the output to write; either may be `STREAM`."""

    source: Path
    target: Path


def plan(
    inputs: list[Path],
    output: Path | None,
    name: Callable[[Path, bool, Path], Path],
    wanted: Callable[[Path], bool],
) -> list[Job]:
    """Pair every input file with its output.

    Args:
        inputs: files, folders (searched recursively) or `STREAM`.
        output: ``-o``: a folder for several inputs, or where `is_folder` says so; else a file;
            None for beside each input.
        name: gives an output's path from an input's, whether it goes to a folder of outputs (then
            both are relative to theirs), and where the input lies.
        wanted: which files of a folder are inputs.

    Raises:
        UsageError: the request makes no sense, or two inputs would be written to one output.
        OutputError: an output would overwrite an input.
    """
    several = len(inputs) > 1 or any(i.is_dir() for i in inputs)
    if STREAM in inputs and several:
        raise UsageError("standard input ('-') must be the only input")
    to_folder = output is not None and output != STREAM and (several or is_folder(output))
    if several and output == STREAM:
        raise UsageError("several inputs cannot be written to standard output")
    if to_folder and output is not None and output.exists() and not output.is_dir():
        raise UsageError(f"{output}: is a file; with several inputs -o names a folder")
    if output is None and any(i.is_dir() for i in inputs):
        raise UsageError("for a folder of inputs, name a folder of outputs with -o")
    jobs = []
    passed_over: Counter[str] = Counter()
    for root in inputs:
        for source, inside in _files(root, wanted, passed_over):
            if output is not None and to_folder:
                target = output / name(inside, True, source)
            elif output is not None:
                target = output
            else:
                target = STREAM if source == STREAM else name(source, False, source)
            jobs.append(Job(source, target))
    if not jobs:
        raise UsageError(f"{', '.join(map(str, inputs))}: holds no file to work on")
    if to_folder and output is not None and not output.exists():
        _check_folder(output, jobs)
    _check_distinct(jobs)
    if passed_over:
        kinds = ", ".join(f"{n} × {kind}" for kind, n in passed_over.most_common(5))
        total = passed_over.total()
        others = "other file" if total == 1 else "other files"
        console.note(f"vqcodec: passed over {total} {others} ({kinds})")
    return jobs


def bytes_of(jobs: list[Job]) -> int:
    """Return how many bytes the sources of jobs have in all; standard input counts for nothing."""
    return sum(job.source.stat().st_size for job in jobs if job.source.is_file())


def is_folder(output: Path) -> bool:
    """Return whether ``-o`` names a folder: one that is there, or a new name without a suffix."""
    return output.is_dir() or (output != STREAM and not output.suffix and not output.exists())


def _files(
    root: Path, wanted: Callable[[Path], bool], passed_over: Counter[str]
) -> Iterator[tuple[Path, Path]]:
    """Yield (path, path below the folder of outputs) of the files that an input stands for.

    Those that are no input, by their suffix or since they are hidden, are counted by kind.
    """
    from vqcodec.data.sources import is_hidden

    if not root.is_dir():
        yield root, Path(root.name)
        return
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        if is_hidden(path.relative_to(root).as_posix()):
            passed_over["hidden"] += 1
        elif wanted(path):
            yield path, path.relative_to(root)
        else:
            passed_over[path.suffix.lower() or "without suffix"] += 1


def _check_folder(output: Path, jobs: list[Job]) -> None:
    """Raise UsageError if a folder to be made is called what its files are called."""
    suffix = output.suffix.lower()
    if suffix and suffix in {job.target.suffix.lower() for job in jobs}:
        raise UsageError(
            f"{output}: several inputs are not written to one file; "
            f"name a folder with -o, such as {output.with_suffix('')}"
        )


def _check_distinct(jobs: list[Job]) -> None:
    sources = {job.source.resolve() for job in jobs if job.source != STREAM}
    targets: dict[Path, Path] = {}
    for job in jobs:
        if job.target == STREAM:
            continue
        target = job.target.resolve()
        if target in sources:
            raise OutputError(f"{job.target}: is an input as well, and would be overwritten")
        if target in targets:
            raise UsageError(
                f"{targets[target]} and {job.source} would both be written to {job.target}"
            )
        targets[target] = job.source


def stdin() -> BinaryIO:
    """Return standard input."""
    if sys.stdin is None:
        raise UsageError("standard input is closed")
    return sys.stdin.buffer


def read_stdin() -> bytes:
    """Return all of standard input, up to the limit of code files."""
    from vqcodec.files.codes import read_stream

    return read_stream(stdin(), "standard input")


@contextlib.contextmanager
def opened(job: Job, *, force: bool) -> Iterator[Any]:
    """Open the output of a job: standard output, or a file that appears when it is complete."""
    from vqcodec.files.atomic import writing

    if job.target == STREAM:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        job.target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{job.target}: cannot be written ({error.strerror})") from None
    with writing(job.target, force=force) as file:
        yield file
