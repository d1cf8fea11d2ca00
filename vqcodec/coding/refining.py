"""The coding prior of maps that refine the one map of another model, which has its own prior."""

import hashlib
from typing import TYPE_CHECKING

from vqcodec.coding.causal import CausalModel
from vqcodec.coding.lattice import LatticeModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[np.int64]]

FIRST = "first."  # what the names of the first map's own arrays begin with

# of the choice of codes, when pictures are encoded and in training
NOTHING = 0  # the code of the zero vector
CANDIDATES, AHEAD = 3, 2  # that are followed, and through how many codebooks
LITTLE = 2.0  # bits that an error is worth at most to be left alone


class RefiningModel(LatticeModel):
    """A lattice prior whose first map is coded by a `CausalModel`, and then known.

    Args:
        arrays: of a `LatticeModel`, whose predictions of the first map are not asked for, and with
            names that begin with ``first.`` those of a `CausalModel`.

    Raises:
        ValueError: as for these.
    """

    def __init__(self, arrays: "Arrays") -> None:
        first = {n.removeprefix(FIRST): a for n, a in arrays.items() if n.startswith(FIRST)}
        super().__init__({n: a for n, a in arrays.items() if not n.startswith(FIRST)})
        self.first = CausalModel(first)
        if self.first.codebook_size != self.codebook_sizes[0]:
            raise ValueError("the priors of its first map are of different codebook sizes")
        self.identity = hashlib.sha256(self.identity + self.first.identity).digest()[:4]
