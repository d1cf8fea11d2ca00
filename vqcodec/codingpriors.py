"""The coding priors of weights: what new files are written with, and what older ones need."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from vqcodec.errors import WeightsError
from vqcodec.weights import (
    CODING_PRIOR,
    Weights,
    find_installed,
    find_named,
    read_verified,
    read_weights,
    table_of,
)

if TYPE_CHECKING:
    from vqcodec.coding.lattice import LatticeModel
    from vqcodec.coding.priors import MapPrior, Priors

FORMER_PRIOR = "former_prior.safetensors"  # of the same codes, in files older than the other one


def coding_priors(weights: Weights) -> "tuple[MapPrior, ...]":
    """Return the coding prior of each map of `weights`; none if they have none of this kind.

    Raises:
        WeightsError: they are damaged.
    """
    found = any_coding_prior(weights)
    return found if isinstance(found, tuple) else ()


def lattice_prior(weights: Weights) -> "LatticeModel | None":
    """Return the coding prior of all maps of `weights` together, where they have such a one.

    Raises:
        WeightsError: it is damaged.
    """
    found = any_coding_prior(weights)
    return None if isinstance(found, tuple) else found


def any_coding_prior(weights: Weights) -> "Priors":
    """Return the coding priors of `weights`, of whatever kind; none if they have none.

    Raises:
        WeightsError: they are damaged.
    """
    return _of(weights, CODING_PRIOR)


def former_priors(weights: Weights) -> "Priors":
    """Return the coding priors of `weights` that older files need; none if there is but one.

    Raises:
        WeightsError: they are damaged.
    """
    return _of(weights, FORMER_PRIOR)


def _of(weights: Weights, name: str) -> "Priors":
    """Return the priors that a file of `weights` holds; none if there is no such file."""
    files = table_of(weights.config, "files")
    if name not in files:
        return ()
    found = _read(weights.folder, name, str(files[name]))
    return found[: weights.number] if isinstance(found, tuple) else found


@functools.lru_cache(maxsize=8)
def _read(folder: Path, name: str, sha256: str) -> "Priors":
    import numpy as np
    import safetensors.numpy
    from safetensors import SafetensorError

    from vqcodec.coding.priors import read_priors

    weights = read_weights(folder)
    try:
        arrays = safetensors.numpy.load(read_verified(weights, name))
        wide = {key: array.astype(np.int64) for key, array in arrays.items()}
        return read_priors(wide, weights.all_codebook_sizes, grown=bool(weights.codebook_ids))
    except (SafetensorError, KeyError, IndexError, TypeError, ValueError):
        raise WeightsError(f"{folder / name}: not a coding prior of these weights") from None


def find_coding_priors(name: str, codebook: bytes) -> "Priors":
    """Find the coding priors, one for each map or all, of the installed weights of a name.

    Args:
        name: as code files carry it.
        codebook: the codebook id that the indices were made with.

    Returns:
        None at all where such weights are not installed, or have no coding priors.

    Raises:
        WeightsError: they are damaged.
    """
    installed = find_installed(name)
    weights = None if installed is None else installed.of_codes(codebook)
    return any_coding_prior(weights) if weights is not None else ()


def needed_coding_prior(
    name: str, codebook: bytes, identity: bytes, number: int | None = 0
) -> "MapPrior | LatticeModel":
    """Return the coding prior that a file was written with.

    Args:
        name: of the weights, as code files carry it.
        codebook: the codebook id that the indices were made with.
        identity: of the coding prior.
        number: of the map, from 0, the coarsest; None for the prior of all maps.

    Raises:
        WeightsError: the installed weights have another one, or none.
    """
    weights = find_named(name).of_codes(codebook)
    for file in (CODING_PRIOR, FORMER_PRIOR):
        priors = () if weights is None else _of(weights, file)
        found: MapPrior | LatticeModel | None
        if isinstance(priors, tuple):
            found = priors[number] if number is not None and number < len(priors) else None
        else:
            found = priors if number is None else None
        if found is not None and found.identity == identity:
            return found
    raise WeightsError(
        f"it needs the coding prior {identity.hex()} of '{name}', and the installed weights "
        "have another or none; install those that it was made with"
    )
