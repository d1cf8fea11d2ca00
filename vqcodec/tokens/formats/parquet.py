"""Parquet files, which need nothing but pyarrow to be read.

Columns: ``key``; for each index map a flat ``indices`` (list of uint16, row by row) and its shape,
a column an axis, such as ``height`` and ``width``; ``meta``, JSON of whatever else decoding needs;
``vqc`` and copied files, by extension, where they are asked for. Of several maps the columns end
in ``_0``, ``_1``, ... coarse to fine. The schema's metadata tell the model and its codebook.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vqcodec.errors import FormatError
from vqcodec.maps import Maps
from vqcodec.tokens.entry import Entry, map_names
from vqcodec.tokens.settings import Settings

if TYPE_CHECKING:
    import pyarrow

SUFFIX = ".parquet"
SIDES = {"h": "height", "w": "width", "c": "channels", "t": "frames"}
ROWS, ROWS_READ = 1000, 100  # in a row group, and at a time


def name_of(shard: str) -> str:
    """Return where a shard goes."""
    return shard + SUFFIX


class Writer:
    """Writes a shard, a row group at a time."""

    def __init__(self, file: BinaryIO, settings: Settings, maps: Maps) -> None:
        import pyarrow.parquet

        self._settings, self._schema = settings, _schema(settings)
        self._file = pyarrow.parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def write(self, entry: Entry) -> None:
        """Add a sample."""
        row = columns_of(entry, self._settings.axes)
        self._rows.append({"key": entry.key} | row | entry.more)
        if len(self._rows) >= ROWS:
            self._flush()

    def skip(self, key: str) -> None:
        """Leave out a sample that could not be coded."""

    def close(self) -> None:
        """Write the end."""
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        import pyarrow

        if self._rows:
            columns = {n: [row.get(n) for row in self._rows] for n in self._schema.names}
            self._file.write_table(pyarrow.table(columns, self._schema))
            self._rows = []


def columns_of(entry: Entry, axes: str) -> dict[str, Any]:
    """Return what the columns hold of an entry: those that tell its codes."""
    row: dict[str, Any] = {}
    for name, grid in zip(map_names(len(entry.maps), "_"), entry.maps, strict=True):
        row[name] = grid.ravel()
        row |= zip(_sides(axes, name), grid.shape, strict=True)
    return row | {"meta": entry.meta.decode()}


def read(path: Path) -> Iterator[Entry]:
    """Yield the samples of a shard, some of them in memory at a time.

    Raises:
        FormatError: it is damaged, or no such shard.
    """
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            known = file.schema_arrow.metadata or {}
            axes = known.get(b"axes", b"").decode()
            names = [n for n in file.schema_arrow.names if n.split("_")[0] == "indices"]
            if not (axes and names):
                raise FormatError(f"{path}: holds no index maps")
            columns = ["key", "meta", *names, *(s for n in names for s in _sides(axes, n))]
            for batch in file.iter_batches(ROWS_READ, columns=columns):
                for row in range(batch.num_rows):
                    yield _entry(batch, row, names, axes)
    except (pyarrow.ArrowException, KeyError, ValueError, TypeError, AttributeError) as error:
        raise FormatError(f"{path}: no Parquet file of index maps, or damaged ({error})") from None
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error})") from None


def _entry(batch: "pyarrow.RecordBatch", row: int, names: list[str], axes: str) -> Entry:
    import numpy as np

    def cell(column: str) -> Any:
        return batch.column(column)[row]

    maps = []
    for name in names:
        shape = tuple(cell(side).as_py() for side in _sides(axes, name))
        flat = cell(name).values.to_numpy(zero_copy_only=False)
        maps.append(np.asarray(flat, np.uint16).reshape(shape))
    return Entry(cell("key").as_py(), tuple(maps), cell("meta").as_py().encode())


def _schema(settings: Settings) -> "pyarrow.Schema":
    import pyarrow

    columns: list[tuple[str, Any]] = [("key", pyarrow.string())]
    for name in map_names(len(settings.codebook_sizes), "_"):
        columns.append((name, pyarrow.list_(pyarrow.uint16())))
        columns += [(side, pyarrow.int32()) for side in _sides(settings.axes, name)]
    columns.append(("meta", pyarrow.string()))
    own = ("vqc",) if settings.vqc else ()
    columns += [(name, pyarrow.binary()) for name in (*settings.keep, *own)]
    sizes = ",".join(map(str, settings.codebook_sizes))
    told = {"model": settings.model, "codebook_id": settings.codebook_id, "axes": settings.axes}
    return pyarrow.schema(columns, {**told, "codebook_sizes": sizes})


def _sides(axes: str, name: str) -> list[str]:
    """Return the columns that tell the shape of a map."""
    return [SIDES[axis] + name.removeprefix("indices") for axis in axes]
