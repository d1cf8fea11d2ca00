"""`vqcodec sample` and `vqcodec complete`."""

import io
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vqcodec.cli import options
from vqcodec.cli.jobs import (
    STREAM,
    Job,
    Outcome,
    left_to_do,
    opened,
    plan,
    progress_bar,
    read_stdin,
)
from vqcodec.errors import UsageError
from vqcodec.weights import find_weights

if TYPE_CHECKING:
    from vqcodec.media.image import Image

GAP = 2  # pixels between the pictures of a grid

Model = Annotated[
    str, typer.Option(help="Weights with a sampling prior: a name, or a folder of weights.")
]
Seed = Annotated[
    int, typer.Option(help="Of the random numbers, 0 or more: the same seed, the same output.")
]
Temperature = Annotated[
    float, typer.Option(help="Above 0; below 1 more likely, plainer ones, above 1 wilder ones.")
]
TopK = Annotated[
    int, typer.Option("--top-k", help="Draw among this many likeliest codes only; 0 for all.")
]


def sample(
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", help="Picture or sound to write (format by suffix), - for stdout."
        ),
    ],
    model: Model = "image-f4",
    number: Annotated[
        int | None,
        typer.Option(
            "-n", "--number", min=1, max=10000, help="Pictures to draw, 1 to 10000. [default: 16]"
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Width and height of each in pixels, such as 192x128. [default: 128x128]"
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(help="Of speech: how long, 0.1 to 3600 seconds. [default: 10]"),
    ] = None,
    speaker: Annotated[
        str | None,
        typer.Option(
            help="Of speech: who speaks, a name that `vqcodec speakers` lists. [default: drawn]"
        ),
    ] = None,
    decoder: options.SpeechDecoder = "fast",
    without_codes: Annotated[
        bool,
        typer.Option(
            "--without-codes",
            help="Of speech: draw from the weights' WaveNet without codes, to compare.",
        ),
    ] = False,
    temperature: Temperature = 1.0,
    top_k: TopK = 0,
    seed: Seed = 0,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Draw from the model's prior: new pictures, side by side in one; or speech without words."""
    if find_weights(model).modality == "audio":
        if number is not None or size is not None:
            raise UsageError(f"--number and --size are for pictures; {model} codes speech")
        from vqcodec.cli.handlers.unconditional import Unconditional, sample_speech

        wanted = Unconditional(seconds, speaker, decoder, without_codes, temperature, top_k, seed)
        sample_speech(output, (model, device, precision), wanted, force=force, as_json=as_json)
        return
    if seconds is not None or speaker is not None:
        raise UsageError(f"--seconds and --speaker are for speech; {model} codes pictures")
    if without_codes or decoder != "fast":
        raise UsageError(f"--without-codes and --decoder are for speech; {model} codes pictures")
    from vqcodec.media.image import check_size, format_of_suffix

    number = 16 if number is None else number
    width, height = _size(size or "128x128")
    columns, rows = _layout(number)
    check_size(rows * (height + GAP), columns * (width + GAP), str(output))
    kind = format_of_suffix(".png" if output == STREAM else output.suffix, str(output))
    jobs = [Job(output, output)]
    outcome = Outcome(jobs, as_json=as_json)
    for job in left_to_do(jobs, outcome, force=force, skip=False):
        from vqcodec.codec.sampling import SamplingParams
        from vqcodec.sampling.image import Sampler

        params = SamplingParams(seed, temperature, top_k)
        sampler = Sampler.load(model, device, precision)
        with outcome.catching(job):
            with progress_bar("sampling") as bar:
                pictures = sampler.sample(number, (height, width), params, report=bar)
            with opened(job, force=force) as file:
                _side_by_side(pictures).write(file, kind, str(output))
            facts = {"output": str(output), "number": number, "width": width, "height": height}
            outcome.done(
                {**facts, "seed": seed},
                f"{output}: {number} of {width}×{height} pixels, seed {seed}",
            )
    outcome.close()


def complete(
    picture: Annotated[Path, typer.Argument(help="Picture to complete; - for standard input.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Picture to write (format by suffix), or - for stdout. "
            "[default: photo.completed.png for photo.jpg]",
        ),
    ] = None,
    keep: Annotated[
        float, typer.Option(help="Share of the picture, from the top, that is kept, 0 to 1.")
    ] = 0.5,
    model: Model = "image-f4",
    temperature: Temperature = 1.0,
    top_k: TopK = 0,
    seed: Seed = 0,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Keep the codes of a picture's upper part and draw the rest anew."""
    from vqcodec.media.image import Image, format_of_suffix

    if picture.is_dir():
        raise UsageError(f"{picture}: is a folder; name a picture")
    jobs = plan([picture], output, lambda p, *_: p.with_suffix(".completed.png"), Path.is_file)
    outcome = Outcome(jobs, as_json=as_json)
    for job in left_to_do(jobs, outcome, force=force, skip=False):
        suffix = ".png" if job.target == STREAM else job.target.suffix
        kind = format_of_suffix(suffix, str(job.target))
        from vqcodec.codec.sampling import SamplingParams
        from vqcodec.sampling.image import Sampler

        params = SamplingParams(seed, temperature, top_k)
        with outcome.catching(job):
            if job.source == STREAM:
                image = Image.open(io.BytesIO(read_stdin()), "standard input")
            else:
                image = Image.open(job.source)
            sampler = Sampler.load(model, device, precision)
            with progress_bar("sampling") as bar:
                completed = sampler.complete(image, keep, params, report=bar)
            with opened(job, force=force) as file:
                completed.write(file, kind, str(job.target))
            height, width = completed.size
            facts = {"input": str(job.source), "output": str(job.target), "seed": seed}
            outcome.done(
                {**facts, "keep": keep, "width": width, "height": height},
                f"{job.source} -> {job.target}: {width}×{height} pixels, upper {keep:.0%} kept, "
                f"seed {seed}",
            )
    outcome.close()


def _size(text: str) -> tuple[int, int]:
    """Return (width, height) of a text such as 192x128."""
    found = re.fullmatch(r"([0-9]{1,6})[x×]([0-9]{1,6})", text)
    if not found:
        raise UsageError(f"--size {text}: write width and height in pixels, such as 192x128")
    return int(found[1]), int(found[2])


def _layout(number: int) -> tuple[int, int]:
    """Return about as many rows as columns: (columns, rows)."""
    columns = math.ceil(math.sqrt(number))
    return columns, math.ceil(number / columns)


def _side_by_side(pictures: "list[Image]") -> "Image":
    """Lay pictures of one size out in rows."""
    import numpy as np

    from vqcodec.media.image import Image

    columns, rows = _layout(len(pictures))
    height, width = pictures[0].size
    shape = (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3)
    pixels = np.full(shape, 255, np.uint8)
    for i, picture in enumerate(pictures):
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        pixels[top : top + height, left : left + width] = picture.pixels
    return Image(pixels)
