"""Sound for `vqcodec encode` and `vqcodec decode`."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vqcodec.cli.jobs import STREAM, Job, Outcome, opened, progress_bar

if TYPE_CHECKING:
    from vqcodec.files.codes import Codes
    from vqcodec.files.contents import MediaInfo
    from vqcodec.files.stream import StreamFrames
    from vqcodec.media.soundfiles import SoundReader
    from vqcodec.media.soundformats import Samples
    from vqcodec.speech import SpeechCodec

Move = Callable[[float, str], None]  # of a progress bar: the fraction done, and a note


def is_sound_file(path: Path) -> bool:
    """Tell by its first bytes, or else its suffix, whether a file should be sound."""
    from vqcodec.media.soundformats import is_sound

    head = b""
    if path.is_file():  # a pipe must not be read twice
        with contextlib.suppress(OSError), path.open("rb") as file:
            head = file.read(12)
    return is_sound(head, path.suffix)


@dataclass(frozen=True)
class Wanted:
    """How sound is to be encoded.

    Attributes:
        suffix: ``.npz``, ``.vqc``, or None: a stream from standard input to standard output, else
            ``.npz``.
        mono: mix all channels down to one.
        prior: see `Codes.to_bytes`.
        force: overwrite.
    """

    suffix: str | None
    mono: bool
    prior: bool
    force: bool


def encode_sounds(
    codec: "SpeechCodec",
    jobs: list[Job],
    outcome: Outcome,
    wanted: Wanted,
    stdin: BinaryIO | None,
) -> None:
    """Encode every job; `stdin` is standard input, if it is among them."""
    with progress_bar("encoding") as bar:
        for count, job in enumerate(jobs, 1):
            with outcome.catching(job):
                source = stdin if job.source == STREAM else job.source
                assert source is not None
                name = "standard input" if job.source == STREAM else str(job.source)
                facts = _encode(codec, job, source, name, wanted, bar if len(jobs) == 1 else None)
                outcome.done(facts, _encoded(facts))
            if len(jobs) > 1:
                bar(count / len(jobs), "")


def _encode(
    codec: "SpeechCodec",
    job: Job,
    source: Path | BinaryIO,
    name: str,
    wanted: Wanted,
    bar: Move | None,
) -> dict[str, Any]:
    """Encode one sound file and return the facts about it."""
    from vqcodec.media.soundfiles import open_sound

    with open_sound(source, name) as sound:
        channels, rate = 1 if wanted.mono else sound.channels, sound.sample_rate
        blocks = _read(sound, wanted.mono, bar)
        start = time.perf_counter()
        if job.source == STREAM == job.target and wanted.suffix != ".npz":
            with opened(job, force=wanted.force) as file:
                media, size = codec.encode_stream(blocks, channels, rate, file)
            seconds = time.perf_counter() - start
        else:
            codes = codec.encode_blocks(blocks, channels, rate)
            seconds = time.perf_counter() - start
            media, data = codes.media, codes.to_bytes(wanted.suffix or ".npz", prior=wanted.prior)
            size = len(data)
            with opened(job, force=wanted.force) as file:
                file.write(data)
        facts = _facts(job, media, rate, seconds)
        facts["indices"] = channels * -(-media.coded_size[1] // codec.stride)
        facts["bytes"] = size
        facts["bits_per_second"] = round(8 * size * rate / media.size[1], 1)
        if job.source.is_file():
            facts["input_bytes"] = job.source.stat().st_size
        if sound.notes:
            facts["notes"] = list(sound.notes)
    return facts


def _read(sound: "SoundReader", mono: bool, bar: Move | None) -> "Iterator[Samples]":
    """Yield the blocks of a file, and tell how far they are."""
    done, start = 0, time.perf_counter()
    for block in sound.blocks():
        yield block.mean(axis=0, keepdims=True) if mono else block
        done += block.shape[1]
        if bar and sound.frames:
            speed = done / sound.sample_rate / (time.perf_counter() - start)
            bar(done / sound.frames, f"{speed:.1f} × real time")


def decode_sound(
    codec: "SpeechCodec",
    job: Job,
    source: "Codes | StreamFrames",
    suffix: str,
    rate: int | None,
    force: bool,
    bar: Move | None,
) -> tuple[dict[str, Any], str]:
    """Decode one sound and return the facts about it, and a sentence.

    Args:
        codec: with what.
        job: from where to where.
        source: the codes, or their stream.
        suffix: of the format to write where the output has no name.
        rate: samples a second, in Hz; the original's by default.
        force: overwrite.
        bar: moved along.
    """
    from vqcodec.files.contents import Contents
    from vqcodec.media.resample import resampled_length
    from vqcodec.media.soundfiles import SoundWriter
    from vqcodec.media.soundformats import check_suffix

    through = job.target == STREAM
    suffix = check_suffix(suffix if through else job.target.suffix, str(job.target))
    media, start = source.media, time.perf_counter()
    rate = rate or media.sample_rate
    blocks: Iterable[Samples]
    length = None
    if isinstance(source, Contents):
        codec.check(source)
        length = resampled_length(media.size[1], media.sample_rate, rate)
        blocks = _told(codec.decoded(source, sample_rate=rate), length, rate, bar)
    else:
        blocks = codec.decode_stream(source, sample_rate=rate)
    with (
        opened(job, force=force) as file,
        SoundWriter(
            file, suffix, media.size[0], rate, str(job.target), length, seek=not through
        ) as writer,
    ):
        for block in blocks:
            writer.write(block)
    facts = _facts(job, source.media, rate, time.perf_counter() - start)
    return facts, _sentence(facts)


def _told(
    blocks: "Iterable[Samples]", length: int, rate: int, bar: Move | None
) -> "Iterator[Samples]":
    """Yield blocks, and tell how far they are."""
    done, start = 0, time.perf_counter()
    for block in blocks:
        yield block
        done += block.shape[1]
        if bar:
            speed = done / rate / (time.perf_counter() - start)
            bar(done / length, f"{speed:.1f} × real time")


def _facts(job: Job, media: "MediaInfo", rate: int, seconds: float) -> dict[str, Any]:
    duration = media.size[1] / media.sample_rate
    return {
        "input": str(job.source),
        "output": str(job.target),
        "duration": round(duration, 4),
        "channels": media.size[0],
        "sample_rate": rate,
        "seconds": round(seconds, 4),
        "speed": round(duration / seconds, 2),
    }


def _sentence(facts: dict[str, Any]) -> str:
    channels = "1 channel" if facts["channels"] == 1 else f"{facts['channels']} channels"
    return (
        f"{facts['input']} -> {facts['output']}: {facts['duration']:.2f} s of {channels} at "
        f"{facts['sample_rate']:,} Hz, {facts['speed']:.3g} × real time"
    )


def _encoded(facts: dict[str, Any]) -> str:
    text = (
        f"{_sentence(facts)}, {facts['indices']:,} indices, {facts['bytes']:,} bytes, "
        f"{facts['bits_per_second']:,.0f} bit/s"
    )
    if "input_bytes" in facts:
        text += f", {facts['input_bytes'] / facts['bytes']:.3g} times smaller than its file"
    return "; ".join([text, *facts.get("notes", ())])
