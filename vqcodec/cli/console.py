"""What the command line writes: results on stdout, all else on stderr, and a bar below it."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from vqcodec.errors import OutputError

if TYPE_CHECKING:
    from rich.progress import Progress

Move = Callable[..., None]  # of a bar: how much is done, and a note to show behind it


@dataclass
class _State:
    """What a run of the command line was told, and what it shows at the moment."""

    quiet: bool = False
    verbose: bool = False
    stdout_closed: bool = False
    bar: "Progress | None" = None


_state = _State()


def begin() -> None:
    """Start anew, with streams that any text can be written to.

    A stream that is closed (``>&-``) becomes one into nothing: else the next file that is opened
    would take its number, and receive what is meant for the stream.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    vars(_state).update(vars(_State(stdout_closed=sys.stdout is None)))
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):  # names of files need not be text
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def be_quiet(wanted: bool) -> bool:
    """Follow ``--quiet``."""
    _state.quiet = _state.quiet or wanted
    return wanted


def be_verbose(wanted: bool) -> bool:
    """Follow ``--verbose``."""
    _state.verbose = _state.verbose or wanted
    return wanted


def is_quiet() -> bool:
    """Return whether only errors are to be told."""
    return _state.quiet


def is_verbose() -> bool:
    """Return whether more than usual is to be told."""
    return _state.verbose


def is_stdout_closed() -> bool:
    """Return whether there is no standard output."""
    return _state.stdout_closed


def say(text: str, *, err: bool = False) -> None:
    """Print a line on stdout, or stderr; a bar that is shown stays below it."""
    bar = _state.bar
    if bar is not None:
        bar.stop()  # erases it
    with _writing():
        typer.echo(text, err=err)
    if bar is not None:
        bar.start()


def flush() -> None:
    """Write what stdout still holds."""
    with _writing():
        sys.stdout.flush()


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """Turn errors of the operating system, such as a full disk, into ones that name the stream."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        with contextlib.suppress(OSError):  # what is held still goes nowhere, or Python tries again
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"standard output: {error.strerror}") from None


def note(text: str) -> None:
    """Print on stderr what a user who asked for quiet need not know."""
    if not _state.quiet:
        say(text, err=True)


def duration(seconds: float) -> str:
    """Say about how long something takes."""
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"


class ProgressLines:
    """Tells what is left to do in a line now and then, where there is no terminal for a bar."""

    EVERY = 30.0  # seconds

    def __init__(self, label: str, total: int | None = None) -> None:
        self.label, self.total, self.start, self.said = label, total or 1, (0.0, 0.0), 0.0

    def __call__(self, done: float, note: str = "") -> None:
        """Take how much is done; the first is what was done before, and took no time."""
        done /= self.total
        now = time.monotonic()
        if not self.said:
            self.start, self.said = (now, done), now
        since, before = self.start
        if now - self.said >= self.EVERY and before < done < 1:
            left = (now - since) * (1 - done) / (done - before)
            say(f"{self.label}: {done:.0%} done, about {duration(left)} left", err=True)
            self.said = now


@contextlib.contextmanager
def progress_bar(label: str, total: int | None = None, *, lines: bool = False) -> Iterator[Move]:
    """Show a bar with the time left on stderr, on a terminal.

    Args:
        label: what is being done.
        total: how many things are to be done, which are counted; None for one.
        lines: whether to tell the same in lines where stderr is no terminal.

    Yields:
        A function to move it: by the number done, or the fraction of one, and with a note.
    """
    if _state.quiet or not sys.stderr.isatty():
        shown = lines and not _state.quiet
        yield ProgressLines(label, total) if shown else lambda done, note="": None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    count = () if total is None else (MofNCompleteColumn(),)
    note = TextColumn("{task.fields[note]}")
    progress = Progress(
        *(TextColumn("{task.description}"), *count, BarColumn(), TimeLeft(), note),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,  # `say` keeps out of its way; stdout may be another file
        redirect_stderr=False,
    )
    task = progress.add_task(label, total=1.0 if total is None else total, note="")
    _state.bar = progress
    try:
        with progress:
            yield lambda done, note="": progress.update(task, completed=done, note=note)
    finally:
        _state.bar = None


def rounded(number: float) -> str:
    """Return three digits of a number, and all of those before the point: 0.0123, 4.56, 1,234."""
    return f"{number:,.0f}" if abs(number) >= 999.5 else f"{number:.3g}"
