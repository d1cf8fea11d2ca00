"""A data set being tokenised, as the command line shows it."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from vqcodec.cli import console
from vqcodec.cli.console import Move, progress_bar
from vqcodec.cli.messages import printable
from vqcodec.errors import MediaError
from vqcodec.tokens.commit import HOME

if TYPE_CHECKING:
    from vqcodec.tokens.task import Event, Task, Tell

    Work = Callable[[int, Tell], None]  # of how many shards are left, and what is told of each


class _Progress:
    """Follows what workers tell.

    Args:
        task: what they do.
        most: errors that may occur.
        as_json: print an object for each shard.
        bar: is moved.
    """

    def __init__(self, task: "Task", most: int | None, as_json: bool, bar: Move) -> None:
        self.task, self.most, self.as_json, self.bar = task, most, as_json, bar
        self.done = self.before = sum(map(task.is_done, task.shards))
        self.samples = self.errors = self.failed = 0
        self._at: dict[int, Event] = {}
        self._start = time.monotonic()

    def tell(self, event: "Event") -> None:
        """Take note of an event."""
        self._at[event.worker] = event
        if event.problem or event.record is not None:
            del self._at[event.worker]
        if event.problem:
            self.failed += 1
            if self.as_json:
                console.say(json.dumps({"shard": event.shard.name, "error": event.problem}))
            console.say(f"vqcodec: error: {printable(event.problem)}", err=True)
        elif event.record is not None:
            self.done += 1
            self.samples += event.samples
            self.errors += event.errors
            if self.as_json:
                console.say(json.dumps(asdict(event.record)))
        self._check()
        self.bar(self._fraction(), self._note())

    def _check(self) -> None:
        errors = self.errors + sum(event.errors for event in self._at.values())
        if self.most is not None and errors > self.most:
            raise MediaError(
                f"{errors:,} samples could not be coded, more than --max-errors {self.most}; "
                f"those of shards that are done are listed in {self.task.output / HOME}"
            )

    def _fraction(self) -> float:
        part = sum(event.done for event in self._at.values())
        return (self.done + self.failed + part) / len(self.task.shards)

    def _note(self) -> str:
        files = self.task.modality.file
        return (
            f"{self.done:,} of {len(self.task.shards):,} shards, {self.rate():,.1f} {files}s/s, "
            f"{self.errors:,} errors"
        )

    def rate(self) -> float:
        """Return samples a second."""
        samples = self.samples + sum(event.samples for event in self._at.values())
        return samples / max(1e-9, time.monotonic() - self._start)

    def summary(self) -> str:
        """Say what has become of all."""
        text = f"{self.done - self.before:,} of {len(self.task.shards):,} shards tokenised"
        if self.before:
            text += f", {self.before:,} were done before"
        text += f": {self.samples:,} {self.task.modality.file}s, {self.rate():,.1f} a second"
        if self.errors:
            text += f"; {self.errors:,} could not be coded, see {self.task.output / HOME}"
        return text


def here(task: "Task", most: int | None) -> "Work":
    """Return what does a task by processes of this machine; so many at most."""
    from vqcodec.tokens import workers as processes

    def work(left: int, tell: "Tell") -> None:
        number = most or processes.default_workers(task)
        processes.run(task, min(number, left), tell)

    return work


def there(task: "Task", address: str, cores: float, most: int | None) -> "Work":
    """Return what does a task on a Ray cluster; see `tokens.cluster.run`."""
    from vqcodec.tokens import cluster

    def work(left: int, tell: "Tell") -> None:
        with cluster.connected(address) as found:
            text = f"vqcodec: {found.free:g} of {found.cores:g} cores of the Ray cluster are free"
            if found.largest < cores:
                text += f"; waiting for a node of {cores:g} cores, which is more than any has"
            elif found.free < cores:
                text += "; waiting for cores, which others use"
            console.note(text)
            cluster.run(task, cores, most, tell)

    return work


def run(task: "Task", work: "Work", max_errors: int | None, as_json: bool) -> None:
    """Do what is left of a task.

    Args:
        task: what to do.
        work: does it, see `here` and `there`.
        max_errors: samples that may turn out not to be codable.
        as_json: print an object for each shard.

    Raises:
        MediaError: there were more errors, or a tar has changed since it was done.
        Exit: shards could not be done.
    """
    from vqcodec.tokens.encode import target
    from vqcodec.tokens.manifest import begin
    from vqcodec.tokens.task import find_stale, finish

    begin(task.output, task.settings)
    for shard in find_stale(task):
        raise MediaError(
            f"{shard.path}: has changed since its shard was done; remove "
            f"{target(task.output, shard, task.settings)} to do it again"
        )
    left = sum(not task.is_done(shard) for shard in task.shards)
    with progress_bar("tokenising") as bar:
        progress = _Progress(task, max_errors, as_json, bar)
        if left:
            work(left, progress.tell)
    done = [shard for shard in task.shards if task.is_done(shard)]
    if len(done) == len(task.shards):
        finish(task)
    if not as_json:
        console.note(progress.summary())
    others = len(task.shards) - len(done) - progress.failed
    if others > 0:
        console.note(f"vqcodec: {others:,} shards are in the hands of another process")
    if progress.failed:
        total = len(task.shards)
        console.say(f"vqcodec: {progress.failed:,} of {total:,} shards failed", err=True)
        raise typer.Exit(1)
