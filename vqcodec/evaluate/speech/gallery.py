"""Recordings to listen to: some of the worst, of the middle and of the best, through every codec.

They are coded anew; nothing of thousands of recordings was kept. Sound goes into the page without
loss (FLAC), so few and short ones: with five codecs a page is of about ten megabytes.
"""

import base64
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from vqcodec.codec.speech import SpeechCodec
from vqcodec.data.corpora import Catalogue
from vqcodec.data.sources import Source
from vqcodec.evaluate.image.gallery import data_uri
from vqcodec.evaluate.record import OURS, Record
from vqcodec.evaluate.speech.baselines import SpeechAnchor
from vqcodec.evaluate.speech.meter import copies, open_recording
from vqcodec.evaluate.table import Table
from vqcodec.figures.spectrogram import loudness, spectrogram
from vqcodec.metrics.speech import MEL, STOI
from vqcodec.voice.frames import RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.floating]

SHOWN = 8  # recordings
SECONDS = 8  # of each, from its beginning
HEIGHT, WIDTH = 128, 640  # pixels of a spectrogram


def choose(table: Table) -> dict[str, str]:
    """Return the names of recordings from worst to best, evenly spread, each with its rank.

    The order is that of our STOI, or of the mel distance where STOI is not installed.
    """
    import numpy as np

    if STOI.key in table.columns:
        values = table.column(OURS, STOI.key)[:, -1]
    else:
        values = -table.column(OURS, MEL.key)[:, -1]
    order = np.argsort(values, kind="stable").tolist()
    total = len(order)
    ranks = np.unique(np.linspace(0, total - 1, min(SHOWN, total)).round().astype(int)).tolist()
    return {table.names[order[rank]]: f"{rank + 1} of {total}" for rank in ranks}


def build(
    chosen: dict[str, str],
    records: Iterable[Record],
    sources: dict[str, Source],
    catalogue: Catalogue,
    codec: SpeechCodec,
    anchors: list[SpeechAnchor],
) -> list[dict[str, Any]]:
    """Return what a page needs to play the chosen recordings, worst first.

    Returns:
        For each its ``name``, ``rank``, ``seconds``, ``text`` ("" if not known) and ``layers``:
        ``label``, ``sound`` and ``picture`` (data URIs) and, of copies, ``bytes`` and ``values``.
    """
    found = {r.name: r for r in records if r.name in chosen}
    return [
        {
            "name": name,
            "rank": rank,
            "seconds": found[name].units / 1000,
            "text": catalogue.text(sources[name]),
            "layers": _layers(found[name], open_recording(sources[name], name), codec, anchors),
        }
        for name, rank in chosen.items()
    ]


def _layers(
    record: Record, samples: "Signal", codec: SpeechCodec, anchors: list[SpeechAnchor]
) -> list[dict[str, Any]]:
    loudest = loudness(samples)
    layers = [layer("original", samples, loudest)]
    made, _ = copies(codec, anchors, samples)
    for copy in made:
        measured = record.find(copy.codec, 0)
        assert measured is not None
        figures = {"bytes": measured.bytes, "values": measured.values}
        layers.append(layer(copy.codec, copy.samples, loudest) | figures)
    return layers


def layer(label: str, samples: "Signal", loudest: float | None = None) -> dict[str, Any]:
    """Return what a page needs to play the beginning of a signal, (T,), and to show it.

    Args:
        label: what it is called.
        samples: (T,) at 16 kHz.
        loudest: see `spectrogram`.
    """
    heard = samples[: SECONDS * RATE]
    picture = data_uri(spectrogram(heard, (HEIGHT, WIDTH), loudest), lossless=False)
    return {"label": label, "sound": sound_uri(heard), "picture": picture}


def sound_uri(samples: "Signal") -> str:
    """Return a signal, (T,) at 16 kHz, as a lossless data URI."""
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, samples.clip(-1, 1), RATE, format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(file.getvalue()).decode()
