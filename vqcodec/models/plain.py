"""Which code costs least where nobody sees it: a property of a coding prior."""

import numpy as np

from vqcodec.coding.priors import read_priors

SIDE = 16  # of the map that is filled with a code: its border costs more than the rest


def find_plain_codes(data: bytes, codebook_sizes: tuple[int, ...]) -> list[int]:
    """Return, of the map of a codec of pictures, the code whose repetition costs least.

    Args:
        data: the file of a coding prior.
        codebook_sizes: K of each map; of several nothing is known, and nothing returned.
    """
    import safetensors.numpy

    if len(codebook_sizes) > 1:
        return []
    arrays = safetensors.numpy.load(data)
    priors = read_priors({k: a.astype(np.int64) for k, a in arrays.items()}, codebook_sizes)
    if not isinstance(priors, tuple):
        return []
    full = (np.full((SIDE, SIDE), c, np.uint16) for c in range(codebook_sizes[0]))
    bits = [float(priors[0].bits([grid]).sum()) for grid in full]
    return [int(np.argmin(bits))]
