"""All that was measured, as arrays: one row for each input."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqcodec.evaluate.journal import Bits, Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

BYTES, RATE = "bytes", "bpp"
KBPS = "kbps"  # the rate of sound: kbit/s


@dataclass(frozen=True)
class Table:
    """What was measured on N inputs, sorted by name.

    Attributes:
        names: of the inputs.
        identities: digests of their content.
        shapes: their heights and widths, or milliseconds.
        columns: `BYTES`, the rate (`RATE` or `KBPS`) and the metrics' keys.
        values: for each codec an array (N, points, columns); NaN where there is nothing.
    """

    names: list[str]
    identities: list[str]
    shapes: list[tuple[int, ...]]
    columns: tuple[str, ...]
    values: "dict[str, Values]"

    @classmethod
    def collect(
        cls,
        records: Iterable[Record],
        codecs: list[str],
        points: int,
        metrics: list[str],
        rate: str = RATE,
    ) -> "Table":
        """Read what records hold of these codecs into arrays; the records are not kept."""
        import numpy as np

        columns = (BYTES, rate, *metrics)
        rows: list[tuple[str, str, tuple[int, ...], dict[str, Values]]] = []
        for record in records:
            cells = {c: np.full((points, len(columns)), np.nan) for c in codecs}
            for m in record.measured:
                if m.codec not in cells:
                    continue
                found = [m.values.get(key) for key in metrics]
                numbers = [
                    m.bytes,
                    8 * m.bytes / record.units,
                    *(np.nan if v is None else v for v in found),
                ]
                cells[m.codec][m.point] = numbers
            rows.append((record.name, record.identity, record.shape, cells))
        rows.sort(key=lambda row: row[0])
        return cls(
            names=[row[0] for row in rows],
            identities=[row[1] for row in rows],
            shapes=[row[2] for row in rows],
            columns=columns,
            values={c: np.stack([row[3][c] for row in rows]) for c in codecs},
        )

    def column(self, codec: str, key: str) -> "Values":
        """Return one column of a codec, (N, points)."""
        return self.values[codec][:, :, self.columns.index(key)]


def sum_bits(records: Iterable[Record]) -> Bits:
    """Return what the indices of all records cost, in bits, by what predicts them.

    Of each map, where all records tell that.
    """
    costs: defaultdict[str, list[tuple[float, ...]]] = defaultdict(list)
    for record in records:
        for name, cost in record.bits.items():
            costs[name].append(cost)
    return {
        name: tuple(map(sum, zip(*found, strict=True)))
        if len(set(map(len, found))) == 1
        else (sum(map(sum, found)),)
        for name, found in costs.items()
    }


def count_codes(records: Iterable[Record], sizes: tuple[int, ...]) -> "list[NDArray[np.int64]]":
    """Return how often each code of each map was used, (K,); `sizes` are their K."""
    import numpy as np

    usage = [np.zeros(size, np.int64) for size in sizes]
    for record in records:
        for total, own in zip(usage, record.usage, strict=True):
            for code, count in own.items():
                total[code] += count
    return usage
