"""Token shards read again, in memory that does not grow with them; torch is not needed."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from vqcodec.data.sources import is_hidden
from vqcodec.errors import FormatError
from vqcodec.files.codes import Codes
from vqcodec.tokens.commit import HOME
from vqcodec.tokens.entry import Entry
from vqcodec.tokens.formats import FORMATS, find_format

if TYPE_CHECKING:
    from vqcodec.tokens.entry import Maps


def read(path: str | Path) -> "Iterator[tuple[str, Maps]]":
    """Yield the key and the index maps of each sample, in order.

    Args:
        path: a folder that `vqcodec tokenize` filled, or a shard of it.

    Raises:
        FormatError: there is no such thing, or a shard is damaged.
    """
    for entry in _entries(Path(path)):
        yield entry.key, entry.maps


def read_codes(path: str | Path) -> Iterator[tuple[str, Codes]]:
    """Yield the key and the codes of each sample, as a codec decodes them; see `read`.

    Raises:
        FormatError: as `read`; or the shards hold indices alone, as those of Shar do.
    """
    for entry in _entries(Path(path)):
        yield entry.key, entry.codes()


def is_shard(path: Path) -> bool:
    """Tell by its name whether a file may be a token shard."""
    return path.suffix.lower() in _suffixes()


def _entries(path: Path) -> Iterator[Entry]:
    for shard in find(path):
        yield from _suffixes()[shard.suffix.lower()].read(shard)


def find(path: Path) -> list[Path]:
    """Return the shards in a folder, sorted by name, or the one that is named.

    Raises:
        FormatError: there are none.
    """
    if path.is_file() and is_shard(path):
        return [path]
    if not path.exists():
        raise FormatError(f"{path}: no such file or folder")
    below = ((p, p.relative_to(path).as_posix()) for p in path.rglob("*"))
    found = [p for p, name in below if is_shard(p) and not is_hidden(name)]
    found = sorted(p for p in found if HOME not in p.parts[len(path.parts) :])
    if not found:
        raise FormatError(f"{path}: holds no token shards")
    return found


def _suffixes() -> dict[str, ModuleType]:
    """Return what reads a file of a suffix."""
    return {found.SUFFIX: found for found in map(find_format, reversed(FORMATS))}
