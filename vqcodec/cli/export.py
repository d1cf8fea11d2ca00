"""`vqcodec export`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from vqcodec.cli import console
from vqcodec.cli.messages import require
from vqcodec.errors import TrainingError, UsageError


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a training run.")],
    name: Annotated[
        str,
        typer.Argument(
            help="Name of the weights: a-z, 0-9, '.', '_', '-'. Of a prior, or a decoder on frozen "
            "codes: the codec's, which it is added to."
        ),
    ],
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
    force: Annotated[bool, typer.Option("--force", help="Replace weights of this name.")] = False,
) -> None:
    """Turn a training run into weights.

    They are a folder of config.json, safetensors and a model card.
    """
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
    console.say(f"{folder / name}: {_figures(config)}")
    weak = shortfall(config["training"]["held_out"])
    if weak:
        console.note(f"note: {weak}")
    if folder not in search_path():
        console.say(f"use them with --model {folder / name}")
    else:
        console.say(f"use them with --model {name}")


def _figures(table: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v:.4g}" for k, v in table["training"]["held_out"].items())
