"""The page of a report: one file that needs nothing else, not even a network."""

import base64
import json
import math
from importlib.resources import files
from pathlib import Path
from typing import Any

from vqcodec.evaluate.plot import SVG
from vqcodec.evaluate.record import OURS
from vqcodec.evaluate.table import BYTES, RATE, Table
from vqcodec.files.atomic import writing
from vqcodec.metrics.image import Metric

PAGE = "report.html"
TEMPLATE = "report.html"
STYLE, COMMON = "report.css", "report.js"  # of the pages of all reports


def write(
    folder: Path,
    tree: dict[str, Any],
    metrics: list[Metric],
    table: Table,
    gallery: list[dict[str, Any]],
) -> None:
    """Write ``report.html``.

    Args:
        folder: of the report; its plot is put into the page, if there is one.
        tree: of ``results.json``.
        metrics: those that were measured.
        table: what was measured on each picture.
        gallery: the pictures to show, see `gallery.build`.

    Raises:
        OutputError: it cannot be written.
    """
    shown = [m for m in metrics if m.key in tree["results"]]
    plot = folder / SVG
    data = {
        "tree": tree,
        "metrics": [
            {"key": m.key, "label": m.label, "unit": m.unit, "digits": m.digits} for m in shown
        ],
        "plot": _svg_uri(plot) if plot.is_file() else None,
        "gallery": gallery,
        "rows": _rows(table, [m.key for m in shown]),
    }
    write_page(folder, "vqcodec.evaluate", TEMPLATE, data)


def write_page(folder: Path, package: str, template: str, data: dict[str, Any]) -> None:
    """Write ``report.html`` from a template of a package, with what all reports share put in.

    Raises:
        OutputError: it cannot be written.
    """
    page = files(package).joinpath(template).read_text(encoding="utf-8")
    for place, name in (("__STYLE__", STYLE), ("__COMMON__", COMMON)):
        shared = files("vqcodec.evaluate").joinpath(name).read_text(encoding="utf-8")
        page = page.replace(place, shared.rstrip())
    with writing(folder / PAGE, force=True) as file:
        file.write(page.replace("__DATA__", _script_safe(data)).encode())


def _rows(table: Table, keys: list[str]) -> dict[str, Any]:
    """Return one row for each picture, at the point of highest rate.

    Returns:
        ``columns``, [codec, key] each, and ``rows``, [name, width, height, *values].
    """
    columns = [(OURS, BYTES), (OURS, RATE), *((OURS, key) for key in keys)]
    columns += [(codec, key) for codec in table.values if codec != OURS for key in keys]
    values = [table.column(codec, key)[:, -1] for codec, key in columns]
    rows = [
        [name, shape[1], shape[0], *(_number(v[i]) for v in values)]
        for i, (name, shape) in enumerate(zip(table.names, table.shapes, strict=True))
    ]
    return {"columns": columns, "rows": rows}


def _number(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None


def _svg_uri(path: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()


def _script_safe(data: dict[str, Any]) -> str:
    """Return JSON that cannot end the script element that it stands in, whatever its strings."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
