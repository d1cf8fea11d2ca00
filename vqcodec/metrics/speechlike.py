"""Measures that tell sound that is like speech from noise; none can tell whether it says anything.

They need no original: each hears the sound alone. Of what pocketsphinx could tell, those are taken
that part recorded speech from white noise, from noise with the spectrum of speech, and from that
with its loudness too. Its confidence in words does not: it is surest of the last of these.
"""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vqcodec.metrics.recogniser import PACKAGE, load_phones, read_phones
from vqcodec.metrics.speech import SpeechMetric
from vqcodec.voice.frames import RATE
from vqcodec.voice.pitch import median_pitch, pitch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.floating]


def entropy(phones: Sequence[str]) -> float:
    """Return the entropy in bits of how often each phone occurs; 0 where there is none."""
    import numpy as np

    counts = np.array(list(Counter(phones).values()), np.float64)
    shares = counts / max(1.0, counts.sum())
    return float((shares * -np.log2(shares)).sum())


def phone_variety(samples: "Signal") -> float:
    """Return how many different phones are read in a second."""
    return len(set(read_phones(samples))) / (len(samples) / RATE)


def voiced_share(samples: "Signal") -> float:
    """Return the share of frames with a fundamental frequency, in percent."""
    import numpy as np

    return 100 * float(np.mean(~np.isnan(pitch(samples))))


PHONES = SpeechMetric(
    "phone-entropy",
    "phone entropy",
    "bits",
    2,
    lambda _, heard: entropy(read_phones(heard)),
    (PACKAGE,),
    load_phones,
)
VARIETY = SpeechMetric(
    "phone-variety",
    "different phones",
    "a second",
    2,
    lambda _, heard: phone_variety(heard),
    (PACKAGE,),
    load_phones,
)
F0 = SpeechMetric("f0", "median F0", "Hz", 0, lambda _, heard: median_pitch(pitch(heard)))
VOICED = SpeechMetric("voiced", "voiced frames", "%", 0, lambda _, heard: voiced_share(heard))
METRICS = (PHONES, VARIETY, F0, VOICED)
EXPLAINED = {
    PHONES.key: "entropy of how often each phone occurs in what pocketsphinx reads where any "
    "phone of English may follow any; of noise about 0, and higher in longer recordings",
    VARIETY.key: "how many different phones it reads, in a second; of noise about 0, and lower in "
    "longer recordings",
    F0.key: "median fundamental frequency, of many the median",
    VOICED.key: "share of frames that have one; of noise 0",
}
