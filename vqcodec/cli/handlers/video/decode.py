"""Code files to videos, GIFs and folders of pictures, some frames at a time."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqcodec.cli.console import Move
from vqcodec.cli.handlers.video.encode import sound_file
from vqcodec.cli.jobs import STREAM, Job, opened
from vqcodec.cli.outcome import Facts
from vqcodec.errors import OutputError, UsageError
from vqcodec.files.codes import SUFFIXES, Codes
from vqcodec.modality import AUDIO, VIDEO, load

if TYPE_CHECKING:
    from vqcodec.codec.video import VideoCodec
    from vqcodec.files.videostream import VideoFrames
    from vqcodec.media.videoreader import Frame
    from vqcodec.media.videowriter import StreamWriter, VideoWriter


def decode_video(
    codec: "VideoCodec",
    job: Job,
    source: "Codes | VideoFrames",
    suffix: str | None,
    force: bool,
    bar: Move | None,
) -> Facts:
    """Decode one video; see `Handler.decode_job`."""
    from vqcodec.files.contents import ticks_a_second
    from vqcodec.media.videowriter import FolderWriter, check_suffix, is_folder, open_writer

    own = suffix if job.target == STREAM else job.target.suffix
    kind = check_suffix(own or VIDEO.suffix, str(job.target))
    media = source.media if not isinstance(source, Codes) else source.video
    start, rate = time.perf_counter(), ticks_a_second(media)
    height, width = media.size[1:]
    frames = codec.decoded(source)
    target, notes = job.target, []
    sound = _sound_of(job)
    if is_folder(kind):
        if target == STREAM:
            raise UsageError("pictures of a video go to a folder, not to standard output")
        target = target.with_suffix("")
        with _folder(target, force=force) as folder:
            done = _write(FolderWriter(folder, kind, rate), frames, media.size[0], bar)
    else:
        with opened(job, force=force) as file:
            writer = open_writer(
                file, kind, (height, width), rate, str(target), seek=target != STREAM
            )
            if sound is not None and kind != ".gif":
                frames = _with_sound(writer, frames, sound, rate)  # type: ignore[arg-type]
                notes.append(f"with the sound of {sound}")
            done = _write(writer, frames, media.size[0], bar)
            notes += writer.notes
    seconds = time.perf_counter() - start
    facts: dict[str, Any] = {
        "input": str(job.source),
        "output": str(target),
        "width": width,
        "height": height,
        "frames": done[0],
        "duration": round(float(done[1] / rate), 4),
        "seconds": round(seconds, 4),
        "speed": round(done[0] / seconds, 2),
    }
    if notes:
        facts["notes"] = notes
    many = "1 frame" if done[0] == 1 else f"{done[0]:,} frames"
    text = (
        f"{job.source} -> {target}: {many} of {width}×{height} pixels, {facts['duration']:.2f} s, "
        f"decoded at {facts['speed']:.3g} fps"
    )
    return facts, "; ".join([text, *notes])


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


def _sound_of(job: Job) -> Path | None:
    """Return the code file of the sound that belongs to one of pictures, if it is there."""
    if job.source == STREAM:
        return None
    found = (sound_file(job.source, suffix) for suffix in SUFFIXES)
    return next((path for path in found if path.is_file()), None)


def _with_sound(
    writer: "StreamWriter", frames: "Iterator[Frame]", path: Path, rate: Any
) -> "Iterator[Frame]":
    """Yield frames, and write the sound that belongs to each before it."""
    codes = Codes.load(path)
    speech = load(AUDIO.codec).load_named(codes.model)
    sample_rate = codes.audio.sample_rate
    blocks = speech.decoded(codes, sample_rate=sample_rate)
    writer.add_sound(codes.audio.size[0], sample_rate)
    ticks = samples = 0
    for frame in frames:
        while samples * rate <= ticks * sample_rate and (block := next(blocks, None)) is not None:
            writer.write_sound(block)
            samples += block.shape[1]
        ticks += frame.duration
        yield frame
    for block in blocks:
        writer.write_sound(block)


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
