"""Tables that lie beside recordings, at the top of their folder or tar."""

import csv
import io
import tarfile
from pathlib import Path

from vqcodec.errors import MediaError

MANIFEST, MARKS = "manifest.csv", "phones.csv"
MAX_BYTES = 1 << 26


def read_table(root: Path, name: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file in a folder or an uncompressed tar; none where it has none.

    Raises:
        MediaError: it is no table.
    """
    data = _read(root, name)
    if data is None:
        return []
    try:
        return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise MediaError(f"{root}: its {name} is no table of commas and lines ({error})") from None


def languages(paths: list[Path]) -> dict[str, str]:
    """Return the language of recordings by their path, where a manifest has both columns."""
    rows = [row for path in paths for row in read_table(path, MANIFEST)]
    return {row["path"]: row["language"] for row in rows if row.get("path") and row.get("language")}


def _read(root: Path, name: str) -> bytes | None:
    if root.is_dir():
        path = root / name
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return _limited(file.read(MAX_BYTES + 1), path)
    if root.suffix.lower() != ".tar":
        return None
    try:
        with tarfile.open(root, "r:") as tar:
            try:
                member = tar.extractfile(name)
            except KeyError:
                return None
            return None if member is None else _limited(member.read(MAX_BYTES + 1), root)
    except (tarfile.TarError, OSError) as error:
        raise MediaError(f"{root}: its {name} cannot be read ({error})") from None


def _limited(data: bytes, path: Path) -> bytes:
    if len(data) > MAX_BYTES:
        raise MediaError(f"{path}: its table is larger than {MAX_BYTES >> 20} MiB")
    return data
