"""`vqcodec benchmark`."""

from pathlib import Path
from typing import Annotated

import typer

from vqcodec.cli import options
from vqcodec.cli.handlers.base import deal, handler_of, handlers
from vqcodec.cli.handlers.image.options import MEGAPIXELS, SIZES
from vqcodec.cli.tokenspeed import benchmark_tokens
from vqcodec.errors import UsageError
from vqcodec.modality import IMAGE, Modality, kinds_coded_by, sniff_file


def benchmark(
    picture: Annotated[
        Path | None,
        typer.Argument(
            help="Picture, or video of which the first frames, to code instead of synthetic ones."
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="Weights, a name or a folder.")] = IMAGE.weights,
    sizes: Annotated[
        str | None,
        typer.Option(help=f"Synthetic pictures, WIDTHxHEIGHT in pixels. [default: {SIZES}]"),
    ] = None,
    threads: Annotated[
        str | None,
        typer.Option(help="Numbers of threads, 1 to 1024, such as 1,2. [default: all cores]"),
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, max=100, help="Measurements of each, 1 to 100.")
    ] = 3,
    growth: Annotated[
        Path | None,
        typer.Option(help="Plot (.png, .svg or .pdf) of how time and memory grow; takes minutes."),
    ] = None,
    megapixels: Annotated[
        str, typer.Option(help="Sizes for --growth, in megapixels, above 0 to 100.")
    ] = MEGAPIXELS,
    tokenize: Annotated[
        Path | None,
        typer.Option(
            help="Measure instead how fast `vqcodec tokenize` turns this folder or tar into tokens."
        ),
    ] = None,
    force: options.Force = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, and tables on stderr.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure speed and memory.

    Of codecs of pictures: beside the plain network, JPEG, WebP and AVIF, in one run. Of video:
    frames a second. Of codecs of speech: how many times faster than real time each part is, and
    the WaveNet beside a plain one that computes anew for every sample all that it depends on. With
    --tokenize, of a data set: its stages on one core, and all of them in as many processes as
    --threads says.
    """
    from vqcodec.weights import find_weights

    counts = options.numbers("--threads", threads, int, 1, 1024) if threads is not None else []
    modality = _kind(find_weights(model).modality, picture)
    own = {"picture": picture, "sizes": sizes, "growth": growth, "megapixels": megapixels}
    takers = {handler.modality: handler.benchmarking for handler in handlers()}
    if tokenize is not None:
        if picture or sizes or growth:
            raise UsageError("--tokenize measures a data set, and neither pictures nor growth")
        benchmark_tokens(tokenize, model, modality, counts or [1, 2], as_json)
        return
    found = f"{model} codes {modality.codes}"
    dealt = deal(own, takers, [modality], lambda kind: kind.codes, found)
    handler_of(modality).benchmark(model, dealt[modality], counts, rounds, force, as_json)


def _kind(name: str, file: Path | None) -> Modality:
    """Return the kind of media of a file, if weights of the kind of this name code it."""
    kinds = kinds_coded_by(name)
    found = sniff_file(file) if file is not None else None
    return found if found is not None and found in kinds else kinds[0]
