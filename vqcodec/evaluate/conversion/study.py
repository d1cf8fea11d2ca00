"""`vqcodec evaluate --voices`: recordings in, a folder with figures of conversions and a page."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import vqcodec
from vqcodec.codec.convert import Target
from vqcodec.codec.convert import named as named_target
from vqcodec.codec.speech import SpeechCodec
from vqcodec.data.corpora import Catalogue
from vqcodec.data.sources import find_sources
from vqcodec.errors import MediaError
from vqcodec.evaluate.conversion import page as conversionpage
from vqcodec.evaluate.conversion.meter import (
    EXPLAINED,
    KNOWN_BY,
    MEASURES,
    ConversionMeter,
    Recordings,
)
from vqcodec.evaluate.conversion.summary import Pairs
from vqcodec.evaluate.journal import Journal
from vqcodec.evaluate.record import Record
from vqcodec.evaluate.results import digest, write_conversions, write_results
from vqcodec.evaluate.runs import Outcome, Run, made_with, named, settings_of
from vqcodec.evaluate.speech.meter import languages
from vqcodec.metrics.speech import CER, SIMILARITY, SpeechMetric, find_metrics

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
    voices = {name: named_target(codec, name) for name in targets}
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
    write_conversions(folder, records, recordings.speakers, [m.key for m in MEASURES])
    write_results(folder, tree)
    conversionpage.write(folder, tree, records, meter)
    return Outcome(tree, MEASURES, left_out)


def _check(speakers: set[str], targets: dict[str, Target], data: list[Path]) -> None:
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
    targets: dict[str, Target],
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
        **settings_of(codec, measures),
        "set of speakers": {n: _identity(v) for n, v in targets.items()},
        "set of languages": digest(f"{path} {language}" for path, language in spoken.items()),
        "set of recordings": digest(told),
    }


def _identity(target: Target) -> list[Any]:
    """Return what a speaker's voice depends on."""
    sounds = b"" if target.timbre is None else target.timbre.cepstra.tobytes()
    return [target.vector.hex(), target.pitch, hashlib.sha256(sounds).hexdigest()]


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
            **made_with(codec),
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
