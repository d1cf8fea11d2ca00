"""Sound, or codes of it, to what another speaker says."""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vqcodec.cli.console import Move
from vqcodec.cli.handlers.speech.sound import (
    Rendering,
    facts_of,
    read_blocks,
    suffix_of,
    told,
    write_sound,
)
from vqcodec.cli.jobs import STREAM, Job

if TYPE_CHECKING:
    from vqcodec.codec.convert import Target
    from vqcodec.codec.speech import SpeechCodec
    from vqcodec.files.codes import Codes


@dataclass(frozen=True)
class CodedSource:
    """Sound that comes as codes, and what decodes them."""

    codes: "Codes"
    codec: "SpeechCodec"


def convert_sound(
    codec: "SpeechCodec",
    job: Job,
    source: Path | BinaryIO | CodedSource,
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
        if isinstance(source, CodedSource):
            codes, own = source.codes, source.codec
            own.check(codes)
            (channels, length), rate = codes.media.size, codes.audio.sample_rate
            converted = convert_codes(codec, codes, own, target, drawing=drawing)
            converted = told(converted, length, rate, bar)
        else:
            name = "standard input" if job.source == STREAM else str(job.source)
            sound = open_files.enter_context(open_sound(source, name))
            channels, rate, notes = sound.channels, sound.sample_rate, sound.notes
            blocks = read_blocks(sound, False, bar)
            converted = convert(codec, blocks, channels, rate, target, drawing=drawing)
        frames = write_sound(job, converted, (channels, rate), None, wanted)
    seconds = time.perf_counter() - start
    facts = facts_of(job, (channels, frames), rate, rate, seconds)
    if notes:
        facts["notes"] = list(notes)
    return facts
