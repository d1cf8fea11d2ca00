"""The coding prior of successive frames that weights may have, beside that of single pictures."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from vqcodec.codingpriors import find_coding_priors, lattice_prior, needed_coding_prior
from vqcodec.errors import WeightsError
from vqcodec.weights import (
    Weights,
    find_installed,
    find_named,
    first_codec,
    read_verified,
    read_weights,
)

if TYPE_CHECKING:
    from vqcodec.coding.lattice import LatticeModel
    from vqcodec.coding.movingmodel import FramePrior
    from vqcodec.coding.priors import MapPrior

FRAME_PRIOR = "frame_prior.safetensors"


def frame_prior(weights: Weights) -> "FramePrior | None":
    """Return the coding prior of successive frames of `weights`, where they have one.

    Raises:
        WeightsError: it is damaged.
    """
    files = weights.config.get("files")
    if not isinstance(files, dict) or FRAME_PRIOR not in files:
        return None
    return _frame_prior(weights.folder, str(files[FRAME_PRIOR]))


@functools.lru_cache(maxsize=4)
def _frame_prior(folder: Path, sha256: str) -> "FramePrior":
    import numpy as np
    import safetensors.numpy
    from safetensors import SafetensorError

    from vqcodec.coding.framemodel import FrameModel
    from vqcodec.coding.movingmodel import MovingModel

    weights = read_weights(folder)
    try:
        arrays = safetensors.numpy.load(read_verified(weights, FRAME_PRIOR))
        wide = {name: array.astype(np.int64) for name, array in arrays.items()}
        first = first_codec(weights) if weights.refiner else None
        stills = None if first is None else lattice_prior(first)
        model = FrameModel(wide) if stills is None else MovingModel(wide, stills)
        if model.codebook_sizes != weights.codebook_sizes:
            raise ValueError("it is of other maps")
    except (SafetensorError, KeyError, IndexError, TypeError, ValueError):
        raise WeightsError(f"{folder / FRAME_PRIOR}: not a prior of these weights") from None
    return model


def find_frame_priors(
    name: str, codebook: bytes
) -> "tuple[MapPrior, ...] | LatticeModel | FramePrior":
    """Find what to code the maps of frames with: a prior of successive ones, or those of pictures.

    The arguments are those of `find_coding_priors`, as is what is returned and raised.
    """
    weights = find_installed(name)
    if weights is None:
        return ()
    found = frame_prior(weights) if weights.codebook_id == codebook else None
    return find_coding_priors(name, codebook) if found is None else found


def needed_prior(
    name: str, codebook: bytes, identity: bytes, number: int | None = 0
) -> "MapPrior | LatticeModel | FramePrior":
    """Return the coding prior that a file was written with, of whatever kind.

    The arguments, and what is raised, are those of `needed_coding_prior`; with None for `number` it
    may be the prior of successive frames, too.
    """
    weights = find_named(name)
    found = frame_prior(weights) if number is None and weights.codebook_id == codebook else None
    if found is not None and found.identity == identity:
        return found
    return needed_coding_prior(name, codebook, identity, number)
