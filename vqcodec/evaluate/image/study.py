"""`vqcodec evaluate`: pictures in, a folder with figures, plots and a page out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import vqcodec
from vqcodec.codec.image import Codec
from vqcodec.data.sources import find_sources
from vqcodec.evaluate import plot, report
from vqcodec.evaluate.image import gallery
from vqcodec.evaluate.image.baselines import Anchor, find_anchors
from vqcodec.evaluate.image.meter import PictureMeter, Point, points_of
from vqcodec.evaluate.journal import Journal
from vqcodec.evaluate.record import OURS
from vqcodec.evaluate.results import digest, write_pictures, write_results
from vqcodec.evaluate.runs import Outcome, Run, made_with, named, settings_of
from vqcodec.evaluate.summary import summarise_anchor, summarise_codec, summarise_codes
from vqcodec.evaluate.table import Table, count_codes, sum_bits
from vqcodec.metrics.image import Metric, find_metrics


def evaluate(
    data: list[Path],
    folder: Path,
    *,
    model: str,
    against: list[str],
    points: tuple[Point, ...] = points_of([], []),
    force: bool = False,
    progress: Callable[[float], None] = lambda done: None,
) -> Outcome:
    """Measure a model on pictures, beside other codecs, and write a report.

    What is done stays done: the same call goes on where an earlier one was interrupted.

    Args:
        data: pictures, folders (recursive) or uncompressed tars.
        folder: of the report; made if missing.
        model: weights, a name or a folder.
        against: names of `anchors.ANCHORS`.
        points: ways to code, that of the highest rate last.
        force: start over in a folder that holds another evaluation.
        progress: called with the fraction of the pictures that is done.

    Raises:
        MediaError: there is no picture, or none can be read.
        OutputError: the folder holds something else, or cannot be written.
        UsageError: no such codec to compare with.
        WeightsError: no such weights.
    """
    sources = named(find_sources(data))
    anchors, notes = find_anchors(against)
    metrics, missing = find_metrics()
    codec = Codec.load(model)
    journal = Journal(folder)
    journal.begin(_settings(codec, points, anchors, metrics), force=force)
    meter = PictureMeter(codec, points, anchors, metrics)
    left_out = Run(journal, meter, "pictures").measure(sources, progress)
    table = Table.collect(
        journal.records(),
        [OURS, *(a.name for a in anchors)],
        len(points),
        [m.key for m in metrics],
    )
    usage = count_codes(journal.records(), codec.codebook_sizes[-1])
    codes = summarise_codes(usage, sum_bits(journal.records()))
    notes += missing + _notes(table, metrics)
    if left_out:
        notes.append(f"{len(left_out):,} pictures could not be read and are left out")
    tree = _tree(table, codes, codec, points, anchors, metrics, notes)
    write_pictures(folder, journal.records(), [p.label for p in points], [m.key for m in metrics])
    try:
        plot.draw(folder, tree, metrics)
    except ImportError:
        notes.append("plots are left out: need pip install 'vqcodec[evaluate]'")
    write_results(folder, tree)
    chosen = gallery.choose(table)
    shown = gallery.build(chosen, journal.records(), sources, codec, points, anchors)
    report.write(folder, tree, metrics, table, shown)
    return Outcome(tree, metrics, left_out)


def _settings(
    codec: Codec, points: tuple[Point, ...], anchors: list[Anchor], metrics: list[Metric]
) -> dict[str, Any]:
    """Return all that figures depend on, but for the pictures."""
    return {
        **settings_of(codec, metrics),
        "points": {p.label: p.setting for p in points},
        "set of codecs": {a.name: a.version() for a in anchors},
    }


def _notes(table: Table, metrics: list[Metric]) -> list[str]:
    """Say which metrics lack for how many pictures."""
    import numpy as np

    notes = []
    for metric in metrics:
        lacking = int(np.isnan(table.column(OURS, metric.key)[:, -1]).sum())
        if lacking:
            notes.append(
                f"{metric.label} is not defined for {lacking:,} of {len(table.names):,} pictures: "
                f"it needs sides of {metric.smallest} pixels, and at most "
                f"{metric.largest >> 20} megapixels"
            )
    return notes


def _tree(
    table: Table,
    codes: dict[str, Any],
    codec: Codec,
    points: tuple[Point, ...],
    anchors: list[Anchor],
    metrics: list[Metric],
    notes: list[str],
) -> dict[str, Any]:
    """Return what ``results.json`` holds."""
    ours = summarise_codec(table, OURS)
    described = {}
    for anchor in anchors:
        summary = summarise_anchor(table, anchor.name, ours)
        text = f"{anchor.label}, {anchor.version()}: best PSNR at vqcodec's bytes"
        described[anchor.name] = {"name": anchor.label, "description": text, **summary}
    name = codec.weights.name
    return {
        "name": f"vqcodec {name}",
        "description": f"vqcodec {vqcodec.__version__}, weights {name}, .vqc files",
        "results": ours["results"],
        "evaluation": {
            **made_with(codec),
            "data": {"pictures": len(table.names), "digest": digest(table.identities)},
            "points": [p.label for p in points],
            "metrics": {m.key: m.source() for m in metrics},
            "intervals": ours["intervals"],
            "codes": codes,
            "anchors": described,
            "notes": notes,
        },
    }
