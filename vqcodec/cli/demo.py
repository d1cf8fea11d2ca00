"""`vqcodec demo`."""

from pathlib import Path
from typing import Annotated

import typer

from vqcodec.cli import console, options
from vqcodec.errors import UsageError
from vqcodec.modality import IMAGE


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder to write index.html to.")],
    model: Annotated[
        str, typer.Option(help="Weights of pictures that have graphs, a name or a folder.")
    ] = IMAGE.weights,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a page that codes pictures in a browser.

    One file of 11 MB, to open as it is or to put on any server: it needs no network. ONNX Runtime
    for browsers, which is a part of it, is fetched with npm, of Node.js, when it is written.
    """
    from vqcodec.codec.image import ImageCodec
    from vqcodec.demo.page import PAGE, write_page
    from vqcodec.demo.runtime import PACKAGE, fetch_runtime
    from vqcodec.files.atomic import check_absent

    check_absent(output / PAGE, force=force)
    codec = ImageCodec.load(model, engine="onnx")
    if codec.weights.refiner:
        raise UsageError(
            f"the page has no place for what '{codec.weights.name}' refines; make one of "
            f"'{codec.weights.first}'"
        )
    with console.progress_bar(f"fetching {PACKAGE} with npm"):
        runtime = fetch_runtime()
    path = write_page(codec, runtime, output, force=force)
    console.say(f"{path}: {path.stat().st_size:,} bytes")
