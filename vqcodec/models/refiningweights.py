"""What refines the pictures of a codec, or codes frames by those before them, as files."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from vqcodec.coding.causal import CausalModel
from vqcodec.coding.refining import FIRST
from vqcodec.codingpriors import coding_priors
from vqcodec.config import Tree, to_json
from vqcodec.errors import UsageError
from vqcodec.framepriors import FRAME_PRIOR
from vqcodec.models.fixedpoint import to_arrays
from vqcodec.models.moving import Moving
from vqcodec.models.pretrained import coding_bytes, write_part
from vqcodec.models.refinement import Refinement
from vqcodec.models.refining import Refining
from vqcodec.weights import (
    ANALYSIS,
    CODEBOOKS,
    CODING_PRIOR,
    CONFIG,
    MODEL,
    NETWORK,
    USUAL,
    Weights,
    codebook_id,
    first_codec,
    read_weights,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def write_refining(folder: Path, config: Tree, model: Refining) -> Tree:
    """Write what refines the pictures of a codec into an existing folder.

    Args:
        folder: where to write.
        config: with ``name``, ``modality``, ``model``, whose ``on`` refers to the first codec,
            ``rates`` and whatever else is worth keeping.
        model: what was trained.

    Returns:
        The config as written, with ``maps``, ``codebook_id``, ``files`` and ``coding_prior``.

    Raises:
        WeightsError: the first codec is not installed, or is another.
        UsageError: it has no coding prior that the first map could be coded with.
    """
    identity = codebook_id(model.codebook_bytes()).hex()
    maps = {"maps": [asdict(spec) for spec in model.maps], "codebook_id": identity}
    _write_model(folder, {**config, **maps}, model)
    first = first_codec(read_weights(folder))
    assert first is not None
    arrays = {**to_arrays(model.prior), **first_arrays(first)}
    weights = read_weights(folder)
    write_part(weights, {"codebook_id": identity}, CODING_PRIOR, coding_bytes([arrays]), force=True)
    return read_weights(folder).config


def write_moving(folder: Path, config: Tree, model: Moving) -> Tree:
    """Write what codes frames by those before them into an existing folder.

    The arguments and what is returned are those of `write_refining`, with ``frame_prior``.

    Raises:
        WeightsError: the codec of first frames is not installed, or is another.
    """
    first = first_codec(Weights(folder, config["name"], config))
    assert first is not None
    identity = codebook_id(model.codebook_bytes(first.codebook_id)).hex()
    maps = model.maps(first.codebook_sizes[0])
    maps_told = {"maps": [asdict(spec) for spec in maps], "codebook_id": identity}
    _write_model(folder, {**config, **maps_told}, model)
    data, weights = coding_bytes([to_arrays(model.prior)]), read_weights(folder)
    write_part(weights, {"codebook_id": identity}, FRAME_PRIOR, data, force=True)
    return read_weights(folder).config


def _write_model(folder: Path, config: Tree, model: Refinement) -> None:
    """Write the config, and what codes are made with."""
    import safetensors.torch

    state = {NETWORK + k: v for k, v in model.network_state().items()}
    tensors = {k: v.half() if v.ndim > 1 else v.float() for k, v in state.items()}
    tensors |= {ANALYSIS: model.analysis, CODEBOOKS: model.codebooks, USUAL: model.usual.half()}
    data = safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()})
    config = {**config, "files": {MODEL: hashlib.sha256(data).hexdigest()}}
    (folder / MODEL).write_bytes(data)
    (folder / CONFIG).write_text(to_json(config), encoding="utf-8")


def first_arrays(first: Weights) -> "dict[str, NDArray[np.int64]]":
    """Return the arrays of the coding prior of a codec under the names of `RefiningModel`.

    Raises:
        UsageError: it has none of that kind.
    """
    found = coding_priors(first)
    if len(found) != 1 or not isinstance(found[0], CausalModel):
        raise UsageError(
            f"'{first.name}' has no coding prior of kind 'causal', which it takes to refine a codec"
        )
    return {FIRST + name: array for name, array in found[0].arrays.items()}
