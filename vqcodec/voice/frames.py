"""The rate that speech is computed at, and short stretches of it, one every 10 ms. NumPy only."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.floating]
    Frames = NDArray[np.float64]

RATE = 16_000  # Hz: what models of speech hear and make, and what voices are measured at
HEAD = 10 * RATE  # samples that level, speaker and pitch of a recording are measured on
HOP = 160  # samples between frames: 10 ms


def frames_of(samples: "Signal", length: int, hop: int = HOP) -> "Frames":
    """Return frames of `length` samples around every `hop`-th sample, (N, length); zeros beyond."""
    import numpy as np

    number = -(-len(samples) // hop)
    padded = np.zeros((number - 1) * hop + length)
    before = length // 2
    kept = samples[: len(padded) - before]
    padded[before : before + len(kept)] = kept
    return np.lib.stride_tricks.sliding_window_view(padded, length)[::hop]
