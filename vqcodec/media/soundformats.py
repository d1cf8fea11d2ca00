"""What sound files there are, and how much sound they may claim."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vqcodec.errors import MediaError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz
MAX_CHANNELS = 64

# suffix -> container and coding, in libsndfile's terms
KINDS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
MAGICS = (
    *((0, magic) for magic in (b"fLaC", b"OggS", b".snd", b"caff")),
    *((8, magic) for magic in (b"WAVE", b"AIFF", b"AIFC")),
)


@dataclass(frozen=True)
class Foreign:
    """A kind of sound file that PyAV reads, and libsndfile does not.

    Attributes:
        what: in words.
        demuxer: FFmpeg's name of it.
        magic: what it begins with.
        suffixes: of its files that hold sound and nothing else.
        at: where the magic is.
    """

    what: str
    demuxer: str
    magic: bytes
    suffixes: tuple[str, ...]
    at: int = 0

    def fits(self, head: bytes) -> bool:
        """Tell whether a file that begins so is one; MP4 holds pictures, too."""
        still = self.demuxer == "mov" and head[8:12] in STILL
        return head[self.at :].startswith(self.magic) and not still


STILL = (b"avif", b"avis", b"mif1", b"msf1", b"heic", b"heix", b"heim", b"hevc", b"jxl ", b"crx ")
FOREIGN = (
    Foreign("MP4, such as AAC sound (m4a)", "mov", b"ftyp", (".m4a", ".m4b"), at=4),
    Foreign("WebM or Matroska", "matroska", b"\x1a\x45\xdf\xa3", (".webm", ".weba", ".mka")),
    Foreign("AMR sound", "amr", b"#!AMR", (".amr", ".awb")),
    Foreign("Windows Media (wma)", "asf", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", (".wma",)),
    *(Foreign("AAC sound", "aac", bytes((255, n)), (".aac",)) for n in (0xF0, 0xF1, 0xF8, 0xF9)),
    Foreign("AC-3 sound", "ac3", b"\x0b\x77", (".ac3",)),
    Foreign("WavPack sound", "wv", b"wvpk", (".wv",)),
    Foreign("Monkey's Audio", "ape", b"MAC ", (".ape",)),
    Foreign("True Audio", "tta", b"TTA1", (".tta",)),
)
SOUND_SUFFIXES = frozenset(KINDS) | {".oga", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"}
SOUND_SUFFIXES |= {suffix for foreign in FOREIGN for suffix in foreign.suffixes}
# containers that libsndfile reads, but not with all that may be in them
MAYBE = {
    b"OggS": "ogg",
    b"caff": "caf",
    b"FORM": "aiff",
    b"RIFF": "wav",
    b"RF64": "wav",
    b".snd": "au",
}


def sound_suffixes() -> frozenset[str]:
    """Return the file suffixes, with dots and in lower case, that sound can be read from."""
    return SOUND_SUFFIXES


def mixed(blocks: Iterable["Samples"]) -> Iterator["Samples"]:
    """Mix blocks, (channels, n), down to one channel, the mean of all."""
    for block in blocks:
        yield block.mean(axis=0, keepdims=True)


def check_format(channels: int, sample_rate: int, name: str) -> None:
    """Raise MediaError if nobody's sound has so many channels, or such a rate in Hz."""
    if not 1 <= channels <= MAX_CHANNELS:
        raise MediaError(f"{name}: has {channels:,} channels, must have 1 to {MAX_CHANNELS}")
    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise MediaError(
            f"{name}: has {sample_rate:,} samples a second, must have {MIN_RATE:,} to {MAX_RATE:,}"
        )


def check_suffix(suffix: str, name: str) -> str:
    """Return a suffix that sound can be written by, in lower case; else raise UsageError."""
    if suffix.lower() not in KINDS:
        raise UsageError(f"{name}: no sound format '{suffix}'; there are: {', '.join(KINDS)}")
    return suffix.lower()


def is_mpeg(head: bytes) -> bool:
    """Tell whether a file that begins so is bare MPEG sound of layer III, of any version."""
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2


def is_wav(head: bytes) -> bool:
    """Tell whether a file that begins so is WAV."""
    return head[:4] == b"RIFF" and head[8:12] == b"WAVE"


def is_sound(head: bytes, suffix: str, path: Path | None = None) -> bool:
    """Tell by the first 12 bytes of a file, or else by its suffix, whether it should be sound.

    A container that holds sound and pictures counts as well; `path` is not asked.
    """
    known = (
        is_mpeg(head)
        or head[:3] == b"ID3"
        or any(head[at:].startswith(magic) for at, magic in MAGICS)
    )
    known = known or any(foreign.fits(head) for foreign in FOREIGN)
    return known or suffix.lower() in SOUND_SUFFIXES


def holds_sound(path: Path) -> bool:
    """Tell whether a file should hold sound, alone or with pictures."""
    head = b""
    if path.is_file():  # a pipe must not be read twice
        with contextlib.suppress(OSError), path.open("rb") as file:
            head = file.read(12)
    return is_sound(head, path.suffix)
