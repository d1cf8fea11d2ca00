"""`vqcodec benchmark`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vqcodec.cli import options


def benchmark(
    picture: Annotated[
        Path | None, typer.Argument(help="Picture to code. [default: a synthetic one]")
    ] = None,
    model: Annotated[str, typer.Option(help="Weights, a name or a folder.")] = "image-f4",
    side: Annotated[
        int, typer.Option(min=64, max=8192, help="Side of the synthetic picture, 64 to 8192 px.")
    ] = 1024,
    rounds: Annotated[
        int, typer.Option(min=1, max=100, help="Measurements of each, 1 to 100.")
    ] = 3,
    as_json: options.Json = False,
) -> None:
    """Compare speed with the plain network and with AVIF and WebP, in one run."""
    from vqcodec.evaluate.benchmark import measure, synthetic_picture
    from vqcodec.media.image import Image

    image = Image.open(picture) if picture else synthetic_picture(side, side)
    found = measure(model, image, rounds)
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo(
        f"{found['width']}×{found['height']} pixels, median of {rounds}, {found['threads']} "
        f"threads, {found['device']} {found['precision']} ({found['capability']}), "
        f"torch {found['torch']}"
    )
    for label, seconds in found["seconds"].items():
        speed = found["megapixels_per_second"][label]
        typer.echo(f"  {label:32} {seconds:8.3f} s {speed:8.2f} megapixels/s")
    for label, ratio in found["ratios"].items():
        typer.echo(f"  {label:42} {ratio:8.2f} times")
