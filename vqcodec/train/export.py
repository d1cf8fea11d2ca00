"""A finished run to a folder of weights."""

import json
import platform
import shutil
from pathlib import Path
from typing import Any

from vqcodec import __version__
from vqcodec.errors import OutputError, TrainingError, UsageError
from vqcodec.train.loop import AVERAGE, CHECKPOINT
from vqcodec.train.run import read_run
from vqcodec.vqvae import build
from vqcodec.weights import CARD, MODEL, NAME, write_weights


def export(run: Path, name: str, folder: Path, *, notes: str, force: bool) -> dict[str, Any]:
    """Write the averaged weights of a run's last checkpoint as weights `name`.

    Args:
        run: the run's folder.
        name: the published name; lower case, digits, ``.``, ``_``, ``-``.
        folder: where the folder `name` is made.
        notes: Markdown about data, licence and limits for the model card.
        force: replace weights that are there.

    Returns:
        The config, as written.

    Raises:
        TrainingError: the run has no checkpoint.
        UsageError: the name cannot be used.
        OutputError: weights of this name are there and `force` is not given.
    """
    import safetensors.torch

    if not NAME.fullmatch(name):
        raise UsageError(f"'{name}' cannot name weights; use a-z, 0-9, '.', '_' and '-'")
    description = read_run(run)
    checkpoint = run / CHECKPOINT
    target = folder / name
    if target.exists() and not force:
        raise OutputError(f"{target}: exists already; use --force to overwrite it")
    if not (checkpoint / AVERAGE).is_file():
        raise TrainingError(f"{run}: has no checkpoint yet")
    progress = json.loads((checkpoint / "progress.json").read_text(encoding="utf-8"))
    preset = description["config"]
    model = build(preset["model"])
    model.load_state_dict(safetensors.torch.load_file(checkpoint / AVERAGE))
    config = {
        "name": name,
        "modality": preset["modality"],
        "model": preset["model"],
        "training": {
            "command": description["command"],
            "settings": preset["train"],
            "steps": progress["step"],
            "hours": round(progress["seconds"] / 3600, 2),
            "machine": f"{platform.machine()}, {progress['device']}",
            "version": __version__,
            "held_out": progress["figures"],
        },
    }
    fresh = folder / f".{name}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        config = write_weights(fresh, config, model)
        (fresh / CARD).write_text(_card(config, description, notes), encoding="utf-8")
        if target.exists():
            shutil.rmtree(target)
        fresh.rename(target)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return config


def _card(config: dict[str, Any], run: dict[str, Any], notes: str) -> str:
    training = config["training"]
    figures = training["held_out"]
    model = config["model"]
    held_out = ", ".join(run["held_out"]) or "every twentieth picture of the data, at most 100"
    rows = "\n".join(f"| {key.replace('_', ' ')} | {value:.3f} |" for key, value in figures.items())
    layers = "\n".join(
        f"- {part}: " + ", ".join(f"{k} {v}" for k, v in model[part].items())
        for part in ("encoder", "quantizer", "decoder")
    )
    return f"""# {config["name"]}

VQ-VAE weights for [vqcodec](https://pypi.org/project/vqcodec/), modality: {config["modality"]}.

## Model

{layers}

`{MODEL}`: SHA-256 `{config["files"][MODEL]}`, codebook id `{config["codebook_id"]}`.

## Training

    {training["command"]}

{training["steps"]:,} steps in {training["hours"]} hours on {training["machine"]}, with vqcodec
{training["version"]}, on: {", ".join(run["data"])}.

## Figures on held-out pictures

Measured when training ended, on the middle square of each picture, shrunk to 128×128, of:
{held_out}.

| figure | value |
| --- | --- |
{rows}

PSNR in dB is the mean over pictures. Bits per dimension are those of the bound: the likelihood of
the 8-bit values under the decoder plus log K for each index. Usage is the share of codes that
occur.

{notes.strip()}
"""
