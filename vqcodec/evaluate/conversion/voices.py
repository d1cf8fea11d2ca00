"""Voices that are known from recordings, and how near to them speech comes."""

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from vqcodec.data.corpora import Catalogue
from vqcodec.data.sources import Source
from vqcodec.errors import MediaError
from vqcodec.evaluate.speech.recordings import open_recording
from vqcodec.metrics.alignment import warp
from vqcodec.metrics.similarity import embedding
from vqcodec.metrics.spectra import cepstra, mel_power
from vqcodec.voice.pitch import median_pitch, pitch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.floating]

KNOWN_BY = 20  # recordings of a speaker, the first by name, that their voice is known by
QUIET = 40.0  # dB below the loudest frame, where a pause is


@dataclass(frozen=True)
class KnownVoice:
    """What is known of a voice from recordings of it.

    Attributes:
        embedding: the mean of theirs, of length 1; None where they say too little.
        pitch: median fundamental frequency in Hz; None without any.
    """

    embedding: "NDArray[np.float32] | None"
    pitch: float | None

    @classmethod
    def hear(cls, recordings: "Iterable[Signal]", *, embed: bool = True) -> "KnownVoice":
        """Listen to recordings, (T,) each; embeddings need Resemblyzer, and `embed`."""
        import numpy as np

        tracks, embeddings = [], []
        for samples in recordings:
            tracks.append(pitch(samples))
            own = embedding(samples) if embed else None
            if own is not None:
                embeddings.append(own)
        mean = None
        if embeddings:
            total = np.sum(embeddings, 0)
            mean = total / np.linalg.norm(total)
        return cls(mean, median_pitch(np.concatenate(tracks)))


@dataclass(frozen=True)
class Recordings:
    """Recordings of several speakers, and what they tell of the voices.

    Attributes:
        sources: all, by a name of their own.
        embed: whether Resemblyzer can be asked.
        catalogue: tells who speaks, and what.
        voices: those that were listened to so far.
    """

    sources: dict[str, Source]
    embed: bool
    catalogue: Catalogue
    voices: dict[str, KnownVoice] = field(default_factory=dict)

    @cached_property
    def speakers(self) -> dict[str, str]:
        """Who speaks in each recording, by its name.

        Raises:
            MediaError: a manifest is damaged.
        """
        return {name: self.catalogue.speaker(source) for name, source in self.sources.items()}

    def by(self, speaker: str) -> Iterator[tuple[str, Source]]:
        """Yield the recordings of a speaker, and their names."""
        return ((n, self.sources[n]) for n, who in self.speakers.items() if who == speaker)

    def voice(self, speaker: str) -> KnownVoice:
        """Return what is known of a speaker's voice.

        Raises:
            MediaError: none of their recordings can be read.
        """
        if speaker not in self.voices:
            heard = list(self._heard(speaker))
            if not heard:
                raise MediaError(f"no recording of '{speaker}' can be read")
            self.voices[speaker] = KnownVoice.hear(heard, embed=self.embed)
        return self.voices[speaker]

    def reading(self, speaker: str, source: Source) -> "Signal | None":
        """Return how a speaker reads the sentence of a recording, if they do."""
        name = self._readings.get((speaker, self._sentence(source)))
        return None if name is None else open_recording(self.sources[name], name)

    @cached_property
    def _readings(self) -> dict[tuple[str, str], str]:
        """The first recording, by name, of each speaker and sentence."""
        found: dict[tuple[str, str], str] = {}
        for name, source in self.sources.items():
            found.setdefault((self.speakers[name], self._sentence(source)), name)
        return found

    def _sentence(self, source: Source) -> str:
        """Return what tells sentences apart: the words, or else the name of the file."""
        words = re.findall(r"\w+", self.catalogue.text(source).casefold())
        return " ".join(words) or PurePosixPath(source.name).stem

    def _heard(self, speaker: str) -> "Iterator[Signal]":
        for _, (name, source) in zip(range(KNOWN_BY), self.by(speaker), strict=False):
            try:
                yield open_recording(source, name)
            except MediaError:
                continue  # which is reported where it is to be converted


def likeness(samples: "Signal", voice: KnownVoice) -> float | None:
    """Return the cosine between a recording's embedding and that of a voice.

    None where the recording, or what is known of the voice, says too little.
    """
    own = embedding(samples)
    if own is None or voice.embedding is None:
        return None
    return float((own * voice.embedding).sum())


def cepstral_distance(a: "Signal", b: "Signal") -> float | None:
    """Return the mel-cepstral distance of two readings of one sentence, in dB.

    Pauses are left out, then the readings are warped in time onto each other; the level does not
    count. 10 / ln 10 sqrt(2 sum (c - c')^2), the mean over the path, of cepstra of mel bands: its
    values are not those of other ways to take cepstra. None where one is silent.
    """
    import numpy as np

    one, two = _spoken(a), _spoken(b)
    if not len(one) or not len(two):
        return None
    path = warp(one, two)
    apart = np.square(one[path[:, 0]] - two[path[:, 1]]).sum(1)
    return float(10 / math.log(10) * np.sqrt(2 * apart).mean())


def pitch_offset(frequency: float | None, voice: KnownVoice) -> float | None:
    """Return by how many semitones a frequency in Hz is above the median pitch of a voice."""
    if frequency is None or voice.pitch is None:
        return None
    return 12 * math.log2(frequency / voice.pitch)


def _spoken(samples: "Signal") -> "NDArray[np.float64]":
    level = mel_power(samples).sum(1)
    return cepstra(samples)[(level > 0) & (level >= level.max() * 10 ** (-QUIET / 10))]
