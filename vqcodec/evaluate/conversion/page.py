"""The page of a study of conversions: means by target, recordings to play, a row for each pair."""

from collections.abc import Sequence
from typing import Any

from vqcodec.evaluate.conversion.measures import (
    MEASURES,
    PITCH,
    TO_SOURCE,
    TO_TARGET,
    WORDS,
)
from vqcodec.evaluate.conversion.summary import SHARE
from vqcodec.evaluate.journal import OURS, Record
from vqcodec.evaluate.report import Part, card, described, figure, heads, page
from vqcodec.metrics.measure import Measure

MEANS = """\
Means over pairs of a recording and a target; of F0 the median. Nearer: the share of pairs that
sound more like the target than like whoever spoke. Small: 95 % bootstrap intervals over recordings.
All that is converted is synthetic: nobody said it in that voice."""
SOUNDS = """\
From worst to best, the beginning of each. Spectrograms: 0 to 8 kHz, 60 dB from black to white.
Playing one stops the others."""
NEARER = Measure(SHARE, "nearer", "%", 0)
SHOWN = 5  # recordings


def choose(records: list[Record]) -> list[Record]:
    """Return a few from worst to best, by how much nearer to the targets they come.

    By how much is misread, where no similarity was measured.
    """
    import numpy as np

    def gain(record: Record) -> float:
        values = [m.values for m in record.measured if m.codec != OURS]
        near = [v.get(TO_TARGET.key) or 0 for v in values]
        far = [(v.get(TO_SOURCE.key) or 0) + 1e-3 * (v.get(WORDS.key) or 0) for v in values]
        return float(np.mean(near) - np.mean(far))

    ordered = sorted(records, key=gain)
    places = np.linspace(0, len(ordered) - 1, min(SHOWN, len(ordered))).round().astype(int)
    return [ordered[i] for i in np.unique(places)]


def build(
    tree: dict[str, Any],
    records: list[Record],
    voices: list[dict[str, Any]],
    items: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return what the page shows.

    Args:
        tree: of ``results.json``.
        records: of all recordings.
        voices: a recording of each target to play.
        items: recordings and what they became, to play.
    """
    shown = [m for m in MEASURES if m.key in tree["evaluation"]["metrics"]]
    lines = {**tree["targets"], "all": tree["overall"]}
    lines["plain reconstruction"] = tree["reconstruction"]
    means = {
        "kind": "table",
        "title": "By target",
        "text": MEANS,
        "head": ["target", "pairs", *heads([NEARER, *shown]), "target's own F0 Hz"],
        "rows": [_row(name, found, shown) for name, found in lines.items()],
    }
    themselves: Part = {
        "kind": "sounds",
        "id": "voices",
        "title": "The targets themselves",
        "text": "A recording of each, as it was made.",
        "items": [{"layers": voices}],
    }
    sounds: Part = {
        "kind": "sounds",
        "id": "gallery",
        "title": "Listen for yourself",
        "text": SOUNDS,
        "items": items,
    }
    pairs: Part = {
        "kind": "inputs",
        "title": "All pairs",
        "text": "Click a heading to sort, again for the other way round.",
        "columns": [{"head": "recording"}, {"head": "target"}, *map(described, shown)],
        "rows": [
            [r.name, m.codec, *(m.values.get(metric.key) for metric in shown)]
            for r in records
            for m in r.measured
            if m.codec != OURS
        ],
    }
    parts = [means, themselves, sounds, pairs]
    return page(tree, "voices", [NEARER, *shown], _cards(tree["overall"], shown), parts)


def _cards(overall: dict[str, Any], metrics: Sequence[Measure]) -> list[list[str]]:
    share = _nearer(overall)
    cards: list[list[str]] = [] if share is None else [card(NEARER, share, _nearer_ends(overall))]
    kept = [m for m in metrics if m is not PITCH]
    return cards + [card(m, overall[m.key], overall["intervals"].get(m.key)) for m in kept]


def _row(name: str, found: dict[str, Any], metrics: Sequence[Measure]) -> list[Any]:
    ends, own = found.get("intervals", {}), found.get("own-f0")
    return [
        name,
        found["pairs"],
        figure(NEARER, _nearer(found), _nearer_ends(found)),
        *(figure(m, found.get(m.key), ends.get(m.key)) for m in metrics),
        "" if own is None else f"{own:.0f}",
    ]


def _nearer(found: dict[str, Any]) -> float | None:
    share = found.get(SHARE)
    return None if share is None else 100 * share


def _nearer_ends(found: dict[str, Any]) -> list[float] | None:
    ends = found.get("intervals", {}).get(SHARE)
    return None if ends is None else [100 * end for end in ends]
