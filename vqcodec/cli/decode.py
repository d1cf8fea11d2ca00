"""`vqcodec decode`."""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from vqcodec.cli import console, options
from vqcodec.cli.console import Move
from vqcodec.cli.handlers.base import Codecs, check_suffix, deal, handler_of, handlers
from vqcodec.cli.jobs import STREAM, Job, bytes_of, plan, stdin
from vqcodec.cli.outcome import Facts, Outcome, check_there, each, left_to_do, work_off
from vqcodec.cli.reports import plural
from vqcodec.cli.shards import Samples, holds_tokens
from vqcodec.errors import FormatError, WeightsError
from vqcodec.files.codes import SUFFIXES, Codes, axes_of, open_codes, read_stream
from vqcodec.files.stream import StreamFrames
from vqcodec.files.videoframes import VideoFrames
from vqcodec.files.vqc import is_stream, is_video
from vqcodec.framepriors import needed_prior
from vqcodec.media.soundfiles import peek
from vqcodec.modality import MODALITIES, by_axes

Stream = StreamFrames | VideoFrames


def decode(
    inputs: Annotated[
        list[Path],
        typer.Argument(help="Code files, folders of them, token shards; - for standard input."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Picture, sound or video (format by suffix), folder, or - for stdout.",
        ),
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Suffix of what is written where -o names none; of a video, png writes a folder "
            "of pictures. [default: png, wav, mp4]",
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Of token shards, decode the sample of this key alone.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Weights, a name or a folder. [default: those that the file names]"),
    ] = None,
    levels: Annotated[
        int | None,
        typer.Option(
            help="Of pictures of several index maps, decode the coarsest so many: a preview, from "
            "the first bytes of a .vqc. [default: all]",
            min=1,
        ),
    ] = None,
    partial_files: Annotated[
        bool,
        typer.Option(
            "--partial",
            help="Of a .vqc that was cut short, decode the maps it holds; of a video, the frames.",
        ),
    ] = False,
    rate: Annotated[
        int | None,
        typer.Option(
            help="Samples of sound a second, 1000 to 768000. [default: as many as the original had]"
        ),
    ] = None,
    decoder: options.SpeechDecoder = "fast",
    temperature: options.DrawingTemperature = None,
    seed: options.DrawingSeed = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    engine: options.Engine = "auto",
    skip_existing: options.SkipExisting = False,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Turn code files and shards into pictures, sound, video.

    image.npz becomes image.decoded.png, talk.npz talk.decoded.wav, clip.npz clip.decoded.mp4. A
    stream from standard input is decoded as it comes.
    """
    suffix = _suffix(file_format)
    own = {"rate": rate, "decoder": decoder, "temperature": temperature, "seed": seed}
    takers = {handler.modality: handler.decoding for handler in handlers()}
    deal(own, takers, MODALITIES, lambda _: "", "")  # or an error before any work

    def name(path: Path, to_folder: bool, source: Path) -> Path:
        suffix_there = suffix or _own_suffix(source)
        return path.with_suffix(suffix_there if to_folder else f".decoded{suffix_there}")

    def decode_one(codecs: Codecs, job: Job, source: Codes | Stream, bar: Move | None) -> Facts:
        header = source if isinstance(source, Codes) else source.header
        name = "standard input" if job.source == STREAM else str(job.source)
        if levels is not None:
            if not isinstance(source, Codes):
                raise FormatError(f"{name}: --levels does not go with videos or streams")
            if levels > len(source.grids):
                raise FormatError(f"{name}: --levels is {levels}, it has {_maps(source)}")
            source = source.first(levels)
        try:
            handler = handler_of(by_axes(header.axes))
            holds = f"{name} holds a {handler.modality.file}"
            kinds = [handler.modality]
            dealt = deal(own, takers, kinds, lambda modality: modality.media, holds)
            codec = codecs.get(handler.modality, header.model)
            options = dealt[handler.modality]
            facts = handler.decode_job(codec, job, source, options, suffix, force, bar)
            _tell_missing(source, name)
            return facts
        except (FormatError, WeightsError) as error:
            raise type(error)(f"{name}: {error}") from None

    if key is not None or any(map(holds_tokens, inputs)):
        samples = Samples(inputs, output, key, suffix)
        codecs = Codecs(model, device, precision, engine, None if key is None else 0)
        outcome = Outcome(samples.jobs, "decoded", as_json=as_json)
        jobs = left_to_do(samples.jobs, outcome, force=force, skip=skip_existing, check=None)
        work = samples.work(jobs, partial(decode_one, codecs))
    else:
        jobs = plan(inputs, output, name, lambda path: path.suffix.lower() in SUFFIXES)
        if output is not None and jobs[0].target == output != STREAM:  # the user named a file
            check_suffix(output.suffix, str(output))
        # codes of 250 KB stand for a picture of some five megapixels
        codecs = Codecs(model, device, precision, engine, 16 * bytes_of(jobs))
        outcome = Outcome(jobs, "decoded", as_json=as_json)
        jobs = left_to_do(jobs, outcome, force=force, skip=skip_existing, check=check_codes)
        read = partial(_reading, levels=levels, partial=partial_files)

        def decode_file(job: Job, bar: Move | None) -> Facts:
            with read(job.source) as source:
                return decode_one(codecs, job, source, bar)

        work = each(jobs, decode_file)
    work_off("decoding", len(jobs), work, outcome)
    outcome.close()


def check_codes(path: Path) -> None:
    """Raise FormatError if a file is there that holds no codes, or none is there."""
    if path.is_file() and axes_of(path) is None:
        Codes.load(path)  # says what is wrong
    check_there(path)


def _own_suffix(source: Path) -> str:
    """Return the suffix for what a code file holds, by its header; a picture's if it is none."""
    axes = axes_of(source)
    return next((m.suffix for m in MODALITIES if m.axes == axes), MODALITIES[0].suffix)


def _suffix(file_format: str | None) -> str | None:
    """Return the suffix that ``--format`` means; an unknown one is an error before any work."""
    if file_format is None:
        return None
    suffix = f".{file_format.removeprefix('.').lower()}"
    check_suffix(suffix, "--format")
    return suffix


def _tell_missing(source: Codes | Stream, name: str) -> None:
    """Say that a file was cut short, where it was."""
    if isinstance(source, Codes) and source.missing:
        there = len(source.grids)
        maps, every = "map" if there == 1 else f"{there} maps", there + source.missing
        whole = f"from the coarsest {maps} of {every}"
    elif isinstance(source, VideoFrames) and source.cut:
        whole = f"its first {plural(source.media.size[0], 'frame')}"
    else:
        return
    console.note(f"vqcodec: {name}: cut short, decoded {whole}")


def _maps(codes: Codes) -> str:
    number = len(codes.grids)
    return "one map" if number == 1 else f"{number} maps"


@contextlib.contextmanager
def _reading(source: Path, *, levels: int | None, partial: bool) -> Iterator[Codes | Stream]:
    """Read codes, or the start of a stream: of sound from standard input, or of any video."""
    if source != STREAM:
        with open_codes(source, levels=levels, partial=partial) as codes:
            yield codes
        return
    name = "standard input"
    head, file = peek(stdin())
    try:
        if is_video(head):
            yield VideoFrames.open(file, needed_prior, partial=partial)
        elif is_stream(head):
            yield StreamFrames.open(file)
        else:
            data = read_stream(file, name)
            yield Codes.from_bytes(data, name, levels=levels, partial=partial)
    except FormatError as error:
        prefix = "" if str(error).startswith(name) else f"{name}: "
        raise FormatError(f"{prefix}{error}") from None
