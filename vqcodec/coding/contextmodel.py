"""The coding prior: p(index | indices before it) as integers, from weights to frequencies.

A small masked convolutional network in fixed point. Its matrices are multiplied in float64, which
is no approximation here: every product and every partial sum is an integer below 2^53, so float64
holds it exactly in whatever order, on whatever machine, it is summed. All else is int64. The
probabilities are therefore equal on all machines, and so are files.

The network, for a map whose cells hold a vector h of C numbers (fixed point, `FRACTION` bits):

    h = sum over the `WINDOW` of neighbours of table[neighbour, index]    (an index K outside)
    h = h + 1x1(relu(conv(relu(h))))     some times; conv sees `TAPS`
    frequencies = table of exp at (1x1(relu(h)) - its maximum)

A cell sees cells above it up to one column further right for each row up, whatever the depth. So
all cells with the same column + 2 row can be computed at once: h x w cells take w + 2 (h - 1)
steps, for encoding and decoding alike.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqcodec.coding.rangecoder import TOTAL, RangeDecoder, RangeEncoder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

# (rows up, columns right) of the neighbours that a cell looks at, all of them coded before it
WINDOW = (
    *((3, x) for x in range(-2, 3)),
    *((2, x) for x in range(-3, 3)),
    *((1, x) for x in range(-3, 2)),
    *((0, x) for x in range(-4, 0)),
)
# likewise for what the convolutions look at, the cell itself included
TAPS = ((0, 0), (0, -1), (1, -1), (1, 0), (1, 1))
FRACTION = 8  # bits behind the point of activations
LIMIT = (1 << 15) - 1  # activations are clamped to +-LIMIT
MOST_UNITS = 512  # C; with 16-bit weights, 5 C products of 30 bits each stay below 2^53
# exp(-d / 2^FRACTION) * 2^24 by repeated multiplication, so that no library's exp is asked
EXP_RATIO = 4_278_222_805  # 2^32 exp(-1 / 256), rounded
EXP_LENGTH = 4300


@dataclass(frozen=True)
class Layer:
    """A matrix in fixed point: y = (x weight + bias) / 2^shift, rounded down.

    Attributes:
        weight: (inputs, outputs), integers of 16 bits.
        bias: (outputs,), integers below 2^45, half a unit of rounding included.
        shift: at most 20.
    """

    weight: "Array"
    bias: "Array"
    shift: int

    def __call__(self, x: "Array") -> "Array":
        """Apply to (N, inputs): (N, outputs)."""
        import numpy as np

        y = x @ self.weight
        y += self.bias
        y *= 2.0**-self.shift  # a power of two: exact, as is the floor of it
        return np.floor(y, out=y)


class ContextModel:
    """An integer network that predicts each index of a map from those before it.

    Args:
        arrays: ``embedding`` (K + 1, d), ``window`` (len(WINDOW), d, C), for each block i
            ``block.i.conv`` (5 C, C), ``block.i.conv_bias``, ``block.i.mix`` (C, C),
            ``block.i.mix_bias``, then ``head`` (C, K), ``head_bias``: int16, biases int64; and
            ``shifts``: of window, then of each matrix in this order.

    Raises:
        ValueError: the arrays do not fit each other, or could exceed 2^53.
    """

    def __init__(self, arrays: "dict[str, NDArray[np.int64]]") -> None:
        import numpy as np

        self.arrays = arrays
        embedding, window = arrays["embedding"], arrays["window"]
        shifts = [int(s) for s in arrays["shifts"]]
        self.codebook_size = len(embedding) - 1
        self.units = window.shape[2]
        blocks = (len(shifts) - 2) // 2
        c, k = self.units, self.codebook_size
        shapes = {"embedding": (k + 1, embedding.shape[1]), "head": (c, k), "head_bias": (k,)}
        shapes["window"] = (len(WINDOW), embedding.shape[1], c)
        for i in range(blocks):
            shapes |= {f"block.{i}.conv": (len(TAPS) * c, c), f"block.{i}.conv_bias": (c,)}
            shapes |= {f"block.{i}.mix": (c, c), f"block.{i}.mix_bias": (c,)}
        if {n: a.shape for n, a in arrays.items() if n != "shifts"} != shapes:
            raise ValueError("its arrays are not those of a coding prior")
        if c > MOST_UNITS or not 2 <= k <= 1 << 14 or len(shifts) != 2 * blocks + 2:
            raise ValueError("its arrays are not those of a coding prior")
        for name, array in arrays.items():
            bound = 20 if name == "shifts" else 1 << (45 if name.endswith("bias") else 15)
            if array.min() < (0 if name == "shifts" else -bound) or array.max() > bound:
                raise ValueError(f"its array '{name}' holds numbers that are too large")
        exact = embedding.astype(np.float64) @ window.astype(np.float64)
        self.table = np.floor(exact * 2.0 ** -shifts[0]).reshape(-1, c)  # neighbour after neighbour
        names = [n for i in range(blocks) for n in (f"block.{i}.conv", f"block.{i}.mix")]
        layers = [
            Layer(arrays[n].astype(np.float64), arrays[f"{n}_bias"].astype(np.float64), s)
            for n, s in zip([*names, "head"], shifts[1:], strict=True)
        ]
        self.head = layers[-1]
        self.blocks = list(zip(layers[:-1:2], layers[1:-1:2], strict=True))
        self.exp = _exp_table()
        digest = hashlib.sha256()
        for name in sorted(arrays):
            digest.update(name.encode() + arrays[name].astype("<i8").tobytes())
        self.identity = digest.digest()[:4]  # files carry it

    def encode(self, maps: "list[NDArray[np.uint16]]") -> list[bytes]:
        """Return the bytes of maps, (h, w) each and all of one shape."""
        coders = [RangeEncoder() for _ in maps]

        def take(rows: range, step: int, cumulative: "NDArray[np.int64]") -> list[list[int]]:
            cells = [[int(m[r, step - 2 * r]) for r in rows] for m in maps]
            for coder, symbols, bounds in zip(coders, cells, cumulative, strict=True):
                for symbol, bound in zip(symbols, bounds, strict=True):
                    start = int(bound[symbol])
                    coder.encode(start, int(bound[symbol + 1]) - start)
            return cells

        self._walk(len(maps), maps[0].shape, take)
        return [coder.finish() for coder in coders]

    def decode(self, payloads: list[bytes], shape: tuple[int, ...]) -> "NDArray[np.uint16]":
        """Reverse `encode`: (N, h, w) uint16. Foreign bytes give some map, never an error."""
        coders = [RangeDecoder(data) for data in payloads]

        def take(_rows: range, _step: int, cumulative: "NDArray[np.int64]") -> list[list[int]]:
            return [
                [coder.decode(bound) for bound in bounds.tolist()]
                for coder, bounds in zip(coders, cumulative, strict=True)
            ]

        return self._walk(len(payloads), shape, take)

    def bits(self, maps: "list[NDArray[np.uint16]]") -> "NDArray[np.float64]":
        """Return the bits, (N, h, w), that each index of maps costs, but for the coder's waste."""
        import numpy as np

        cost = np.zeros((len(maps), *maps[0].shape))

        def take(rows: range, step: int, cumulative: "NDArray[np.int64]") -> list[list[int]]:
            cells = [[int(m[r, step - 2 * r]) for r in rows] for m in maps]
            sizes = np.diff(cumulative, axis=-1)
            size = np.take_along_axis(sizes, np.array(cells)[..., None], -1)[..., 0]
            for column, r in enumerate(rows):
                cost[:, r, step - 2 * r] = np.log2(TOTAL / size[:, column])
            return cells

        self._walk(len(maps), maps[0].shape, take)
        return cost

    def frequencies(self, grid: "NDArray[np.uint16]") -> "NDArray[np.uint16]":
        """Return what share of `TOTAL` each code had, (h, w, K), where it could have come."""
        import numpy as np

        found = np.empty((*grid.shape, self.codebook_size), np.uint16)

        def take(rows: range, step: int, cumulative: "NDArray[np.int64]") -> list[list[int]]:
            for column, r in enumerate(rows):
                found[r, step - 2 * r] = np.diff(cumulative[0, column])
            return [[int(grid[r, step - 2 * r]) for r in rows]]

        self._walk(1, grid.shape, take)
        return found

    def _walk(
        self,
        number: int,
        shape: tuple[int, ...],
        take: "Callable[[range, int, NDArray[np.int64]], list[list[int]]]",
    ) -> "NDArray[np.uint16]":
        """Visit the cells of `number` maps of one shape in coding order.

        `take(rows, step, cumulative)` gets the cumulative frequencies, (number, rows, K + 1), of
        the cells (r, step - 2 r) and returns their indices.
        """
        import numpy as np

        height, width = shape
        margin = 4  # of cells outside, as far as WINDOW reaches
        known = np.full((number, height + margin, width + 2 * margin), self.codebook_size, np.int64)
        stride = known.shape[2]
        offsets = np.array([right - up * stride for up, right in WINDOW])
        entries = np.arange(len(WINDOW)) * (
            self.codebook_size + 1
        )  # where a neighbour's rows start
        memory = [_Memory(number, height, self.units) for _ in self.blocks]
        for step, rows in _steps(height, width):
            r = np.arange(rows.start, rows.stop) + margin
            x = step - 2 * (r - margin) + margin
            cells = known.reshape(number, -1)[:, (r * stride + x)[:, None] + offsets]
            h = self.table.take(cells + entries, axis=0).sum(2)  # (number, rows, C)
            np.clip(h, -LIMIT, LIMIT, out=h)
            for (conv, mix), seen in zip(self.blocks, memory, strict=True):
                u = np.maximum(h, 0)
                around = seen.around(u, rows)
                v = conv(around.reshape(-1, around.shape[-1]))
                h += mix(np.clip(v, 0, LIMIT, out=v)).reshape(h.shape)
                np.clip(h, -LIMIT, LIMIT, out=h)
            scores = self.head(np.maximum(h, 0).reshape(-1, self.units))
            cumulative = self._cumulative(scores).reshape(number, len(rows), -1)
            known[:, r, x] = take(rows, step, cumulative)
        return known[:, margin:, margin:-margin].astype(np.uint16)

    def _cumulative(self, scores: "Array") -> "NDArray[np.int64]":
        """Return cumulative frequencies, (P, K + 1), from 0 to `TOTAL`, for scores, (P, K)."""
        import numpy as np

        depth = (scores.max(1, keepdims=True) - scores).astype(np.int64)
        share = self.exp[np.minimum(depth, EXP_LENGTH - 1)]
        # one for each symbol, the rest by share, what rounding leaves to the likeliest
        sizes = 1 + share * (TOTAL - self.codebook_size) // share.sum(1, keepdims=True)
        sizes[np.arange(len(sizes)), depth.argmin(1)] += TOTAL - sizes.sum(1)
        cumulative = np.zeros((len(sizes), self.codebook_size + 1), np.int64)
        np.cumsum(sizes, axis=1, out=cumulative[:, 1:])
        return cumulative


class _Memory:
    """What a convolution still has to see: its input at the last three steps.

    A cell (r, x) is computed at step x + 2 r, so its neighbours come from the same row one step
    ago, and from the row above three, two and one steps ago. Rows that have not begun or have
    ended hold zeros, which is what lies outside a map.
    """

    def __init__(self, number: int, height: int, units: int) -> None:
        import numpy as np

        # row 0 lies above the map
        self.steps = [np.zeros((number, height + 1, units)) for _ in range(4)]

    def around(self, u: "Array", rows: range) -> "Array":
        """Return what lies around cells, (N, rows, 5 C), and remember their u, (N, rows, C)."""
        import numpy as np

        now, one, two, three = [self.steps[3], *self.steps[:3]]
        self.steps = [now, one, two, three]
        now.fill(0)
        own, above = slice(rows.start + 1, rows.stop + 1), slice(rows.start, rows.stop)
        now[:, own] = u
        return np.concatenate([u, one[:, own], three[:, above], two[:, above], one[:, above]], -1)


def _steps(height: int, width: int) -> "Iterator[tuple[int, range]]":
    """Yield each step and the rows r of the cells (r, step - 2 r) that lie on the map."""
    for step in range(width + 2 * (height - 1)):
        first = max(0, -((width - 1 - step) // 2))
        last = min(height - 1, step // 2)
        if first <= last:  # a map of one column has no cell at odd steps
            yield step, range(first, last + 1)


def _exp_table() -> "NDArray[np.int64]":
    """Return 2^24 exp(-d / 2^FRACTION) for d from 0 to `EXP_LENGTH` - 1."""
    import numpy as np

    values, value = [], 1 << 56
    for _ in range(EXP_LENGTH):
        values.append(value >> 32)
        value = value * EXP_RATIO >> 32
    return np.array(values)
