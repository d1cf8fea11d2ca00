"""`vqcodec evaluate` on speech: recordings in, a folder with figures and a page out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import vqcodec
from vqcodec.codec.speech import SpeechCodec
from vqcodec.data.corpora import Catalogue
from vqcodec.data.sources import find_sources
from vqcodec.evaluate.bits import BitMeter
from vqcodec.evaluate.journal import RECORDINGS, Journal
from vqcodec.evaluate.record import OURS
from vqcodec.evaluate.results import digest, write_recordings, write_results
from vqcodec.evaluate.runs import Outcome, Run, made_with, named, settings_of
from vqcodec.evaluate.speech import gallery, report
from vqcodec.evaluate.speech.baselines import SpeechAnchor, find_anchors
from vqcodec.evaluate.speech.coder import decoders_of
from vqcodec.evaluate.speech.meter import LONGEST, RecordingMeter, languages
from vqcodec.evaluate.summary import summarise_codec, summarise_codes, summarise_other
from vqcodec.evaluate.table import BYTES, KBPS, Table, count_codes, sum_bits
from vqcodec.metrics.speech import EXPLAINED, SpeechMetric, find_metrics
from vqcodec.voice.frames import RATE


def evaluate(
    data: list[Path],
    folder: Path,
    *,
    model: str,
    against: list[str],
    force: bool = False,
    progress: Callable[[float], None] = lambda done: None,
) -> Outcome:
    """Measure a model on recordings, beside other codecs, and write a report.

    What is done stays done: the same call goes on where an earlier one was interrupted.

    Args:
        data: recordings, folders (recursive) or uncompressed tars; `media.corpora` tells which
            are English.
        folder: of the report; made if missing.
        model: weights, a name or a folder.
        against: names of `anchors.ANCHORS`.
        force: start over in a folder that holds another evaluation.
        progress: called with the fraction of the recordings that is done.

    Raises:
        MediaError: there is no recording, or none can be read.
        OutputError: the folder holds something else, or cannot be written.
        UsageError: no such codec to compare with.
        WeightsError: no such weights.
    """
    sources = named(find_sources(data, "audio"))
    catalogue = Catalogue()
    spoken = languages(sources, catalogue)
    anchors, notes = find_anchors(against)
    metrics, missing = find_metrics()
    codec = SpeechCodec.load(model)
    journal = Journal(folder, RECORDINGS)
    journal.begin(_settings(codec, anchors, metrics, spoken), force=force)
    run = Run(
        journal, RecordingMeter(codec, BitMeter(codec), anchors, metrics, spoken), "recordings"
    )
    left_out = run.measure(sources, progress)
    ours = list(decoders_of(codec))
    keys = [m.key for m in metrics]
    others = [*ours[1:], *(a.name for a in anchors)]
    table = Table.collect(journal.records(), [OURS, *others], 1, keys, KBPS)
    notes += missing + _notes(table, metrics, spoken)
    if left_out:
        notes.append(f"{len(left_out):,} recordings could not be read and are left out")
    usage = count_codes(journal.records(), codec.codebook_sizes[-1])
    codes = summarise_codes(usage, sum_bits(journal.records()))
    codes["indices_per_second"] = RATE / codec.stride
    tree = _tree(table, codes, codec, anchors, metrics, notes)
    write_recordings(folder, journal.records(), keys)
    write_results(folder, tree)
    chosen = gallery.choose(table)
    shown = gallery.build(chosen, journal.records(), sources, catalogue, codec, anchors)
    report.write(folder, tree, metrics, table, shown)
    return Outcome(tree, metrics, left_out)


def _settings(
    codec: SpeechCodec,
    anchors: list[SpeechAnchor],
    metrics: list[SpeechMetric],
    spoken: dict[str, str],
) -> dict[str, Any]:
    """Return all that figures depend on, but for the recordings."""
    return {
        **settings_of(codec, metrics),
        "set of codecs": {a.name: a.version() for a in anchors},
        "set of languages": digest(f"{path} {language}" for path, language in spoken.items()),
    }


def _notes(table: Table, metrics: Sequence[SpeechMetric], spoken: dict[str, str]) -> list[str]:
    """Say what was measured on less than everything."""
    import numpy as np

    notes = []
    total = len(table.names)
    for metric in metrics:
        lacking = int(np.isnan(table.column(OURS, metric.key)[:, -1]).sum())
        if lacking and metric.english:
            notes.append(
                f"{metric.label} is for English, and was taken of {total - lacking:,} of "
                f"{total:,} recordings"
            )
        elif lacking:
            notes.append(
                f"{metric.label} is not defined for {lacking:,} of {total:,} recordings: too "
                "short, silent, or too damaged"
            )
    if not spoken and any(m.english for m in metrics):
        notes.append("nothing tells the languages: all recordings were taken for English")
    long = sum(shape[0] >= 1000 * LONGEST // RATE for shape in table.shapes)
    if long:
        notes.append(f"of {long:,} longer recordings the first {LONGEST // RATE} s were measured")
    return notes


def _tree(
    table: Table,
    codes: dict[str, Any],
    codec: SpeechCodec,
    anchors: list[SpeechAnchor],
    metrics: list[SpeechMetric],
    notes: list[str],
) -> dict[str, Any]:
    """Return what ``results.json`` holds."""
    ours = summarise_codec(table, OURS)
    weights = codec.weights
    described = {}
    for name in list(decoders_of(codec))[1:]:
        label = f"{weights.name}, {name.removeprefix(OURS).strip('-')} decoder"
        text = f"{label}: the same codes, decoded another way"
        described[name] = {"name": label, "description": text, **summarise_other(table, name, ours)}
    for anchor in anchors:
        text = f"{anchor.label}, {anchor.version()}: the bytes of its packets, without a container"
        summary = summarise_other(table, anchor.name, ours)
        described[anchor.name] = {"name": anchor.label, "description": text, **summary}
    seconds = sum(shape[0] for shape in table.shapes) / 1000
    return {
        "name": f"vqcodec {weights.name}",
        "description": f"vqcodec {vqcodec.__version__}, weights {weights.name}, .vqc files",
        "results": ours["results"],
        "evaluation": {
            **made_with(codec),
            "data": {
                "recordings": len(table.names),
                "seconds": round(seconds, 3),
                "digest": digest(table.identities),
            },
            "points": ["mono, 16 kHz"],
            "metrics": {m.key: f"{EXPLAINED[m.key]} ({m.source()})" for m in metrics},
            "intervals": ours["intervals"],
            "overall_kbps": round(8 * float(table.column(OURS, BYTES).sum()) / seconds / 1000, 4),
            "codes": codes,
            "anchors": described,
            "notes": notes,
        },
    }
