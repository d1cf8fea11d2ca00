"""How well speech has been given another voice: whose it sounds like, and what is left of it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqcodec.metrics.alignment import warp
from vqcodec.metrics.similarity import embedding
from vqcodec.metrics.spectra import cepstra, mel_power
from vqcodec.voice.pitch import median_pitch, pitch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.floating]

QUIET = 40.0  # dB below the loudest frame, where a pause is


@dataclass(frozen=True)
class KnownVoice:
    """What is known of a voice from recordings of it.

    Attributes:
        embedding: the mean of theirs, of length 1; None where they say too little.
        pitch: median fundamental frequency in Hz; None without any.
    """

    embedding: "NDArray[np.float32] | None"
    pitch: float | None

    @classmethod
    def hear(cls, recordings: "Iterable[Signal]", *, embed: bool = True) -> "KnownVoice":
        """Listen to recordings, (T,) each; embeddings need Resemblyzer, and `embed`."""
        import numpy as np

        tracks, embeddings = [], []
        for samples in recordings:
            tracks.append(pitch(samples))
            own = embedding(samples) if embed else None
            if own is not None:
                embeddings.append(own)
        mean = None
        if embeddings:
            total = np.sum(embeddings, 0)
            mean = total / np.linalg.norm(total)
        return cls(mean, median_pitch(np.concatenate(tracks)))


def likeness(samples: "Signal", voice: KnownVoice) -> float | None:
    """Return the cosine between a recording's embedding and that of a voice.

    None where the recording, or what is known of the voice, says too little.
    """
    own = embedding(samples)
    if own is None or voice.embedding is None:
        return None
    return float((own * voice.embedding).sum())


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


def pitch_offset(frequency: float | None, voice: KnownVoice) -> float | None:
    """Return by how many semitones a frequency in Hz is above the median pitch of a voice."""
    if frequency is None or voice.pitch is None:
        return None
    return 12 * math.log2(frequency / voice.pitch)


def _spoken(samples: "Signal") -> "NDArray[np.float64]":
    level = mel_power(samples).sum(1)
    return cepstra(samples)[(level > 0) & (level >= level.max() * 10 ** (-QUIET / 10))]
