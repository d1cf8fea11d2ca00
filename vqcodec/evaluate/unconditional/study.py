"""`vqcodec evaluate --babble`: how like speech what is drawn is, beside real speech."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import vqcodec
from vqcodec.codec.speech import SpeechCodec
from vqcodec.data.sources import find_sources
from vqcodec.evaluate.journal import Journal
from vqcodec.evaluate.record import OURS, Record
from vqcodec.evaluate.results import digest, write_babble, write_results
from vqcodec.evaluate.runs import Outcome, Run, made_with, named, settings_of
from vqcodec.evaluate.unconditional import page as babblepage
from vqcodec.evaluate.unconditional.meter import (
    LABELS,
    RECORDING,
    SECONDS,
    BabbleMeter,
    find_samplers,
    summarise,
)
from vqcodec.metrics.speech import SpeechMetric, find_metrics
from vqcodec.metrics.speechlike import EXPLAINED, METRICS

LINES = "babble.jsonl"


def evaluate_babble(
    data: list[Path],
    folder: Path,
    *,
    model: str,
    number: int,
    force: bool = False,
    progress: Callable[[float], None] = lambda done: None,
) -> Outcome:
    """Measure recordings, their reconstructions, and babble drawn beside them; write a report.

    What is done stays done: the same call goes on where an earlier one was interrupted.

    Args:
        data: recordings, folders (recursive) or uncompressed tars.
        folder: of the report; made if missing.
        model: weights, a name or a folder.
        number: of recordings to listen to, the first ones.
        force: start over in a folder that holds another evaluation.
        progress: called with the fraction of the recordings that is done.

    Raises:
        MediaError: there is no recording, or none can be read.
        OutputError: the folder holds something else, or cannot be written.
        WeightsError: no such weights, or they name nobody whose voice to draw in.
    """
    sources = dict(islice(named(find_sources(data, "audio")).items(), number))
    codec = SpeechCodec.load(model)
    samplers, notes = find_samplers(codec)
    metrics, missing = find_metrics(METRICS)
    seeds = {name: seed for seed, name in enumerate(sources)}
    meter = BabbleMeter(codec, samplers, seeds, metrics)
    journal = Journal(folder, LINES)
    settings = {"set of recordings": digest(sources), "set of sounds": list(samplers)}
    journal.begin({**settings_of(codec, metrics), **settings}, force=force)
    left_out = Run(journal, meter, "recordings").measure(sources, progress)
    records = list(journal.records())
    notes += missing
    if len(sources) < number:
        notes.append(f"the data hold {len(sources):,} recordings, not {number:,}")
    if left_out:
        notes.append(f"{len(left_out):,} recordings could not be read and are left out")
    notes.append(
        f"of each recording the first {SECONDS} s are heard; babble is as long, and what is drawn "
        "beside the first recording has the seed 0"
    )
    tree = _tree(codec, records, [RECORDING, OURS, *samplers], metrics, notes)
    write_babble(folder, records, [m.key for m in metrics])
    write_results(folder, tree)
    babblepage.write(folder, tree, records, metrics, meter, sources)
    return Outcome(tree, metrics, left_out)


def _tree(
    codec: SpeechCodec,
    records: list[Record],
    kinds: list[str],
    metrics: list[SpeechMetric],
    notes: list[str],
) -> dict[str, Any]:
    """Return what ``results.json`` holds."""
    name = codec.weights.name
    return {
        "name": f"vqcodec {name}",
        "description": f"vqcodec {vqcodec.__version__}, weights {name}: babble beside recordings",
        "sounds": {
            kind: {"name": LABELS[kind], **summarise(records, kind, metrics)} for kind in kinds
        },
        "evaluation": {
            **made_with(codec),
            "data": {
                "recordings": len(records),
                "seconds": round(sum(r.units for r in records) / 1000, 3),
                "digest": digest(r.identity for r in records),
            },
            "metrics": {m.key: f"{EXPLAINED[m.key]} ({m.source()})" for m in metrics},
            "notes": notes,
            "anchors": {},
        },
    }
