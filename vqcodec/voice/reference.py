"""A recording of somebody whose voice is to be taken: long enough, and not silent."""

from pathlib import Path
from typing import TYPE_CHECKING

from vqcodec.errors import MediaError
from vqcodec.media.resample import Resampler, resampled_length
from vqcodec.media.soundfiles import open_sound
from vqcodec.media.soundformats import mixed
from vqcodec.voice.frames import HEAD, RATE
from vqcodec.voice.level import SILENT, seconds_of_speech

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

MAX = 6 * HEAD  # samples that are read, the beginning
MIN = 1.0  # seconds of speech: less says little of a voice


def read_reference(path: Path) -> "list[Samples]":
    """Return pieces of a recording, (T,) each at 16 kHz, without those that are silent.

    Raises:
        MediaError: it cannot be read, is silent, or holds too little speech.
    """
    import numpy as np

    with open_sound(path) as sound:
        resampler = Resampler(1, sound.sample_rate, RATE)
        parts, taken = [], 0
        for block in mixed(sound.blocks()):
            parts.append(resampler.feed(block))
            taken += block.shape[1]
            if taken >= MAX * sound.sample_rate // RATE:
                break
        length = resampled_length(taken, sound.sample_rate, RATE)
        samples = np.concatenate([*parts, resampler.finish(length)], axis=1)[0, :MAX]
    pieces = [samples[start : start + HEAD] for start in range(0, len(samples), HEAD)]
    spoken = [(seconds, piece) for piece in pieces if (seconds := seconds_of_speech(piece))]
    if not spoken:
        raise MediaError(f"{path}: is silent (below {SILENT:.0f} dB): there is no voice in it")
    total = sum(seconds for seconds, _ in spoken)
    if total < MIN:
        raise MediaError(
            f"{path}: holds {total:.2f} s of speech, too little to know a voice by; "
            f"take a recording with at least {MIN:.0f} s, better 10 s"
        )
    return [piece for seconds, piece in spoken if seconds >= min(MIN, total / len(spoken))]
