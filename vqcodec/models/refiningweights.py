"""What refines the pictures of a codec, as files."""

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from vqcodec.coding.causal import CausalModel
from vqcodec.coding.refining import FIRST
from vqcodec.codingpriors import coding_priors
from vqcodec.config import Tree, to_json
from vqcodec.errors import UsageError
from vqcodec.models.fixedpoint import to_arrays
from vqcodec.models.pretrained import coding_bytes, write_part
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
    import safetensors.torch

    state = {NETWORK + k: v for k, v in model.network_state().items()}
    tensors = {k: v.half() if v.ndim > 1 else v.float() for k, v in state.items()}
    tensors |= {ANALYSIS: model.analysis, CODEBOOKS: model.codebooks, USUAL: model.usual.half()}
    data = safetensors.torch.save({k: v.contiguous() for k, v in tensors.items()})
    identity = codebook_id(model.codebook_bytes()).hex()
    config = {
        **config,
        "maps": [asdict(spec) for spec in model.maps],
        "codebook_id": identity,
        "files": {MODEL: hashlib.sha256(data).hexdigest()},
    }
    (folder / MODEL).write_bytes(data)
    (folder / CONFIG).write_text(to_json(config), encoding="utf-8")
    first = first_codec(read_weights(folder))
    assert first is not None
    arrays = {**to_arrays(model.prior), **first_arrays(first)}
    weights = read_weights(folder)
    write_part(weights, {"codebook_id": identity}, CODING_PRIOR, coding_bytes([arrays]), force=True)
    return read_weights(folder).config


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
