"""Speech as telephones send it: one byte a sample, by ITU-T G.711."""

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALAW, MULAW = 6, 7  # as WAV numbers them


@functools.cache
def table(coding: int) -> "NDArray[np.float32]":
    """Return what each byte stands for, (256,) in [-1, 1]."""
    import numpy as np

    code = np.arange(256) ^ (0x55 if coding == ALAW else 0xFF)
    segment, step = code >> 4 & 7, code & 15
    if coding == ALAW:
        size = np.where(segment > 0, (2 * step + 33) << np.maximum(segment, 1) >> 1, 2 * step + 1)
        size, negative = size << 3, code & 128 == 0
    else:
        size, negative = ((2 * step + 33) << segment << 2) - 132, code & 128 != 0
    return (np.where(negative, -size, size) / 32768).astype(np.float32)
