"""The page of an evaluation of conversions: figures, and players to hear them."""

from pathlib import Path
from typing import Any

from vqcodec.evaluate.conversion.meter import (
    MEASURES,
    READING,
    TO_SOURCE,
    TO_TARGET,
    ConversionMeter,
    as_said_by,
)
from vqcodec.evaluate.record import OURS, Record
from vqcodec.evaluate.report import write_page
from vqcodec.evaluate.speech.gallery import layer
from vqcodec.evaluate.speech.meter import open_recording
from vqcodec.media.audio import Audio
from vqcodec.voice.frames import RATE

TEMPLATE = "voices.html"
SHOWN = 5  # recordings


def write(
    folder: Path, tree: dict[str, Any], records: list[Record], meter: ConversionMeter
) -> None:
    """Write ``report.html``.

    Args:
        folder: of the report.
        tree: of ``results.json``.
        records: what was measured.
        meter: converts the recordings to play anew.

    Raises:
        OutputError: it cannot be written.
    """
    data = {
        "tree": tree,
        "metrics": [
            {"key": m.key, "label": m.label, "unit": m.unit, "digits": m.digits} for m in MEASURES
        ],
        "voices": [_voice(meter, target) for target in meter.targets],
        "gallery": [_shown(meter, record) for record in _choose(records)],
        "rows": [
            [r.name, m.codec, *(m.values.get(metric.key) for metric in MEASURES)]
            for r in records
            for m in r.measured
            if m.codec != OURS
        ],
    }
    write_page(folder, "vqcodec.evaluate.conversion", TEMPLATE, data)


def _choose(records: list[Record]) -> list[Record]:
    """Return a few from worst to best, by how much nearer to the targets they come.

    By how much is misread, where no similarity was measured.
    """
    import numpy as np

    def gain(record: Record) -> float:
        values = [m.values for m in record.measured if m.codec != OURS]
        near = [v.get(TO_TARGET.key) or 0 for v in values]
        far = [(v.get(TO_SOURCE.key) or 0) + 1e-3 * (v.get(READING.key) or 0) for v in values]
        return float(np.mean(near) - np.mean(far))

    ordered = sorted(records, key=gain)
    places = np.linspace(0, len(ordered) - 1, min(SHOWN, len(ordered))).round().astype(int)
    return [ordered[i] for i in np.unique(places)]


def _voice(meter: ConversionMeter, target: str) -> dict[str, Any]:
    """Return a recording of a target, as the page plays it."""
    name, source = next(meter.recordings.by(target))
    return layer(target, open_recording(source, name))


def _shown(meter: ConversionMeter, record: Record) -> dict[str, Any]:
    source = meter.recordings.sources[record.name]
    samples = open_recording(source, record.name)
    layers = [layer("source", samples)]
    for measured in record.measured:
        if measured.codec == OURS:
            codes = meter.codec.encode(Audio(samples[None], RATE))
            said, label = meter.codec.decode(codes).samples[0], "reconstruction"
        else:
            said = as_said_by(meter.codec, samples, meter.targets[measured.codec])
            label = measured.codec
        layers.append(layer(label, said) | {"values": measured.values})
    return {
        "name": record.name,
        "speaker": meter.recordings.speakers[record.name],
        "text": meter.recordings.catalogue.text(source),
        "seconds": record.units / 1000,
        "layers": layers,
    }
