"""`vqcodec models`, which does without torch."""

import json
import math
from typing import Annotated, Any

import typer

from vqcodec.cli import console
from vqcodec.cli.handlers.base import handler_of
from vqcodec.cli.reports import print_table
from vqcodec.codingpriors import FORMER_PRIOR
from vqcodec.framepriors import FRAME_PRIOR
from vqcodec.modality import MODALITIES
from vqcodec.weights import (
    CODING_PRIOR,
    SAMPLING_PRIOR,
    TIMBRES,
    VOICE_DECODER,
    WAVENET,
    WAVENET_ALONE,
    Weights,
    list_weights,
)

PARTS = {
    CODING_PRIOR: "coding prior",
    FORMER_PRIOR: "former coding prior",
    FRAME_PRIOR: "frame prior",
    SAMPLING_PRIOR: "sampling prior",
    WAVENET: "WaveNet",
    WAVENET_ALONE: "WaveNet without codes",
    TIMBRES: "voices",
    VOICE_DECODER: "decoder of voices",
}


def models(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per set of weights.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Print the folders that they lie in, too.")
    ] = False,
) -> None:
    """List the weights that are installed.

    Their modality, how many codes they have, bits before range coding, what was measured on
    held-out data when training ended, and their parts beside encoder, codebook and decoder.
    """
    damaged: list[str] = []
    rows = [["name", "modality", "codes", "rate", "quality", "parts"]]
    for weights in list_weights(damaged):
        if as_json:
            console.say(json.dumps(_facts(weights)))
            continue
        held_out = weights.held_out
        quality = f"{held_out['psnr']:.2f} dB" if "psnr" in held_out else ""
        quality = f"STOI {held_out['stoi']:.3f}" if "stoi" in held_out else quality
        sizes, parts = ", ".join(map(str, weights.all_codebook_sizes)), ", ".join(_parts(weights))
        row = [weights.name, weights.modality, sizes, _rate(weights), quality, parts]
        rows.append([*row, str(weights.folder)] if verbose else row)
    if not as_json:
        print_table(rows)
    for problem in damaged:
        console.say(f"vqcodec: left out: {problem}", err=True)


def _facts(weights: Weights) -> dict[str, Any]:
    sizes = weights.all_codebook_sizes
    return {
        "name": weights.name,
        "modality": weights.modality,
        **({"codebook_size": sizes[0]} if len(sizes) == 1 else {"codebook_sizes": sizes}),
        "codebook_id": weights.codebook_id.hex(),
        "held_out": weights.held_out,
        "parts": _parts(weights),
        "folder": str(weights.folder),
    }


def _parts(weights: Weights) -> list[str]:
    files = weights.config.get("files")
    return [part for file, part in PARTS.items() if isinstance(files, dict) and file in files]


def _rate(weights: Weights) -> str:
    """Return how much codes take when they are packed; nothing where that is not known."""
    kind = next((m for m in MODALITIES if m.name == weights.modality), None)
    sizes, areas = weights.all_codebook_sizes, _areas(weights)
    if kind is None or not sizes or len(areas) != len(sizes):
        return ""
    bits = (math.ceil(math.log2(size)) / area for size, area in zip(sizes, areas, strict=True))
    # codes may be of fewer codebooks, or chosen by a rate
    most = "up to " if weights.codebook_ids or weights.refiner else ""
    return most + handler_of(kind).rate(sum(bits))


def _areas(weights: Weights) -> list[int]:
    """Return how many pixels, or samples, an index of each map stands for, as the config tells."""
    config = weights.config
    try:
        if "maps" in config:
            return [math.prod(spec["stride"]) for spec in config["maps"]]
        encoder = config["model"]["encoder"]  # made before there could be several maps
        if "widths" in encoder and "strides" not in encoder:
            return [4 ** len(encoder["widths"])]  # of pictures: each halves both axes
        return [math.prod(encoder.get("strides") or [encoder["stride"]])]
    except (KeyError, TypeError):
        return []
