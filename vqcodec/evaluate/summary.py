"""Figures over a data set: means with intervals, differences, deltas, use of the codes."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vqcodec.evaluate.bjontegaard import bd_quality, bd_rate
from vqcodec.evaluate.intervals import interval, resampled_means
from vqcodec.evaluate.journal import OURS, Bits
from vqcodec.evaluate.table import BYTES, RATE, Table
from vqcodec.metrics.basic import perplexity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

DIGITS = 6
COMPLETE = 0.99  # of the inputs must fit for a point to be on the curve: the rest cannot bend it


def summarise_codec(table: Table, codec: str) -> dict[str, Any]:
    """Return the curve of a codec.

    Returns:
        ``points``: the numbers of the points that (nearly) every input fits at, the other lists
        have one entry for each; ``results``: means by column over the inputs that fit;
        ``intervals``: of those means, 95 %, by the bootstrap; ``fits``: how many inputs fit, at
        every point of the evaluation.
    """
    import numpy as np

    fits = (~np.isnan(table.column(codec, BYTES))).sum(0)
    points = [p for p, number in enumerate(fits) if number >= COMPLETE * len(table.names)]
    results: dict[str, list[float]] = {}
    intervals: dict[str, list[list[float]]] = {}
    for key in (table.columns[1], BYTES, *table.columns[2:]):
        values = table.column(codec, key)[:, points]
        if points and not np.isnan(values).all():
            means = resampled_means(values)
            results[key] = [round(float(m), DIGITS) for m in np.nanmean(values, 0)]
            intervals[key] = [_rounded(interval(column)) for column in means.T]
    return {
        "points": points,
        "results": results,
        "intervals": intervals,
        "fits": [int(number) for number in fits],
    }


def differences(ours: "Values", theirs: "Values") -> list[list[float] | None]:
    """Return [mean, low, high] of ours minus theirs, over inputs that have both, at each point.

    Args:
        ours: (N, points); NaN where there is nothing.
        theirs: the same of the other codec.
    """
    import numpy as np

    gain = ours - theirs
    known = np.any(~np.isnan(gain), axis=0).tolist()
    if not any(known):
        return [None] * gain.shape[1]
    means = resampled_means(gain)
    return [
        _rounded((float(np.nanmean(gain[:, p])), *interval(means[:, p]))) if known[p] else None
        for p in range(gain.shape[1])
    ]


def deltas(curve: dict[str, list[float]], baseline: dict[str, list[float]]) -> dict[str, Any]:
    """Return the Bjøntegaard deltas of a curve against a baseline's, by metric.

    Returns:
        ``rate`` in percent and ``quality`` in the metric's unit; None where not comparable.
    """
    found = {}
    for key, qualities in curve.items():
        if key not in (RATE, BYTES) and key in baseline:
            four = (baseline[RATE], baseline[key], curve[RATE], qualities)
            rate, quality = bd_rate(*four), bd_quality(*four)
            found[key] = {
                "rate": None if rate is None else round(rate, 3),
                "quality": None if quality is None else round(quality, DIGITS),
            }
    return found


def summarise_other(table: Table, codec: str, ours: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of another codec, and how ours differs from it.

    Returns:
        What `summarise_codec` does, and ``difference``: [mean, low, high] of ours minus theirs by
        metric and point, over the inputs that fit.
    """
    summary = summarise_codec(table, codec)
    summary["difference"] = {
        key: differences(table.column(OURS, key), table.column(codec, key))
        for key in table.columns[2:]
        if key in ours["results"]
    }
    return summary


def summarise_baseline(table: Table, codec: str, ours: dict[str, Any]) -> dict[str, Any]:
    """Return what `summarise_other` does, and ``bd``: how the curves differ, see `deltas`."""
    summary = summarise_other(table, codec, ours)
    summary["bd"] = deltas(ours["results"], summary["results"])
    return summary


def summarise_codes(usage: "Sequence[NDArray[np.int64]]", bits: Bits) -> dict[str, Any]:
    """Return how the codes are used.

    Args:
        usage: how often each code of each map occurs, (K,).
        bits: what the indices cost, by what predicts them.

    Returns:
        ``usage``: share of the codes that occur; ``perplexity``; ``order_0_entropy``: bits for an
        index on its own; ``bits_per_index``: by what predicts it. Where there are several maps a
        list of these under ``maps``, and ``bits_per_index`` over all maps.
    """
    numbers = [int(own.sum()) for own in usage]  # of indices
    sized = list(zip(numbers, usage, strict=True))
    costs = {
        "uniform": tuple(n * math.log2(len(own)) for n, own in sized),
        "order 0": tuple(n * math.log2(perplexity(own)) for n, own in sized),
        **bits,
    }
    by_map = {name: cost for name, cost in costs.items() if len(cost) == len(usage)}
    maps = [
        {
            **_summarise_map(own),
            "bits_per_index": {name: round(cost[i] / n, 4) for name, cost in by_map.items()},
        }
        for i, (n, own) in enumerate(sized)
    ]
    total = sum(numbers)
    every = {name: round(sum(cost) / total, 4) for name, cost in costs.items()}
    return {
        **(maps[0] if len(maps) == 1 else {"indices": total, "maps": maps}),
        "bits_per_index": every,
    }


def _summarise_map(usage: "NDArray[np.int64]") -> dict[str, Any]:
    number = perplexity(usage)
    return {
        "codebook_size": len(usage),
        "indices": int(usage.sum()),
        "usage": round(float((usage > 0).mean()), DIGITS),
        "perplexity": round(number, 3),
        "order_0_entropy": round(math.log2(number), 4),
    }


def _rounded(values: tuple[float, ...]) -> list[float]:
    return [round(v, DIGITS) for v in values]
