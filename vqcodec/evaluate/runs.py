"""What evaluations of every kind do: name their inputs, measure each once, tell what failed."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import vqcodec
from vqcodec.data.sources import Source
from vqcodec.errors import MediaError, OutputError
from vqcodec.evaluate.journal import Journal
from vqcodec.evaluate.record import Record
from vqcodec.metrics.measure import Measure

if TYPE_CHECKING:
    from vqcodec.codec.base import BaseCodec
    from vqcodec.metrics.image import Metric
    from vqcodec.metrics.speech import SpeechMetric


@dataclass(frozen=True)
class Outcome:
    """What came of an evaluation.

    Attributes:
        tree: of ``results.json``.
        metrics: those that were measured.
        left_out: one sentence for each input that could not be read.
    """

    tree: dict[str, Any]
    metrics: Sequence[Measure]
    left_out: list[str]


class Meter(Protocol):
    """Measures inputs one by one."""

    def measure(self, source: Source, name: str) -> Record:
        """Measure one input; raises MediaError where it cannot be read."""


@dataclass(frozen=True)
class Run:
    """An evaluation under way.

    Attributes:
        journal: of what has been measured.
        meter: measures what has not.
        what: the inputs are, in words: "pictures".
    """

    journal: Journal
    meter: Meter
    what: str

    def measure(self, sources: dict[str, Source], progress: Callable[[float], None]) -> list[str]:
        """Measure what has not been measured yet; return why inputs had to be left out.

        Raises:
            MediaError: not one could be read.
            OutputError: the journal is of other data, or cannot be written.
        """
        done = self._done(sources)
        left_out = []
        for number, (name, source) in enumerate(sources.items(), 1):
            if name not in done:
                try:
                    self.journal.append(self.meter.measure(source, name))
                except MediaError as error:
                    left_out.append(str(error))
                except OSError as error:
                    left_out.append(f"{name}: {error.strerror or error}")
                except MemoryError:
                    left_out.append(f"{name}: not enough memory")
            progress(number / len(sources))
        if len(left_out) == len(sources):
            raise MediaError(
                f"none of the {len(sources):,} {self.what} can be read; the first: {left_out[0]}"
            )
        return left_out

    def _done(self, sources: dict[str, Source]) -> set[str]:
        """Return the names of what has been measured already."""
        done = set()
        for record in self.journal.records():
            source = sources.get(record.name)
            if source is None or source.length != record.input_bytes:
                what = "is not in the data" if source is None else "has changed"
                raise OutputError(
                    f"{self.journal.folder}: holds figures of {record.name}, which {what}; name "
                    "another folder, or start over with --force"
                )
            done.add(record.name)
        return done


def named(sources: list[Source]) -> dict[str, Source]:
    """Give each source a name of its own: its whole path where its short one is taken."""
    sources = list(dict.fromkeys(sources))
    often = Counter(s.name for s in sources)
    found = {}
    for source in sources:
        inside = f"{source.path.as_posix()}/{source.name}" if source.size >= 0 else source.path
        found[source.name if often[source.name] == 1 else str(inside)] = source
    return found


def settings_of(codec: "BaseCodec", metrics: "Sequence[Metric | SpeechMetric]") -> dict[str, Any]:
    """Return what the figures of every evaluation depend on, but for its inputs."""
    return {
        "version of vqcodec": vqcodec.__version__,
        "model": {"name": codec.weights.name, "files": codec.weights.config.get("files")},
        "precision": codec.precision,
        "set of metrics": {m.key: m.source() for m in metrics},
    }


def made_with(codec: "BaseCodec") -> dict[str, str]:
    """Return the program and the weights that figures are of, for their file."""
    return {
        "vqcodec": vqcodec.__version__,
        "model": codec.weights.name,
        "codebook_id": codec.weights.codebook_id.hex(),
    }
