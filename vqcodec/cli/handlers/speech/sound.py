"""Sound to code files and back."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from vqcodec.cli.console import Move, rounded
from vqcodec.cli.handlers.base import Container
from vqcodec.cli.handlers.speech.options import Encoding
from vqcodec.cli.jobs import STREAM, Job, opened
from vqcodec.cli.outcome import Facts

if TYPE_CHECKING:
    from vqcodec.codec.sampling import SamplingParams
    from vqcodec.codec.speech import SpeechCodec
    from vqcodec.files.codes import Codes
    from vqcodec.files.stream import StreamFrames
    from vqcodec.media.soundfiles import SoundReader
    from vqcodec.media.soundformats import Samples


def encode_sound(
    codec: "SpeechCodec",
    job: Job,
    own: Encoding,
    container: Container,
    stdin: BinaryIO | None,
    bar: Move | None,
) -> Facts:
    """Encode one sound; see `Handler.encode_jobs`.

    From standard input to standard output it becomes a stream, unless the user asks for an .npz.
    """
    from vqcodec.media.soundfiles import open_sound

    source = stdin if job.source == STREAM else job.source
    assert source is not None
    name = "standard input" if job.source == STREAM else str(job.source)
    packed = container.named and container.suffix == ".npz"
    with open_sound(source, name) as sound:
        channels, rate = 1 if own.mono else sound.channels, sound.sample_rate
        blocks = read_blocks(sound, own.mono, bar)
        start = time.perf_counter()
        if job.source == STREAM == job.target and not packed:
            with opened(job, force=container.force) as file:
                media, size = codec.encode_stream(
                    blocks, channels, rate, file, prior=container.prior
                )
            seconds = time.perf_counter() - start
        else:
            codes = codec.encode_blocks(blocks, channels, rate)
            seconds = time.perf_counter() - start
            media, data = codes.audio, codes.to_bytes(container.suffix, prior=container.prior)
            size = len(data)
            with opened(job, force=container.force) as file:
                file.write(data)
        facts = facts_of(job, media.size, media.sample_rate, rate, seconds)
        cells = -(-media.coded_size[1] // codec.stride)
        facts["indices"] = own.codebooks * channels * cells
        facts["bytes"] = size
        facts["bits_per_second"] = round(8 * size * rate / media.size[1], 1)
        if job.source.is_file():
            facts["input_bytes"] = job.source.stat().st_size
        if sound.notes:
            facts["notes"] = list(sound.notes)
    return facts, _encoded(facts)


def read_blocks(sound: "SoundReader", mono: bool, bar: Move | None) -> "Iterator[Samples]":
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
) -> Facts:
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
        blocks = told(
            codec.decoded(source, sample_rate=rate, drawing=wanted.drawing), length, rate, bar
        )
    else:
        blocks = codec.decode_stream(source, sample_rate=rate, drawing=wanted.drawing)
    write_sound(job, blocks, (media.size[0], rate), length, wanted)
    seconds = time.perf_counter() - start
    facts = facts_of(job, source.media.size, media.sample_rate, rate, seconds)
    return facts, sentence(facts)


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


def told(
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


def facts_of(
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
        f"{facts['sample_rate']:,} Hz, {rounded(facts['speed'])} × real time"
    )


def _encoded(facts: dict[str, Any]) -> str:
    text = (
        f"{sentence(facts)}, {facts['indices']:,} indices, {facts['bytes']:,} bytes, "
        f"{facts['bits_per_second']:,.0f} bit/s"
    )
    if "input_bytes" in facts:
        text += f", {rounded(facts['input_bytes'] / facts['bytes'])} times smaller than its file"
    return "; ".join([text, *facts.get("notes", ())])
