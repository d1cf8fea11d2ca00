"""Speed of sampling."""

import math
import statistics
import time
from typing import Any

import torch

from vqcodec.maps import filled
from vqcodec.sampling.image import Sampler


def speedup(name: str, side: int = 32, rounds: int = 3) -> dict[str, Any]:
    """Time cached sampling of a picture's maps against the plain way: all of the network an index.

    A pass of the network takes as long for the first index as for the last, so the plain way is
    timed for as many passes as `rounds` and multiplied.

    Args:
        name: weights with a sampling prior, a name or a folder.
        side: of the finest map, in indices.
        rounds: measurements of each, taken in turn after one that is not counted.
    """
    sampler = Sampler.load(name)
    prior, maps = sampler.prior, sampler.codec.maps
    size = filled(maps, maps[-1].covers((side, side)))
    shapes = tuple((1, *spec.shape(size)) for spec in maps)
    indices = sum(math.prod(shape) for shape in shapes)
    found = prior.sample(shapes)
    cached: list[float] = []
    passes: list[float] = []
    for turn in range(rounds + 1):
        start = time.perf_counter()
        prior.sample(shapes)
        between = time.perf_counter()
        with torch.inference_mode():
            prior.log_prob(found)
        if turn:
            cached.append(between - start)
            passes.append(time.perf_counter() - between)
    naive = statistics.median(passes) * indices
    return {
        "indices": indices,
        "rounds": rounds,
        "threads": torch.get_num_threads(),
        "cached_seconds": round(statistics.median(cached), 4),
        "naive_seconds": round(naive, 2),
        "ratio": round(naive / statistics.median(cached), 1),
    }
