"""`vqcodec imagine`."""

from pathlib import Path
from typing import Annotated

import typer

from vqcodec.cli import options
from vqcodec.cli.console import progress_bar
from vqcodec.cli.handlers.base import Loading
from vqcodec.cli.handlers.video.imagine import imagine_video, parse_actions
from vqcodec.cli.handlers.video.options import WORLD
from vqcodec.cli.jobs import plan
from vqcodec.cli.outcome import Outcome, left_to_do
from vqcodec.cli.sample import Seed, Temperature, TopK
from vqcodec.codec.sampling import SamplingParams
from vqcodec.errors import UsageError
from vqcodec.modality import VIDEO

Model = Annotated[
    str, typer.Option(help="Weights with a prior of successive frames: a name, or a folder.")
]


def imagine(
    clip: Annotated[Path, typer.Argument(help="Video to go on from; - for standard input.")],
    frames: options.Frames = None,
    given: Annotated[
        int,
        typer.Option(min=1, max=1000, help="Frames of the video that are looked at, 1 to 1000."),
    ] = 6,
    actions: options.Actions = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Video to write (format by suffix), or - for stdout. "
            "[default: clip.imagined.mp4 for clip.mp4]",
        ),
    ] = None,
    model: Model = WORLD,
    temperature: Temperature = 1.0,
    top_k: TopK = 0,
    seed: Seed = 0,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Imagine how a video goes on.

    Its first frames are given; those after them are drawn one by one, each as its action has it.
    What is written begins with the given ones, as their codes tell them.
    """
    if clip.is_dir():
        raise UsageError(f"{clip}: is a folder; name a video")
    led = parse_actions(actions, frames)
    loading = Loading(model, device, precision)
    loading.check(VIDEO)
    draw = SamplingParams(seed, temperature, top_k)
    jobs = plan([clip], output, lambda p, *_: p.with_suffix(".imagined.mp4"), Path.is_file)
    outcome = Outcome(jobs, "imagined", as_json=as_json)
    for job in left_to_do(jobs, outcome, force=force, skip=False):
        work = imagine_video(loading, job, given, led, draw, force)
        with outcome.catching(job), progress_bar("imagining") as bar:
            outcome.done(*work(bar))
    outcome.close()
