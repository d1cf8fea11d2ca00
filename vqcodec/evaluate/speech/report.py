"""The page of a report on speech: players and spectrograms in one file that needs nothing else."""

import math
from pathlib import Path
from typing import Any

from vqcodec.evaluate.record import OURS
from vqcodec.evaluate.report import write_page
from vqcodec.evaluate.table import BYTES, KBPS, Table
from vqcodec.metrics.speech import SpeechMetric

TEMPLATE = "speech.html"


def write(
    folder: Path,
    tree: dict[str, Any],
    metrics: list[SpeechMetric],
    table: Table,
    gallery: list[dict[str, Any]],
) -> None:
    """Write ``report.html``.

    Args:
        folder: of the report.
        tree: of ``results.json``.
        metrics: those that were measured.
        table: what was measured on each recording.
        gallery: the recordings to play, see `gallery.build`.

    Raises:
        OutputError: it cannot be written.
    """
    shown = [m for m in metrics if m.key in tree["results"]]
    data = {
        "tree": tree,
        "metrics": [
            {
                "key": m.key,
                "label": m.label,
                "unit": m.unit,
                "digits": m.digits,
                "less": m.less_is_better,
            }
            for m in shown
        ],
        "gallery": gallery,
        "rows": _rows(table, [m.key for m in shown]),
    }
    write_page(folder, "vqcodec.evaluate.speech", TEMPLATE, data)


def _rows(table: Table, keys: list[str]) -> dict[str, Any]:
    """Return ``columns``, [codec, key] each, and ``rows``, [name, seconds, *values]."""
    columns = [(OURS, BYTES), (OURS, KBPS), *((OURS, key) for key in keys)]
    columns += [(codec, key) for codec in table.values if codec != OURS for key in keys]
    values = [table.column(codec, key)[:, -1] for codec, key in columns]
    rows = [
        [name, shape[0] / 1000, *(_number(v[i]) for v in values)]
        for i, (name, shape) in enumerate(zip(table.names, table.shapes, strict=True))
    ]
    return {"columns": columns, "rows": rows}


def _number(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None
