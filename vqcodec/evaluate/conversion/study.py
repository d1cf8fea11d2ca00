"""`vqcodec evaluate --voices`: recordings as named speakers say them."""

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqcodec.codec.convert import Target, convert, with_all_codebooks
from vqcodec.codec.convert import named as named_target
from vqcodec.codec.speech import BLOCK, SpeechCodec
from vqcodec.data.corpora import Catalogue
from vqcodec.data.sources import Source, find_sources
from vqcodec.errors import MediaError
from vqcodec.evaluate.conversion import page
from vqcodec.evaluate.conversion.measures import (
    BEFORE,
    DISTANCE,
    EXPLAINED,
    MEASURES,
    OFFSET,
    OWN_WORDS,
    PITCH,
    TO_SOURCE,
    TO_TARGET,
)
from vqcodec.evaluate.conversion.summary import Pairs
from vqcodec.evaluate.conversion.voices import (
    KNOWN_BY,
    Recordings,
    cepstral_distance,
    likeness,
    pitch_offset,
)
from vqcodec.evaluate.journal import OURS, Measured, Record, count_used
from vqcodec.evaluate.results import digest
from vqcodec.evaluate.speech.recordings import (
    ENGLISH,
    RecordingStudy,
    languages,
    layer,
    open_recording,
    record_of,
)
from vqcodec.evaluate.study import named
from vqcodec.media.audio import Audio
from vqcodec.metrics.measure import Measure
from vqcodec.metrics.speech import CER, SIMILARITY, WER, find_metrics
from vqcodec.modality import AUDIO
from vqcodec.voice.frames import RATE
from vqcodec.voice.pitch import median_pitch, pitch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.float32]

PACKAGED = (SIMILARITY, WER, CER)  # measures that need packages


class ConversionStudy(RecordingStudy):
    """Recordings converted to named speakers; nobody is converted to themselves.

    Args:
        data: folders or uncompressed tars of recordings; `data.corpora` tells who speaks. Those of
            the targets tell what they sound like.
        folder: of the report; made if missing.
        model: weights, a name or a folder.
        targets: names of speakers of these weights.

    Raises:
        MediaError: there are no recordings of a target, or none of others.
        UsageError: the weights know no such speaker.
        WeightsError: no such weights, or they name no speakers.
    """

    lines = "conversions.jsonl"
    metrics: Sequence[Measure] = MEASURES

    def __init__(
        self,
        data: list[Path],
        folder: Path,
        *,
        model: str,
        targets: list[str],
        device: str = "auto",
    ) -> None:
        """Find the recordings, and load what they go through."""
        codec = with_all_codebooks(SpeechCodec.load(model, device))
        self.targets = {name: named_target(codec, name) for name in targets}
        sources, catalogue = named(find_sources(data, AUDIO)), Catalogue()
        _check({catalogue.speaker(source) for source in sources.values()}, self.targets, data)
        self.spoken = languages(sources, catalogue)
        self.packaged, notes = find_metrics(PACKAGED)
        self.recordings = Recordings(sources, SIMILARITY in self.packaged, catalogue)
        notes.append(
            f"voices are known by up to {KNOWN_BY} recordings of each speaker in the data; nobody "
            "is converted to themselves"
        )
        speakers = self.recordings.speakers
        others = {n: s for n, s in sources.items() if set(self.targets) != {speakers[n]}}
        super().__init__(folder, codec, others, MEASURES, notes)

    def settings(self) -> dict[str, Any]:
        """Return all that figures depend on."""
        told = (
            f"{name} {source.length} {self.recordings.speakers[name]} "
            f"{self.recordings.catalogue.text(source)}"
            for name, source in self.recordings.sources.items()
        )
        return {
            **super().settings(),
            "set of metrics": {m.key: m.source() for m in self.packaged},
            "set of speakers": {n: _identity(v) for n, v in self.targets.items()},
            "set of languages": digest(f"{path} {name}" for path, name in self.spoken.items()),
            "set of recordings": digest(told),
        }

    def measure(self, source: Source, name: str) -> Record:
        """Measure one recording: its plain reconstruction, and as each target says it.

        Raises:
            MediaError: it cannot be read.
        """
        samples = open_recording(source, name)
        codes = self.codec.encode(Audio(samples[None], RATE))
        plain = self.codec.decode(codes).samples[0]
        measured = [_measured(OURS, self._always(name, samples, plain))]
        for target in self.targets:
            if target != self.recordings.speakers[name]:
                said = self._as_said_by(target, samples)
                values = self._always(name, samples, said)
                values |= self._of_target(source, samples, said, target, values[PITCH.key])
                measured.append(_measured(target, values))
        usage = count_used(codes)
        return record_of(source, name, samples, usage=usage, measured=tuple(measured))

    def _as_said_by(self, target: str, samples: "Signal") -> "Signal":
        """Return what a recording, (T,), says in the voice of another, as convert-voice does."""
        import numpy as np

        audio = Audio(samples[None], RATE)
        blocks = convert(self.codec, audio.blocks(BLOCK), 1, RATE, self.targets[target])
        return np.concatenate(list(blocks), axis=1)[0]

    def _always(self, name: str, samples: "Signal", said: "Signal") -> dict[str, float | None]:
        values: dict[str, float | None] = {PITCH.key: median_pitch(pitch(said))}
        if self.recordings.embed:
            voice = self.recordings.voice(self.recordings.speakers[name])
            values[TO_SOURCE.key] = likeness(said, voice)
        if self.spoken.get(name, ENGLISH).startswith(ENGLISH):
            text = self.recordings.catalogue.text(self.recordings.sources[name])
            read = [m for m in self.packaged if m.english]
            values |= {m.key: m.measure(samples, said, text) for m in read}
            if WER in read and text:
                values[OWN_WORDS.key] = WER.measure(samples, samples, text)
        return values

    def _of_target(
        self,
        source: Source,
        samples: "Signal",
        said: "Signal",
        target: str,
        frequency: float | None,
    ) -> dict[str, float | None]:
        voice = self.recordings.voice(target)
        values: dict[str, float | None] = {}
        if self.recordings.embed:
            values[TO_TARGET.key] = likeness(said, voice)
        offset = pitch_offset(frequency, voice)
        values[OFFSET.key] = None if offset is None else abs(offset)
        own = self.recordings.reading(target, source)
        if own is not None:
            values[DISTANCE.key] = cepstral_distance(said, own)
            values[BEFORE.key] = cepstral_distance(samples, own)
        return values

    @cached_property
    def found(self) -> list[Record]:
        """All that was measured."""
        return list(self.journal.records())

    def summarise(self) -> dict[str, Any]:
        """Return means over pairs of a recording and a target, all and for each target."""
        pairs = Pairs.collect(self.found, list(self.targets))
        overall, by_target = pairs.overall(), pairs.by_target()
        for name, found in by_target.items():
            own = self.recordings.voice(name).pitch
            found["own-f0"] = None if own is None else round(own, 1)
        figures = {
            "overall": overall,
            "reconstruction": pairs.reconstruction(),
            "targets": by_target,
        }
        more = {
            "packages": {m.key: m.source() for m in self.packaged},
            "metrics": {key: text for key, text in EXPLAINED.items() if overall[key] is not None},
        }
        return self.tree(f": recordings converted to {', '.join(self.targets)}", figures, more)

    def table(self) -> list[list[Any]]:
        """Return one row for each recording and target; of reconstructions that is nobody."""
        keys = [m.key for m in MEASURES]
        rows: list[list[Any]] = [["recording", "speaker", "seconds", "target", *keys]]
        for record in self.found:
            head = [record.name, self.recordings.speakers[record.name], record.units / 1000]
            for m in record.measured:
                target = None if m.codec == OURS else m.codec
                rows.append([*head, target, *map(m.values.get, keys)])
        return rows

    def page(self, tree: dict[str, Any]) -> dict[str, Any]:
        """Return means, the targets and some recordings to play, and a row for each pair."""
        voices = []
        for target in self.targets:
            name, source = next(self.recordings.by(target))
            voices.append(layer(target, open_recording(source, name)))
        items = [self._item(record) for record in page.choose(self.found)]
        return page.build(tree, self.found, voices, items)

    def _item(self, record: Record) -> dict[str, Any]:
        """Return a recording as the page plays it: converted anew."""
        source = self.sources[record.name]
        samples = open_recording(source, record.name)
        layers = [layer("source", samples)]
        for m in record.measured:
            if m.codec == OURS:
                codes = self.codec.encode(Audio(samples[None], RATE))
                said, label = self.codec.decode(codes).samples[0], "reconstruction"
            else:
                said, label = self._as_said_by(m.codec, samples), m.codec
            layers.append(layer(label, said, m.values, MEASURES))
        return {
            "name": record.name,
            "facts": f"{self.recordings.speakers[record.name]} · {record.units / 1000:.1f} s",
            "text": self.recordings.catalogue.text(source),
            "layers": layers,
        }


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


def _identity(target: Target) -> list[Any]:
    """Return what a speaker's voice depends on."""
    sounds = b"" if target.timbre is None else target.timbre.cepstra.tobytes()
    return [target.vector.hex(), target.pitch, hashlib.sha256(sounds).hexdigest()]


def _measured(codec: str, values: dict[str, float | None]) -> Measured:
    rounded = {k: None if v is None else round(v, 6) for k, v in values.items()}
    return Measured(codec, 0, 0, {}, rounded)
