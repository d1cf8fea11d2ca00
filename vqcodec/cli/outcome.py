"""What becomes of many jobs: what is printed of each, and how many failed."""

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from vqcodec.cli import console
from vqcodec.cli.console import Move, progress_bar, rounded
from vqcodec.cli.jobs import STREAM, Job
from vqcodec.cli.messages import describe
from vqcodec.errors import MediaError, OutputError, VqcodecError

Facts = tuple[dict[str, Any], str]  # what a job came to, and a sentence of it
Work = Callable[[], Facts]


class Outcome:
    """Prints what came of each job, or of many in one line, and counts the failures.

    Args:
        jobs: all of them.
        done: what is done to a file, such as ``encoded``, where one line tells it of many files;
            None to print what came of each.
        as_json: print an object for each.
    """

    def __init__(self, jobs: list[Job], done: str | None = None, *, as_json: bool) -> None:
        self.total, self.succeeded, self.left_out, self.failed = len(jobs), 0, 0, 0
        self.as_json = as_json
        self._label, self._begun = done, time.monotonic()
        self._sizes = [0, 0]  # bytes, before and after
        # the results of a command that writes its output to stdout must not mix with it
        self._to_stderr = any(job.target == STREAM for job in jobs)

    def done(self, facts: dict[str, Any], sentence: str) -> None:
        """Report a success: `facts` with ``--json``, else the sentence."""
        self.succeeded += 1
        for position, key in enumerate(("input_bytes", "bytes")):
            self._sizes[position] += facts.get(key, 0)
        if self._in_one_line():
            for note in facts.get("notes", ()):  # what else would tell it?
                console.note(f"vqcodec: {facts['input']}: {note}")
        else:
            self._print(facts, sentence)

    def skipped(self, job: Job) -> None:
        """Report an output that was there already."""
        self.left_out += 1
        if not self._in_one_line():
            facts = {"input": str(job.source), "output": str(job.target), "skipped": True}
            self._print(facts, f"{job.source}: skipped, {job.target} is there")

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
            self._print({"input": str(job.source), "error": describe(error)}, "")
        if self.total == 1:
            raise error
        self.failed += 1
        console.say(f"vqcodec: error: {describe(error)}", err=True)

    def close(self) -> None:
        """End with a line about many jobs, and with exit status 1 if any failed."""
        if self._in_one_line() and not console.is_quiet():
            console.say(self._summary(), err=self._to_stderr)
        if self.failed:
            console.say(f"vqcodec: {self.failed} of {self.total} inputs failed", err=True)
            raise typer.Exit(1)

    def _in_one_line(self) -> bool:
        many = self._label is not None and self.total > 1
        return many and not self.as_json and not console.is_verbose()

    def _print(self, facts: dict[str, Any], sentence: str) -> None:
        if self.as_json:
            console.say(json.dumps(facts), err=self._to_stderr)
        elif self._label is None or not console.is_quiet():
            console.say(sentence, err=self._to_stderr)

    def _summary(self) -> str:
        text = f"{self.succeeded} of {self.total} files {self._label}"
        if self.left_out:
            text += f", {self.left_out} skipped"
        before, after = self._sizes
        if before and after:
            text += f": {before:,} -> {after:,} bytes, {rounded(before / after)} times smaller"
        return f"{text}, {time.monotonic() - self._begun:.1f} s"


def work_off(
    label: str,
    total: int,
    work: Callable[[Move | None], Iterable[tuple[Job, Work]]],
    outcome: Outcome,
) -> None:
    """Do the work of many jobs, and report what came of each.

    Args:
        label: of the progress bar.
        total: number of jobs.
        work: yields each job with its work; it moves the bar itself where there is one job.
        outcome: where it is reported.
    """
    with progress_bar(label, None if total == 1 else total, lines=True) as bar:
        bar(0)
        for count, (job, finish) in enumerate(work(bar if total == 1 else None), 1):
            with outcome.catching(job):
                outcome.done(*finish())
            if total > 1:
                bar(count)


def each(
    jobs: list[Job], run: Callable[[Job, Move | None], Facts]
) -> Callable[[Move | None], Iterator[tuple[Job, Work]]]:
    """Return the work of jobs that have nothing to do with each other, as `work_off` takes it."""

    def work(bar: Move | None) -> Iterator[tuple[Job, Work]]:
        for job in jobs:
            yield job, lambda job=job: run(job, bar)  # type: ignore[misc]

    return work


def check_there(path: Path) -> None:
    """Raise MediaError if there is no such file."""
    if not path.exists():
        raise MediaError(f"{path}: no such file")


def left_to_do(
    jobs: list[Job],
    outcome: Outcome,
    *,
    force: bool,
    skip: bool,
    check: Callable[[Path], None] | None = check_there,
) -> list[Job]:
    """Return the jobs to do: not those whose output is there, or whose input is not.

    Args:
        jobs: all of them.
        outcome: where the others are reported.
        force: overwrite outputs.
        skip: leave out those whose output is there.
        check: raises an error if a path is no input at all, which is found first; None where
            jobs have no input.
    """
    from vqcodec.files.atomic import check_absent

    left = []
    for job in jobs:
        with outcome.catching(job):
            if check is not None and job.source != STREAM:
                check(job.source)
            if job.target == STREAM:
                if console.is_stdout_closed():
                    raise OutputError("standard output is closed")
            elif skip and job.target.is_file():
                outcome.skipped(job)
                continue
            else:
                check_absent(job.target, force=force)
            left.append(job)
    return left
