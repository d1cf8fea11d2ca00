"""The sounds of a voice: which spectral envelopes it makes, and speech that is given them.

As in kNN-VC (Baas et al., arXiv:2305.18975), each moment of speech takes on what the most similar
moments of the other voice sound like on average. There, a network trained on 60,000 hours tells
what is similar; here, cepstra do, each speaker's brought to mean 0 and deviation 1. NumPy only, at
16 kHz.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from vqcodec.voice.formants import CEPSTRA, HOP, cepstra_of, give_cepstra
from vqcodec.voice.frames import RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.float32]
    Frames = NDArray[np.float32]

COMPARED = 24  # cepstra that tell how similar two moments are
SPAN = 3  # frames to each side that slopes are measured over: 24 ms
SLOPE, LOUDNESS = 0.5, 0.5  # what slopes, and the first cepstrum, weigh
NEIGHBOURS = 6  # moments that are averaged
AVERAGED = 3  # the same, of moments each of which stands for many
SMOOTH = (0.25, 0.75, 1.0, 0.75, 0.25)  # frames that are averaged in turn
ACTIVE = 4.0  # nepers below the loud frames, within which a frame tells of the voice
MIN = RATE // HOP  # frames that do, below which they say too little: a second
MAX = 120 * RATE // HOP  # frames of a voice that are kept: two minutes
AT_ONCE = 256  # frames that are compared with all of a voice at a time
SPREAD = 0.5  # power of the factor to its deviation, of which averages of moments have too little


class Reach(NamedTuple):
    """How far conversion goes towards another voice.

    Attributes:
        coarsely: of the way to its mean and deviation.
        way: of the way to its moments.
        mean: how often the mean of the change to them is added once more.
    """

    coarsely: float
    way: float
    mean: float


FAR = Reach(1.3, 1.15, 2.0)  # beyond it, for what else is left in speech of whoever spoke
NEAR = Reach(0.6, 0.3, 1.5)  # around a decoder that has learned to say speech as others


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of the cepstra of a voice, (COMPARED,) each."""

    mean: "Frames"
    deviation: "Frames"

    def brought_to(self, other: "Scale", cepstra: "Frames") -> "Frames":
        """Return cepstra of this voice, (N, CEPSTRA), with mean and deviation of another."""
        brought = cepstra.copy()
        moved = (cepstra[:, :COMPARED] - self.mean) / self.deviation
        brought[:, :COMPARED] = moved * other.deviation + other.mean
        return brought

    @classmethod
    def of(cls, cepstra: "Frames") -> "Scale | None":
        """Measure cepstra, (N, CEPSTRA); None of less than a second of speech."""
        import numpy as np

        loud = cepstra[:, 0] > np.percentile(cepstra[:, 0], 95) - ACTIVE
        told = cepstra[loud, :COMPARED]
        if len(told) < MIN or np.ptp(told[:, 0]) < 1e-3:  # a steady tone, or silence
            return None
        return cls(told.mean(0), np.maximum(told.std(0), 1e-3))

    def features(self, cepstra: "Frames") -> "Frames":
        """Return what moments are compared by, (N, 2 * COMPARED)."""
        import numpy as np

        own = (cepstra[:, :COMPARED] - self.mean) / self.deviation
        padded = np.pad(own, ((SPAN, SPAN), (0, 0)), mode="edge")
        both = np.concatenate([own, SLOPE * (padded[2 * SPAN :] - padded[: -2 * SPAN])], axis=1)
        both[:, ::COMPARED] *= LOUDNESS
        features: Frames = both.astype(np.float32)
        return features


class Timbre:
    """What a voice sounds like, moment by moment.

    Args:
        features: what moments of the voice are found by, (M, 2 * COMPARED).
        cepstra: how they sound, (M, CEPSTRA).
        neighbours: how many are averaged.

    Raises:
        ValueError: the shapes are others, or numbers are not finite.
    """

    def __init__(self, features: "Frames", cepstra: "Frames", neighbours: int = AVERAGED) -> None:
        import numpy as np

        number = len(features)
        if not number or features.shape != (number, 2 * COMPARED):
            raise ValueError(f"features of shape {features.shape}")
        if cepstra.shape != (number, CEPSTRA):
            raise ValueError(f"cepstra of shape {cepstra.shape}")
        self.features, self.cepstra = features.astype(np.float32), cepstra.astype(np.float32)
        if not (np.isfinite(self.features).all() and np.isfinite(self.cepstra).all()):
            raise ValueError("numbers that are not finite")
        self._powers = np.square(self.features).sum(1)
        self._neighbours = min(neighbours, number)

    @classmethod
    def heard(cls, recordings: "Iterable[Signal]", most: int = MAX) -> "Timbre":
        """Return the voice of recordings, (T,) each, of which the first `most` frames are kept.

        Raises:
            ValueError: there is less than a second of speech in them.
        """
        import numpy as np

        heard = [cepstra_of(samples) for samples in recordings]
        cepstra = np.concatenate([*heard, np.zeros((0, CEPSTRA), np.float32)])[:most]
        scale = Scale.of(cepstra) if len(cepstra) else None
        if scale is None:
            raise ValueError("less than a second of speech")
        features = np.concatenate([scale.features(c) for c in heard])[:most]
        return cls(features, cepstra, NEIGHBOURS)

    def like(self, features: "Frames") -> "Frames":
        """Return cepstra of the voice, (N, CEPSTRA), at moments with these features."""
        import numpy as np

        number, found = self._neighbours, []
        for start in range(0, len(features), AT_ONCE):
            distances = self._powers - 2 * features[start : start + AT_ONCE] @ self.features.T
            nearest = np.argpartition(distances, number - 1, axis=1)[:, :number]
            found.append(self.cepstra[nearest].mean(1))
        return _smooth(np.concatenate(found))

    @cached_property
    def scale(self) -> Scale:
        """That which the features were found with: cepstra are its mean + deviation * feature."""
        import numpy as np

        features, cepstra = self.features[:, :COMPARED].copy(), self.cepstra[:, :COMPARED]
        features[:, 0] /= LOUDNESS
        middle, mean = features.mean(0), cepstra.mean(0)
        apart = features - middle
        spread = np.maximum(np.square(apart).sum(0), 1e-9)  # of a single moment there is none
        deviation = (apart * (cepstra - mean)).sum(0) / spread
        return Scale(mean - deviation * middle, deviation)

    def given_to(self, samples: "Signal", own: "Frames", scale: Scale) -> "Signal":
        """Return sound, (T,), with the sounds of the voice, as loud at every moment as it was.

        Args:
            samples: the sound.
            own: its cepstra.
            scale: of the voice that speaks in it.
        """
        wanted = self.like(scale.features(own))
        wanted[:, 0] = own[:, 0]
        return give_cepstra(samples, own, wanted)


class EnvelopeTransfer:
    """Gives the speech of one voice the sounds of another, part by part.

    Where a part says too little of whose voice it is, that is taken from the one before; where
    there was none, the part is left as it is.

    Args:
        timbre: the other voice.
        coarsely: bring mean and deviation of all cepstra to those of the voice, the same for every
            sound, which costs no words; by default each moment takes on its most similar ones.
        reach: how far.
    """

    def __init__(self, timbre: Timbre, *, coarsely: bool = False, reach: Reach = FAR) -> None:
        self._timbre, self._coarsely, self._reach = timbre, coarsely, reach
        self._scale: Scale | None = None

    def apply(self, samples: "Signal") -> "Signal":
        """Return a part, (T,), as loud at every moment as it was."""
        own = cepstra_of(samples)
        self._scale = Scale.of(own) or self._scale
        if self._scale is None:
            return samples
        if self._coarsely:
            brought = self._scale.brought_to(self._timbre.scale, own)
            wanted = own + self._reach.coarsely * (brought - own)
        else:
            change = self._timbre.like(self._scale.features(own)) - own
            change[:, 0] = 0
            wanted = own + self._reach.way * change + self._reach.mean * change.mean(0)
            found = Scale.of(wanted)
            if found is not None:
                factor = self._timbre.scale.deviation / found.deviation
                spread = Scale(found.mean, found.deviation * factor**SPREAD)
                wanted = found.brought_to(spread, wanted)
        wanted[:, 0] = own[:, 0]
        return give_cepstra(samples, own, wanted)


def _smooth(cepstra: "Frames") -> "Frames":
    """Return moving averages, (N, CEPSTRA)."""
    import numpy as np

    radius = len(SMOOTH) // 2
    padded = np.pad(cepstra, ((radius, radius), (0, 0)), mode="edge")
    shifted = np.lib.stride_tricks.sliding_window_view(padded, len(SMOOTH), axis=0)
    smooth: Frames = (shifted @ np.array(SMOOTH) / sum(SMOOTH)).astype(np.float32)
    return smooth
