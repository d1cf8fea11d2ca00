"""Recordings in memory, at the rate and the level that models hear."""

import io
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from vqcodec.data.sources import Source
from vqcodec.errors import MediaError, TrainingError
from vqcodec.media.audio import Audio
from vqcodec.voice.frames import HEAD, RATE
from vqcodec.voice.level import gain_for

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.int16]


class Sounds:
    """A set of recordings, each as one row of 16-bit samples at 16 kHz, channels mixed.

    They are brought to the level that the codec brings sound to.

    Unreadable and empty ones are left out and listed in `skipped`.
    """

    def __init__(self, sources: list[Source]) -> None:
        """Read all recordings; an hour takes 115 MB of memory.

        Raises:
            TrainingError: not one could be read.
        """
        self.skipped: list[str] = []
        self.names: list[str] = []
        self._rows: list[Samples] = []
        with ThreadPoolExecutor() as pool:
            for source, samples in zip(sources, pool.map(_try, sources), strict=True):
                if isinstance(samples, MediaError):
                    self.skipped.append(str(samples))
                    continue
                self.names.append(source.name)
                self._rows.append(samples)
        if not self._rows:
            raise TrainingError(
                f"none of the {len(sources)} recordings can be read; the first: {self.skipped[0]}"
            )

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> "Samples":
        """Return recording `index`, (T,)."""
        return self._rows[index]

    @property
    def lengths(self) -> list[int]:
        """Samples of each recording."""
        return [len(row) for row in self._rows]


def _try(source: Source) -> "Samples | MediaError":
    try:
        return read_recording(source)
    except MediaError as error:
        return error


def read_recording(source: Source) -> "Samples":
    """Return a recording as one row of samples, see `Sounds`.

    Raises:
        MediaError: it cannot be read, or is empty.
    """
    import numpy as np

    audio = Audio.open(io.BytesIO(source.read()), source.name).mix().resample(RATE)
    gain = 10 ** (gain_for(audio.samples[:, :HEAD]) / 20)
    return np.round((audio.samples[0] * gain).clip(-1, 1) * 32767).astype(np.int16)


def middles(sounds: Sounds, size: int) -> "Samples":
    """Return the middle `size` samples of every recording, (N, size); short ones are repeated."""
    import numpy as np

    rows = []
    for index in range(len(sounds)):
        sound = sounds[index]
        if len(sound) < size:
            sound = np.tile(sound, -(-size // len(sound)))
        start = (len(sound) - size) // 2
        rows.append(sound[start : start + size])
    return np.stack(rows)
