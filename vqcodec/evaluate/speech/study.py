"""`vqcodec evaluate` on speech, beside other codecs at the rates that they have."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from vqcodec.codec.speech import SpeechCodec
from vqcodec.data.corpora import Catalogue
from vqcodec.data.sources import Source, find_sources
from vqcodec.evaluate.bits import BitMeter
from vqcodec.evaluate.journal import ORIGINAL, OURS, RECORDINGS, Measured, Record, count_used
from vqcodec.evaluate.results import BASELINES, digest
from vqcodec.evaluate.speech import page
from vqcodec.evaluate.speech.baselines import find_baselines
from vqcodec.evaluate.speech.copies import copies, ways_of
from vqcodec.evaluate.speech.recordings import (
    ENGLISH,
    LONGEST,
    RecordingStudy,
    languages,
    layer,
    open_recording,
    record_of,
)
from vqcodec.evaluate.study import named
from vqcodec.evaluate.summary import summarise_codec, summarise_codes, summarise_other
from vqcodec.evaluate.table import BYTES, KBPS, Table, count_codes, sum_bits
from vqcodec.figures.spectrogram import loudness
from vqcodec.metrics.speech import EXPLAINED, SpeechMetric, find_metrics
from vqcodec.modality import AUDIO
from vqcodec.voice.frames import RATE


class SpeechStudy(RecordingStudy):
    """Recordings through a codec, and through others.

    Args:
        data: recordings, folders (recursive) or uncompressed tars; `data.corpora` tells which are
            English.
        folder: of the report; made if missing.
        model: weights, a name or a folder.
        against: names of `baselines.BASELINES`.

    Raises:
        MediaError: there is no recording.
        UsageError: no such codec to compare with.
        WeightsError: no such weights.
    """

    lines = RECORDINGS
    metrics: Sequence[SpeechMetric]

    def __init__(
        self,
        data: list[Path],
        folder: Path,
        *,
        model: str,
        against: list[str],
        device: str = "auto",
    ) -> None:
        """Find the recordings, and load what they go through."""
        sources = named(find_sources(data, AUDIO))
        catalogue = Catalogue()
        self.spoken = languages(sources, catalogue)
        self.texts = {name: catalogue.text(source) for name, source in sources.items()}
        self.baselines, notes = find_baselines(against)
        metrics, missing = find_metrics()
        super().__init__(
            folder, SpeechCodec.load(model, device), sources, metrics, [*notes, *missing]
        )
        self.bits = BitMeter(self.codec)

    def settings(self) -> dict[str, Any]:
        """Return all that figures depend on, but for the recordings."""
        spoken = (f"{path} {language}" for path, language in self.spoken.items())
        return {
            **super().settings(),
            "set of codecs": {b.name: b.version() for b in self.baselines},
            "set of languages": digest(spoken),
            "set of texts": digest(f"{name} {text}" for name, text in self.texts.items()),
        }

    def measure(self, source: Source, name: str) -> Record:
        """Measure one recording.

        Raises:
            MediaError: it cannot be read.
        """
        samples = open_recording(source, name)
        made, codes = copies(self.codec, self.baselines, samples)
        english = self.spoken.get(name, ENGLISH).startswith(ENGLISH)
        metrics = [m for m in self.metrics if english or not m.english]
        text = self.texts[name]
        measured = []
        for copy in made:
            values = {m.key: m.measure(samples, copy.samples, text) for m in metrics}
            measured.append(Measured(copy.codec, 0, copy.bytes, {}, values))
        if any(m.english or m.alone for m in self.metrics):
            telling = [m for m in metrics if m.alone or (m.english and text)]
            own = {m.key: m.measure(samples, samples, text) for m in telling}
            measured.append(Measured(ORIGINAL, 0, 2 * len(samples), {}, own))
        bits, usage = self.bits.measure(codes), count_used(codes)
        return record_of(source, name, samples, bits=bits, usage=usage, measured=tuple(measured))

    @cached_property
    def found(self) -> Table:
        """All that was measured."""
        codecs = [*ways_of(self.codec), *(b.name for b in self.baselines), ORIGINAL]
        return Table.collect(self.journal.records(), codecs, 1, [m.key for m in self.metrics], KBPS)

    def summarise(self) -> dict[str, Any]:
        """Return the means of all codecs, and how ours differs from the others."""
        self._note_lacking()
        table, name = self.found, self.codec.weights.name
        ours = summarise_codec(table, OURS)
        others = {}
        for codec, way in list(ways_of(self.codec).items())[1:]:
            label = f"{name}, {way.label}"
            others[codec] = (label, f"{label}: .vqc files")
        for b in self.baselines:
            text = f"{b.label}, {b.version()}: the bytes of its packets, without a container"
            others[b.name] = (b.label, text)
        if self._with_text() or any(m.alone for m in self.metrics):
            text = "the recordings, 16-bit samples; words where texts are known"
            others[ORIGINAL] = ("original", text)
        usage = count_codes(self.journal.records(), self.codec.codebook_sizes)
        codes = summarise_codes(usage, sum_bits(self.journal.records()))
        seconds = sum(shape[0] for shape in table.shapes) / 1000
        more = {
            "points": ["mono, 16 kHz"],
            "metrics": {m.key: f"{EXPLAINED[m.key]} ({m.source()})" for m in self.metrics},
            "intervals": ours["intervals"],
            "overall_kbps": round(8 * float(table.column(OURS, BYTES).sum()) / seconds / 1000, 4),
            "codes": {**codes, "indices_per_second": RATE / self.codec.stride},
            BASELINES: {
                codec: {"name": label, "description": text, **summarise_other(table, codec, ours)}
                for codec, (label, text) in others.items()
            },
        }
        return self.tree(", .vqc files", {"results": ours["results"]}, more)

    def _note_lacking(self) -> None:
        """Say what was measured on less than everything."""
        import numpy as np

        total = len(self.found.names)
        for metric in self.metrics:
            lacking = int(np.isnan(self.found.column(OURS, metric.key)[:, -1]).sum())
            if metric.english:
                known = self._with_text()
                self.notes.append(
                    f"{metric.label} is of English: of {known:,} recordings by their text, of "
                    f"{total - lacking - known:,} by what is read in the original; {lacking:,} are "
                    f"left out, in another language or misread themselves"
                )
            elif lacking:
                self.notes.append(
                    f"{metric.label} is not defined for {lacking:,} of {total:,} recordings: too "
                    "short, silent, or too damaged"
                )
        if not self.spoken and any(m.english for m in self.metrics):
            self.notes.append("nothing tells the languages: all recordings were taken for English")
        long = sum(shape[0] >= 1000 * LONGEST // RATE for shape in self.found.shapes)
        if long:
            self.notes.append(
                f"of {long:,} longer recordings the first {LONGEST // RATE} s were measured"
            )

    def _with_text(self) -> int:
        """Return how many recordings are judged by their text."""
        import numpy as np

        keys = [m.key for m in self.metrics if m.english]
        known = [~np.isnan(self.found.column(ORIGINAL, key)) for key in keys]
        return int(np.any(known, axis=0).sum()) if known else 0

    def table(self) -> list[list[Any]]:
        """Return one row for each recording and codec."""
        keys = [m.key for m in self.metrics]
        rows: list[list[Any]] = [["recording", "seconds", "codec", BYTES, KBPS, *keys]]
        for record in self.journal.records():
            for m in record.measured:
                row = [record.units / 1000, m.codec, m.bytes, round(8 * m.bytes / record.units, 6)]
                rows.append([record.name, *row, *map(m.values.get, keys)])
        return rows

    def page(self, tree: dict[str, Any]) -> dict[str, Any]:
        """Return means, recordings to play, and a row for each."""
        ranks = page.choose(self.found)
        records = {r.name: r for r in self.journal.records() if r.name in ranks}
        items = [self._item(tree, records[name], rank) for name, rank in ranks.items()]
        return page.build(tree, self.metrics, self.found, items)

    def _item(self, tree: dict[str, Any], record: Record, rank: str) -> dict[str, Any]:
        """Return a recording as the page plays it; coded anew, since nothing of it was kept."""
        source, seconds = self.sources[record.name], record.units / 1000
        samples = open_recording(source, record.name)
        loudest = loudness(samples)
        labels = page.labels(tree)
        layers = [layer("original", samples, loudest=loudest)]
        made, _ = copies(self.codec, self.baselines, samples)
        for copy in made:
            measured = record.find(copy.codec, 0)
            assert measured is not None
            drawn = layer(
                labels[copy.codec], copy.samples, measured.values, self.metrics, loudest=loudest
            )
            layers.append({**drawn, "beside": f"{8 * copy.bytes / seconds / 1000:.2f} kbit/s"})
        facts, text = f"{rank} · {seconds:.1f} s", self.texts[record.name]
        return {"name": record.name, "facts": facts, "text": text, "layers": layers}
