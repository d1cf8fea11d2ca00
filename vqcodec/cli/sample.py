"""`vqcodec sample` and `vqcodec complete`."""

import io
from pathlib import Path
from typing import Annotated, Any

import typer

from vqcodec.cli import options
from vqcodec.cli.console import progress_bar
from vqcodec.cli.handlers.base import Loading, deal, handler_of, handlers
from vqcodec.cli.jobs import STREAM, Job, opened, plan, read_stdin
from vqcodec.cli.outcome import Outcome, left_to_do
from vqcodec.codec.sampling import SamplingParams
from vqcodec.errors import UsageError
from vqcodec.modality import IMAGE, by_name
from vqcodec.weights import find_weights

Model = Annotated[
    str,
    typer.Option(
        help="Weights with a sampling prior, or with a coding prior of several maps: a name, or a "
        "folder of weights."
    ),
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
ClassName = Annotated[
    str | None,
    typer.Option(
        "--class",
        metavar="NAME",
        help="Of pictures: of which class, where the prior was trained with --classes. "
        "[default: of any]",
    ),
]


def sample(
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            help="Picture, sound or video to write (format by suffix), - for stdout.",
        ),
    ],
    model: Model = IMAGE.weights,
    number: Annotated[
        int | None,
        typer.Option(
            "-n", "--number", min=1, max=10000, help="Pictures to draw, 1 to 10000. [default: 16]"
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            help="Width and height of each in pixels, such as 192x128. [default: 128x128; of "
            "frames as in training]"
        ),
    ] = None,
    class_name: ClassName = None,
    frames: options.Frames = None,
    actions: options.Actions = None,
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
    quiet: options.Quiet = False,
) -> None:
    """Draw new pictures, babble, or frames of video.

    They come from the model's prior, the maps of a model of several coarse to fine; pictures are
    laid out side by side in one.
    """
    modality = by_name(find_weights(model).draws)
    own: dict[str, Any] = {"number": number, "size": size, "seconds": seconds, "speaker": speaker}
    own |= {"class_name": class_name}
    own |= {"frames": frames, "actions": actions}
    own |= {"decoder": decoder, "without_codes": without_codes}
    takers = {handler.modality: handler.sampling for handler in handlers()}
    but = f"{model} draws {modality.codes}"
    dealt = deal(own, takers, [modality], lambda kind: kind.codes, but)
    job = Job(output, output)
    loading, draw = Loading(model, device, precision), SamplingParams(seed, temperature, top_k)
    sample_job = handler_of(modality).sample(loading, job, dealt[modality], draw, force)
    outcome = Outcome([job], "drawn", as_json=as_json)
    if left_to_do([job], outcome, force=force, skip=False, check=None):
        with progress_bar("sampling") as bar:
            found = sample_job(bar)
        outcome.done(*found)
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
    class_name: ClassName = None,
    model: Model = IMAGE.weights,
    temperature: Temperature = 1.0,
    top_k: TopK = 0,
    seed: Seed = 0,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw the lower part of a picture anew.

    The codes of its upper part are kept.
    """
    from vqcodec.media.image import Image, format_of_suffix

    if picture.is_dir():
        raise UsageError(f"{picture}: is a folder; name a picture")
    jobs = plan([picture], output, lambda p, *_: p.with_suffix(".completed.png"), Path.is_file)
    loading = Loading(model, device, precision)
    loading.check(IMAGE)
    params = SamplingParams(seed, temperature, top_k)
    outcome = Outcome(jobs, "completed", as_json=as_json)
    for job in left_to_do(jobs, outcome, force=force, skip=False):
        suffix = IMAGE.suffix if job.target == STREAM else job.target.suffix
        kind = format_of_suffix(suffix, str(job.target))
        from vqcodec.sampling.image import Sampler

        with outcome.catching(job):
            if job.source == STREAM:
                image = Image.open(io.BytesIO(read_stdin()), "standard input")
            else:
                image = Image.open(job.source)
            sampler = Sampler(loading.codec(IMAGE))
            with progress_bar("sampling") as bar:
                completed = sampler.complete(image, keep, params, class_name=class_name, report=bar)
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
