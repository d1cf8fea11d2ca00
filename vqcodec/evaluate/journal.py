"""The journal of a study: what has been measured so far, one line of JSON for each input.

A run that was interrupted goes on from it. A line is written when its input is done, so at most the
last one can be torn; that is dropped.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vqcodec.errors import FormatError, OutputError
from vqcodec.files.atomic import writing
from vqcodec.files.codes import Codes

SETTINGS = "settings.json"
PICTURES, RECORDINGS = "pictures.jsonl", "recordings.jsonl"  # what `compare` looks for
OURS = "vqcodec"  # beside the names of the codecs that it is compared with
ORIGINAL = "original"  # beside these: what measures that need no other make of the recording
Bits = dict[str, tuple[float, ...]]  # what the indices of each map cost, or of all maps together


@dataclass(frozen=True)
class Measured:
    """One file that a codec made of an input.

    Attributes:
        codec: `OURS`, or the name of another.
        point: number of the rate-distortion point: all codecs had at most our bytes there. Sound
            has one, where every codec has the rate that it was made for.
        bytes: size of the file.
        setting: how it was made, such as its scale and quality.
        values: quality by a metric's key; None where the metric is not defined for the input.
    """

    codec: str
    point: int
    bytes: int
    setting: dict[str, float]
    values: dict[str, float | None]


@dataclass(frozen=True)
class Record:
    """One input and what became of it.

    Attributes:
        name: unique within the evaluation.
        identity: a digest of its content, so that reports of the same data know each other.
        input_bytes: size of its file.
        shape: height and width in pixels; of sound, milliseconds.
        usage: how often each code of each map was used, at the point of highest rate.
        bits: what all indices cost there, by what predicts them, see `vqcodec.evaluate.bits`.
        measured: one entry for each codec and point, where the codec has a file that fits.
        codes: all indices in their order, in studies of what they stand for.
    """

    name: str
    identity: str
    input_bytes: int
    shape: tuple[int, ...]
    usage: tuple[dict[int, int], ...]
    bits: Bits
    measured: tuple[Measured, ...]
    codes: tuple[int, ...] = ()

    @property
    def units(self) -> int:
        """What its rate is counted in: pixels; milliseconds, since bits in one are kbit/s."""
        return math.prod(self.shape)

    def find(self, codec: str, point: int) -> Measured | None:
        """Return what a codec did at a point."""
        return next((m for m in self.measured if (m.codec, m.point) == (codec, point)), None)

    def to_json(self) -> dict[str, Any]:
        """Return the record in types of JSON."""
        tree = asdict(self)
        return tree if self.codes else {k: v for k, v in tree.items() if k != "codes"}

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> "Record":
        """Reverse `to_json`; raises KeyError, TypeError or ValueError on anything else."""
        return cls(
            name=str(tree["name"]),
            identity=str(tree["identity"]),
            input_bytes=int(tree["input_bytes"]),
            shape=tuple(map(int, tree["shape"])),
            usage=tuple({int(k): int(n) for k, n in own.items()} for own in _maps(tree["usage"])),
            bits={str(name): _numbers(bits) for name, bits in tree["bits"].items()},
            measured=tuple(Measured(**m) for m in tree["measured"]),
            codes=tuple(map(int, tree.get("codes", ()))),
        )


def _maps(usage: Any) -> list[dict[str, int]]:
    """Return the usage of each map; journals of before there could be several hold that of one."""
    return [usage] if isinstance(usage, dict) else usage


def _numbers(bits: Any) -> tuple[float, ...]:
    """Return what each map costs; older journals hold that of all together."""
    return tuple(map(float, bits)) if isinstance(bits, list) else (float(bits),)


def count_used(codes: Codes) -> tuple[dict[int, int], ...]:
    """Return how often each code of each map occurs, of those that do."""
    import numpy as np

    found = (np.unique(grid, return_counts=True) for grid in codes.grids)
    return tuple(dict(zip(u.tolist(), n.tolist(), strict=True)) for u, n in found)


class Journal:
    """The records in the folder of a report."""

    def __init__(self, folder: Path, lines: str) -> None:
        """Name the journal of a folder, and its file there; nothing is read or written yet."""
        self.folder = folder
        self.path = folder / lines

    def begin(self, settings: dict[str, Any], *, force: bool) -> None:
        """Start a journal, or go on with one of the same settings.

        Args:
            settings: what the figures depend on, in types of JSON.
            force: start over, whatever was measured before.

        Raises:
            OutputError: the folder holds something else, or an evaluation with other settings.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise OutputError(f"{self.folder}: is a file; name a folder for the report")
        path = self.folder / SETTINGS
        if path.is_file() and not force:
            before = _read_settings(path)
            different = [k for k in settings if before.get(k) != settings[k]]
            if different:
                raise OutputError(
                    f"{self.folder}: holds an evaluation with another "
                    f"{' and '.join(different)}; name another folder, or start over with --force"
                )
            self._mend()
            return
        if self.folder.is_dir() and not path.exists() and any(self.folder.iterdir()):
            raise OutputError(f"{self.folder}: holds something else; name a new folder")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be written ({error.strerror})") from None
        self.path.unlink(missing_ok=True)
        with writing(path, force=True) as file:
            file.write(json.dumps(settings, indent=2).encode())

    def append(self, record: Record) -> None:
        """Add a record.

        Raises:
            OutputError: it cannot be written.
        """
        line = json.dumps(record.to_json(), separators=(",", ":")) + "\n"
        try:
            with self.path.open("ab") as file:
                file.write(line.encode())
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror})") from None

    def records(self) -> Iterator[Record]:
        """Yield what has been measured, in the order in which it was.

        Raises:
            FormatError: a line is damaged.
        """
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield Record.from_json(json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError):
                    raise FormatError(
                        f"{self.path}: line {number} is damaged; start over with --force"
                    ) from None

    def _mend(self) -> None:
        """Drop a torn last line."""
        if not self.path.is_file():
            return
        with self.path.open("r+b") as file:
            whole = 0
            for line in file:
                if line.endswith(b"\n"):
                    whole += len(line)
            file.truncate(whole)


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        settings = None
    if not isinstance(settings, dict):
        raise OutputError(f"{path}: is not that of an evaluation; name a new folder")
    return settings
