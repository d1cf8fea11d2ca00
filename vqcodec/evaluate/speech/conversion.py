"""`vqcodec evaluate --voices`: recordings in, a folder with figures of conversions and a page."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import vqcodec
from vqcodec.errors import MediaError
from vqcodec.evaluate.journal import Journal
from vqcodec.evaluate.record import OURS, Record
from vqcodec.evaluate.results import CSV, RESULTS, digest
from vqcodec.evaluate.runs import Outcome, Run, named
from vqcodec.evaluate.speech import conversionpage
from vqcodec.evaluate.speech.conversions import (
    EXPLAINED,
    KNOWN_BY,
    MEASURES,
    ConversionMeter,
    Recordings,
)
from vqcodec.evaluate.speech.conversionsummary import Pairs
from vqcodec.evaluate.speech.quality import CER, SIMILARITY, SpeechMetric, find_metrics
from vqcodec.evaluate.speech.recordings import languages
from vqcodec.files.atomic import writing
from vqcodec.media.corpora import Catalogue
from vqcodec.media.sources import find_sources
from vqcodec.speech import SpeechCodec
from vqcodec.voices import Voice, find_voice

LINES = "conversions.jsonl"
PACKAGED = (SIMILARITY, CER)  # measures that need packages


def evaluate_voices(
    data: list[Path],
    folder: Path,
    *,
    model: str,
    targets: list[str],
    force: bool = False,
    progress: Callable[[float], None] = lambda done: None,
) -> Outcome:
    """Convert recordings to named speakers, measure what comes out, and write a report.

    What is done stays done: the same call goes on where an earlier one was interrupted.

    Args:
        data: folders or uncompressed tars of recordings; `media.corpora` tells who speaks. Those
            of the targets tell what they sound like.
        folder: of the report; made if missing.
        model: weights, a name or a folder.
        targets: names of speakers of these weights.
        force: start over in a folder that holds another evaluation.
        progress: called with the fraction of the recordings that is done.

    Raises:
        MediaError: there are no recordings of a target, or none of others.
        OutputError: the folder holds something else, or cannot be written.
        UsageError: the weights know no such speaker.
        WeightsError: no such weights, or they name no speakers.
    """
    codec = SpeechCodec.load(model)
    voices = {name: find_voice(codec.weights, name) for name in targets}
    sources = named(find_sources(data, "audio"))
    catalogue = Catalogue()
    _check({catalogue.speaker(source) for source in sources.values()}, voices, data)
    spoken = languages(sources, catalogue)
    measures, notes = find_metrics(PACKAGED)
    recordings = Recordings(sources, SIMILARITY in measures, catalogue)
    meter = ConversionMeter(codec, voices, recordings, CER in measures, spoken)
    journal = Journal(folder, LINES)
    journal.begin(_settings(codec, voices, measures, spoken, recordings), force=force)
    others = {n: s for n, s in sources.items() if set(voices) != {recordings.speakers[n]}}
    left_out = Run(journal, meter, "recordings").measure(others, progress)
    records = list(journal.records())
    if left_out:
        notes.append(f"{len(left_out):,} recordings could not be read and are left out")
    notes.append(
        f"voices are known by up to {KNOWN_BY} recordings of each speaker in the data; nobody is "
        "converted to themselves"
    )
    tree = _tree(codec, records, meter, measures, notes)
    with writing(folder / RESULTS, force=True) as file:
        file.write((json.dumps(tree, indent=2, ensure_ascii=False) + "\n").encode())
    _write_rows(folder, records, recordings)
    conversionpage.write(folder, tree, records, meter)
    return Outcome(tree, MEASURES, left_out)


def _check(speakers: set[str], targets: dict[str, Voice], data: list[Path]) -> None:
    """Raise MediaError unless there are recordings of the targets, and of somebody else."""
    where = ", ".join(map(str, data))
    for target in targets:
        if target not in speakers:
            raise MediaError(
                f"{where}: holds no recordings of '{target}', to know what they sound like; they "
                "must lie in a folder of that name, or a manifest.csv name the speaker"
            )
    if len(targets) == 1 and speakers == set(targets):
        raise MediaError(f"{where}: holds no recordings of others, to convert")


def _settings(
    codec: SpeechCodec,
    targets: dict[str, Voice],
    measures: list[SpeechMetric],
    spoken: dict[str, str],
    recordings: Recordings,
) -> dict[str, Any]:
    """Return all that figures depend on."""
    told = (
        f"{name} {source.length} {recordings.speakers[name]} {recordings.catalogue.text(source)}"
        for name, source in recordings.sources.items()
    )
    return {
        "version of vqcodec": vqcodec.__version__,
        "model": {"name": codec.weights.name, "files": codec.weights.config.get("files")},
        "precision": codec.precision,
        "set of speakers": {n: [v.vector.hex(), v.pitch] for n, v in targets.items()},
        "set of metrics": {m.key: m.source() for m in measures},
        "set of languages": digest(f"{path} {language}" for path, language in spoken.items()),
        "set of recordings": digest(told),
    }


def _tree(
    codec: SpeechCodec,
    records: list[Record],
    meter: ConversionMeter,
    measures: list[SpeechMetric],
    notes: list[str],
) -> dict[str, Any]:
    """Return what ``results.json`` holds."""
    pairs = Pairs.collect(records, list(meter.targets))
    overall = pairs.overall()
    by_target = pairs.by_target()
    for name, found in by_target.items():
        own = meter.recordings.voice(name).pitch
        found["own-f0"] = None if own is None else round(own, 1)
    sources = {m.key: m.source() for m in measures}
    explained = {key: text for key, text in EXPLAINED.items() if overall[key] is not None}
    return {
        "name": f"vqcodec {codec.weights.name}",
        "description": f"vqcodec {vqcodec.__version__}, weights {codec.weights.name}: "
        f"recordings converted to {', '.join(meter.targets)}",
        "overall": overall,
        "reconstruction": pairs.reconstruction(),
        "targets": by_target,
        "evaluation": {
            "vqcodec": vqcodec.__version__,
            "model": codec.weights.name,
            "codebook_id": codec.weights.codebook_id.hex(),
            "data": {
                "recordings": len(records),
                "seconds": round(sum(r.units for r in records) / 1000, 3),
                "digest": digest(r.identity for r in records),
            },
            "packages": sources,
            "metrics": explained,
            "notes": notes,
            "anchors": {},
        },
    }


def _write_rows(folder: Path, records: list[Record], recordings: Recordings) -> None:
    """Write ``results.csv``: one row for each pair, and each plain reconstruction."""
    keys = [m.key for m in MEASURES]
    rows: list[list[Any]] = [["recording", "speaker", "seconds", "target", *keys]]
    for record in records:
        head = [record.name, recordings.speakers[record.name], record.units / 1000]
        for m in record.measured:
            values = ["" if m.values.get(k) is None else m.values[k] for k in keys]
            rows.append([*head, "" if m.codec == OURS else m.codec, *values])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    with writing(folder / CSV, force=True) as file:
        file.write(text.getvalue().encode())
