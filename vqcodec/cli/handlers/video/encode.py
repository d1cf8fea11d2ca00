"""Videos to code files, some frames at a time."""

import dataclasses
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vqcodec.cli.console import Move, rounded
from vqcodec.cli.handlers.base import Container, Loading
from vqcodec.cli.handlers.video.options import Encoding
from vqcodec.cli.jobs import STREAM, Job, opened
from vqcodec.cli.outcome import Facts
from vqcodec.errors import UsageError
from vqcodec.modality import AUDIO

if TYPE_CHECKING:
    from vqcodec.codec.video import VideoCodec
    from vqcodec.files.contents import VideoInfo
    from vqcodec.files.videostream import Priors
    from vqcodec.media.videoreader import VideoReader


def encode_video(
    loading: Loading,
    codec: "VideoCodec",
    job: Job,
    own: Encoding,
    container: Container,
    stdin: BinaryIO | None,
    bar: Move | None,
) -> Facts:
    """Encode one video; see `Handler.encode_jobs`.

    From standard input to standard output it becomes a .vqc, unless the user asks for an .npz.
    """
    from vqcodec.media.video import open_video

    source = stdin if job.source == STREAM else job.source
    assert source is not None
    if STREAM in (job.source, job.target) and (own.sound or own.verify):
        raise UsageError("--sound and --verify need files, not pipes")
    name = "standard input" if job.source == STREAM else str(job.source)
    streamed = job.source == STREAM == job.target and not container.named
    with open_video(source, name) as reader:
        start = time.perf_counter()
        if streamed or container.suffix == ".vqc":
            media, size = _stream(codec, job, reader, own, container, bar)
        else:
            media, size = _array(codec, job, reader, own, container, bar)
        facts = _facts(codec, job, media, size, time.perf_counter() - start)
        notes = list(reader.notes)
    if own.verify:
        facts["psnr"] = _verify(codec, job)
    if reader.has_sound and not own.sound:
        notes.append("its sound is left out; --sound codes it, too")
    elif own.sound and not reader.has_sound:
        notes.append("holds no sound")
    elif own.sound:
        notes.append(f"its sound is in {_encode_sound(loading, job, container)}")
    if notes:
        facts["notes"] = notes
    return facts, _sentence(facts)


def sound_file(codes: Path, suffix: str) -> Path:
    """Return where the codes of the sound of a video lie: beside those of its pictures."""
    return codes.with_suffix(f".sound{suffix}")


def _encode_sound(loading: Loading, job: Job, container: Container) -> Path:
    from vqcodec.media.videopyav import open_track

    speech = dataclasses.replace(loading, model=AUDIO.weights).codec(AUDIO)
    beside = Job(job.source, sound_file(job.target, container.suffix))
    with job.source.open("rb") as file, open_track(file, str(job.source)) as sound:
        codes = speech.encode_blocks(sound.blocks(), sound.channels, sound.sample_rate)
    data = codes.to_bytes(container.suffix, prior=container.prior)
    with opened(beside, force=container.force) as file:
        file.write(data)
    return beside.target


def _weight(codec: "VideoCodec", own: Encoding) -> float | None:
    """Return the rate weight that is asked for; None for what is usual."""
    return own.rate_weight if own.quality is None else codec.weight_of(own.quality)


def _moved(bar: Move | None, expected: int | None) -> "Any":
    """Return what is told the number of frames done, and moves a bar."""
    start = time.perf_counter()

    def told(done: int) -> None:
        if bar:
            speed = f"{done / max(1e-9, time.perf_counter() - start):.1f} fps"
            bar(min(1.0, done / expected) if expected else 0.0, speed)

    return told


def _stream(
    codec: "VideoCodec",
    job: Job,
    reader: "VideoReader",
    own: Encoding,
    container: Container,
    bar: Move | None,
) -> "tuple[VideoInfo, int]":
    """Write a .vqc as the frames come; memory does not grow with their number."""
    from vqcodec.files.contents import ticks_a_second

    info = codec.info(reader.size, reader.rate, own.scale or 1.0)
    priors = _priors(codec, info, reader.expected) if container.prior else ()
    total = 0

    def frames() -> "Iterator[Any]":
        nonlocal total
        for frame in reader.frames():
            total += frame.duration
            yield frame

    with opened(job, force=container.force) as file:
        written = codec.encode_stream(
            frames(),
            info,
            file,
            priors,
            scale=own.scale or 1.0,
            rate_weight=_weight(codec, own),
            told=_moved(bar, reader.expected),
        )
    count = written.frames
    size, coded = ((count, *s[1:]) for s in (info.size, info.coded_size))
    mean = count * ticks_a_second(info) / total  # frames a second
    told = dataclasses.replace(info, size=size, coded_size=coded)
    limited = mean.limit_denominator(1_000_000)
    return dataclasses.replace(told, frame_rate=(limited.numerator, limited.denominator)), (
        written.size
    )


def _priors(codec: "VideoCodec", info: "VideoInfo", expected: int | None) -> "Priors":
    """Return the coding priors, where the video is known to be short enough for them."""
    from vqcodec.files.frames import MAX_CODED
    from vqcodec.files.videostream import fitting
    from vqcodec.framepriors import find_frame_priors

    if expected is None:
        return ()
    cells = sum(math.prod(spec.shape((1, *info.coded_size[1:]))) for spec in codec.maps)
    if cells * expected > MAX_CODED:
        return ()
    found = find_frame_priors(codec.weights.name, codec.weights.codebook_id)
    return fitting(found, codec.codebook_sizes)


def _array(
    codec: "VideoCodec",
    job: Job,
    reader: "VideoReader",
    own: Encoding,
    container: Container,
    bar: Move | None,
) -> "tuple[VideoInfo, int]":
    """Write an .npz."""
    from vqcodec.errors import MediaError

    told = _moved(bar, reader.expected)
    expected = reader.expected or 1
    try:
        codes = codec.encode_reader(
            reader,
            scale=own.scale or 1.0,
            rate_weight=_weight(codec, own),
            report=lambda done: told(round(done * expected)),
        )
    except MediaError as error:
        prefix = "" if str(error).startswith(reader.name) else f"{reader.name}: "
        raise MediaError(f"{prefix}{error}") from None
    data = codes.to_bytes(container.suffix, prior=container.prior)
    with opened(job, force=container.force) as file:
        file.write(data)
    return codes.video, len(data)


def _facts(
    codec: "VideoCodec", job: Job, media: "VideoInfo", size: int, seconds: float
) -> dict[str, Any]:
    from vqcodec.files.contents import seconds_of

    frames, height, width = media.size
    duration = seconds_of(media)
    shapes = [spec.shape(media.coded_size) for spec in codec.maps]
    facts = {
        "input": str(job.source),
        "output": str(job.target),
        "width": width,
        "height": height,
        "frames": frames,
        "duration": round(duration, 4),
        "frames_per_second": round(frames / duration, 3),
        "indices": sum(map(math.prod, shapes)),
        "bytes": size,
        "bits_per_second": round(8 * size / duration, 1),
        "bpp": round(8 * size / (frames * height * width), 4),
        "ratio": round(3 * frames * height * width / size, 2),
        "seconds": round(seconds, 4),
        "speed": round(frames / seconds, 2),
    }
    if job.source.is_file():
        facts["input_bytes"] = job.source.stat().st_size
    return facts


def _sentence(facts: dict[str, Any]) -> str:
    many = "1 frame" if facts["frames"] == 1 else f"{facts['frames']:,} frames"
    text = (
        f"{facts['input']} -> {facts['output']}: {many} of {facts['width']}×{facts['height']} "
        f"pixels, {facts['duration']:.2f} s, {facts['indices']:,} indices, {facts['bytes']:,} "
        f"bytes ({rounded(facts['ratio'])} times smaller than its pixels), "
        f"{facts['bits_per_second'] / 1000:,.1f} kbit/s, coded at {rounded(facts['speed'])} fps"
    )
    if "psnr" in facts:
        psnr = facts["psnr"]
        text += ", without loss" if psnr is None else f", PSNR {psnr:.2f} dB"
    return "; ".join([text, *facts.get("notes", ())])


def _verify(codec: "VideoCodec", job: Job) -> float | None:
    """Return the mean PSNR of the frames of a file that was written; None if nothing was lost."""
    from vqcodec.files.codes import open_codes
    from vqcodec.media.video import open_video
    from vqcodec.metrics.basic import psnr

    values = []
    with open_video(job.source) as reader, open_codes(job.target) as source:
        for frame, decoded in zip(reader.frames(), codec.decoded(source), strict=True):
            values.append(psnr(frame.pixels, decoded.pixels))
    mean = sum(values) / len(values)
    return round(mean, 3) if math.isfinite(mean) else None
