"""Many inputs to many outputs: what goes where, and what happens when one of them fails."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import typer

from vqcodec.cli.messages import describe
from vqcodec.errors import OutputError, UsageError, VqcodecError

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
    for root in inputs:
        for source, inside in _files(root, wanted):
            if output is not None and to_folder:
                target = output / name(inside, True, source)
            elif output is not None:
                target = output
            else:
                target = STREAM if source == STREAM else name(source, False, source)
            jobs.append(Job(source, target))
    if not jobs:
        raise UsageError(f"{', '.join(map(str, inputs))}: holds no file to work on")
    _check_distinct(jobs)
    return jobs


def is_folder(output: Path) -> bool:
    """Return whether ``-o`` names a folder: one that is there, or a new name without a suffix."""
    return output.is_dir() or (output != STREAM and not output.suffix and not output.exists())


def _files(root: Path, wanted: Callable[[Path], bool]) -> Iterator[tuple[Path, Path]]:
    """Yield (path, path below the folder of outputs) of the files that an input stands for."""
    if root.is_dir():
        for path in sorted(root.rglob("*")):
            if wanted(path) and path.is_file():
                yield path, path.relative_to(root)
    else:
        yield root, Path(root.name)


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


class Outcome:
    """Prints what came of each job and keeps count of the failures."""

    def __init__(self, jobs: list[Job], *, as_json: bool) -> None:
        self.total, self.failed, self.as_json = len(jobs), 0, as_json
        # the results of a command that writes its output to stdout must not mix with it
        self._to_stderr = any(job.target == STREAM for job in jobs)

    def done(self, facts: dict[str, Any], sentence: str) -> None:
        """Report a success: `facts` with ``--json``, else the sentence."""
        typer.echo(json.dumps(facts) if self.as_json else sentence, err=self._to_stderr)

    def skipped(self, job: Job) -> None:
        """Report an output that was there already."""
        facts = {"input": str(job.source), "output": str(job.target), "skipped": True}
        self.done(facts, f"{job.source}: skipped, {job.target} is there")

    @contextlib.contextmanager
    def catching(self, job: Job) -> Iterator[None]:
        """Report an error of this job and let the others go on."""
        try:
            yield
        except (VqcodecError, OSError, MemoryError) as error:
            self.failure(job, error)

    def failure(self, job: Job, error: Exception) -> None:
        """Report an error; raise it when there is no other job."""
        if self.as_json:
            facts = {"input": str(job.source), "error": describe(error)}
            typer.echo(json.dumps(facts), err=self._to_stderr)
        if self.total == 1:
            raise error
        self.failed += 1
        typer.echo(f"vqcodec: error: {describe(error)}", err=True)

    def close(self) -> None:
        """End with exit status 1 if any job failed."""
        if self.failed:
            typer.echo(f"vqcodec: {self.failed} of {self.total} inputs failed", err=True)
            raise typer.Exit(1)


def left_to_do(jobs: list[Job], outcome: Outcome, *, force: bool, skip: bool) -> list[Job]:
    """Return the jobs to do: not those whose output is there, which are reported."""
    from vqcodec.files.atomic import check_absent

    left = []
    for job in jobs:
        if job.target == STREAM:
            left.append(job)
        elif skip and job.target.is_file():
            outcome.skipped(job)
        else:
            with outcome.catching(job):
                check_absent(job.target, force=force)
                left.append(job)
    return left


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


class ProgressLines:
    """Tells what is left to do in a line now and then, where there is no terminal for a bar."""

    EVERY = 30.0  # seconds

    def __init__(self, label: str) -> None:
        self.label, self.start, self.said = label, (0.0, 0.0), 0.0

    def __call__(self, done: float, note: str = "") -> None:
        """Take the fraction done; the first is what was done before, and took no time."""
        now = time.monotonic()
        if not self.said:
            self.start, self.said = (now, done), now
        since, before = self.start
        if now - self.said >= self.EVERY and before < done < 1:
            left = (now - since) * (1 - done) / (done - before)
            words = f"{left / 60:.0f} minutes" if left >= 90 else f"{left:.0f} seconds"
            typer.echo(f"{self.label}: {done:.0%} done, about {words} left", err=True)
            self.said = now


@contextlib.contextmanager
def progress_bar(
    label: str, wanted: bool = True, *, lines: bool = False
) -> Iterator[Callable[..., None]]:
    """Show a bar with the time left on stderr, on a terminal.

    Args:
        label: what goes on.
        wanted: whether to show it at all.
        lines: whether to tell the same in lines where stderr is no terminal.

    Yields:
        A function to move it, by the fraction done, and with a note to show behind it.
    """
    if not wanted or not sys.stderr.isatty():
        yield ProgressLines(label) if wanted and lines else lambda done, note="": None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    note = TextColumn("{task.fields[note]}")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), note)
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=1.0, note="")
        yield lambda done, note="": progress.update(task, completed=done, note=note)
