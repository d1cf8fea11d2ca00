"""`vqcodec encode`."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from vqcodec.cli import options
from vqcodec.cli.handlers.base import Container, Loading, deal, handler_of, handlers
from vqcodec.cli.jobs import STREAM, Job, bytes_of, is_folder, plan, stdin
from vqcodec.cli.outcome import Outcome, left_to_do, work_off
from vqcodec.errors import UsageError
from vqcodec.files.codes import suffix_of
from vqcodec.media.soundfiles import peek
from vqcodec.modality import (
    HEAD,
    IMAGE,
    MODALITIES,
    VIDEO,
    Modality,
    readable_suffixes,
    sniff,
    sniff_file,
)

FORMATS = ("npz", "vqc")


def encode(
    inputs: Annotated[
        list[Path],
        typer.Argument(help="Pictures, sounds, videos, folders of them; - for standard input."),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File (.npz or .vqc), folder, or - for stdout."),
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option("--format", help="npz (NumPy arrays) or vqc (few bytes). [default: npz]"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Weights: a name that `vqcodec models` lists, or a folder. "
            f"[default: {options.DEFAULT_WEIGHTS}; {IMAGE.rated} for pictures, and "
            f"{VIDEO.rated} for videos, where a rate is asked for]"
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            help="Code pictures and frames smaller by this factor, above 0 and at most 1. "
            "[default: 1, or what suits a rate with weights made for all]"
        ),
    ] = None,
    quality: Annotated[
        int | None,
        typer.Option(help="1 to 100: less for fewer bytes in a .vqc; 100 leaves the rate alone."),
    ] = None,
    rate_weight: Annotated[
        float | None,
        typer.Option(
            help="Instead of --quality: squared error, in 8-bit levels summed over pixels and "
            "colours, that saving a bit may cost; 0 to 1e9."
        ),
    ] = None,
    target_bytes: Annotated[
        int | None,
        typer.Option(help="Instead of --quality: the .vqc has at most this many bytes."),
    ] = None,
    effort: Annotated[
        int | None,
        typer.Option(
            help="0 to 9: how far to search for better codes than the nearest; each step takes "
            "longer. [default: 0, and 4 where a rate is asked for that takes a search]"
        ),
    ] = None,
    background: Annotated[
        str | None,
        typer.Option(help="Put transparent pictures on this colour, such as white or #rrggbb."),
    ] = None,
    mono: Annotated[
        bool, typer.Option("--mono", help="Mix the channels of sound down to one.")
    ] = False,
    codebooks: Annotated[
        int,
        typer.Option(
            help="Of speech weights that have several, how many to use: more bits, more words."
        ),
    ] = 1,
    video: Annotated[
        bool,
        typer.Option(
            "--video",
            help="Code all frames of an animated GIF, WebP or PNG, not the first alone.",
        ),
    ] = False,
    sound: Annotated[
        bool,
        typer.Option(
            "--sound", help="Code the sound of a video, too, into a file of its own beside."
        ),
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Decode again and print the PSNR, in dB.")
    ] = False,
    prior: options.Prior = True,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    engine: options.Engine = "auto",
    skip_existing: options.SkipExisting = False,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Turn pictures, sound and video into code files.

    image.png becomes image.npz. Sound and video from standard input to standard output are coded
    as they come, into a .vqc stream.
    """
    suffix = _suffix(file_format, output)
    own: dict[str, Any] = {"scale": scale, "quality": quality, "rate_weight": rate_weight}
    own |= {"target_bytes": target_bytes, "effort": effort, "background": background}
    own |= {"verify": verify, "mono": mono, "codebooks": codebooks}
    own |= {"video": video, "sound": sound}
    jobs = plan(inputs, output, lambda p, *_: p.with_suffix(suffix), _is_input)
    stream, kinds = _kinds(jobs, VIDEO if video else None)
    if model is not None and len(kinds) > 1:
        media = " or ".join(modality.media for modality in MODALITIES)
        raise UsageError(f"--model codes {media}; encode them apart")
    takers = {handler.modality: handler.encoding for handler in handlers()}
    but = f"the input is a {next(iter(kinds)).file}"
    dealt = deal(own, takers, kinds, lambda modality: modality.media, but)
    named = file_format is not None or (output is not None and output != STREAM)
    container = Container(suffix, named, prior, force)
    loading = {
        modality: Loading(
            model or handler_of(modality).weights_for(dealt[modality]),
            device,
            precision,
            engine,
            bytes_of(found),
        )
        for modality, found in kinds.items()
    }
    for modality, weights in loading.items():
        weights.check(modality)
    outcome = Outcome(jobs, "encoded", as_json=as_json)
    left = set(left_to_do(jobs, outcome, force=force, skip=skip_existing))
    for modality, found in kinds.items():
        if todo := [job for job in found if job in left]:
            settings = loading[modality], todo, dealt[modality], container, stream
            encode_jobs = partial(handler_of(modality).encode_jobs, *settings)
            work_off("encoding", len(todo), encode_jobs, outcome)
    outcome.close()


def _kinds(
    jobs: list[Job], asked: Modality | None
) -> tuple[BinaryIO | None, dict[Modality, list[Job]]]:
    """Return standard input, if it is a source, and the jobs of each kind of media.

    Args:
        jobs: all of them.
        asked: what all of them are to be taken for.
    """
    stream = None
    kinds: dict[Modality, list[Job]] = {}
    for job in jobs:
        if job.source == STREAM:
            head, stream = peek(stdin(), HEAD)
            modality = asked or sniff(head, "")
        else:
            modality = asked or sniff_file(job.source)
        kinds.setdefault(modality, []).append(job)
    return stream, {modality: kinds[modality] for modality in MODALITIES if modality in kinds}


def _suffix(file_format: str | None, output: Path | None) -> str:
    """Return ``.npz`` or ``.vqc``, by ``--format``, else by the name of the output."""
    if file_format is not None and file_format not in FORMATS:
        raise UsageError(f"no format '{file_format}'; there are: {', '.join(FORMATS)}")
    suffix = f".{file_format}" if file_format else ".npz"
    if output is None or output == STREAM or is_folder(output) or not output.suffix:
        return suffix
    own = suffix_of(output)
    if file_format and own != suffix:
        raise UsageError(f"{output}: its suffix contradicts --format {file_format}")
    return own


def _is_input(path: Path) -> bool:
    return path.suffix.lower() in readable_suffixes()
