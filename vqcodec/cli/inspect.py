"""`vqcodec inspect`."""

import io
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from vqcodec.cli import options
from vqcodec.cli.data import PICTURES, SPEECH, default_model
from vqcodec.cli.jobs import STREAM, Job, Outcome, left_to_do, opened, progress_bar, read_stdin
from vqcodec.errors import MediaError, OutputError, UsageError
from vqcodec.files import npz, vqc
from vqcodec.files.codes import Codes, read_limited

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vqcodec.codec.base import Report
    from vqcodec.data.sources import Source
    from vqcodec.figures.canvas import Page
    from vqcodec.media.audio import Audio
    from vqcodec.media.image import Image

SEPARATORS = {"text": " ", "csv": ","}


def inspect(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="A picture, a recording or a code file to explain (- for standard input); or a "
            "folder, a tar or several pictures or recordings to count the codes of; or nothing, "
            "for a model alone."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Figure (.png, .svg or .pdf), or - for stdout."),
    ] = None,
    codes: Annotated[
        str | None,
        typer.Option(help="Print the map of indices instead, row by row: text or csv."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Weights, a name or a folder. [default: those that the code file names, else "
            f"{PICTURES}; {SPEECH} where there are recordings and no pictures]"
        ),
    ] = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    force: options.Force = False,
) -> None:
    """Draw what VQ-VAE does to a picture or a recording, or what a model has learned."""
    inputs = inputs or []
    alone = len(inputs) == 1 and not inputs[0].is_dir() and inputs[0].suffix.lower() != ".tar"
    if codes is not None:
        if codes not in SEPARATORS:
            raise UsageError(f"no format '{codes}' of codes; there are: {', '.join(SEPARATORS)}")
        if output is not None or not alone:
            raise UsageError("--codes prints those of one picture or code file, and draws nothing")
        _print(_codes(inputs[0], model, device, precision), SEPARATORS[codes])
        return
    learned = model or (PICTURES if alone or not inputs else default_model(inputs))
    job, kind = _job(inputs, output, learned, alone)
    outcome = Outcome([job], as_json=False)
    left_to_do([job], outcome, force=force, skip=False)
    import matplotlib  # noqa: F401  # where it is missing, say so before any work

    with progress_bar("coding") as bar:
        if alone:
            page, said = _explain(job.source, model, device, precision, bar)
        else:
            page, said = _learned(inputs, learned, device, precision, bar)
    with opened(job, force=force) as file:
        page.write(file, kind)
    outcome.done({}, f"{job.source} -> {job.target}: {said}")


def _job(inputs: list[Path], output: Path | None, model: str, alone: bool) -> tuple[Job, str]:
    """Return what to read and what to write, and in which format."""
    from vqcodec.figures.canvas import format_of

    suffix = ".inspect.png"
    source = inputs[0] if alone else Path(Path(model).name)
    if source == STREAM:
        output = output or STREAM
    elif alone:
        output = output or source.with_suffix(suffix)
    else:
        output = output or Path(f"{source}{suffix}")  # names of weights have dots of their own
    if output != STREAM and output.resolve() in {i.resolve() for i in inputs}:
        raise OutputError(f"{output}: is an input as well, and would be overwritten")
    return Job(source, output), "png" if output == STREAM else format_of(output)


def _read(source: Path) -> "Codes | Image | Audio":
    from vqcodec.media.image import Image
    from vqcodec.media.soundformats import is_sound

    name = "standard input" if source == STREAM else str(source)
    data = read_stdin() if source == STREAM else read_limited(source)
    if data.startswith((vqc.MAGIC, npz.MAGIC)):
        return Codes.from_bytes(data, name)
    if is_sound(data[:12], source.suffix):
        from vqcodec.media.audio import Audio

        return Audio.open(io.BytesIO(data), name)
    return Image.open(io.BytesIO(data), name)


def _codes(source: Path, model: str | None, device: str, precision: str) -> Codes:
    """Return what a code file holds, without torch, or what a picture or recording becomes."""
    found = _read(source)
    if isinstance(found, Codes):
        return found
    from vqcodec.codec.image import Codec
    from vqcodec.media.image import Image

    with progress_bar("encoding") as bar:
        if not isinstance(found, Image):
            from vqcodec.codec.speech import SpeechCodec

            codec = SpeechCodec.load(model or SPEECH, device, precision)
            return codec.encode(found, report=bar)
        return Codec.load(model or PICTURES, device, precision).encode(found, report=bar)


def _print(codes: Codes, separator: str) -> None:
    """Print every map, an empty line between two."""
    for number, (grid, size) in enumerate(zip(codes.grids, codes.codebook_sizes, strict=True)):
        if number:
            sys.stdout.write("\n")
        width = len(str(size - 1)) if separator == " " else 0
        for row in grid.reshape(-1, grid.shape[-1]).tolist():
            sys.stdout.write(separator.join(f"{index:{width}}" for index in row) + "\n")


def _explain(
    source: Path, model: str | None, device: str, precision: str, report: "Report"
) -> tuple["Page", str]:
    """Draw a picture or recording and what becomes of it, or what a code file stands for."""
    found = _read(source)
    from vqcodec.codec.image import Codec
    from vqcodec.figures.image import Coded, draw_picture
    from vqcodec.media.audio import Audio

    name = "standard input" if source == STREAM else source.name
    if isinstance(found, Audio) or (isinstance(found, Codes) and found.axes == "ct"):
        return _explain_sound(found, name, model, device, precision, report)
    if isinstance(found, Codes):
        codec = (
            Codec.load(model, device, precision)
            if model
            else Codec.load_named(found.model, device, precision)
        )
        coded = Coded(name, found, codec.decode(found, report=report))
    else:
        codec = Codec.load(model or PICTURES, device, precision)
        codes = codec.encode(found, report=lambda done: report(done / 2))
        decoded = codec.decode(codes, report=lambda done: report((1 + done) / 2))
        coded = Coded(name, codes, decoded, found)
    return draw_picture(codec, coded), coded.summary()


def _explain_sound(
    found: "Codes | Audio",
    name: str,
    model: str | None,
    device: str,
    precision: str,
    report: "Report",
) -> tuple["Page", str]:
    from vqcodec.codec.speech import SpeechCodec
    from vqcodec.figures.speech import CodedSound, draw_sound

    if isinstance(found, Codes):
        codec = (
            SpeechCodec.load(model, device, precision)
            if model
            else SpeechCodec.load_named(found.model, device, precision)
        )
        coded = CodedSound.of(codec, name, found, None)
    else:
        codec = SpeechCodec.load(model or SPEECH, device, precision)
        coded = CodedSound.of(codec, name, codec.encode(found, report=report), found)
    return draw_sound(codec, coded), coded.summary()


class _Learner(NamedTuple):
    """A model whose codes are counted.

    Attributes:
        what: it codes, in a word.
        sizes: how many codes each of its maps has.
        code: codes a file.
        draw: draws the model, and how often each code occurs in a number of files.
    """

    what: str
    sizes: tuple[int, ...]
    code: "Callable[[Source], Codes]"
    draw: "Callable[[list[NDArray[np.intp]], int], Page]"


def _of_pictures(model: str, device: str, precision: str) -> _Learner:
    from vqcodec.codec.image import Codec
    from vqcodec.figures.image import draw_model
    from vqcodec.media.image import Image

    codec = Codec.load(model, device, precision)

    def code(source: "Source") -> Codes:
        return codec.encode(Image.open(io.BytesIO(source.read()), source.name))

    return _Learner("picture", codec.codebook_sizes, code, partial(draw_model, codec))


def _of_speech(model: str, device: str, precision: str) -> _Learner:
    from vqcodec.codec.speech import SpeechCodec
    from vqcodec.figures.speechcodebook import draw_model
    from vqcodec.media.soundfiles import open_sound

    codec = SpeechCodec.load(model, device, precision)

    def code(source: "Source") -> Codes:
        with open_sound(io.BytesIO(source.read()), source.name) as sound:
            return codec.encode_blocks(sound.blocks(), sound.channels, sound.sample_rate)

    return _Learner("recording", codec.codebook_sizes, code, partial(draw_model, codec))


def _learned(
    inputs: list[Path], model: str, device: str, precision: str, report: "Report"
) -> tuple["Page", str]:
    """Draw the codebook of a model, and its use over what is in `inputs`, if anything."""
    from vqcodec.data.sources import find_sources
    from vqcodec.weights import find_weights

    modality = find_weights(model).modality
    sources = find_sources(inputs, modality) if inputs else []
    of = _of_speech if modality == "audio" else _of_pictures
    learner = of(model, device, precision)
    if not sources:
        return learner.draw([], 0), " + ".join(f"{size:,} codes" for size in learner.sizes)
    import numpy as np

    counts = [np.zeros(size, np.intp) for size in learner.sizes]
    read = 0
    for number, source in enumerate(sources, 1):
        try:
            codes = learner.code(source)
        except MediaError as error:
            typer.echo(f"vqcodec: left out: {error}", err=True)
            continue
        for own, grid in zip(counts, codes.grids, strict=True):
            own[:] += np.bincount(grid.ravel(), minlength=len(own))
        read += 1
        report(number / len(sources))
    if not read:
        raise MediaError(f"{', '.join(map(str, inputs))}: not one {learner.what} can be read")
    used = [f"{len(own):,} codes, {int((own > 0).sum()):,} of them used" for own in counts]
    return learner.draw(counts, read), f"{'; '.join(used)} by {read:,} {learner.what}s"
