"""What the studies of recordings share: how they open, are counted, and go into a page."""

import base64
import hashlib
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from vqcodec.codec.speech import SpeechCodec
from vqcodec.data.corpora import Catalogue
from vqcodec.data.sources import Source
from vqcodec.evaluate.image.gallery import data_uri
from vqcodec.evaluate.journal import Record
from vqcodec.evaluate.study import Study
from vqcodec.figures.spectrogram import spectrogram
from vqcodec.media.audio import Audio
from vqcodec.metrics.measure import Measure
from vqcodec.voice.frames import RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.float32]

LONGEST = 60 * RATE  # samples that are measured of a recording, its beginning
ENGLISH = "en"
SECONDS = 8  # of each sound in a page, from its beginning: it goes in without loss (FLAC)
HEIGHT, WIDTH = 128, 640  # pixels of a spectrogram


class RecordingStudy(Study):
    """A study of a codec for speech."""

    what = "recordings"
    codec: SpeechCodec

    def data(self, records: Iterable[Record]) -> dict[str, Any]:
        """Return what was measured on, and how long it lasts."""
        kept = list(records)
        seconds = round(sum(r.units for r in kept) / 1000, 3)
        found = super().data(kept)
        return {self.what: found.pop(self.what), "seconds": seconds, **found}


def open_recording(source: Source, name: str) -> "Signal":
    """Return the beginning of a recording as all codecs get it: mono, 16 kHz, (T,).

    Raises:
        MediaError: it cannot be read.
    """
    audio = Audio.open(io.BytesIO(source.read()), name)
    kept = audio.samples[:, : LONGEST * audio.sample_rate // RATE + 1]
    return Audio(kept, audio.sample_rate).mix().resample(RATE).samples[0, :LONGEST]


def record_of(source: Source, name: str, samples: "Signal", **measured: Any) -> Record:
    """Return the record of a recording: who it is, and the fields that are given."""
    told: dict[str, Any] = {"usage": (), "bits": {}, "measured": (), **measured}
    return Record(
        name=name,
        identity=hashlib.sha256(samples.tobytes()).hexdigest()[:32],
        input_bytes=source.length,
        shape=(max(1, round(1000 * len(samples) / RATE)),),
        **told,
    )


def languages(sources: dict[str, Source], catalogue: Catalogue) -> dict[str, str]:
    """Return the languages of recordings by their names, of those whose language is known.

    Raises:
        MediaError: a manifest is damaged.
    """
    known = {name: catalogue.language(source) for name, source in sources.items()}
    return {name: language for name, language in known.items() if language}


def layer(
    label: str,
    samples: "Signal",
    values: dict[str, float | None] | None = None,
    metrics: Iterable[Measure] = (),
    loudest: float | None = None,
) -> dict[str, Any]:
    """Return what a page needs to play the beginning of a signal, and to show it.

    Args:
        label: what it is called.
        samples: (T,) at 16 kHz.
        values: what was measured of it, by key.
        metrics: those to name.
        loudest: see `spectrogram`.
    """
    heard = samples[: SECONDS * RATE]
    known = [(m, (values or {}).get(m.key)) for m in metrics]
    return {
        "label": label,
        "sound": sound_uri(heard),
        "picture": data_uri(spectrogram(heard, (HEIGHT, WIDTH), loudest), lossless=False),
        "facts": " · ".join(
            f"{m.label} {value:.{m.digits}f}" for m, value in known if value is not None
        ),
    }


def sound_uri(samples: "Signal") -> str:
    """Return a signal, (T,) at 16 kHz, as a lossless data URI."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, samples.clip(-1, 1), RATE, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(file.getvalue()).decode()
