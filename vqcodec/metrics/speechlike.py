"""Measures that tell sound that is like speech from noise; none can tell whether it says anything.

They need no original: each hears the sound alone.
"""

from typing import TYPE_CHECKING

from vqcodec.metrics.speech import SpeechMetric
from vqcodec.voice.pitch import median_pitch, pitch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.floating]


def voiced_share(samples: "Signal") -> float:
    """Return the share of frames with a fundamental frequency, in percent."""
    import numpy as np

    return 100 * float(np.mean(~np.isnan(pitch(samples))))


F0 = SpeechMetric("f0", "median F0", "Hz", 0, lambda _, heard: median_pitch(pitch(heard)))
VOICED = SpeechMetric("voiced", "voiced frames", "%", 0, lambda _, heard: voiced_share(heard))
METRICS = (F0, VOICED)
EXPLAINED = {
    F0.key: "median fundamental frequency, of many the median",
    VOICED.key: "share of frames that have one; of noise 0",
}
