"""Coding priors from the arrays of a file."""

from typing import TYPE_CHECKING

from vqcodec.coding.causal import CausalModel
from vqcodec.coding.contextmodel import ContextModel
from vqcodec.coding.lattice import LatticeModel
from vqcodec.coding.refining import FIRST, RefiningModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[np.int64]]

MapPrior = ContextModel | CausalModel
Priors = tuple[MapPrior, ...] | LatticeModel


def read_priors(arrays: "Arrays", sizes: tuple[int, ...], *, grown: bool = False) -> Priors:
    """Return the coding prior of each map, or that of all together.

    Args:
        arrays: of the file.
        sizes: K of each map.
        grown: codebooks may have grown upon one that had a prior: there may be that alone.

    Raises:
        ValueError: the arrays are not those of coding priors of such maps; or KeyError, IndexError
            or TypeError.
    """
    priors: Priors
    if "ratios" in arrays:
        refines = any(name.startswith(FIRST) for name in arrays)
        priors = RefiningModel(arrays) if refines else LatticeModel(arrays)
        found = priors.codebook_sizes
    else:
        if grown and ({"embedding", "codes"} & arrays.keys()):
            sizes = sizes[:1]
        priors = tuple(_of_map(own) for own in by_map(arrays, len(sizes)))
        found = tuple(prior.codebook_size for prior in priors)
    if found != sizes:
        raise ValueError("they are of other codebook sizes")
    return priors


def _of_map(arrays: "Arrays") -> MapPrior:
    return CausalModel(arrays) if "codes" in arrays else ContextModel(arrays)


def by_map(arrays: "Arrays", number: int) -> "list[Arrays]":
    """Return the arrays of the coding prior of each of a number of maps, from those of a file.

    Names begin with the number of the map and a dot where there are several maps.

    Raises:
        ValueError: there are others in it.
    """
    if number == 1:
        return [arrays]
    found = [
        {n.removeprefix(f"{i}."): a for n, a in arrays.items() if n.startswith(f"{i}.")}
        for i in range(number)
    ]
    if sum(map(len, found)) != len(arrays):
        raise ValueError("some arrays belong to no map")
    return found
