"""`vqcodec export`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vqcodec.cli import console
from vqcodec.cli.messages import require
from vqcodec.errors import OutputError, TrainingError, UsageError


def export(
    run: Annotated[Path | None, typer.Argument(help="Folder of a training run.")] = None,
    name: Annotated[
        str | None,
        typer.Argument(
            help="Name of the weights: a-z, 0-9, '.', '_', '-'. Of a prior, or a decoder on frozen "
            "codes: the codec's, which it is added to."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Folder to put them in. [default: $VQCODEC_WEIGHTS, else your data folder; "
            "of a prior or decoder: where the codec is]",
        ),
    ] = None,
    notes: Annotated[
        Path | None,
        typer.Option(help="Markdown about data, licence and limits, for the model card."),
    ] = None,
    speakers: Annotated[
        Path | None,
        typer.Option(
            help="CSV of named speakers of a speech codec: speaker (their name in the data's "
            "manifest.csv or in LibriSpeech, VCTK, LJSpeech or CMU ARCTIC, else their folder), "
            "gender, corpus, licence, consent."
        ),
    ] = None,
    onnx: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Instead of a run: write the ONNX graphs of weights that are there, a name or a "
            "folder, into the folder of -o. [default: add them to the weights]",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace weights of this name, or graphs.")
    ] = False,
) -> None:
    """Turn a training run into weights, or these into graphs.

    Weights are a folder of config.json, safetensors, a model card and ONNX graphs, which code
    without torch.
    """
    if onnx is not None:
        if run or notes or speakers:
            raise UsageError("--onnx takes weights that are there, and no run, notes or speakers")
        _export_graphs(onnx, output, force)
        return
    if run is None or name is None:
        raise UsageError(_wanting(run))
    if not run.is_dir():
        raise TrainingError(f"{run}: holds no training run")
    require("accelerate", "tensorboard")
    from vqcodec.errors import MediaError
    from vqcodec.train.export import export as export_run
    from vqcodec.train.export import export_part, part_of, shortfall
    from vqcodec.weights import own_folder, search_path

    part = part_of(run)
    if part is not None:
        if notes or speakers:
            raise UsageError(f"--notes and --speakers belong to a codec, not to a {part}")
        table = export_part(run, name, output, force=force)
        console.say(f"{table['folder']}: {_figures(table)}")
        return
    try:
        text = notes.read_text(encoding="utf-8") if notes else ""
    except (OSError, UnicodeDecodeError):
        raise MediaError(f"{notes}: cannot be read as text") from None
    folder = output or own_folder()
    config = export_run(run, name, folder, notes=text, force=force)
    if speakers:
        from vqcodec.train.speech.voices import add_speakers
        from vqcodec.weights import read_weights

        add_speakers(run, read_weights(folder / name), speakers)
    if config["maps"]:
        _add_graphs(folder / name)
    console.say(f"{folder / name}: {_figures(config)}")
    weak = shortfall(config["training"]["held_out"]) if config["maps"] else None
    if weak:
        console.note(f"note: {weak}")
    use = f"--model {name if folder in search_path() else folder / name}"
    if config["maps"]:
        console.say(f"use them with {use}")
    else:
        console.say(f"they have no codes; measure them with: vqcodec evaluate DATA --bound {use}")


def _wanting(run: Path | None) -> str:
    """Say what to give, where that is a run or nothing."""
    if run is None:
        return "say what to make weights of: vqcodec export RUN NAME"
    if not run.is_dir():
        return (
            f"{run}: holds no training run; graphs of weights that are there are written by: "
            "vqcodec export --onnx NAME -o FOLDER"
        )
    return f"say how to call the weights: vqcodec export {run} NAME"


def _export_graphs(name: str, folder: Path | None, force: bool) -> None:
    """Write the graphs of weights into a folder, or add them to the weights."""
    require("onnx", "onnxscript")
    from vqcodec.codec.graphs import add_graphs, write_graphs
    from vqcodec.weights import ENCODER, REFINER, find_weights

    weights = find_weights(name)
    if folder is None:
        if any((weights.folder / file).exists() for file in (ENCODER, REFINER)) and not force:
            raise OutputError(f"{weights.folder}: has graphs already; --force replaces them")
        add_graphs(weights)
        console.say(f"{weights.folder}: with graphs")
        return
    for path in write_graphs(weights, folder, force=force):
        console.say(f"{path}: {path.stat().st_size:,} bytes")


def _add_graphs(folder: Path) -> None:
    """Add graphs to fresh weights, where what makes them is installed."""
    try:
        require("onnx", "onnxscript")
    except ModuleNotFoundError:
        console.note(
            "note: without ONNX graphs, for which onnx is not installed: coding starts slowly, "
            "with torch"
        )
        return
    from vqcodec.codec.graphs import add_graphs
    from vqcodec.weights import read_weights

    try:
        add_graphs(read_weights(folder))
    except UsageError as error:
        console.note(f"note: without ONNX graphs: {error}")


def _figures(table: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v:.4g}" for k, v in table["training"]["held_out"].items())
