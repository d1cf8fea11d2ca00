"""How far to search for better codes, and what for."""

from vqcodec.errors import UsageError

DEFAULT_EFFORT = 4  # where a rate is asked for that needs a search
SWEEPS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24)  # of a search, by effort, 0 to 9


def sweeps_of(effort: int) -> int:
    """Return how often a search goes over all codes.

    Raises:
        UsageError: there is no such effort.
    """
    if effort not in range(len(SWEEPS)):
        raise UsageError(f"effort is {effort}, must be 0 to {len(SWEEPS) - 1}")
    return SWEEPS[effort]


def weight_of(quality: float) -> float:
    """Return the rate weight of a quality from 1 to 100: 0 at 100, doubling every 9 below 90.

    For weights that need a search; others have a range of their own.
    """
    return 0.0 if quality >= 100 else 160.0 * 2 ** ((90 - quality) / 9)
