"""`vqcodec inspect`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vqcodec.cli import console, options
from vqcodec.cli.console import Move, progress_bar
from vqcodec.cli.handlers.base import Codecs, Handler, Loading, handler_of
from vqcodec.cli.jobs import STREAM, Job, opened, read_stdin
from vqcodec.cli.messages import printable, require
from vqcodec.cli.outcome import Outcome, check_there, left_to_do
from vqcodec.errors import MediaError, OutputError, UsageError
from vqcodec.files import npz, vqc
from vqcodec.files.codes import Codes, read_limited
from vqcodec.modality import HEAD, IMAGE, Modality, by_axes, by_name, sniff
from vqcodec.weights import find_weights

if TYPE_CHECKING:
    from vqcodec.figures.canvas import Page

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
            f"{options.DEFAULT_WEIGHTS}]"
        ),
    ] = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw what a model does to a file, or what it has learned."""
    inputs = inputs or []
    alone = len(inputs) == 1 and not inputs[0].is_dir() and inputs[0].suffix.lower() != ".tar"
    if codes is not None:
        if codes not in SEPARATORS:
            raise UsageError(f"no format '{codes}' of codes; there are: {', '.join(SEPARATORS)}")
        if output is not None or not alone:
            raise UsageError("--codes prints those of one picture or code file, and draws nothing")
        _print(_codes(inputs[0], _Codecs(model, device, precision)), SEPARATORS[codes])
        return
    options.check_exist([path for path in inputs if path != STREAM])
    kind = IMAGE if alone or not inputs else options.modality_of(inputs, [])
    learned = model or kind.weights
    if model is not None or not alone:
        find_weights(learned)  # or an error before any work
    job, form = _job(inputs, output, learned, alone)
    outcome = Outcome([job], "drawn", as_json=False)
    check = check_there if alone else None
    left_to_do([job], outcome, force=force, skip=False, check=check)
    require("matplotlib")
    with progress_bar("coding") as bar:
        if alone:
            page, said = _explain(job.source, _Codecs(model, device, precision), bar)
        else:
            page, said = _learned(inputs, Loading(learned, device, precision), bar)
    with opened(job, force=force) as file:
        page.write(file, form)
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


class _Codecs:
    """Loads the codec for a file: by the name that the user told, or the file, or for its kind."""

    def __init__(self, model: str | None, device: str, precision: str) -> None:
        self._model, self._codecs = model, Codecs(model, device, precision)

    def of_codes(self, codes: Codes) -> tuple[Handler, Any]:
        """Return the handler of codes, and the codec that can decode them."""
        modality = by_axes(codes.axes)
        return handler_of(modality), self._codecs.get(modality, codes.model)

    def of_media(self, modality: Modality) -> tuple[Handler, Any]:
        """Return the handler of media, and the codec to encode them with."""
        return handler_of(modality), self._codecs.get(modality, modality.weights)


def _read(source: Path) -> "tuple[Codes, None] | tuple[Modality, Any]":
    """Return codes, or what kind of media there is, and it."""
    name = "standard input" if source == STREAM else str(source)
    data = read_stdin() if source == STREAM else read_limited(source)
    if data.startswith((vqc.MAGIC, npz.MAGIC)):
        return Codes.from_bytes(data, name), None
    modality = sniff(data[:HEAD], source.suffix)
    return modality, handler_of(modality).read(data, name)


def _codes(source: Path, codecs: _Codecs) -> Codes:
    """Return what a code file holds, without torch, or what a picture or recording becomes."""
    found, media = _read(source)
    if isinstance(found, Codes):
        return found
    with progress_bar("encoding") as bar:
        _, codec = codecs.of_media(found)
        codes: Codes = codec.encode(media, report=bar)
        return codes


def _print(codes: Codes, separator: str) -> None:
    """Print every map, an empty line between two."""
    for number, (grid, size) in enumerate(zip(codes.grids, codes.codebook_sizes, strict=True)):
        if number:
            sys.stdout.write("\n")
        width = len(str(size - 1)) if separator == " " else 0
        for row in grid.reshape(-1, grid.shape[-1]).tolist():
            sys.stdout.write(separator.join(f"{index:{width}}" for index in row) + "\n")


def _explain(source: Path, codecs: _Codecs, bar: Move) -> tuple["Page", str]:
    """Draw a picture or recording and what becomes of it, or what a code file stands for."""
    name = "standard input" if source == STREAM else printable(source.name)
    found, media = _read(source)
    if isinstance(found, Codes):
        handler, codec = codecs.of_codes(found)
        return handler.draw(codec, name, found, None, bar)
    handler, codec = codecs.of_media(found)
    codes = codec.encode(media, report=lambda done: bar(done / 2))
    return handler.draw(codec, name, codes, media, lambda done: bar((1 + done) / 2))


def _learned(inputs: list[Path], loading: Loading, bar: Move) -> tuple["Page", str]:
    """Draw the codebook of a model, and its use over what is in `inputs`, if anything."""
    from vqcodec.data.sources import find_sources

    modality = by_name(find_weights(loading.model).modality)
    handler = handler_of(modality)
    sources = find_sources(inputs, modality) if inputs else []
    codec = loading.codec(modality)
    sizes = codec.codebook_sizes
    if not sources:
        return handler.draw_model(codec, [], 0), " + ".join(f"{size:,} codes" for size in sizes)
    import numpy as np

    counts = [np.zeros(size, np.intp) for size in sizes]
    read = 0
    for number, source in enumerate(sources, 1):
        try:
            codes = handler.code(codec, source)
        except MediaError as error:
            console.note(f"vqcodec: left out: {error}")
            continue
        for own, grid in zip(counts, codes.grids, strict=True):
            own[:] += np.bincount(grid.ravel(), minlength=len(own))
        read += 1
        bar(number / len(sources))
    if not read:
        raise MediaError(f"{', '.join(map(str, inputs))}: not one {modality.file} can be read")
    used = [f"{len(own):,} codes, {int((own > 0).sum()):,} of them used" for own in counts]
    return handler.draw_model(
        codec, counts, read
    ), f"{'; '.join(used)} by {read:,} {modality.file}s"
