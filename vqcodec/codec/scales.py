"""At which of its sizes a picture is coded, and which is best."""

import math
from collections.abc import Callable

from vqcodec.errors import UsageError

# From large to small. Every fourth is tried at first, then what lies halfway between two.
SCALES = (
    *(1.0, 0.9375, 0.875, 0.8125),
    *(0.75, 0.6875, 0.625, 0.5625),
    *(0.5, 0.46, 0.42, 0.385),
    *(0.35, 0.325, 0.3, 0.275),
    0.25,
)
WIDE = 4
SEARCHED = 2  # scales, as a rule
NEAR = 1.1  # nothing is tried beside a scale that costs more times as much as the best one


def coded_size(size: tuple[int, int], scale: float | None) -> tuple[int, int]:
    """Return the height and width at which a picture is coded.

    Raises:
        UsageError: the scale is out of range.
    """
    scale = 1.0 if scale is None else scale
    if not 0 < scale <= 1:
        raise UsageError(f"scale is {scale}, must be above 0 and at most 1")
    height, width = (max(1, round(n * scale)) for n in size)
    return height, width


def most_scales(halvings: int) -> int:
    """Return how many scales `costs_of_scales` tries at most."""
    return len(SCALES[::WIDE]) + 2 * halvings


def costs_of_scales(
    cost: Callable[[float], float], halvings: int, scales: tuple[float, ...] = SCALES
) -> dict[float, float]:
    """Return what coding costs at each scale that is worth a look, the largest first.

    From the largest down in wide steps, until a smaller one costs as much or more; then on both
    sides of the best one at half the step, where the neighbour on that side costs about as much, or
    cannot be coded at all.

    Args:
        cost: gets a scale, and returns what a picture costs there; `math.inf` where it cannot be.
        halvings: of the step, 0 to 2.
        scales: `SCALES`, or the smaller ones of them from some wide step on.
    """
    found: dict[int, float] = {}
    for place in range(0, len(scales), WIDE):
        least = min(found.values(), default=math.inf)
        found[place] = cost(scales[place])
        if found[place] >= least < math.inf:
            break
    best, step = min(found, key=found.__getitem__), WIDE
    while found[best] < math.inf and step > WIDE >> halvings:
        step //= 2
        for place, beside in ((best - step, best - 2 * step), (best + step, best + 2 * step)):
            there = found.get(beside, 0.0)  # none there, or none tried: nothing lies between
            if there and (there < NEAR * found[best] or there == math.inf):
                found[place] = cost(scales[place])
        best = min(found, key=found.__getitem__)
    return {scales[place]: found[place] for place in sorted(found)}


def search_scales(cost: Callable[[float], float], costs: dict[float, float]) -> dict[float, float]:
    """Return what a search costs at the best of scales, and at larger ones, which it may favour.

    At the next larger one at least, and on, until it is no better. Where nothing can be coded at
    any of them, what a search finds at the smallest two may.

    Args:
        cost: gets a scale, and returns what a picture costs after a search there.
        costs: what `costs_of_scales` returned.
    """
    scales, cheapest = list(costs), min(costs, key=costs.__getitem__)
    if costs[cheapest] == math.inf:
        return {scale: cost(scale) for scale in scales[-2:]}
    found: dict[float, float] = {}
    for scale in reversed(scales[: scales.index(cheapest) + 1]):
        least = min(found.values(), default=math.inf)
        found[scale] = cost(scale)
        if found[scale] >= least:
            break
    return found
