"""A finished run to a folder of weights."""

import json
import platform
import re
import shutil
from pathlib import Path
from typing import Any

from vqcodec import __version__
from vqcodec.codec.unseen import PLAIN_CODES
from vqcodec.config import Tree
from vqcodec.errors import OutputError, TrainingError, UsageError
from vqcodec.files.atomic import writing
from vqcodec.framepriors import FRAME_PRIOR
from vqcodec.modality import IMAGE, VIDEO, by_name, load
from vqcodec.models.moving import Moving, build_moving
from vqcodec.models.plain import find_plain_codes
from vqcodec.models.pretrained import (
    prior_bytes,
    tensor_bytes,
    write_part,
    write_weights,
)
from vqcodec.models.refining import Refining, build_refining
from vqcodec.models.refiningweights import write_moving, write_refining
from vqcodec.models.vae import VAE, build_model
from vqcodec.models.vqvae import VQVAE, build_decoder, build_prior
from vqcodec.train.loop import AVERAGE, CHECKPOINT
from vqcodec.train.run import Training, read_run
from vqcodec.weights import (
    CARD,
    CODING_PRIOR,
    HELD_OUT_SIDE,
    MODEL,
    NAME,
    RATES,
    SAMPLING_PRIOR,
    WAVENET,
    WAVENET_ALONE,
    Weights,
    find_named,
    read_weights,
)

TRAINED_ALONG = ("prior", RATES, "adversary")  # parts of a model that are none of the codec's
# What held-out figures must exceed to be of use. 20 dB is an error of a tenth of the range; at a
# STOI of 0.6 decoded speech was still unintelligible.
USABLE = {"psnr": (20.0, "PSNR", "dB"), "stoi": (0.6, "STOI", "")}
PARTS = "encoder", "quantizer", "bottleneck", "decoder", "conditioner", "speaker", "refiner"
HEADINGS = {
    SAMPLING_PRIOR: "## Sampling prior",
    CODING_PRIOR: "## Coding prior",
    FRAME_PRIOR: "## Coding prior of frames",
    WAVENET: "## WaveNet decoder",
    WAVENET_ALONE: "## WaveNet without codes",
}


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
    _check_name(name)
    description = read_run(run)
    target = folder / name
    if target.exists() and not force:
        raise OutputError(f"{target}: exists already; use --force to overwrite it")
    preset = description["config"]
    refines = "refiner" in preset["model"]
    model = _build(preset)
    model.load_state_dict(_average(run))
    learned_along = trained_for = None
    if isinstance(model, VQVAE):
        learned_along, model.prior = model.prior, None
        trained_for, model.rates = model.rates, None
        model.adversary = None
    elif isinstance(model, Refining | Moving):
        trained_for = model.rates
    config = {
        "name": name,
        "modality": preset["modality"],
        "model": {
            part: table
            for part, table in preset["model"].items()
            if part not in TRAINED_ALONG and not (refines and part == "quantizer")
        },
        "training": _training(run, description),
    }
    if "on" in description:  # the first codec keeps its own weights
        on = {"name": description["on"], "codebook_id": description["on_codebook_id"]}
        config["model"]["on"] = on
    if trained_for is not None:
        config[RATES] = {
            "curvature": [round(number, 2) for number in trained_for.by_map()],
            "least": trained_for.config.least,
            "most": trained_for.config.most,
        }
    fresh = folder / f".{name}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir(parents=True)
        if isinstance(model, Refining):
            config = write_refining(fresh, config, model)
        elif isinstance(model, Moving):
            config = write_moving(fresh, config, model)
        else:
            config = write_weights(fresh, config, model)
        if learned_along is not None:
            file, data = prior_bytes(learned_along)
            plain = _plain_codes(file, data, read_weights(fresh))
            table = {"codebook_id": config["codebook_id"], "prior": preset["model"]["prior"]}
            write_part(read_weights(fresh), table | plain, file, data, force=True)
        card = _card(config, description, notes)
        (fresh / CARD).write_text(card, encoding="utf-8", errors="backslashreplace")
        if target.exists():
            shutil.rmtree(target)
        fresh.rename(target)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return config


def _check_name(name: str) -> None:
    """Raise UsageError if weights cannot be called so."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"'{name}' cannot name weights; use a-z, 0-9, '.', '_' and '-', and -o for the folder "
            "that they are put in"
        )


def _build(preset: Tree) -> VQVAE | VAE | Refining | Moving:
    """Make the model of a preset, with fresh weights."""
    table = preset["model"]
    if preset["modality"] == VIDEO.name:
        return build_moving(table)
    return build_refining(table) if "refiner" in table else build_model(table)


def export_part(run: Path, name: str, folder: Path | None, *, force: bool) -> dict[str, Any]:
    """Add what a run trained on frozen codes, a prior or a decoder, to weights that are there.

    Args:
        run: the run's folder.
        name: of the codec's weights.
        folder: where the folder `name` lies; None to look wherever weights are installed.
        force: replace such a part that is there.

    Returns:
        The part's table of the config, as written.

    Raises:
        TrainingError: the run has no checkpoint.
        UsageError: the name cannot be one.
        WeightsError: there are no such weights, or they have another codebook.
        OutputError: such a part is there and `force` is not given.
    """
    _check_name(name)
    description = read_run(run)
    weights = find_named(name) if folder is None else read_weights(folder / name)
    kind = part_of(run) or "prior"
    settings = description["config"][kind]
    if kind == "prior":
        prior = build_prior(settings)
        prior.load_state_dict(_average(run))
        file, data = prior_bytes(prior)
        plain = _plain_codes(file, data, weights)
    else:
        decoder = build_decoder(settings)
        decoder.load_state_dict({k.removeprefix("decoder."): v for k, v in _average(run).items()})
        file, plain = (WAVENET if settings.get("codes", True) else WAVENET_ALONE), {}
        data = tensor_bytes(decoder)
    table = {
        "codebook_id": description["codebook_id"],
        "modality": description["config"]["modality"],
        kind: settings,
        "training": _training(run, description),
        **plain,
    }
    write_part(weights, table, file, data, force=force)
    path = weights.folder / CARD
    card = path.read_text(encoding="utf-8") if path.is_file() else f"# {name}\n"
    heading = HEADINGS[file]
    before, *old = re.split(rf"^{heading}\n", card, maxsplit=1, flags=re.MULTILINE)
    _, gap, rest = "".join(old).partition("\n## ")  # other sections, by whatever hand, stay
    section = _part_section(heading, settings, table["training"])
    text = before.rstrip() + "\n\n" + section + gap + rest
    with writing(path, force=True) as target:
        target.write(text.encode(errors="backslashreplace"))
    return {"folder": str(weights.folder), **table}


def shortfall(figures: dict[str, float]) -> str | None:
    """Return one sentence on held-out figures too low to be of use; None where they are not."""
    for key, (least, label, unit) in USABLE.items():
        if key in figures and figures[key] <= least:
            reached, needed = (f"{value:.4g} {unit}".strip() for value in (figures[key], least))
            return (
                f"a {label} of {reached} on held-out data is not yet usable, which takes more than "
                f"{needed}; train for longer, or on more"
            )
    return None


def part_of(run: Path) -> str | None:
    """Return what a run trains on frozen codes, ``prior`` or ``decoder``; None for a codec."""
    config = read_run(run)["config"]
    return next((kind for kind in ("prior", "decoder") if kind in config), None)


def _average(run: Path) -> dict[str, Any]:
    """Return the averaged weights of a run's last checkpoint."""
    import safetensors.torch

    path = run / CHECKPOINT / AVERAGE
    if not path.is_file():
        raise TrainingError(f"{run}: has no checkpoint yet")
    return safetensors.torch.load_file(path)


def _training(run: Path, description: dict[str, Any]) -> dict[str, Any]:
    """Return how a run was trained and what it reached."""
    progress = json.loads((run / CHECKPOINT / "progress.json").read_text(encoding="utf-8"))
    return {
        "command": description["command"],
        "settings": description["config"]["train"],
        "steps": progress["step"],
        "hours": round(progress["seconds"] / 3600, 2),
        "machine": f"{platform.machine()}, {progress['device']}",
        "version": __version__,
        "held_out": progress["figures"],
    }


def _part_section(heading: str, settings: dict[str, Any], training: dict[str, Any]) -> str:
    """Return what the model card says of a prior or a second decoder."""
    layers = ", ".join(f"{k} {v}" for k, v in settings.items())
    figures = ", ".join(f"{k.replace('_', ' ')} {v:.3f}" for k, v in training["held_out"].items())
    return f"""{heading}

{layers}.

    {training["command"]}

{training["steps"]:,} steps in {training["hours"]} hours on {training["machine"]}, with vqcodec
{training["version"]}. On held-out data: {figures}.
"""


def _card(config: dict[str, Any], run: dict[str, Any], notes: str) -> str:
    training = config["training"]
    figures = training["held_out"]
    model = config["model"]
    held_out = ", ".join(run["held_out"]) or "every twentieth file of the data, at most 100"
    training_of: Training = load(by_name(config["modality"]).training)
    side = training["settings"].get("held_out_side", HELD_OUT_SIDE)
    measured = training_of.measured.format(held_out_side=side)
    rows = "\n".join(f"| {key.replace('_', ' ')} | {value:.3f} |" for key, value in figures.items())
    layers = "\n".join(
        f"- {part}: " + ", ".join(f"{k} {v}" for k, v in model[part].items())
        for part in PARTS
        if part in model
    )
    kind = "VQ-VAE" if config["maps"] else "VAE"
    codebook = f", codebook id `{config['codebook_id']}`" if config["maps"] else ""
    on = ""
    if "on" in run:
        does = "It codes again the codes of"
        if "refiner" in model:
            moving = config["modality"] == VIDEO.name
            does = "Its first frames are pictures of" if moving else "It refines the pictures of"
        identity = run["on_codebook_id"]
        on = f"\n{does} `{run['on']}` (codebook id `{identity}`), which must be installed, too.\n"
    return f"""# {config["name"]}

{kind} weights for vqcodec, modality: {config["modality"]}.

## Model

{layers}
{on}
`{MODEL}`: SHA-256 `{config["files"][MODEL]}`{codebook}.

## Training

    {training["command"]}

{training["steps"]:,} steps in {training["hours"]} hours on {training["machine"]}, with vqcodec
{training["version"]}, on: {", ".join(run["data"])}.

## Figures on held-out data

Measured when training ended, on {measured}, of:
{held_out}.

| figure | value |
| --- | --- |
{rows}

{training_of.figures}

{notes.strip()}
"""


def _plain_codes(file: str, data: bytes, weights: Weights) -> dict[str, list[int]]:
    """Return what the config tells of a coding prior of pictures; nothing of any other part."""
    if file != CODING_PRIOR or weights.modality != IMAGE.name:
        return {}
    found = find_plain_codes(data, weights.all_codebook_sizes)
    return {PLAIN_CODES: found} if found else {}
