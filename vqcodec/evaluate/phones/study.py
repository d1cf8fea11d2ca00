"""`vqcodec evaluate --phones`: what codes tell of phones and speakers, on marked recordings."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqcodec.codec.speech import SpeechCodec
from vqcodec.data.corpora import Catalogue
from vqcodec.data.sources import Source, find_sources
from vqcodec.data.tables import MARKS, read_table
from vqcodec.errors import MediaError
from vqcodec.evaluate.journal import Record, count_used
from vqcodec.evaluate.phones import phonetable
from vqcodec.evaluate.phones.phones import (
    PAUSE,
    Labelled,
    Marked,
    PhoneTable,
    phone_accuracy,
    read_marks,
)
from vqcodec.evaluate.phones.probe import histograms, probe
from vqcodec.evaluate.results import digest
from vqcodec.evaluate.speech.recordings import RecordingStudy, open_recording, record_of
from vqcodec.files.atomic import writing
from vqcodec.media.audio import Audio
from vqcodec.metrics.basic import perplexity
from vqcodec.modality import AUDIO
from vqcodec.voice.frames import RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FIGURES, PICTURE = "phones.json", "phones.png"
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Spoken:
    """A marked recording and its codes.

    Attributes:
        marked: its marks.
        codes: (n,).
        phones: the name of the phone at each; "" where none is marked.
    """

    marked: Marked
    codes: "NDArray[np.uint16]"
    phones: list[str]


class PhoneStudy(RecordingStudy):
    """Marked recordings through a codec.

    Args:
        data: a folder or an uncompressed tar with a ``phones.csv``: columns ``file``, ``start``,
            ``end`` (seconds), ``phone`` and ``split`` (train or test).
        folder: of the report; made if missing.
        model: weights, a name or a folder.

    Raises:
        MediaError: there are no marks, or recordings that they name are missing.
        WeightsError: no such weights.
    """

    lines = "phones.jsonl"

    def __init__(self, data: Path, folder: Path, *, model: str, device: str = "auto") -> None:
        """Read the marks, and find what they mark."""
        table = f"{data}: its {MARKS}"
        self.marked = read_marks(read_table(data, MARKS), table)
        self._check({m.split for m in self.marked}, f"{table} marks nothing", "or is missing")
        known = {source.name: source for source in find_sources([data], AUDIO)}
        for marked in self.marked:
            if marked.path not in known:
                raise MediaError(f"{marked.path}: is marked, and is not in the data")
        sources = {marked.path: known[marked.path] for marked in self.marked}
        self.catalogue = Catalogue()
        super().__init__(folder, SpeechCodec.load(model, device), sources, [], [])

    def settings(self) -> dict[str, Any]:
        """Return all that figures depend on, but for the recordings and their marks."""
        return {**super().settings(), "set of recordings": digest(self.sources)}

    def measure(self, source: Source, name: str) -> Record:
        """Code one recording.

        Raises:
            MediaError: it cannot be read.
        """
        samples = open_recording(source, name)
        codes = self.codec.encode(Audio(samples[None], RATE))
        (grid,) = codes.grids
        return record_of(
            source, name, samples, usage=count_used(codes), codes=tuple(grid[0].tolist())
        )

    @cached_property
    def found(self) -> list[Spoken]:
        """All that was coded."""
        import numpy as np

        codes = {r.name: np.array(r.codes, np.uint16) for r in self.journal.records()}
        spoken = []
        for marked in self.marked:
            if marked.path in codes:
                own = codes[marked.path]
                spoken.append(Spoken(marked, own, marked.phones_at(len(own), self.codec.stride)))
        return spoken

    def summarise(self) -> dict[str, Any]:
        """Return how well codes tell phones and speakers."""
        import numpy as np

        self._check({s.marked.split for s in self.found}, "nothing can be read", "")
        (k,) = self.codec.codebook_sizes
        names, (train, test) = self._names, (self._labelled(split) for split in SPLITS)
        tree: dict[str, Any] = {
            **self.made_with(),
            "indices_per_second": RATE / self.codec.stride,
            "codebook_size": k,
            "recordings": {split: len(self._part(split)) for split in SPLITS},
            "indices": {"train": len(train.codes), "test": len(test.codes)},
            "phones": len(names),
            "perplexity": round(perplexity(np.bincount(train.codes, minlength=k)), 2),
            "with_pauses": phone_accuracy(train, test, names, k),
        }
        if PAUSE in names:
            one, other = (part.without(names.index(PAUSE)) for part in (train, test))
            tree["without_pauses"] = phone_accuracy(one, other, names, k)
        speakers = [[self._speaker(s) for s in self._part(split)] for split in SPLITS]
        if len(set(speakers[0])) > 1:
            shares = [histograms([s.codes for s in self._part(split)], k) for split in SPLITS]
            tree["speakers"] = len(set(speakers[0]))
            tree["speaker_probe"] = probe(shares[0], speakers[0], shares[1], speakers[1])
        return tree

    def write(self, tree: dict[str, Any]) -> None:
        """Write ``phones.json`` and ``phones.png``.

        Raises:
            OutputError: a file cannot be written.
        """
        with writing(self.journal.folder / FIGURES, force=True) as file:
            file.write((json.dumps(tree, indent=2, ensure_ascii=False) + "\n").encode())
        (k,) = self.codec.codebook_sizes
        train, example = self._labelled("train"), self._part("test")[0]
        table = PhoneTable.count(train.codes, train.phones, self._names, k)
        path = example.marked.path
        samples = open_recording(self.sources[path], path)
        drawn = phonetable.draw(tree, table, samples, example.codes, example.phones)
        with writing(self.journal.folder / PICTURE, force=True) as file:
            drawn.write(file, "png")

    @property
    def _names(self) -> list[str]:
        """The phones that occur."""
        return sorted({p for s in self.found for p in s.phones if p})

    def _part(self, split: str) -> list[Spoken]:
        return [s for s in self.found if s.marked.split == split]

    def _labelled(self, split: str) -> Labelled:
        """Return the codes that have a phone, of all recordings of a split."""
        import numpy as np

        numbers = {name: i for i, name in enumerate(self._names)}
        spoken = self._part(split)
        phones = np.array([numbers.get(p, -1) for s in spoken for p in s.phones], np.int64)
        codes = np.concatenate([s.codes for s in spoken]).astype(np.int64)
        return Labelled(codes[phones >= 0], phones[phones >= 0])

    def _speaker(self, spoken: Spoken) -> str:
        return self.catalogue.speaker(self.sources[spoken.marked.path])

    def _check(self, splits: set[str], what: str, more: str) -> None:
        lacking = [split for split in SPLITS if split not in splits]
        if lacking:
            raise MediaError(f"{what} of split {' or '.join(lacking)}, {more}".rstrip(", "))
