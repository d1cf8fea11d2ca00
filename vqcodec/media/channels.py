"""Orders of channels.

Samples are in the order of WAV: front left and right, centre, low frequencies, back, sides. Vorbis
(its specification, section 4.3.9) and Opus (RFC 7845, section 5.1.1.2) have another order for three
channels and for five to eight, and libsndfile hands that on as it is.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

ORDERED = ("VORBIS", "OPUS")  # codings, as libsndfile calls them
# where the channels of WAV lie in theirs
PLACES = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 5, 3, 4),
    7: (0, 2, 1, 6, 5, 3, 4),
    8: (0, 2, 1, 7, 5, 6, 3, 4),
}


def from_file(samples: "Samples", coding: str) -> "Samples":
    """Return samples, (n, channels), as read from a file of this coding, in the order of WAV."""
    places = PLACES.get(samples.shape[1]) if coding in ORDERED else None
    return samples if places is None else samples[:, places]


def to_file(samples: "Samples", coding: str) -> "Samples":
    """Reverse `from_file`."""
    places = PLACES.get(samples.shape[1]) if coding in ORDERED else None
    if places is None:
        return samples
    ordered: Samples = samples[:, sorted(range(len(places)), key=places.__getitem__)]
    return ordered
