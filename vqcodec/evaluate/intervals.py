"""Confidence intervals over pictures, by the bootstrap."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

RESAMPLES = 2000
LEVEL = 95  # percent
CHUNK = 1 << 22  # draws held at a time


def resampled_means(values: "Values", seed: int = 0) -> "Values":
    """Return the means of columns over pictures drawn anew with replacement.

    All columns see the same draws, so that differences between them are paired.

    Args:
        values: (pictures, columns); NaN where a picture has no value.
        seed: of the draws.

    Returns:
        (RESAMPLES, columns); NaN where a draw has no value at all.
    """
    import numpy as np

    number = len(values)
    rng = np.random.default_rng(seed)
    known = ~np.isnan(values)
    filled = np.where(known, values, 0)
    means = np.full((RESAMPLES, values.shape[1]), np.nan)
    step = max(1, CHUNK // number)
    for start in range(0, RESAMPLES, step):
        rows = min(step, RESAMPLES - start)
        counts = rng.multinomial(number, np.full(number, 1 / number), size=rows)
        total, weight = counts @ filled, counts @ known.astype(np.float64)
        np.divide(total, weight, out=means[start : start + rows], where=weight > 0)
    return means


def interval(means: "Values") -> tuple[float, float]:
    """Return the LEVEL % percentile interval of resampled means, (RESAMPLES,)."""
    import numpy as np

    outside = (100 - LEVEL) / 2
    low, high = np.nanpercentile(means, [outside, 100 - outside])
    return float(low), float(high)
