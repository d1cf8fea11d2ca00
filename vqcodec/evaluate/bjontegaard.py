"""Bjøntegaard deltas: how far apart two rate-distortion curves are.

Between the measured points a curve is a piecewise cubic Hermite polynomial without overshoot
(PCHIP), over the logarithm of the rate, as in the common test conditions of JCT-VC (JCTVC-L1100);
Bjøntegaard's own cubic (VCEG-M33) needs exactly four points, this one two or more.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Curve = NDArray[np.float64]

MIN_OVERLAP = 0.25  # of the shorter curve's range; a delta over less says nothing


def bd_rate(
    rates: Sequence[float],
    qualities: Sequence[float],
    other_rates: Sequence[float],
    other_qualities: Sequence[float],
) -> float | None:
    """Return by how many percent the other curve's rate differs at equal quality, on average.

    Negative: the other needs less. None where the curves have too few points, or hardly share a
    range of quality, so that they cannot be compared.
    """
    import numpy as np

    delta = _mean_difference(qualities, np.log(rates), other_qualities, np.log(other_rates))
    return None if delta is None else 100 * float(np.expm1(delta))


def bd_quality(
    rates: Sequence[float],
    qualities: Sequence[float],
    other_rates: Sequence[float],
    other_qualities: Sequence[float],
) -> float | None:
    """Return by how much the other curve's quality differs at equal rate, on average.

    The unit is that of the quality; None as in `bd_rate`.
    """
    import numpy as np

    return _mean_difference(np.log(rates), qualities, np.log(other_rates), other_qualities)


def _mean_difference(
    x: "Sequence[float] | Curve",
    y: "Sequence[float] | Curve",
    other_x: "Sequence[float] | Curve",
    other_y: "Sequence[float] | Curve",
) -> float | None:
    """Return the mean of other curve minus curve over the part of the x axis that both cover."""
    import numpy as np

    curves = [_sorted(x, y), _sorted(other_x, other_y)]
    if any(len(xs) < 2 or np.any(np.diff(xs) <= 0) for xs, _ in curves):
        return None
    low, high = max(xs[0] for xs, _ in curves), min(xs[-1] for xs, _ in curves)
    if high - low < MIN_OVERLAP * min(xs[-1] - xs[0] for xs, _ in curves):
        return None
    areas = [_area(xs, ys, low, high) for xs, ys in curves]
    return (areas[1] - areas[0]) / (high - low)


def _sorted(x: "Sequence[float] | Curve", y: "Sequence[float] | Curve") -> "tuple[Curve, Curve]":
    import numpy as np

    order = np.argsort(x)
    return np.asarray(x, np.float64)[order], np.asarray(y, np.float64)[order]


def _area(x: "Curve", y: "Curve", low: float, high: float) -> float:
    """Integrate from `low` to `high`: Simpson's rule between knots is exact for cubics."""
    import numpy as np

    ends = np.concatenate([[low], x[(x > low) & (x < high)], [high]])
    middles = (ends[:-1] + ends[1:]) / 2
    at_ends, at_middles = pchip(x, y, ends), pchip(x, y, middles)
    return float(np.sum(np.diff(ends) / 6 * (at_ends[:-1] + 4 * at_middles + at_ends[1:])))


def pchip(x: "Curve", y: "Curve", at: "Curve") -> "Curve":
    """Return the PCHIP through (x, y), x increasing, at positions inside its range.

    Slopes are those of Fritsch and Butland (1984): where neighbouring chords agree in sign, their
    weighted harmonic mean, else zero; at the ends the three-point formula, limited.
    """
    import numpy as np

    step, chord = np.diff(x), np.diff(y) / np.diff(x)
    slope = np.full(len(x), chord[0])
    if len(x) > 2:
        a, b = 2 * step[1:] + step[:-1], step[1:] + 2 * step[:-1]
        same = chord[:-1] * chord[1:] > 0
        slope[1:-1] = 0
        harmonic = (a + b)[same] / (a[same] / chord[:-1][same] + b[same] / chord[1:][same])
        slope[1:-1][same] = harmonic
        slope[0] = _end_slope(step[0], step[1], chord[0], chord[1])
        slope[-1] = _end_slope(step[-1], step[-2], chord[-1], chord[-2])
    piece = np.clip(np.searchsorted(x, at, "right") - 1, 0, len(step) - 1)
    h = step[piece]
    t = (at - x[piece]) / h
    return np.asarray(
        (1 + 2 * t) * (1 - t) ** 2 * y[piece]
        + t * (1 - t) ** 2 * h * slope[piece]
        + t**2 * (3 - 2 * t) * y[piece + 1]
        + t**2 * (t - 1) * h * slope[piece + 1]
    )


def _end_slope(step: float, next_step: float, chord: float, next_chord: float) -> float:
    slope = ((2 * step + next_step) * chord - step * next_chord) / (step + next_step)
    if slope * chord <= 0:
        return 0.0
    if chord * next_chord <= 0 and abs(slope) > 3 * abs(chord):
        return 3 * chord
    return slope
