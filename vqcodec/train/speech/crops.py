"""Recordings to seeded crops."""

import math
from collections import defaultdict
from typing import TYPE_CHECKING

from vqcodec.train.speech.data import Sounds
from vqcodec.train.speech.perturbation import Perturbation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.int16]

LOUDER, QUIETER = 6.0, 6.0  # dB: how far the level of a crop is changed at most
MARGIN = 64  # samples around a crop that resampling needs, or it would begin and end in silence


class SoundCrops:
    """Batches of random crops, a pure function of (seed, step).

    Long recordings are chosen more often; short ones are repeated.

    Args:
        sounds: the recordings.
        batch_size: crops of a batch.
        crop_size: samples to code.
        reference_size: samples for the conditioner.
        seed: of all that is drawn.
        speed: a crop is played up to this factor faster or slower.
        disguise: makes of a crop what the encoder takes in its place.
    """

    def __init__(
        self,
        sounds: Sounds,
        batch_size: int,
        crop_size: int,
        reference_size: int,
        seed: int,
        speed: float = 1.0,
        disguise: "Perturbation | None" = None,
    ) -> None:
        import numpy as np

        self.sounds, self.batch_size, self.seed = sounds, batch_size, seed
        self.crop_size, self.reference_size = crop_size, reference_size
        self.speed, self.disguise = speed, disguise
        lengths = np.asarray(sounds.lengths, np.float64)
        self._share = lengths / lengths.sum()

    def batch(self, step: int) -> "dict[str, Samples]":
        """Return batch number `step`, (batch_size, samples) each.

        `x` are the crops to code, `source`, where there is a disguise, the same in disguise, and
        `reference` other crops of the same recordings: what a conditioner learns the voice from,
        without hearing what is said.
        """
        import numpy as np

        rng = np.random.default_rng([self.seed, step])
        chosen = rng.choice(len(self._share), self.batch_size, p=self._share)
        found: defaultdict[str, list[Samples]] = defaultdict(list)
        for index in chosen:
            sound = self.sounds[int(index)]
            speed = self.speed ** rng.uniform(-1, 1) if self.speed > 1 else 1.0
            parts = {"x": _crop(sound, self.crop_size, speed, rng)}
            parts["reference"] = _crop(sound, self.reference_size, speed, rng)
            if self.disguise is not None:
                x = parts["x"] / np.float32(32768)
                parts["source"] = self.disguise.apply(x, int(index), rng) * np.float32(32768)
            gain = 10 ** (rng.uniform(-QUIETER, LOUDER) / 20)
            loudest = max(float(np.abs(part).max()) for part in parts.values())
            gain = min(gain, 32767 / max(1.0, loudest))
            for name, part in parts.items():
                found[name].append(np.round(part * gain).astype(np.int16))
        return {name: np.stack(rows) for name, rows in found.items()}


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
