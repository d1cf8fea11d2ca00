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


def conditional_entropy(known: "NDArray[Any]", maps: "NDArray[Any]", codebook_size: int) -> float:
    """Estimate the bits per index of maps, given the codes to the left and above.

    p(x | left, above) is taken as proportional to p(x | left) p(x | above) / p(x), with pair
    counts from `known` smoothed towards p(x). Any such model gives an upper bound, so this one
    can compare codecs before a prior has been trained for them.

    Args:
        known: (M, h, w) indices to count pairs in.
        maps: (N, h, w) indices to code, of other pictures.
        codebook_size: K.
    """
    import numpy as np

    size = codebook_size
    share = np.bincount(known.ravel(), minlength=size) + 0.5
    share = share / share.sum()

    def log_ratio(pairs: "NDArray[Any]") -> "NDArray[Any]":
        counts = np.bincount(pairs.ravel(), minlength=size * size).reshape(size, size)
        smooth = 24.0  # pseudo-counts: pairs are few, about M h w / K^2 in each cell
        given = (counts + smooth * share) / (counts.sum(1, keepdims=True) + smooth)
        ratio: NDArray[Any] = np.log2(given / share).astype(np.float32)
        return ratio

    wide = known.astype(np.int64)
    left = log_ratio(wide[:, :, :-1] * size + wide[:, :, 1:])
    above = log_ratio(wide[:, :-1, :] * size + wide[:, 1:, :])
    total = 0.0
    for grid in maps.astype(np.int64):
        scores = np.tile(np.log2(share).astype(np.float32), (*grid.shape, 1))
        scores[:, 1:] += left[grid[:, :-1]]
        scores[1:, :] += above[grid[:-1, :]]
        norm = np.log2(np.exp2(scores).sum(-1))
        chosen = np.take_along_axis(scores, grid[..., None], -1)[..., 0]
        total += float((norm - chosen).sum())
    return total / maps.size
