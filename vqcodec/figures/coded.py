"""A file that went through a codec, as its figure tells of it."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from vqcodec.metrics.basic import perplexity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vqcodec.files.codes import Codes

LONGEST = 60  # letters of a name in a title


@dataclass(frozen=True)
class Coded:
    """What pictures, sounds and videos have in common.

    Attributes:
        name: of the file.
        codes: what it was coded to.
    """

    name: str
    codes: "Codes"

    @property
    def title(self) -> str:
        """The name, cut where it is long."""
        return self.name if len(self.name) <= LONGEST else self.name[: LONGEST - 3] + "..."

    @property
    def grid(self) -> "NDArray[np.uint16]":
        """The finest map of indices: (h, w), (channels, t) or (T, h, w)."""
        return self.codes.grids[-1]

    @cached_property
    def counts(self) -> "list[NDArray[np.intp]]":
        """How often each code of each map occurs, (K,)."""
        import numpy as np

        pairs = zip(self.codes.grids, self.codes.codebook_sizes, strict=True)
        return [np.bincount(grid.ravel(), minlength=size) for grid, size in pairs]

    def usage(self) -> str:
        """Return how many indices each map holds, and of which codes, as part of a sentence."""
        return "; ".join(
            f"{indices(int(own.sum()))}, {int((own > 0).sum()):,} of {len(own):,} codes in use, "
            f"perplexity {perplexity(own):.1f}"
            for own in self.counts
        )


def indices(number: int) -> str:
    """Return how many indices there are, in words."""
    return f"{number:,} index" if number == 1 else f"{number:,} indices"
