"""What every evaluation is: a study of a codec on some data, measured input by input."""

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import vqcodec
from vqcodec.codec.base import BaseCodec
from vqcodec.data.sources import Source
from vqcodec.errors import MediaError, OutputError
from vqcodec.evaluate.journal import Journal, Record
from vqcodec.evaluate.report import write_page
from vqcodec.evaluate.results import BASELINES, digest, write_results, write_rows
from vqcodec.metrics.measure import Measure


@dataclass(frozen=True)
class StudyOutcome:
    """What came of a study.

    Attributes:
        tree: of the file of its figures.
        metrics: those that were measured.
        left_out: one sentence for each input that could not be read.
    """

    tree: dict[str, Any]
    metrics: Sequence[Measure]
    left_out: list[str]


class Study(ABC):
    """Data in, a folder with figures and a page out.

    What is done stays done: a study of the same settings goes on where an earlier one in its folder
    was interrupted. Subclasses say what is measured of one input, and what all of it comes to.

    Attributes:
        lines: name of the journal's file.
        what: the inputs are, in words, and as results call their number.
        codec: that is studied.
        sources: the inputs, each by a name of its own.
        metrics: what is measured.
        notes: sentences on what was left out, and what else a reader must know.
        journal: of what has been measured.
    """

    lines: ClassVar[str]
    what: ClassVar[str]

    def __init__(
        self,
        folder: Path,
        codec: BaseCodec,
        sources: dict[str, Source],
        metrics: Sequence[Measure],
        notes: list[str],
    ) -> None:
        """Prepare; nothing is read or written yet."""
        self.journal = Journal(folder, self.lines)
        self.codec, self.sources, self.metrics, self.notes = codec, sources, metrics, notes

    def run(
        self, *, force: bool = False, progress: Callable[[float], None] = lambda done: None
    ) -> StudyOutcome:
        """Measure what has not been measured yet, and write the report.

        Args:
            force: start over in a folder that holds another study.
            progress: called with the fraction of the inputs that is done, at first with that of
                before.

        Raises:
            MediaError: not one input could be read.
            OutputError: the folder holds something else, or cannot be written.
        """
        self.journal.begin(self.settings(), force=force)
        left_out = self._measure_all(progress)
        if left_out:
            self.notes.append(f"{len(left_out):,} {self.what} could not be read and are left out")
        tree = self.summarise()
        self.write(tree)
        return StudyOutcome(tree, self.metrics, left_out)

    def settings(self) -> dict[str, Any]:
        """Return all that figures depend on but for the inputs, in types of JSON."""
        weights = self.codec.weights
        return {
            "version of vqcodec": vqcodec.__version__,
            "model": {"name": weights.name, "files": weights.config.get("files")},
            "precision": self.codec.precision,
            "set of metrics": {m.key: m.source() for m in self.metrics},
        }

    @abstractmethod
    def measure(self, source: Source, name: str) -> Record:
        """Measure one input.

        Raises:
            MediaError: it cannot be read.
        """

    @abstractmethod
    def summarise(self) -> dict[str, Any]:
        """Return what all that was measured comes to, as its file holds it."""

    def table(self) -> list[list[Any]]:
        """Return the rows of ``results.csv``, the names of the columns first."""
        raise NotImplementedError

    def page(self, tree: dict[str, Any]) -> dict[str, Any]:
        """Return what the page shows; see `report.page`."""
        raise NotImplementedError

    def write(self, tree: dict[str, Any]) -> None:
        """Write the report.

        Raises:
            OutputError: a file cannot be written.
        """
        folder = self.journal.folder
        write_rows(folder, self.table())
        write_results(folder, tree)
        write_page(folder, self.page(tree))

    def data(self, records: Iterable[Record]) -> dict[str, Any]:
        """Return what was measured on, as results say it."""
        identities = [record.identity for record in records]
        return {self.what: len(identities), "digest": digest(identities)}

    def made_with(self) -> dict[str, str]:
        """Return the program and the weights that figures are of."""
        weights = self.codec.weights
        return {
            "vqcodec": vqcodec.__version__,
            "model": weights.name,
            "codebook_id": weights.codebook_id.hex(),
        }

    def tree(self, what: str, figures: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
        """Return what ``results.json`` holds.

        Args:
            what: ends the description.
            figures: the results.
            more: what stands under ``evaluation`` beside what every study says there.
        """
        name = self.codec.weights.name
        return {
            "name": f"vqcodec {name}",
            "description": f"vqcodec {vqcodec.__version__}, weights {name}{what}",
            **figures,
            "evaluation": {
                **self.made_with(),
                "data": self.data(self.journal.records()),
                BASELINES: {},
                **more,
                "notes": self.notes,
            },
        }

    def _measure_all(self, progress: Callable[[float], None]) -> list[str]:
        """Measure what the journal lacks; return why inputs had to be left out."""
        done = self._done()
        left_out: list[str] = []
        progress(len(done) / len(self.sources))
        left = (item for item in self.sources.items() if item[0] not in done)
        for number, (name, source) in enumerate(left, len(done) + 1):
            try:
                self.journal.append(self.measure(source, name))
            except MediaError as error:
                left_out.append(str(error))
            except OSError as error:
                left_out.append(f"{name}: {error.strerror or error}")
            except MemoryError:
                left_out.append(f"{name}: not enough memory")
            progress(number / len(self.sources))
        if len(left_out) == len(self.sources):
            raise MediaError(
                f"none of the {len(left_out):,} {self.what} can be read; the first: {left_out[0]}"
            )
        return left_out

    def _done(self) -> set[str]:
        """Return the names of what has been measured already."""
        done = set()
        for record in self.journal.records():
            source = self.sources.get(record.name)
            if source is None or source.length != record.input_bytes:
                what = "is not in the data" if source is None else "has changed"
                raise OutputError(
                    f"{self.journal.folder}: holds figures of {record.name}, which {what}; name "
                    "another folder, or start over with --force"
                )
            done.add(record.name)
        return done


def named(sources: list[Source]) -> dict[str, Source]:
    """Give each source a name of its own: its whole path where its short one is taken.

    Bytes of a name that are not UTF-8 are escaped, since reports are.
    """
    sources = list(dict.fromkeys(sources))
    often = Counter(s.name for s in sources)
    found = {}
    for source in sources:
        inside = f"{source.path.as_posix()}/{source.name}" if source.size >= 0 else source.path
        name = source.name if often[source.name] == 1 else str(inside)
        found[os.fsencode(name).decode(errors="backslashreplace")] = source
    return found
