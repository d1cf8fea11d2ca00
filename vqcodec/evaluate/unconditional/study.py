"""`vqcodec evaluate --babble`: how like speech unconditional samples are, beside recordings."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqcodec.codec.speech import SpeechCodec
from vqcodec.data.sources import Source, find_sources
from vqcodec.evaluate.journal import OURS, Measured, Record
from vqcodec.evaluate.report import described, figure, heads, page
from vqcodec.evaluate.results import digest
from vqcodec.evaluate.speech.recordings import RecordingStudy, layer, open_recording, record_of
from vqcodec.evaluate.study import named
from vqcodec.evaluate.unconditional.samplers import LABELS, RECORDING, find_samplers
from vqcodec.evaluate.unconditional.summary import summarise
from vqcodec.media.audio import Audio
from vqcodec.metrics.speech import SpeechMetric, find_metrics
from vqcodec.metrics.speechlike import EXPLAINED, METRICS
from vqcodec.modality import AUDIO
from vqcodec.sampling.speech import MIN
from vqcodec.voice.frames import RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.float32]

SECONDS = 10  # of a recording that are heard, its beginning
SHOWN = 5  # recordings
MEANS = """\
Means; of F0 the median. Small: 95 % bootstrap intervals. What stands for an ear here tells speech
from noise, and not whether anything is said: babble has no words, and nobody said it in that
voice."""
SOUNDS = """\
The first recordings, the beginning of each, and as much babble. Spectrograms: 0 to 8 kHz, 60 dB
from black to white. Playing one stops the others."""


@dataclass(frozen=True)
class DrawnSound:
    """One sound to be heard.

    Attributes:
        kind: a key of `LABELS`.
        samples: (T,) at 16 kHz.
        speaker: whose voice it was drawn in; "" for what was recorded.
    """

    kind: str
    samples: "Signal"
    speaker: str = ""


class UnconditionalStudy(RecordingStudy):
    """Recordings, their reconstructions, and samples as long: shorter sound holds fewer phones.

    Args:
        data: recordings, folders (recursive) or uncompressed tars.
        folder: of the report; made if missing.
        model: weights, a name or a folder.
        number: of recordings to listen to, the first ones.

    Raises:
        MediaError: there is no recording.
        WeightsError: no such weights, or they name nobody whose voice to draw in.
    """

    lines = "babble.jsonl"
    metrics: Sequence[SpeechMetric]

    def __init__(
        self, data: list[Path], folder: Path, *, model: str, number: int, device: str = "auto"
    ) -> None:
        """Find the recordings, and load what samples are drawn from."""
        sources = dict(islice(named(find_sources(data, AUDIO)).items(), number))
        codec = SpeechCodec.load(model, device)
        self.samplers, notes = find_samplers(codec)
        metrics, missing = find_metrics(METRICS)
        notes += missing
        if len(sources) < number:
            notes.append(f"the data hold {len(sources):,} recordings, not {number:,}")
        notes.append(
            f"of each recording the first {SECONDS} s are heard; babble is as long, and what is "
            "drawn beside the first recording has the seed 0"
        )
        self.seeds = {name: seed for seed, name in enumerate(sources)}
        super().__init__(folder, codec, sources, metrics, notes)

    def settings(self) -> dict[str, Any]:
        """Return all that figures depend on."""
        return {
            **super().settings(),
            "set of recordings": digest(self.sources),
            "set of sounds": list(self.samplers),
        }

    def sounds(self, source: Source, name: str) -> list[DrawnSound]:
        """Return the beginning of a recording, its reconstruction, and the samples.

        Raises:
            MediaError: it cannot be read.
        """
        samples = open_recording(source, name)[: SECONDS * RATE]
        plain = self.codec.decode(self.codec.encode(Audio(samples[None], RATE))).samples[0]
        found = [DrawnSound(RECORDING, samples), DrawnSound(OURS, plain)]
        for kind, draw in self.samplers.items():
            audio, who = draw(max(MIN, len(samples) / RATE), self.seeds[name])
            found.append(DrawnSound(kind, audio.samples[0, : len(samples)], who))
        return found

    def measure(self, source: Source, name: str) -> Record:
        """Measure one recording and what is heard beside it.

        Raises:
            MediaError: it cannot be read.
        """
        sounds = self.sounds(source, name)
        measured = []
        for sound in sounds:
            setting = {"seed": float(self.seeds[name])} if sound.kind in self.samplers else {}
            values = {m.key: m.measure(sound.samples, sound.samples) for m in self.metrics}
            measured.append(Measured(sound.kind, 0, 0, setting, values))
        return record_of(source, name, sounds[0].samples, measured=tuple(measured))

    @cached_property
    def found(self) -> list[Record]:
        """All that was measured."""
        return list(self.journal.records())

    def summarise(self) -> dict[str, Any]:
        """Return means by kind of sound."""
        sounds = {
            kind: {"name": LABELS[kind], **summarise(self.found, kind, self.metrics)}
            for kind in (RECORDING, OURS, *self.samplers)
        }
        explained = {m.key: f"{EXPLAINED[m.key]} ({m.source()})" for m in self.metrics}
        return self.tree(": babble beside recordings", {"sounds": sounds}, {"metrics": explained})

    def table(self) -> list[list[Any]]:
        """Return one row for each recording, and for each sound beside it."""
        keys = [m.key for m in self.metrics]
        rows: list[list[Any]] = [["recording", "seconds", "sound", "seed", *keys]]
        for record in self.found:
            for m in record.measured:
                seed = int(m.setting["seed"]) if "seed" in m.setting else None
                rows.append(
                    [record.name, record.units / 1000, m.codec, seed, *map(m.values.get, keys)]
                )
        return rows

    def page(self, tree: dict[str, Any]) -> dict[str, Any]:
        """Return means, recordings and samples to play, and a row for each sound."""
        means = {
            "kind": "table",
            "title": "How like speech",
            "text": MEANS,
            "head": ["", "sounds", *heads(self.metrics)],
            "rows": [
                [kind["name"], kind["sounds"], *(self._cell(kind, m) for m in self.metrics)]
                for kind in tree["sounds"].values()
            ],
        }
        sounds = {
            "kind": "sounds",
            "id": "gallery",
            "title": "Listen for yourself",
            "text": SOUNDS,
            "items": [self._item(record) for record in self.found[:SHOWN]],
        }
        every = {
            "kind": "inputs",
            "title": "All sounds",
            "text": "Click a heading to sort, again for the other way round.",
            "columns": [{"head": "recording"}, {"head": "sound"}, *map(described, self.metrics)],
            "rows": [
                [r.name, LABELS[m.codec], *(m.values.get(metric.key) for metric in self.metrics)]
                for r in self.found
                for m in r.measured
            ],
        }
        return page(tree, "babble", self.metrics, [], [means, sounds, every])

    def _cell(self, kind: dict[str, Any], metric: SpeechMetric) -> dict[str, Any]:
        return figure(metric, kind[metric.key], kind["intervals"].get(metric.key))

    def _item(self, record: Record) -> dict[str, Any]:
        """Return a recording and what is heard beside it as the page plays them: drawn anew."""
        layers = []
        for sound in self.sounds(self.sources[record.name], record.name):
            measured = record.find(sound.kind, 0)
            assert measured is not None
            label = LABELS[sound.kind] + (f", as {sound.speaker}" if sound.speaker else "")
            layers.append(layer(label, sound.samples, measured.values, self.metrics))
        return {"name": record.name, "facts": f"{record.units / 1000:.1f} s", "layers": layers}
