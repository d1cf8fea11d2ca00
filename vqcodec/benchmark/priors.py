"""Speed of the priors: range coding of maps, and sampling against the plain way."""

import statistics
import time
from typing import TYPE_CHECKING, Any

from vqcodec.benchmark.benchmark import synthetic_picture
from vqcodec.benchmark.sampling import speedup
from vqcodec.codec.image import ImageCodec
from vqcodec.coding.contextmodel import ContextModel
from vqcodec.weights import SAMPLING_PRIOR, coding_priors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDES = ((128, 128), (768, 512))  # of the pictures whose maps are coded, in pixels


def measure_priors(name: str, rounds: int) -> dict[str, Any]:
    """Time what weights have of priors.

    Args:
        name: weights, a name or a folder.
        rounds: measurements of each, after one that is not counted.

    Returns:
        ``coding``: for each map its shape, bits per index, and seconds and codes per second of the
        range coder; ``sampling``: what `vqcodec.benchmark.sampling.speedup` finds, or None.
    """
    codec = ImageCodec.load(name)
    priors = coding_priors(codec.weights)
    coding = []
    for height, width in SIDES:
        grids = codec.encode(synthetic_picture(height, width)).grids
        coding += [_coding(p, g, rounds) for p, g in zip(priors, grids, strict=False)]
    has_sampling = SAMPLING_PRIOR in (codec.weights.config.get("files") or {})
    return {"coding": coding, "sampling": speedup(name, rounds=rounds) if has_sampling else None}


def _coding(prior: ContextModel, grid: "NDArray[np.uint16]", rounds: int) -> dict[str, Any]:
    """Time the range coder on one map."""
    took: list[tuple[float, float]] = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        (payload,) = prior.encode([grid])
        middle = time.perf_counter()
        prior.decode([payload], grid.shape)
        took.append((middle - start, time.perf_counter() - middle))
    encode, decode = (statistics.median(t) for t in zip(*took[1:], strict=True))
    return {
        "shape": grid.shape,
        "bits_per_index": round(8 * len(payload) / grid.size, 3),
        "encode_seconds": round(encode, 4),
        "decode_seconds": round(decode, 4),
        "codes_per_second": round(2 * grid.size / (encode + decode)),
    }
