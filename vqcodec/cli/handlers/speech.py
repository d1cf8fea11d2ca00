"""Sound for `vqcodec encode`, `vqcodec decode` and `vqcodec convert-voice`."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vqcodec.cli.jobs import STREAM, Job, Outcome, opened, progress_bar

if TYPE_CHECKING:
    from vqcodec.codec.convert import Target
    from vqcodec.codec.sampling import SamplingParams
    from vqcodec.codec.speech import SpeechCodec
    from vqcodec.files.codes import Codes
    from vqcodec.files.stream import StreamFrames
    from vqcodec.media.soundfiles import SoundReader
    from vqcodec.media.soundformats import Samples

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
            media, data = codes.audio, codes.to_bytes(wanted.suffix or ".npz", prior=wanted.prior)
            size = len(data)
            with opened(job, force=wanted.force) as file:
                file.write(data)
        facts = _facts(job, media.size, media.sample_rate, rate, seconds)
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


@dataclass(frozen=True)
class Rendering:
    """How sound is to be decoded.

    Attributes:
        suffix: of the format to write where the output has no name.
        rate: samples a second, in Hz; the original's by default.
        drawing: how the WaveNet draws it; None for the fast decoder.
        force: overwrite.
        comment: that the file carries.
    """

    suffix: str
    rate: int | None
    drawing: "SamplingParams | None"
    force: bool
    comment: str = ""


def decode_sound(
    codec: "SpeechCodec",
    job: Job,
    source: "Codes | StreamFrames",
    wanted: Rendering,
    bar: Move | None,
) -> tuple[dict[str, Any], str]:
    """Decode one sound and return the facts about it, and a sentence.

    Args:
        codec: with what.
        job: from where to where.
        source: the codes, or their stream.
        wanted: how.
        bar: moved along.
    """
    from vqcodec.files.contents import Contents
    from vqcodec.media.resample import resampled_length

    suffix_of(job, wanted)
    media = source.audio if isinstance(source, Contents) else source.media
    start = time.perf_counter()
    rate = wanted.rate or media.sample_rate
    blocks: Iterable[Samples]
    length = None
    if isinstance(source, Contents):
        codec.check(source, rate, wanted.drawing)
        length = resampled_length(media.size[1], media.sample_rate, rate)
        blocks = _told(
            codec.decoded(source, sample_rate=rate, drawing=wanted.drawing), length, rate, bar
        )
    else:
        blocks = codec.decode_stream(source, sample_rate=rate, drawing=wanted.drawing)
    write_sound(job, blocks, (media.size[0], rate), length, wanted)
    seconds = time.perf_counter() - start
    facts = _facts(job, source.media.size, media.sample_rate, rate, seconds)
    return facts, sentence(facts)


@dataclass(frozen=True)
class Coded:
    """Sound that comes as codes, and what decodes them."""

    codes: "Codes"
    codec: "SpeechCodec"


def convert_sound(
    codec: "SpeechCodec",
    job: Job,
    source: Path | BinaryIO | Coded,
    target: "Target",
    wanted: Rendering,
    bar: Move | None,
) -> dict[str, Any]:
    """Let another speaker say what is in one sound, and return the facts about it.

    Args:
        codec: with what.
        job: from where to where.
        source: a sound file, its stream, or codes; these may be of other weights than `codec`.
        target: who shall speak.
        wanted: how; its rate is left alone.
        bar: moved along.
    """
    from vqcodec.codec.convert import convert, convert_codes
    from vqcodec.media.soundfiles import open_sound

    suffix_of(job, wanted)
    start = time.perf_counter()
    with contextlib.ExitStack() as open_files:
        notes: tuple[str, ...] = ()
        drawing = wanted.drawing
        if isinstance(source, Coded):
            codes, own = source.codes, source.codec
            own.check(codes)
            (channels, length), rate = codes.media.size, codes.audio.sample_rate
            converted = convert_codes(codec, codes, own, target, drawing=drawing)
            converted = _told(converted, length, rate, bar)
        else:
            name = "standard input" if job.source == STREAM else str(job.source)
            sound = open_files.enter_context(open_sound(source, name))
            channels, rate, notes = sound.channels, sound.sample_rate, sound.notes
            blocks = _read(sound, False, bar)
            converted = convert(codec, blocks, channels, rate, target, drawing=drawing)
        frames = write_sound(job, converted, (channels, rate), None, wanted)
    seconds = time.perf_counter() - start
    facts = _facts(job, (channels, frames), rate, rate, seconds)
    if notes:
        facts["notes"] = list(notes)
    return facts


def suffix_of(job: Job, wanted: Rendering) -> str:
    """Return the suffix of the format to write; raise UsageError if there is no such format."""
    from vqcodec.media.soundformats import check_suffix

    suffix = wanted.suffix if job.target == STREAM else job.target.suffix
    return check_suffix(suffix, str(job.target))


def write_sound(
    job: Job,
    blocks: "Iterable[Samples]",
    form: tuple[int, int],
    length: int | None,
    wanted: Rendering,
) -> int:
    """Write sound of (channels, rate in Hz), `length` samples if known, and return how many."""
    from vqcodec.media.soundfiles import SoundWriter

    name, seek, total = str(job.target), job.target != STREAM, 0
    with (
        opened(job, force=wanted.force) as file,
        SoundWriter(
            file, suffix_of(job, wanted), *form, name, length, seek=seek, comment=wanted.comment
        ) as writer,
    ):
        for block in blocks:
            writer.write(block)
            total += block.shape[1]
    return total


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


def _facts(
    job: Job, size: tuple[int, ...], own_rate: int, rate: int, seconds: float
) -> dict[str, Any]:
    """Return what there is to say of sound of `size` at its own rate, heard at another."""
    duration = size[1] / own_rate
    return {
        "input": str(job.source),
        "output": str(job.target),
        "duration": round(duration, 4),
        "channels": size[0],
        "sample_rate": rate,
        "seconds": round(seconds, 4),
        "speed": round(duration / seconds, 2),
    }


def sentence(facts: dict[str, Any]) -> str:
    """Say in words what `decode_sound` and `convert_sound` tell."""
    channels = "1 channel" if facts["channels"] == 1 else f"{facts['channels']} channels"
    return (
        f"{facts['input']} -> {facts['output']}: {facts['duration']:.2f} s of {channels} at "
        f"{facts['sample_rate']:,} Hz, {facts['speed']:.3g} × real time"
    )


def _encoded(facts: dict[str, Any]) -> str:
    text = (
        f"{sentence(facts)}, {facts['indices']:,} indices, {facts['bytes']:,} bytes, "
        f"{facts['bits_per_second']:,.0f} bit/s"
    )
    if "input_bytes" in facts:
        text += f", {facts['input_bytes'] / facts['bytes']:.3g} times smaller than its file"
    return "; ".join([text, *facts.get("notes", ())])
