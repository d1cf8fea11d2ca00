"""Frames to videos, GIFs and folders of pictures, as they come."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from vqcodec.cli.console import Move
from vqcodec.cli.jobs import STREAM, Job, opened
from vqcodec.errors import OutputError, UsageError
from vqcodec.modality import VIDEO

if TYPE_CHECKING:
    from vqcodec.media.videoreader import Frame
    from vqcodec.media.videowriter import VideoWriter

# adds a sound track to a video, and returns its frames
Sounding = Callable[["VideoWriter", "Iterator[Frame]"], "Iterator[Frame]"]


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        target: where to; a folder has no suffix.
        frames: how many.
        duration: in seconds.
        seconds: that it took.
        notes: what a user should know.
    """

    target: Path
    frames: int
    duration: float
    seconds: float
    notes: tuple[str, ...]

    @property
    def speed(self) -> float:
        """Frames a second."""
        return self.frames / max(1e-9, self.seconds)


def kind_of(job: Job, suffix: str | None = None) -> str:
    """Return the checked suffix to write by: that of the output, else the one given.

    Raises:
        UsageError: no such video can be written, or not to standard output.
    """
    from vqcodec.media.videowriter import check_suffix, is_folder

    own = suffix if job.target == STREAM else job.target.suffix
    kind = check_suffix(own or VIDEO.suffix, str(job.target))
    if is_folder(kind) and job.target == STREAM:
        raise UsageError("pictures of a video go to a folder, not to standard output")
    return kind


def write_frames(
    frames: "Iterator[Frame]",
    job: Job,
    kind: str,
    size: tuple[int, int],
    rate: Fraction,
    expected: int,
    *,
    force: bool,
    bar: Move | None = None,
    sounding: Sounding | None = None,
) -> Written:
    """Write a video.

    Args:
        frames: to write.
        job: where to.
        kind: as `kind_of` returns it.
        size: height and width.
        rate: ticks a second.
        expected: how many frames there will be; 0 if that is not known.
        force: overwrite.
        bar: moved along.
        sounding: where the format has room for sound, what adds it.
    """
    from vqcodec.media.videowriter import FolderWriter, is_folder, open_writer

    start, target = time.perf_counter(), job.target
    notes: tuple[str, ...] = ()
    if is_folder(kind):
        target = target.with_suffix("")
        with _folder(target, force=force) as folder:
            done = _write(FolderWriter(folder, kind, rate), frames, expected, bar)
    else:
        with opened(job, force=force) as file:
            writer = open_writer(file, kind, size, rate, str(target), seek=target != STREAM)
            if sounding is not None and kind != ".gif":
                frames = sounding(writer, frames)
            done = _write(writer, frames, expected, bar)
            notes = tuple(writer.notes)
    seconds = time.perf_counter() - start
    return Written(target, done[0], float(done[1] / rate), seconds, notes)


def _write(
    writer: "VideoWriter", frames: "Iterator[Frame]", total: int, bar: Move | None
) -> tuple[int, int]:
    """Write frames; return how many there were, and how many ticks they last."""
    number = ticks = 0
    start = time.perf_counter()
    for frame in frames:
        writer.write(frame)
        number, ticks = number + 1, ticks + frame.duration
        if bar:
            speed = f"{number / max(1e-9, time.perf_counter() - start):.1f} fps"
            bar(number / total if total else 0.0, speed)
    writer.close()
    return number, ticks


@contextlib.contextmanager
def _folder(target: Path, *, force: bool) -> Iterator[Path]:
    """Give a folder that appears under its name when it is complete."""
    if target.exists() and not force:
        raise OutputError(f"{target}: exists; use --force to write into it")
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target}: is a file; a folder of this name is to be written")
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield fresh
        if target.exists():
            for file in fresh.iterdir():
                file.replace(target / file.name)
        else:
            fresh.chmod(0o755)
            fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
