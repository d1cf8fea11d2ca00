"""WebDataset tars.

A sample is ``KEY.indices.npy`` (uint16, as NumPy saves it; of several maps ``KEY.indices.0.npy``,
``KEY.indices.1.npy``, ... coarse to fine) and ``KEY.indices.json`` (model, codebook id, sizes, and
whatever else decoding needs), with ``KEY.vqc`` and copied files beside them where they are asked
for. The name of the JSON leaves ``KEY.json`` to a file of the source's.
"""

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from vqcodec.data.sources import Source, walk
from vqcodec.errors import FormatError, MediaError
from vqcodec.files.contents import MAX_CODES
from vqcodec.files.npz import read_array
from vqcodec.maps import Maps
from vqcodec.tokens.entry import Entry, map_names
from vqcodec.tokens.formats.tarwriter import TarWriter, npy
from vqcodec.tokens.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIX = ".tar"
MAX_META_BYTES = 1 << 24  # of a video it tells how long each frame is shown
MEMBER = re.compile(r"(.+?)\.indices(?:\.(\d{1,2}))?\.(npy|json)", re.DOTALL)
SHAR_MEMBER = re.compile(r"(.+)()\.(npy)", re.DOTALL)  # of Lhotse, whose arrays have time first


def name_of(shard: str) -> str:
    """Return where a shard goes."""
    return shard + SUFFIX


class Writer:
    """Writes a shard; members of a sample are sorted by name."""

    def __init__(self, file: BinaryIO, settings: Settings, maps: Maps) -> None:
        self._tar = TarWriter(file)

    def write(self, entry: Entry) -> None:
        """Add a sample."""
        names = map_names(len(entry.maps), ".")
        members = {f"{n}.npy": npy(m) for n, m in zip(names, entry.maps, strict=True)}
        members |= {"indices.json": entry.meta, **entry.more}
        for extension in sorted(members):
            self._tar.add(f"{entry.key}.{extension}", members[extension])

    def skip(self, key: str) -> None:
        """Leave out a sample that could not be coded."""

    def close(self) -> None:
        """Write the end."""
        self._tar.close()


def read(path: Path) -> Iterator[Entry]:
    """Yield the samples of a shard, or of a Shar field, one at a time.

    Raises:
        FormatError: it is damaged, or no such shard.
    """
    entry: Entry | None = None
    try:
        with path.open("rb") as file:
            for source in walk(path):
                own = MEMBER.fullmatch(source.name)
                found = own or SHAR_MEMBER.fullmatch(source.name)
                if not found:
                    continue
                key, number, kind = found.groups()
                if entry is not None and entry.key != key:
                    yield _whole(path, entry)
                    entry = None
                entry = entry or Entry(key, ())
                if kind == "json":
                    entry.meta = _read(source, file, MAX_META_BYTES)
                elif int(number or 0) != len(entry.maps):
                    raise FormatError(f"{path}: the maps of '{key}' are not in order")
                else:
                    array = _array(source, file)
                    entry.maps += (array if own else array.T,)
        if entry is not None:
            yield _whole(path, entry)
    except MediaError as error:
        raise FormatError(str(error)) from None
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error})") from None


def _whole(path: Path, entry: Entry) -> Entry:
    if not entry.maps:
        raise FormatError(f"{path}: '{entry.key}' has no index map")
    return entry


def _array(source: Source, file: BinaryIO) -> "NDArray[np.uint16]":
    data = _read(source, file, 2 * MAX_CODES + 1024)
    try:
        array = read_array(io.BytesIO(data), source.name, "u", 2 * MAX_CODES)
    except FormatError as error:
        raise FormatError(f"{source.path}: {error}") from None
    except (ValueError, EOFError, TypeError, OverflowError):
        raise FormatError(f"{source.path}: its {source.name} is no array") from None
    if array.dtype != "uint16":
        raise FormatError(f"{source.path}: its {source.name} is {array.dtype}, not uint16")
    return array


def _read(source: Source, file: BinaryIO, limit: int) -> bytes:
    if source.size > limit:
        raise FormatError(f"{source.path}: its {source.name} is larger than any")
    file.seek(source.offset)
    return file.read(source.size)
