"""Measures of reconstructions and of codes. NumPy only."""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def psnr(a: "NDArray[np.uint8]", b: "NDArray[np.uint8]") -> float:
    """Return the peak signal-to-noise ratio of two 8-bit pictures of one shape, in dB.

    All channels count alike: 10 log10(255^2 / MSE). Equal pictures give infinity.
    """
    import numpy as np

    total = 0.0
    for row_a, row_b in zip(a, b, strict=True):  # row by row: no large copies in floating point
        total += float(np.square(row_a.astype(np.float32) - row_b).sum(dtype=np.float64))
    return 10 * math.log10(255**2 * a.size / total) if total else math.inf


def perplexity(counts: "NDArray[Any]") -> float:
    """Return exp of the entropy of a histogram: how many codes it uses, in effect."""
    import numpy as np

    share = counts[counts > 0] / counts.sum()
    return float(np.exp(-(share * np.log(share)).sum()))
