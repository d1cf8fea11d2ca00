"""Recordings through vqcodec and through the codecs that it is compared with."""

import hashlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqcodec.codec.speech import SpeechCodec
from vqcodec.data.corpora import Catalogue
from vqcodec.data.sources import Source
from vqcodec.evaluate.bits import BitMeter
from vqcodec.evaluate.record import Measured, Record, count_used
from vqcodec.evaluate.speech.baselines import SpeechAnchor
from vqcodec.evaluate.speech.coder import decoders_of, through_file
from vqcodec.files.codes import Codes
from vqcodec.media.audio import Audio
from vqcodec.metrics.alignment import align
from vqcodec.metrics.speech import SpeechMetric
from vqcodec.voice.frames import RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.float32]

LONGEST = 60 * RATE  # samples that are measured of a recording, its beginning
ENGLISH = "en"


def open_recording(source: Source, name: str) -> "Signal":
    """Return the beginning of a recording as all codecs get it: mono, 16 kHz, (T,).

    Raises:
        MediaError: it cannot be read.
    """
    audio = Audio.open(io.BytesIO(source.read()), name)
    kept = audio.samples[:, : LONGEST * audio.sample_rate // RATE + 1]
    return Audio(kept, audio.sample_rate).mix().resample(RATE).samples[0, :LONGEST]


def languages(sources: dict[str, Source], catalogue: Catalogue) -> dict[str, str]:
    """Return the languages of recordings by their names, of those whose language is known.

    Raises:
        MediaError: a manifest is damaged.
    """
    known = {name: catalogue.language(source) for name, source in sources.items()}
    return {name: language for name, language in known.items() if language}


@dataclass(frozen=True)
class Copy:
    """What a codec makes of a recording.

    Attributes:
        codec: its name in the report.
        bytes: of the file; of other codecs, of the packets.
        samples: (T,), aligned with the recording and as long.
    """

    codec: str
    bytes: int
    samples: "Signal"


def copies(
    codec: SpeechCodec, anchors: list[SpeechAnchor], samples: "Signal"
) -> tuple[list[Copy], Codes]:
    """Return what our decoders and other codecs make of a recording, ours first, and our codes."""
    size, codes = through_file(codec, Audio(samples[None], RATE))
    made = []
    for name, decode in decoders_of(codec).items():
        made.append(Copy(name, size, align(samples, decode(codes).samples[0])))
    for anchor in anchors:
        coded = anchor.encode(samples)
        made.append(Copy(anchor.name, coded.bytes, align(samples, coded.samples)))
    return made, codes


@dataclass(frozen=True)
class RecordingMeter:
    """Measures recordings with one codec, and others at the rates that they have.

    Attributes:
        codec: ours.
        bits: asks its priors.
        anchors: the others.
        metrics: what to measure.
        languages: of recordings by name, where known; English otherwise.
    """

    codec: SpeechCodec
    bits: BitMeter
    anchors: list[SpeechAnchor]
    metrics: list[SpeechMetric]
    languages: dict[str, str]

    def measure(self, source: Source, name: str) -> Record:
        """Measure one recording.

        Raises:
            MediaError: it cannot be read.
        """
        samples = open_recording(source, name)
        made, codes = copies(self.codec, self.anchors, samples)
        english = self.languages.get(name, ENGLISH).startswith(ENGLISH)
        metrics = [m for m in self.metrics if english or not m.english]
        measured = [
            Measured(
                copy.codec,
                0,
                copy.bytes,
                {},
                {m.key: m.measure(samples, copy.samples) for m in metrics},
            )
            for copy in made
        ]
        return Record(
            name=name,
            identity=hashlib.sha256(samples.tobytes()).hexdigest()[:32],
            input_bytes=source.length,
            shape=(max(1, round(1000 * len(samples) / RATE)),),
            bits=self.bits.measure(codes),
            usage=count_used(codes),
            measured=tuple(measured),
        )
