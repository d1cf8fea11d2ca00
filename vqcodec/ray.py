"""A step of a Ray Data pipeline: media in, indices out.

Ray builds one `Encoder` for each of its actors and keeps it, so that weights are loaded once::

    actors = ray.data.ActorPoolStrategy(size=4)  # of more than four cores
    dataset = ray.data.read_binary_files("/shared/photos", include_paths=True)
    dataset.map_batches(Encoder, batch_size=64, compute=actors).write_parquet("/shared/coded")

To turn a data set into shards, exactly once, there is ``vqcodec tokenize --ray``.
"""

import functools
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from vqcodec.errors import UsageError, VqcodecError
from vqcodec.files.codes import Codes
from vqcodec.modality import by_name, load
from vqcodec.tokens.entry import Entry
from vqcodec.tokens.formats.parquet import columns_of
from vqcodec.weights import find_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Batch = dict[str, NDArray[Any]]


class Encoder:
    """Replaces a column of media by what their codes are, for `ray.data.Dataset.map_batches`.

    All other columns stay. New ones are, as in Parquet files of ``vqcodec tokenize``: ``indices``,
    flat and uint16, with ``height`` and ``width`` of pictures, or ``channels`` and ``frames`` of
    sound (of several maps ``indices_0`` and so on, coarse to fine); ``meta``, JSON of what else
    decoding needs; and ``error``, which is empty, or says why a row could not be coded.

    It is pickled as its arguments: weights are found by name on whichever node it works.

    Args:
        model: weights, a name or a folder that all nodes see.
        column: files, as bytes, or pictures, (H, W, 3) uint8 arrays.
        device: see `BaseCodec.load`.
        precision: see `BaseCodec.load`.
        engine: see `BaseCodec.load`.
    """

    def __init__(
        self,
        model: str = "image-f4",
        column: str = "bytes",
        device: str = "auto",
        precision: str = "auto",
        engine: str = "auto",
    ) -> None:
        self._arguments = model, column, device, precision, engine
        self.column = column

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the arguments."""
        return type(self), self._arguments

    def __call__(self, batch: "Batch") -> "Batch":
        """Return a batch with codes for media.

        Raises:
            WeightsError: there are no such weights on this node.
            UsageError: there is no such column, or there are some of the new ones already.
        """
        if self.column not in batch:
            raise UsageError(f"no column '{self.column}'; there are: {', '.join(batch)}")
        rest = {name: column for name, column in batch.items() if name != self.column}
        found = self._codec.encode_files((f"row {i}", m) for i, m in enumerate(batch[self.column]))
        new = self._columns(found)
        if taken := [name for name in new if name in rest]:
            raise UsageError(f"there is a column '{taken[0]}' already; rename it")
        return rest | new

    @functools.cached_property
    def _codec(self) -> Any:
        model, _, *how = self._arguments
        try:
            return load(by_name(find_weights(model).modality).codec).load(model, *how)
        except VqcodecError as error:
            raise type(error)(f"node {socket.gethostname()}: {error}") from None

    def _columns(self, found: Iterable[Codes | VqcodecError]) -> "Batch":
        """Return the columns of codes, or of what is wrong."""
        import numpy as np

        axes = self._codec.modality.axes
        nothing = (np.zeros((0,) * len(axes), np.uint16),) * len(self._codec.maps)
        rows = []
        for codes in found:
            if isinstance(codes, Codes):
                entry, error = Entry.of("", codes, {}), ""
            else:
                entry, error = Entry("", nothing), str(codes)
            rows.append({**columns_of(entry, axes), "error": error})
        return {name: _column([row[name] for row in rows]) for name in rows[0]} if rows else {}


def _column(cells: list[Any]) -> "NDArray[Any]":
    """Return cells as one array; what is an array becomes a list.

    Ray writes arrays of arrays in a type of its own, which other readers of Parquet do not know,
    and lists of uint16 as such.
    """
    import numpy as np

    if not isinstance(cells[0], np.ndarray):
        return np.array(cells)
    column = np.empty(len(cells), object)
    for row, cell in enumerate(cells):
        column[row] = list(cell)
    return column
