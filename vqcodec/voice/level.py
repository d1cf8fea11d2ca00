"""How loud speech is, and by how much to change that."""

import math
from typing import TYPE_CHECKING

from vqcodec.voice.frames import RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

FRAME = RATE // 50  # samples: 20 ms
WANTED = -23.0  # dB of full scale in the mean power of active frames, as in training
MIN, MAX = -30, 24  # dB of gain
SILENT = -60.0  # dB: sound whose loud frames are not louder is left alone
PEAK = 0.97  # of full scale, that the gain lifts no sample above


def gain_for(samples: "Samples") -> int:
    """Return the gain, in whole dB, that brings speech at 16 kHz, (channels, T), to its level.

    All channels get the same. Frames count that are nearer to the loud ones (the 95th percentile of
    power) than to the noise (the 5th): pauses do not.
    """
    import numpy as np

    active = _active(samples)
    if not active.size:
        return 0
    level = 10 * math.log10(np.mean(10 ** (active / 10)))
    room = 20 * math.log10(PEAK / float(np.abs(samples).max()))
    return max(MIN, min(MAX, round(WANTED - level), math.floor(room)))


def seconds_of_speech(samples: "Samples") -> float:
    """Return how long there is neither a pause nor silence in sound at 16 kHz, (T,)."""
    return _active(samples[None]).size * FRAME / RATE


def _active(samples: "Samples") -> "NDArray[np.float64]":
    """Return the power, in dB, of the frames that count in `gain_for`; none of silence."""
    import numpy as np

    whole = samples.shape[1] // FRAME * FRAME
    frames = samples[:, :whole].reshape(-1, FRAME) if whole else samples
    power = 10 * np.log10(np.square(frames, dtype=np.float64).mean(1) + 1e-12)
    noise, top = np.percentile(power, (5, 95))
    if top < SILENT:
        return np.zeros(0)
    return power[power >= max(noise + 0.35 * (top - noise), top - 35)]
