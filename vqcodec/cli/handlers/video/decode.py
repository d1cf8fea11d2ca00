"""Code files to videos, GIFs and folders of pictures, some frames at a time."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqcodec.cli.console import Move, rounded
from vqcodec.cli.handlers.video.encode import sound_file
from vqcodec.cli.handlers.video.write import kind_of, write_frames
from vqcodec.cli.jobs import STREAM, Job
from vqcodec.cli.outcome import Facts
from vqcodec.files.codes import SUFFIXES, Codes
from vqcodec.modality import AUDIO, load

if TYPE_CHECKING:
    from vqcodec.codec.video import VideoCodec
    from vqcodec.files.videoframes import VideoFrames
    from vqcodec.media.videoreader import Frame
    from vqcodec.media.videowriter import StreamWriter


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

    kind = kind_of(job, suffix)
    media = source.media if not isinstance(source, Codes) else source.video
    rate = ticks_a_second(media)
    length, height, width = media.size
    sound = _sound_of(job)
    notes = []
    sounding = None
    if sound is not None and kind != ".gif":
        sounding = partial(_with_sound, sound, rate)
        notes.append(f"with the sound of {sound}")
    frames, size = codec.decoded(source), (height, width)
    written = write_frames(
        frames, job, kind, size, rate, length, force=force, bar=bar, sounding=sounding
    )
    facts: dict[str, Any] = {
        "input": str(job.source),
        "output": str(written.target),
        "width": width,
        "height": height,
        "frames": written.frames,
        "duration": round(written.duration, 4),
        "seconds": round(written.seconds, 4),
        "speed": round(written.speed, 2),
    }
    notes += written.notes
    if notes:
        facts["notes"] = notes
    many = "1 frame" if written.frames == 1 else f"{written.frames:,} frames"
    text = (
        f"{job.source} -> {written.target}: {many} of {width}×{height} pixels, "
        f"{facts['duration']:.2f} s, decoded at {rounded(facts['speed'])} fps"
    )
    return facts, "; ".join([text, *notes])


def _sound_of(job: Job) -> Path | None:
    """Return the code file of the sound that belongs to one of pictures, if it is there."""
    if job.source == STREAM:
        return None
    found = (sound_file(job.source, suffix) for suffix in SUFFIXES)
    return next((path for path in found if path.is_file()), None)


def _with_sound(
    path: Path, rate: Any, writer: "StreamWriter", frames: "Iterator[Frame]"
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
