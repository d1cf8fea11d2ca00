"""What sound files there are, and how much sound they may claim."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from vqcodec.errors import MediaError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

LEAST_RATE, MOST_RATE = 1_000, 768_000  # Hz
MOST_CHANNELS = 64

# suffix -> container and coding, in libsndfile's terms
KINDS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
SOUND_SUFFIXES = frozenset(KINDS) | {".oga", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"}
MAGICS = (
    *((0, magic) for magic in (b"fLaC", b"OggS", b"ID3", b".snd", b"caff")),
    *((8, magic) for magic in (b"WAVE", b"AIFF", b"AIFC")),
)


def mixed(blocks: Iterable["Samples"]) -> Iterator["Samples"]:
    """Mix blocks, (channels, n), down to one channel, the mean of all."""
    for block in blocks:
        yield block.mean(axis=0, keepdims=True)


def check_format(channels: int, sample_rate: int, name: str) -> None:
    """Raise MediaError if nobody's sound has so many channels, or such a rate in Hz."""
    if not 1 <= channels <= MOST_CHANNELS:
        raise MediaError(f"{name}: has {channels:,} channels, must have 1 to {MOST_CHANNELS}")
    if not LEAST_RATE <= sample_rate <= MOST_RATE:
        raise MediaError(
            f"{name}: has {sample_rate:,} samples a second, must have {LEAST_RATE:,} to "
            f"{MOST_RATE:,}"
        )


def check_suffix(suffix: str, name: str) -> str:
    """Return a suffix that sound can be written by, in lower case; else raise UsageError."""
    if suffix.lower() not in KINDS:
        raise UsageError(f"{name}: no sound format '{suffix}'; there are: {', '.join(KINDS)}")
    return suffix.lower()


def is_sound(head: bytes, suffix: str) -> bool:
    """Tell by the first 12 bytes of a file, or else by its suffix, whether it should be sound."""
    mpeg = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2  # layer III, any version
    known = mpeg or any(head[at:].startswith(magic) for at, magic in MAGICS)
    return known or suffix.lower() in SOUND_SUFFIXES
