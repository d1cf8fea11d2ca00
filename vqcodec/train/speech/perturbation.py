"""Speech that sounds like somebody else, for encoders that shall not tell who speaks."""

from typing import TYPE_CHECKING

from vqcodec.data.corpora import Catalogue
from vqcodec.data.sources import Source
from vqcodec.train.speech.condensing import condensed
from vqcodec.train.speech.data import Sounds
from vqcodec.voice.formants import BINS, cepstra_of, reshape
from vqcodec.voice.frames import RATE
from vqcodec.voice.timbre import Scale, Timbre

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.float32]

COLOUR = (0.4, 0.3, 0.2, 0.2)  # nepers: spread of the waves along frequency
ENOUGH = 120 * RATE  # samples of a speaker, with whose sounds others can be disguised


class Perturbation:
    """Changes the sound of voices and leaves what they say, and their pitch.

    Args:
        sounds: the recordings that crops are from.
        formants: they are moved up or down by at most this factor, and the spectrum is coloured.
        likened: the share of crops that, before, take on the sounds of another voice.
        voices: whose; not needed if `likened` is 0.
    """

    def __init__(
        self, sounds: Sounds, formants: float, likened: float, voices: list[Timbre]
    ) -> None:
        self._sounds, self._formants = sounds, formants
        self._likened, self._voices = likened if voices else 0.0, voices
        self._scales: dict[int, Scale | None] = {}

    def apply(self, crop: "Signal", index: int, rng: "np.random.Generator") -> "Signal":
        """Return a crop, (T,), of recording `index` in disguise."""
        import numpy as np

        if rng.random() < self._likened:
            voice = self._voices[int(rng.integers(len(self._voices)))]
            scale = self._scale(index)
            if scale is not None:
                crop = voice.given_to(crop, cepstra_of(crop), scale)
        formants = self._formants ** rng.uniform(-1, 1)
        angles = np.outer(np.arange(1, len(COLOUR) + 1), np.linspace(0, np.pi, BINS))
        tilt = (rng.normal(size=len(COLOUR)) * COLOUR) @ np.cos(angles)
        return reshape(crop, crop, formants, tilt.astype(np.float32))

    def _scale(self, index: int) -> Scale | None:
        """Return that of a whole recording: a crop is too short to tell."""
        import numpy as np

        if index not in self._scales:
            samples = self._sounds[index].astype(np.float32) / np.float32(32768)
            self._scales[index] = Scale.of(cepstra_of(samples))
        return self._scales[index]


def voices_in(sounds: Sounds, sources: list[Source]) -> list[Timbre]:
    """Return the sounds of all speakers of whom there are two minutes.

    Args:
        sounds: the recordings.
        sources: what these were read from; more, if some could not be read.

    Raises:
        MediaError: a manifest of the recordings is damaged.
    """
    import numpy as np

    catalogue = Catalogue()
    who = {source.name: catalogue.speaker(source) for source in sources}
    rows: dict[str, list[int]] = {}
    for index, name in enumerate(sounds.names):
        rows.setdefault(who[name], []).append(index)
    voices = []
    for own in rows.values():
        if sum(len(sounds[index]) for index in own) >= ENOUGH:
            heard = (sounds[index].astype(np.float32) / np.float32(32768) for index in own)
            voices.append(condensed(Timbre.heard(heard)))
    return voices
