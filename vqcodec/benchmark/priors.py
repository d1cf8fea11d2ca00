"""Speed of the priors: range coding of maps, and sampling against the plain way."""

import statistics
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vqcodec.benchmark.benchmark import synthetic_picture
from vqcodec.benchmark.sampling import speedup
from vqcodec.codec.image import ImageCodec
from vqcodec.coding.lattice import LatticeModel
from vqcodec.coding.priors import MapPrior
from vqcodec.codingpriors import coding_priors, lattice_prior
from vqcodec.files import vqc
from vqcodec.files.codes import Codes
from vqcodec.weights import SAMPLING_PRIOR

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
        range coder, or of all maps together, with the shape of the finest; ``sampling``: what
        `vqcodec.benchmark.sampling.speedup` finds, or None.
    """
    codec = ImageCodec.load(name)
    priors, lattice = coding_priors(codec.weights), lattice_prior(codec.weights)
    coding = []
    for height, width in SIDES:
        codes = codec.encode(synthetic_picture(height, width))
        coding += [_coding(p, g, rounds) for p, g in zip(priors, codes.grids, strict=False)]
        if lattice is not None:
            coding.append(_joint(lattice, replace(codes, chosen=None), rounds))
    has_sampling = SAMPLING_PRIOR in (codec.weights.config.get("files") or {})
    drawn = has_sampling and codec.weights.draws == codec.weights.modality
    return {"coding": coding, "sampling": speedup(name, rounds=rounds) if drawn else None}


def _coding(prior: MapPrior, grid: "NDArray[np.uint16]", rounds: int) -> dict[str, Any]:
    """Time the range coder on one map."""
    took: list[tuple[float, float]] = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        (payload,) = prior.encode([grid])
        middle = time.perf_counter()
        prior.decode([payload], grid.shape)
        took.append((middle - start, time.perf_counter() - middle))
    return {"shape": grid.shape, **_speed(took[1:], len(payload), grid.size)}


def _joint(model: LatticeModel, codes: Codes, rounds: int) -> dict[str, Any]:
    """Time a coding prior of all maps on those of a picture, files included."""
    took: list[tuple[float, float]] = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        data = vqc.dump(codes, model)
        middle = time.perf_counter()
        vqc.load(data, lambda *_: model)
        took.append((middle - start, time.perf_counter() - middle))
    total = sum(grid.size for grid in codes.grids)
    return {"shape": codes.grids[-1].shape, **_speed(took[1:], sum(vqc.map_bytes(data)), total)}


def _speed(took: list[tuple[float, float]], size: int, number: int) -> dict[str, Any]:
    """Return figures of a number of codes in bytes, and of (encoding, decoding) in seconds."""
    encode, decode = (statistics.median(t) for t in zip(*took, strict=True))
    return {
        "bits_per_index": round(8 * size / number, 3),
        "encode_seconds": round(encode, 4),
        "decode_seconds": round(decode, 4),
        "codes_per_second": round(2 * number / (encode + decode)),
    }
