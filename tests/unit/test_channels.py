"""Channels lie in files where the format wants them, and come back where they were."""

import io

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from vqcodec.media.audio import Audio
from vqcodec.media.soundfiles import SoundWriter

RATE = 48_000
# as the specifications of Vorbis (4.3.9) and Opus (RFC 7845, 5.1.1.2) list them
WAV = {
    3: "FL FR FC",
    4: "FL FR BL BR",
    5: "FL FR FC BL BR",
    6: "FL FR FC LFE BL BR",
    7: "FL FR FC LFE BC SL SR",
}
XIPH = {
    3: "FL FC FR",
    4: "FL FR BL BR",
    5: "FL FC FR BL BR",
    6: "FL FC FR BL BR LFE",
    7: "FL FC FR SL SR BC LFE",
}


def tones(channels: int) -> NDArray[np.float32]:
    """A tone for each channel, low enough for all: (channels, a second)."""
    time = np.arange(RATE) / RATE
    waves = [0.3 * np.sin(2 * np.pi * (40 + 8 * i) * time) for i in range(channels)]
    return np.stack(waves).astype(np.float32)


def pitches(samples: NDArray[np.float32]) -> list[int]:
    """Which tone of `tones` each channel holds."""
    return [round((int(f.argmax()) - 40) / 8) for f in np.abs(np.fft.rfft(samples, RATE))]


@pytest.mark.parametrize("channels", WAV)
@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
def test_every_channel_keeps_its_place(suffix: str, channels: int) -> None:
    file = io.BytesIO()
    with SoundWriter(file, suffix, channels, RATE, "sound", RATE) as writer:
        writer.write(tones(channels))
    file.seek(0)
    raw, _ = soundfile.read(file, always_2d=True)  # in the order of the file
    names = WAV[channels].split()
    assert pitches(raw.T) == [names.index(name) for name in XIPH[channels].split()]
    file.seek(0)
    assert pitches(Audio.open(file).samples) == list(range(channels))
