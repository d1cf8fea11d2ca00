"""What the maps of a codec of pictures are drawn from."""

from vqcodec.codec.image import ImageCodec
from vqcodec.codingpriors import lattice_prior
from vqcodec.errors import WeightsError
from vqcodec.models.fixedpoint import from_arrays, to_arrays
from vqcodec.models.pretrained import load_sampling_prior
from vqcodec.models.priors.base import Prior
from vqcodec.models.priors.coarsetofine import CoarseToFine
from vqcodec.weights import CODING_PRIOR, SAMPLING_PRIOR, first_codec, table_of

# Of the maps that refine a picture. At 1 patches are most like those of photographs, but specks of
# colour show; below 0.5 there is little to see of what is drawn.
FINER = 0.7


def sampling_prior(codec: ImageCodec) -> Prior:
    """Return the prior that the maps of a codec are drawn from.

    That is the sampling prior of its weights. Where there is one coding prior of all maps, that
    draws the maps after the first, which the sampling prior of the weights draws, or of the codec
    that they refine, or where there is none the coding prior as well.

    Raises:
        WeightsError: there is neither, or it is damaged.
    """
    weights, lattice = codec.weights, lattice_prior(codec.weights)
    if lattice is None:
        return load_sampling_prior(weights)
    first, finer, base = None, 1.0, first_codec(weights)
    if lattice.first is not None and base is not None:
        first, finer = load_sampling_prior(base), FINER
    elif SAMPLING_PRIOR in table_of(weights.config, "files"):
        own = load_sampling_prior(weights)
        if len(own.each()) == 1:  # of maps that are all alike
            return own
        first = own.each()[0]
    try:
        further = from_arrays(lattice.arrays)
        if to_arrays(further).keys() != lattice.arrays.keys():
            raise ValueError("some are left over")
    except (KeyError, RuntimeError, ValueError):
        raise WeightsError(
            f"{weights.folder / CODING_PRIOR}: cannot be drawn from: its levels are not alike"
        ) from None
    condition = codec.rates.condition(codec.default_weight) if codec.rates is not None else 0
    return CoarseToFine(first, further, condition, finer)
