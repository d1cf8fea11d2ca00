"""At which of its sizes a picture is best coded."""

import math
from collections.abc import Callable

SCALES = (1.0, 0.75, 0.5, 0.35, 0.25)
BETWEEN = (0.875, 0.625, 0.42, 0.3)
MOST_SCALES, MOST_TO_SEARCH = len(SCALES) + 2, 2
NEAR = (
    1.1  # what lies between two scales is tried where one costs less than so many times the other
)


def costs_of_scales(cost: Callable[[float], float]) -> dict[float, float]:
    """Return what coding costs at each scale that is worth a look, the largest first.

    From the largest down, until a smaller one costs more; and then between the best of these and
    its neighbours, where they cost about as much, or more than anything.

    Args:
        cost: gets a scale, and returns what a picture costs there; `math.inf` where it cannot be.
    """
    found: dict[float, float] = {}
    least, best = math.inf, 0
    for number, scale in enumerate(SCALES):
        found[scale] = cost(scale)
        if found[scale] >= least < math.inf:
            break
        if found[scale] < least:
            least, best = found[scale], number
    for neighbour, between in ((best - 1, best - 1), (best + 1, best)):
        if least < math.inf and 0 <= neighbour < len(found):
            beside = found[SCALES[neighbour]]
            if beside < NEAR * least or beside == math.inf:
                found[BETWEEN[between]] = cost(BETWEEN[between])
    return dict(sorted(found.items(), reverse=True))


def scales_to_search(costs: dict[float, float]) -> list[float]:
    """Return the best of scales, from the largest, and the next larger: a search may favour it.

    Where nothing can be at any of them, what a search finds at the smallest two may.
    """
    scales, cheapest = list(costs), min(costs, key=costs.__getitem__)
    best = len(scales) - 1 if costs[cheapest] == math.inf else scales.index(cheapest)
    return scales[max(0, best + 1 - MOST_TO_SEARCH) : best + 1]
