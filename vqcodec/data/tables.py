"""Tables that lie beside recordings, at the top of their folder or tar."""

import csv
import io
from pathlib import Path, PurePosixPath

from vqcodec.data.sources import Source, members
from vqcodec.errors import MediaError

MANIFEST, MARKS = "manifest.csv", "phones.csv"
MAX_BYTES = 1 << 26


def read_table(root: Path, name: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file in a folder or an uncompressed tar; none where it has none.

    Raises:
        MediaError: it is no table, or cannot be read.
    """
    source = _find(root, name)
    if source is None:
        return []
    try:
        text = read_limited(source).decode("utf-8-sig")
        return list(csv.DictReader(io.StringIO(text), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise MediaError(f"{root}: its {name} is no table of commas and lines ({error})") from None


def read_limited(source: Source) -> bytes:
    """Return the bytes of a table or text.

    Raises:
        MediaError: it is larger than any, or cannot be read.
    """
    name = f"{source.path}: its {source.name}" if source.size >= 0 else str(source.path)
    try:
        if source.length > MAX_BYTES:
            raise MediaError(f"{name} is larger than {MAX_BYTES >> 20} MiB")
        return source.read()
    except OSError as error:
        raise MediaError(f"{name} cannot be read ({error.strerror or error})") from None


def _find(root: Path, name: str) -> Source | None:
    if root.is_dir():
        return Source(root / name, name) if (root / name).is_file() else None
    if root.suffix.lower() != ".tar":
        return None
    wanted = PurePosixPath(name)
    return next((m for m in members(root) if PurePosixPath(m.name) == wanted), None)
