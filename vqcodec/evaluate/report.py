"""The page of a report: one file that needs nothing else, not even a network.

A study says what its page shows in parts, and ``report.js`` draws each kind of part:

- ``table``: ``head`` and ``rows`` of cells, see `figure`; a ``plot`` above (a data URI);
- ``pictures``: ``items`` to compare, in ``layers``;
- ``sounds``: ``items`` to play, with what became of them, in ``layers``;
- ``inputs``: ``columns`` and ``rows``, to be sorted.

Each has a ``title`` and a ``text``. What the notes, the measures and the baselines are comes last.
"""

import base64
import json
import math
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from vqcodec.evaluate.journal import OURS
from vqcodec.evaluate.results import BASELINES
from vqcodec.evaluate.table import BYTES, Table
from vqcodec.files.atomic import writing
from vqcodec.metrics.measure import Measure

PAGE = "report.html"
PLACES = {"__STYLE__": "report.css", "__PARTS__": "report.js", "__VIEWER__": "viewer.js"}

Part = dict[str, Any]


def page(
    tree: dict[str, Any],
    subject: str,
    metrics: Sequence[Measure],
    cards: list[list[str]],
    parts: list[Part],
) -> dict[str, Any]:
    """Return what a page shows.

    Args:
        tree: of ``results.json``.
        subject: of the study, if the model's name does not say enough.
        metrics: those that parts refer to.
        cards: a name, a figure and what to say of it, each.
        parts: in their order.
    """
    more = tree["evaluation"]
    data = dict(more["data"])
    del data["digest"]
    seconds = data.pop("seconds", None)
    amounts = [f"{number:,} {what}" for what, number in data.items()]
    if seconds is not None:
        amounts.append(f"{seconds / 60:.1f} minutes")
    about = f"{', '.join(amounts)} · vqcodec {more['vqcodec']} · codebook {more['codebook_id']}"
    notes = more["notes"] or ["Nothing was left out."]
    notes = [*notes, *(f"{key}: {source}" for key, source in more["metrics"].items())]
    notes += [baseline["description"] for baseline in more[BASELINES].values()]
    return {
        "heading": f"{tree['name']}, {subject}" if subject else tree["name"],
        "title": f"{tree['name']} – {subject or 'report'}",
        "about": about,
        "metrics": {m.key: described(m) for m in metrics},
        "cards": cards,
        "parts": [*parts, {"kind": "notes", "title": "Notes", "text": "", "items": notes}],
    }


def described(metric: Measure) -> dict[str, Any]:
    """Return what the page must know of a measure."""
    less = getattr(metric, "less_is_better", False)
    return {"head": heads([metric])[0], "digits": metric.digits, "less": less}


def heads(metrics: Sequence[Measure]) -> list[str]:
    """Return what columns of measures are called."""
    return [f"{m.label} {m.unit}".rstrip() for m in metrics]


def card(metric: Measure, value: float, ends: Sequence[float] | None) -> list[str]:
    """Return a card of a mean and the ends of its interval, if there is one."""
    low, high = (_number(metric, end) for end in ends or (0, 0))
    unit = f" {metric.unit}" if metric.unit else ""
    under = f"95 %: {low} to {high}" if ends else ""
    return [metric.label, _number(metric, value) + unit, under]


def code_cards(codes: dict[str, Any]) -> list[list[str]]:
    """Return cards of how codes are used, see `summary.summarise_codes`."""
    cards = []
    for own in codes.get("maps", [codes]):
        bits = f"{own['order_0_entropy']:.2f} bits an index"
        cards += [
            ["Codes used", f"{100 * own['usage']:.1f} %", f"of {own['codebook_size']}"],
            ["Perplexity", f"{own['perplexity']:.1f}", bits],
        ]
    return cards


def figure(metric: Measure, value: float | None, ends: Any = None, **gain: Any) -> dict[str, Any]:
    """Return a cell: a mean, the ends of its interval, and how much more it is than another's.

    Args:
        metric: the measure.
        value: the mean; None leaves the cell empty.
        ends: of its interval, if there is one.
        gain: ``gain=[mean, low, high]`` or ``gain=None``, in tables that compare.
    """
    return {"key": metric.key, "value": value, "ends": ends, **gain}


def inputs(
    table: Table, metrics: Sequence[Measure], labels: dict[str, str], rate: tuple[str, int]
) -> Part:
    """Return columns and rows of all inputs, at the point of highest rate.

    Args:
        table: what was measured.
        metrics: those to show.
        labels: of the baselines, by name.
        rate: what the rate is called, and its decimals.
    """
    import numpy as np

    keys = [m.key for m in metrics]
    columns = [{"head": BYTES, "digits": 0}, {"head": rate[0], "digits": rate[1]}]
    columns += [described(m) for m in metrics]
    ours = {key: table.column(OURS, key)[:, -1] for key in (*table.columns[:2], *keys)}
    values = list(ours.values())
    for codec, label in labels.items():
        for metric in metrics:
            head = f"{metric.label} −\N{NO-BREAK SPACE}{label}"
            columns.append({**described(metric), "head": head, "signed": True})
            values.append(ours[metric.key] - table.column(codec, metric.key)[:, -1])
    found = np.stack(values, 1).tolist()
    rows = [
        [name, *(round(v, 4) if math.isfinite(v) else None for v in row)]
        for name, row in zip(table.names, found, strict=True)
    ]
    return {"columns": columns, "rows": rows}


def svg_uri(path: Path) -> str:
    """Return a plot as a data URI."""
    return "data:image/svg+xml;base64," + base64.b64encode(path.read_bytes()).decode()


def write_page(folder: Path, data: dict[str, Any]) -> None:
    """Write ``report.html``.

    Raises:
        OutputError: it cannot be written.
    """
    package = files("vqcodec.evaluate")
    text = package.joinpath(PAGE).read_text(encoding="utf-8")
    for place, name in PLACES.items():
        text = text.replace(place, package.joinpath(name).read_text(encoding="utf-8").rstrip())
    with writing(folder / PAGE, force=True) as file:
        file.write(text.replace("__DATA__", _script_safe(data)).encode())


def _number(metric: Measure, value: float) -> str:
    return f"{value:.{metric.digits}f}".replace("-", "−")


def _script_safe(data: dict[str, Any]) -> str:
    """Return JSON that cannot end the script element that it stands in, whatever its strings."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
