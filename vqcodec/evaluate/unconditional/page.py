"""The page of an evaluation of babble: figures, and players to hear it."""

from pathlib import Path
from typing import Any

from vqcodec.data.sources import Source
from vqcodec.evaluate.record import Record
from vqcodec.evaluate.report import write_page
from vqcodec.evaluate.speech.gallery import layer
from vqcodec.evaluate.unconditional.meter import LABELS, BabbleMeter
from vqcodec.metrics.speech import SpeechMetric

TEMPLATE = "babble.html"
SHOWN = 5  # recordings


def write(
    folder: Path,
    tree: dict[str, Any],
    records: list[Record],
    metrics: list[SpeechMetric],
    meter: BabbleMeter,
    sources: dict[str, Source],
) -> None:
    """Write ``report.html``.

    Args:
        folder: of the report.
        tree: of ``results.json``.
        records: what was measured.
        metrics: the measures.
        meter: draws what is played anew.
        sources: of the recordings by name.

    Raises:
        OutputError: it cannot be written.
    """
    data = {
        "tree": tree,
        "metrics": [
            {"key": m.key, "label": m.label, "unit": m.unit, "digits": m.digits} for m in metrics
        ],
        "gallery": [_shown(meter, sources[r.name], r) for r in records[:SHOWN]],
        "rows": [
            [r.name, LABELS[m.codec], *(m.values.get(metric.key) for metric in metrics)]
            for r in records
            for m in r.measured
        ],
    }
    write_page(folder, "vqcodec.evaluate.unconditional", TEMPLATE, data)


def _shown(meter: BabbleMeter, source: Source, record: Record) -> dict[str, Any]:
    layers = []
    for sound in meter.sounds(source, record.name):
        measured = record.find(sound.kind, 0)
        assert measured is not None
        voice = f", as {sound.speaker}" if sound.speaker else ""
        drawn = layer(LABELS[sound.kind] + voice, sound.samples)
        layers.append(drawn | {"values": measured.values})
    return {"name": record.name, "seconds": record.units / 1000, "layers": layers}
