"""The journal of an evaluation: what has been measured so far, one line of JSON for each input.

A run that was interrupted goes on from it. A line is written when its input is done, so at most the
last one can be torn; that is dropped.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vqcodec.errors import FormatError, OutputError
from vqcodec.evaluate.record import Record
from vqcodec.files.atomic import writing

SETTINGS, LINES = "settings.json", "pictures.jsonl"
RECORDINGS = "recordings.jsonl"


class Journal:
    """The records in the folder of a report."""

    def __init__(self, folder: Path, lines: str = LINES) -> None:
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
