"""How well speech has been given another voice: whose it sounds like, and what is left of it."""

import math
from typing import TYPE_CHECKING

from vqcodec.evaluate.speech.alignment import warp
from vqcodec.evaluate.speech.pitch import median_pitch, pitch
from vqcodec.evaluate.speech.similarity import embedding
from vqcodec.evaluate.speech.spectra import cepstra, mel_power

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.floating]

QUIET = 40.0  # dB below the loudest frame, where a pause is


def likeness(samples: "Signal", voice: "list[Signal]") -> float | None:
    """Return the cosine between a recording's embedding and the mean one of a voice.

    None where the recording, or all of the voice, says too little.
    """
    import numpy as np

    own = embedding(samples)
    known = [e for e in map(embedding, voice) if e is not None]
    if own is None or not known:
        return None
    mean = np.mean(known, 0)
    return float(own @ mean / np.linalg.norm(mean))


def cepstral_distance(a: "Signal", b: "Signal") -> float | None:
    """Return the mel-cepstral distance of two readings of one sentence, in dB.

    Pauses are left out, then the readings are warped in time onto each other; the level does not
    count. 10 / ln 10 sqrt(2 sum (c - c')^2), the mean over the path, of cepstra of mel bands: its
    values are not those of other ways to take cepstra. None where one is silent.
    """
    import numpy as np

    one, two = _spoken(a), _spoken(b)
    if not len(one) or not len(two):
        return None
    path = warp(one, two)
    apart = np.square(one[path[:, 0]] - two[path[:, 1]]).sum(1)
    return float(10 / math.log(10) * np.sqrt(2 * apart).mean())


def pitch_offset(samples: "Signal", voice: "list[Signal]") -> float | None:
    """Return by how many semitones the median pitch is above that of a voice; None without any."""
    import numpy as np

    own = median_pitch(pitch(samples))
    theirs = median_pitch(np.concatenate([pitch(s) for s in voice]))
    return None if own is None or theirs is None else 12 * math.log2(own / theirs)


def _spoken(samples: "Signal") -> "NDArray[np.float64]":
    level = mel_power(samples).sum(1)
    return cepstra(samples)[(level > 0) & (level >= level.max() * 10 ** (-QUIET / 10))]
