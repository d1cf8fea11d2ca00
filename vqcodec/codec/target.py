"""Who shall speak, as far as a codec needs to know them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqcodec.voice.named import find_voice, timbre_of
from vqcodec.voice.pitch import median_pitch, pitch
from vqcodec.voice.timbre import Timbre

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vqcodec.codec.speech import SpeechCodec

    Samples = NDArray[np.float32]


@dataclass(frozen=True)
class Target:
    """A voice to convert to.

    Attributes:
        vector: for the decoder, as code files keep it.
        pitch: the median in Hz; None to leave that of the sound as it is.
        timbre: the sounds of the voice; None to leave those as they are.
    """

    vector: bytes
    pitch: float | None = None
    timbre: Timbre | None = None

    @property
    def needs_sound(self) -> bool:
        """Whether codes must be decoded and made anew: they carry pitch and timbre."""
        return self.pitch is not None or self.timbre is not None


def named(codec: "SpeechCodec", name: str) -> Target:
    """Return a speaker that the weights of a codec name.

    Raises:
        UsageError: there is none of this name.
        WeightsError: the weights name no speakers, or are damaged.
    """
    voice = find_voice(codec.weights, name)
    return Target(voice.vector, voice.pitch, timbre_of(codec.weights, name))


def heard(codec: "SpeechCodec", pieces: "Iterable[Samples]") -> Target:
    """Return whoever speaks in pieces of a recording, (T,) each at 16 kHz, none of them silent."""
    import numpy as np

    pieces = list(pieces)
    voiced = median_pitch(np.concatenate([pitch(piece) for piece in pieces]))
    try:
        timbre = Timbre.heard(pieces)
    except ValueError:
        timbre = None
    return Target(codec.speaker_of(pieces), voiced, timbre)
