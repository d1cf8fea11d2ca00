"""Recordings as other speakers say them, measured."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from vqcodec.codec.convert import Target, convert
from vqcodec.codec.speech import BLOCK, SpeechCodec
from vqcodec.data.corpora import Catalogue
from vqcodec.data.sources import Source
from vqcodec.errors import MediaError
from vqcodec.evaluate.conversion.voices import (
    KnownVoice,
    cepstral_distance,
    likeness,
    pitch_offset,
)
from vqcodec.evaluate.record import OURS, Measured, Record, count_used
from vqcodec.evaluate.speech.meter import ENGLISH, open_recording
from vqcodec.media.audio import Audio
from vqcodec.metrics.measure import Measure
from vqcodec.metrics.speech import CER
from vqcodec.voice.frames import RATE
from vqcodec.voice.pitch import median_pitch, pitch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.float32]

KNOWN_BY = 20  # recordings of a speaker, the first by name, that their voice is known by

TO_TARGET = Measure("similarity-target", "similarity to target", "", 3)
TO_SOURCE = Measure("similarity-source", "similarity to source", "", 3)
READING = Measure("cer", "CER", "", 3)
PITCH = Measure("f0", "median F0", "Hz", 0)
OFFSET = Measure("f0-offset", "F0 off target", "semitones", 1)
DISTANCE = Measure("mcd", "MCD", "dB", 2)
BEFORE = Measure("mcd-source", "MCD of the source", "dB", 2)
MEASURES = (TO_TARGET, TO_SOURCE, READING, PITCH, OFFSET, DISTANCE, BEFORE)
EXPLAINED = {
    TO_TARGET.key: "cosine between the embedding (Resemblyzer) and the mean one of the target's "
    "own recordings",
    TO_SOURCE.key: "the same of the recordings of whoever spoke",
    READING.key: "edits per character between what pocketsphinx reads in the source and in the "
    "converted, English only; lower is better",
    PITCH.key: "median fundamental frequency",
    OFFSET.key: "semitones between it and the target's, either way",
    DISTANCE.key: "mel-cepstral distance, after warping in time, to the target's own reading of "
    "the sentence, where there is one (of the same text, or where none is known of the same file "
    "name); lower is better",
    BEFORE.key: "the same of the source before conversion",
}


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


def as_said_by(codec: SpeechCodec, samples: "Signal", target: Target) -> "Signal":
    """Return what a recording, (T,), says in the voice of another: what convert-voice makes."""
    import numpy as np

    audio = Audio(samples[None], RATE)
    blocks = convert(codec, audio.blocks(BLOCK), 1, RATE, target)
    return np.concatenate(list(blocks), axis=1)[0]


@dataclass(frozen=True)
class ConversionMeter:
    """Converts recordings to several speakers and measures what comes out.

    Attributes:
        codec: with what.
        targets: by name; nobody is converted to themselves.
        recordings: of all speakers.
        reads: whether pocketsphinx can be asked.
        languages: of recordings by name, where known; English otherwise.
    """

    codec: SpeechCodec
    targets: dict[str, Target]
    recordings: Recordings
    reads: bool
    languages: dict[str, str]

    def measure(self, source: Source, name: str) -> Record:
        """Measure one recording: its plain reconstruction, and as each target says it.

        Raises:
            MediaError: it cannot be read.
        """
        samples = open_recording(source, name)
        codes = self.codec.encode(Audio(samples[None], RATE))
        plain = self.codec.decode(codes).samples[0]
        measured = [_measured(OURS, self._always(name, samples, plain))]
        speaker = self.recordings.speakers[name]
        for target, voice in self.targets.items():
            if target != speaker:
                said = as_said_by(self.codec, samples, voice)
                values = self._always(name, samples, said)
                values |= self._of_target(source, samples, said, target, values[PITCH.key])
                measured.append(_measured(target, values))
        return Record(
            name=name,
            identity=hashlib.sha256(samples.tobytes()).hexdigest()[:32],
            input_bytes=source.length,
            shape=(max(1, round(1000 * len(samples) / RATE)),),
            bits={},
            usage=count_used(codes),
            measured=tuple(measured),
        )

    def _always(self, name: str, samples: "Signal", said: "Signal") -> dict[str, float | None]:
        values: dict[str, float | None] = {PITCH.key: median_pitch(pitch(said))}
        if self.recordings.embed:
            voice = self.recordings.voice(self.recordings.speakers[name])
            values[TO_SOURCE.key] = likeness(said, voice)
        english = self.languages.get(name, ENGLISH).startswith(ENGLISH)
        if self.reads and english:
            values[READING.key] = CER.measure(samples, said)
        return values

    def _of_target(
        self,
        source: Source,
        samples: "Signal",
        said: "Signal",
        target: str,
        frequency: float | None,
    ) -> dict[str, float | None]:
        voice = self.recordings.voice(target)
        values: dict[str, float | None] = {}
        if self.recordings.embed:
            values[TO_TARGET.key] = likeness(said, voice)
        offset = pitch_offset(frequency, voice)
        values[OFFSET.key] = None if offset is None else abs(offset)
        own = self.recordings.reading(target, source)
        if own is not None:
            values[DISTANCE.key] = cepstral_distance(said, own)
            values[BEFORE.key] = cepstral_distance(samples, own)
        return values


def _measured(codec: str, values: dict[str, float | None]) -> Measured:
    rounded = {k: None if v is None else round(v, 6) for k, v in values.items()}
    return Measured(codec, 0, 0, {}, rounded)
