"""The page of a study of pictures: curves as figures, pictures to look at, a row for each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vqcodec.evaluate.image.gallery import SIDE
from vqcodec.evaluate.journal import OURS
from vqcodec.evaluate.report import Part, card, code_cards, figure, heads, inputs, page, svg_uri
from vqcodec.evaluate.results import BASELINES
from vqcodec.evaluate.table import BYTES, RATE, Table
from vqcodec.metrics.image import Metric

CURVES = """\
Means over pictures with 95 % bootstrap intervals. The other codecs have at most vqcodec's bytes for
each picture, whole files, and may code it smaller and enlarge it again. Signed: vqcodec less the
other, over the pictures that fit; above zero vqcodec is better, coloured where the interval leaves
no doubt. BD-rate: how many percent more bytes vqcodec needs for the same PSNR, on average over the
curve (PCHIP); n/c: the curves hardly overlap and are not comparable."""
PICTURES = """\
Worst pictures first, by vqcodec's PSNR at full rate; all at the same bytes or fewer."""
INPUTS = """\
At full rate. Click a heading to sort, again for the other way round. Columns with two names:
vqcodec less the other."""


def build(
    tree: dict[str, Any],
    metrics: Sequence[Metric],
    table: Table,
    items: list[dict[str, Any]],
    plot: Path,
) -> dict[str, Any]:
    """Return what the page shows.

    Args:
        tree: of ``results.json``.
        metrics: those that were measured.
        table: of all pictures.
        items: pictures to look at, see `gallery.build`.
        plot: of the curves, if it was drawn.
    """
    shown = [m for m in metrics if m.key in tree["results"]]
    labels = {name: b["name"] for name, b in tree["evaluation"][BASELINES].items()}
    rows = inputs(table, shown, labels, (RATE, 3))
    rows["columns"].insert(1, {"head": "size"})
    for row, (height, width) in zip(rows["rows"], table.shapes, strict=True):
        row.insert(1, [height * width, f"{width}×{height}"])
    curves = {
        "kind": "table",
        "title": "Rate and distortion",
        "text": CURVES,
        "plot": svg_uri(plot) if plot.is_file() else None,
        "head": ["codec", "coded at", BYTES, RATE, *heads(shown)],
        "rows": _curves(tree, shown),
        "grouped": True,
    }
    look: Part = {"kind": "pictures", "title": "Look for yourself", "text": PICTURES}
    look |= {"items": items, "side": SIDE, "ours": OURS}
    every: Part = {"kind": "inputs", "title": "All pictures", "text": INPUTS, **rows}
    return page(tree, "", shown, _cards(tree, shown), [curves, look, every])


def _cards(tree: dict[str, Any], metrics: Sequence[Metric]) -> list[list[str]]:
    more, results = tree["evaluation"], tree["results"]
    cards = [card(m, results[m.key][-1], more["intervals"][m.key][-1]) for m in metrics]
    size = f"{round(results[BYTES][-1]):,} bytes a picture"
    cards.append(["Rate", f"{results[RATE][-1]:.3f} bpp", size])
    return cards + code_cards(more["codes"])


def _curves(tree: dict[str, Any], metrics: Sequence[Metric]) -> list[list[Any]]:
    """Return one row for each codec and point."""
    more = tree["evaluation"]
    number, points = more["data"]["pictures"], more["points"]
    ours = {**more, "results": tree["results"], "points": range(len(points))}
    rows = []
    for name, codec in {OURS: {**ours, "name": OURS}, **more[BASELINES]}.items():
        fits = codec.get("fits", [number] * len(points))
        for p, point in enumerate(points):
            at = list(codec["points"]).index(p) if p in codec["points"] else None
            results = {k: None if at is None else v[at] for k, v in codec["results"].items()}
            ends = {k: None if at is None else v[at] for k, v in codec["intervals"].items()}
            size, rate = results.get(BYTES), results.get(RATE)
            under = f"BD-rate {_delta(codec, metrics[0])}" if name != OURS and p == 1 else ""
            lacking = f", {fits[p]:,} fit" if fits[p] < number else ""
            row: list[Any] = [
                {"soft": under} if p else codec["name"],
                f"{'' if name == OURS else '≤ '}{point}{lacking}",
                "" if size is None else f"{round(size):,}",
                "" if rate is None else f"{rate:.3f}",
            ]
            for m in metrics:
                gain = codec["difference"][m.key][p] if name != OURS else None
                row.append(figure(m, results.get(m.key), ends.get(m.key), gain=gain))
            rows.append(row)
    return rows


def _delta(codec: dict[str, Any], metric: Metric) -> str:
    rate = codec["bd"].get(metric.key, {}).get("rate")
    return "n/c" if rate is None else f"{rate:+.1f} %".replace("-", "−")
