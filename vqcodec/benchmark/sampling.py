"""Speed of sampling."""

import statistics
import time
from typing import Any

import torch

from vqcodec.sampling.image import Sampler


def speedup(name: str, side: int = 32, rounds: int = 3) -> dict[str, Any]:
    """Time cached sampling of one map against the plain way: the whole network for every index.

    A pass of the network takes as long for the first index as for the last, so the plain way is
    timed for as many passes as `rounds` and multiplied.

    Args:
        name: weights with a sampling prior, a name or a folder.
        side: of the map, in indices.
        rounds: measurements of each, taken in turn after one that is not counted.
    """
    prior = Sampler.load(name).prior
    maps = len(prior.codebook_sizes)
    shape = (1, side, side)
    found = prior.sample((shape,) * maps)
    cached: list[float] = []
    passes: list[float] = []
    for turn in range(rounds + 1):
        start = time.perf_counter()
        prior.sample((shape,) * maps)
        between = time.perf_counter()
        with torch.inference_mode():
            prior.log_prob(found)
        if turn:
            cached.append(between - start)
            passes.append(time.perf_counter() - between)
    naive = statistics.median(passes) * side * side * maps
    return {
        "indices": side * side * maps,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "cached_seconds": round(statistics.median(cached), 4),
        "naive_seconds": round(naive, 2),
        "ratio": round(naive / statistics.median(cached), 1),
    }
