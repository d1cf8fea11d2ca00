"""`vqcodec decode`."""

import time
from pathlib import Path
from typing import Annotated

import typer

from vqcodec.cli import options
from vqcodec.cli.jobs import STREAM, Outcome, left_to_do, opened, plan, progress_bar, read_stdin
from vqcodec.errors import FormatError, WeightsError
from vqcodec.files.codes import SUFFIXES, Codes


def decode(
    inputs: Annotated[
        list[Path], typer.Argument(help="Code files or folders of them; - for standard input.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Picture (format by suffix), folder, or - for stdout."),
    ] = None,
    file_format: Annotated[
        str, typer.Option("--format", help="Suffix of pictures where -o names none.")
    ] = "png",
    model: Annotated[
        str | None,
        typer.Option(help="Weights, a name or a folder. [default: those that the file names]"),
    ] = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    skip_existing: options.SkipExisting = False,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Turn code files into pictures: image.npz becomes image.decoded.png."""
    from vqcodec.media.image import format_of_suffix

    suffix = f".{file_format.removeprefix('.')}"
    format_of_suffix(suffix, "--format")  # an unknown one is an error before any work

    def name(path: Path, to_folder: bool) -> Path:
        return path.with_suffix(suffix if to_folder else f".decoded{suffix}")

    jobs = plan(inputs, output, name, lambda path: path.suffix.lower() in SUFFIXES)
    outcome = Outcome(jobs, as_json=as_json)
    jobs = left_to_do(jobs, outcome, force=force, skip=skip_existing)
    if jobs:
        from vqcodec.codec import Codec

        codecs: dict[str, Codec] = {}
        with progress_bar("decoding") as bar:
            for count, job in enumerate(jobs, 1):
                with outcome.catching(job):
                    kind = format_of_suffix(
                        suffix if job.target == STREAM else job.target.suffix, str(job.target)
                    )
                    codes = _read(job.source)
                    wanted = model or codes.model
                    try:
                        if wanted not in codecs:
                            load = Codec.load if model else Codec.load_named
                            codecs[wanted] = load(wanted, device, precision)
                        start = time.perf_counter()
                        image = codecs[wanted].decode(codes, report=bar if len(jobs) == 1 else None)
                        seconds = time.perf_counter() - start
                    except (FormatError, WeightsError) as error:
                        raise type(error)(f"{job.source}: {error}") from None
                    with opened(job, force=force) as file:
                        image.write(file, kind, str(job.target))
                    height, width = image.size
                    facts = {
                        "input": str(job.source),
                        "output": str(job.target),
                        "width": width,
                        "height": height,
                        "seconds": round(seconds, 4),
                    }
                    sentence = f"{job.source} -> {job.target}: {width}×{height} pixels"
                    outcome.done(facts, sentence)
                if len(jobs) > 1:
                    bar(count / len(jobs))
    outcome.close()


def _read(source: Path) -> Codes:
    if source == STREAM:
        return Codes.from_bytes(read_stdin(), "standard input")
    return Codes.load(source)
