"""The page of a study of speech: means, some recordings to play, and a row for each."""

from collections.abc import Sequence
from typing import Any

from vqcodec.evaluate.journal import ORIGINAL, OURS
from vqcodec.evaluate.report import card, code_cards, figure, heads, inputs, page
from vqcodec.evaluate.results import BASELINES
from vqcodec.evaluate.table import KBPS, Table
from vqcodec.metrics.speech import MEL, STOI, SpeechMetric

MEANS = """\
Means over recordings with 95 % bootstrap intervals. Each codec has the rate that it was made for:
of vqcodec whole files are counted, of others the packets alone. Signed: vqcodec less the other;
green where vqcodec is better, and the interval leaves no doubt."""
SOUNDS = """\
From worst to best by vqcodec, the beginning of each. Spectrograms: 0 to 8 kHz, 60 dB from black to
white, alike within a recording. Playing one stops the others."""
INPUTS = """\
Click a heading to sort, again for the other way round. Columns with two names: vqcodec less the
other."""
SHOWN = 8  # recordings: without loss, with five codecs, a page is of about ten megabytes


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


def labels(tree: dict[str, Any]) -> dict[str, str]:
    """Return what the page calls codecs, ours first."""
    more = tree["evaluation"]
    return {OURS: more["model"], **{name: b["name"] for name, b in more[BASELINES].items()}}


def build(
    tree: dict[str, Any],
    metrics: Sequence[SpeechMetric],
    table: Table,
    items: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return what the page shows.

    Args:
        tree: of ``results.json``.
        metrics: those that were measured.
        table: of all recordings.
        items: recordings to play.
    """
    shown = [m for m in metrics if m.key in tree["results"]]
    called = labels(tree)
    means = {
        "kind": "table",
        "title": "Rate and quality",
        "text": MEANS,
        "head": ["codec", "kbit/s", *_heads(shown)],
        "rows": [_row(tree, codec, called[codec], shown) for codec in called],
    }
    sounds = {"kind": "sounds", "id": "gallery", "title": "Listen for yourself", "text": SOUNDS}
    others = {codec: label for codec, label in called.items() if codec not in (OURS, ORIGINAL)}
    rows = inputs(table, shown, others, ("kbit/s", 2))
    rows["columns"].insert(1, {"head": "seconds", "digits": 1})
    for row, (milliseconds,) in zip(rows["rows"], table.shapes, strict=True):
        row.insert(1, milliseconds / 1000)
    every = {"kind": "inputs", "title": "All recordings", "text": INPUTS, **rows}
    return page(tree, "", shown, _cards(tree, shown), [means, {**sounds, "items": items}, every])


def _heads(metrics: Sequence[SpeechMetric]) -> list[str]:
    arrows = (" ↓" if m.less_is_better else "" for m in metrics)
    return [head + arrow for head, arrow in zip(heads(metrics), arrows, strict=True)]


def _cards(tree: dict[str, Any], metrics: Sequence[SpeechMetric]) -> list[list[str]]:
    more, results = tree["evaluation"], tree["results"]
    cards = [["Rate", f"{results[KBPS][0]:.2f} kbit/s", "whole files"]]
    cards += [card(m, results[m.key][0], more["intervals"][m.key][0]) for m in metrics]
    return cards + code_cards(more["codes"])


def _row(
    tree: dict[str, Any], codec: str, label: str, metrics: Sequence[SpeechMetric]
) -> list[Any]:
    """Return the means of one codec."""
    more = tree["evaluation"]
    found = {**more, "results": tree["results"]} if codec == OURS else more[BASELINES][codec]
    results = {key: values[0] for key, values in found["results"].items()}
    ends = {key: values[0] for key, values in found["intervals"].items()}
    gains = {} if codec == OURS else {k: v[0] for k, v in found["difference"].items()}
    rate = f"{results[KBPS]:.2f}" if KBPS in results else ""
    cells = [figure(m, results.get(m.key), ends.get(m.key), gain=gains.get(m.key)) for m in metrics]
    return [label, rate, *cells]
