"""Recordings to seeded crops."""

import math
from typing import TYPE_CHECKING

from vqcodec.train.speech.data import Sounds
from vqcodec.train.speech.disguise import Disguise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.int16]

LOUDER, QUIETER = 6.0, 6.0  # dB: how far the level of a crop is changed at most
MARGIN = 64  # samples around a crop that resampling needs, or it would begin and end in silence


class SoundCrops:
    """Batches of random crops, a pure function of (seed, step).

    A row holds a crop to code, behind it the same crop in disguise where that is asked for, and
    another crop of the same recording: what a speaker encoder learns the voice from, without
    hearing what is said. Long recordings are chosen more often; short ones are repeated.

    Args:
        sounds: the recordings.
        batch_size: rows of a batch.
        crop_size: samples to code.
        reference_size: samples for the speaker encoder.
        seed: of all that is drawn.
        speed: a row is played up to this factor faster or slower.
        disguise: changes the crop that an encoder hears; None for no crop but the one to code.
    """

    def __init__(
        self,
        sounds: Sounds,
        batch_size: int,
        crop_size: int,
        reference_size: int,
        seed: int,
        speed: float = 1.0,
        disguise: Disguise | None = None,
    ) -> None:
        import numpy as np

        self.sounds, self.batch_size, self.seed = sounds, batch_size, seed
        self.crop_size, self.reference_size = crop_size, reference_size
        self.speed, self.disguise = speed, disguise
        lengths = np.asarray(sounds.lengths, np.float64)
        self._share = lengths / lengths.sum()

    def batch(self, step: int) -> "Samples":
        """Return batch number `step`, (batch_size, crop_size (+ crop_size) + reference_size)."""
        import numpy as np

        rng = np.random.default_rng([self.seed, step])
        chosen = rng.choice(len(self._share), self.batch_size, p=self._share)
        rows = []
        for index in chosen:
            sound = self.sounds[int(index)]
            speed = self.speed ** rng.uniform(-1, 1) if self.speed > 1 else 1.0
            parts = [_crop(sound, n, speed, rng) for n in (self.crop_size, self.reference_size)]
            if self.disguise is not None:
                x = parts[0] / np.float32(32768)
                parts.insert(1, self.disguise.apply(x, int(index), rng) * np.float32(32768))
            row = np.concatenate(parts)
            gain = 10 ** (rng.uniform(-QUIETER, LOUDER) / 20)
            gain = min(gain, 32767 / max(1.0, float(np.abs(row).max())))
            rows.append(np.round(row * gain).astype(np.int16))
        return np.stack(rows)


def _crop(
    sound: "Samples", size: int, speed: float, rng: "np.random.Generator"
) -> "NDArray[np.float32]":
    """Return `size` samples from anywhere in a recording, played so much faster."""
    import numpy as np
    import soxr

    taken = size if speed == 1 else math.ceil((size + MARGIN) * speed) + MARGIN
    if len(sound) < taken:
        sound = np.tile(sound, -(-taken // len(sound)))
    start = int(rng.integers(len(sound) - taken + 1))
    crop = sound[start : start + taken].astype(np.float32)
    if speed == 1:
        return crop
    skipped = round(MARGIN / speed / 2)
    played: NDArray[np.float32] = soxr.resample(crop, speed, 1)
    return played[skipped : skipped + size]
