"""The coding prior: p(index | indices before it) as integers, from weights to frequencies.

A small masked convolutional network in fixed point. Its matrices are multiplied in float64, which
is no approximation here: every product and every partial sum is an integer below 2^53, so float64
holds it exactly in whatever order, on whatever machine, it is summed. All else is int64. The
probabilities are therefore equal on all machines, and so are files.

The network, for a map whose cells hold a vector h of C numbers (fixed point, `FRACTION` bits):

    h = sum over a window of neighbours of table[neighbour, index]    (an index K outside)
    h = h + the same of each map before it that it is told of, in a window of their own (tables of
        these are rounded to the nearest, that of the map itself down)
    h = h + 1x1(relu(conv(relu(h))))     some times
    frequencies = table of exp at (1x1(relu(h)) - its maximum)

Which neighbours those are, `vqcodec.coding.layout` says: one layout is for pictures, one for sound.
In pictures all cells with the same column + 2 row can be computed at once: h x w cells take
w + 2 (h - 1) steps, for encoding and decoding alike. In sound the rows, its channels, do not see
each other: w steps. Residual codebooks of sound make maps on one grid: the prior of a map may be
told of those before it, up to the cell itself, never of what comes later in time.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vqcodec.coding.layout import MAX_DILATION, ROW_BEFORE, Taps, of_maps, of_rows
from vqcodec.coding.memory import Memory, Scratch
from vqcodec.coding.rangecoder import TOTAL, RangeDecoder, RangeEncoder
from vqcodec.coding.threads import one_blas_thread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Grids = list[NDArray[np.uint16]]
    Places = tuple[NDArray[np.int64], NDArray[np.int64]]  # rows and columns of some cells
    Take = Callable[[Places, NDArray[np.int64]], list[list[int]]]

FRACTION = 8  # bits behind the point of activations
OTHER_BOUNDS = {"shifts": (0, 20), "before_shifts": (0, 20), "dilations": (1, MAX_DILATION)}
LIMIT = (1 << 15) - 1  # activations are clamped to +-LIMIT
MAX_UNITS = 512  # C; with 16-bit weights, 5 C products of 30 bits each stay below 2^53
# exp(-d / 2^FRACTION) * 2^24 by repeated multiplication, so that no library's exp is asked
EXP_RATIO = 4_278_222_805  # 2^32 exp(-1 / 256), rounded
EXP_LENGTH = 4300


class Layer:
    """A matrix in fixed point: y = (x weight + bias) / 2^shift, rounded down.

    Args:
        weight: (inputs, outputs), integers of 16 bits.
        bias: (outputs,), integers below 2^45, half a unit of rounding included.
        shift: at most 20.
    """

    def __init__(self, weight: "NDArray[np.int64]", bias: "NDArray[np.int64]", shift: int) -> None:
        import numpy as np

        scale = np.float64(2.0**-shift)  # a power of two: products and sums stay as exact
        self.weight: Array = weight * scale
        self.bias: Array = bias * scale

    def __call__(self, x: "Array", out: "Array") -> "Array":
        """Apply to (N, inputs): (N, outputs), which go to `out`."""
        import numpy as np

        y = np.matmul(x, self.weight, out=out)
        y += self.bias
        return np.floor(y, out=y)


class ContextModel:
    """An integer network that predicts each index of a map from those before it.

    Attributes:
        most_per_byte: indices that a byte can tell: the likeliest has at most 65,025 parts in
            65,536, which is 1 / 708 of a byte.

    Args:
        arrays: ``embedding`` (K + 1, d), ``window`` (neighbours, d, C), for each block i
            ``block.i.conv`` (taps C, C), ``block.i.conv_bias``, ``block.i.mix`` (C, C),
            ``block.i.mix_bias``, then ``head`` (C, K), ``head_bias``: int16, biases int64; and
            ``shifts``: of window, then of each matrix in this order. A prior of sound has also
            ``dilations``, of each block, and where it is told of M maps before its own
            ``before.j.embedding`` (K_j + 1, d_j) and ``before.j.window`` (neighbours, d_j, C) of
            each map j, and ``before_shifts`` (M,), as those of the window.

    Raises:
        ValueError: the arrays do not fit each other, or could exceed 2^53.
    """

    most_per_byte = 720

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
        told = arrays.get("before_shifts", arrays["shifts"][:0])
        if "dilations" in arrays:
            self.layout = of_rows(tuple(arrays["dilations"].ravel().tolist()))
            shapes["dilations"] = (blocks,)
            for j in range(len(told)):
                entries, d = arrays[f"before.{j}.embedding"].shape
                shapes[f"before.{j}.embedding"] = entries, d
                shapes[f"before.{j}.window"] = (len(ROW_BEFORE), d, c)
            if len(told):
                shapes["before_shifts"] = (len(told),)
        else:
            self.layout = of_maps(blocks)
        shapes["window"] = (len(self.layout.window), embedding.shape[1], c)
        for i, taps in zip(range(blocks), self.layout.blocks, strict=False):
            shapes |= {f"block.{i}.conv": (len(taps) * c, c), f"block.{i}.conv_bias": (c,)}
            shapes |= {f"block.{i}.mix": (c, c), f"block.{i}.mix_bias": (c,)}
        if {n: a.shape for n, a in arrays.items() if n != "shifts"} != shapes:
            raise ValueError("its arrays are not those of a coding prior")
        if c > MAX_UNITS or not 2 <= k <= 1 << 14 or len(shifts) != 2 * blocks + 2:
            raise ValueError("its arrays are not those of a coding prior")
        for name, array in arrays.items():
            bound = 1 << (45 if name.endswith("bias") else 15)
            least, most = OTHER_BOUNDS.get(name, (-bound, bound))
            if array.min() < least or array.max() > most:
                raise ValueError(f"its array '{name}' holds numbers that are too large")
        self.table = np.floor(_table(embedding, window, shifts[0]))
        self.before = [
            np.floor(
                _table(arrays[f"before.{j}.embedding"], arrays[f"before.{j}.window"], int(shift))
                + 0.5
            )
            for j, shift in enumerate(told)
        ]
        self.coarser = tuple(len(table) // len(ROW_BEFORE) - 1 for table in self.before)
        names = [n for i in range(blocks) for n in (f"block.{i}.conv", f"block.{i}.mix")]
        layers = [
            Layer(arrays[n], arrays[f"{n}_bias"], s)
            for n, s in zip([*names, "head"], shifts[1:], strict=True)
        ]
        self.head = layers[-1]
        self.blocks = list(zip(layers[:-1:2], layers[1:-1:2], strict=True))
        self.exp = _exp_table().astype(np.float64)
        digest = hashlib.sha256()
        for name in sorted(arrays):
            digest.update(name.encode() + arrays[name].astype("<i8").tobytes())
        self.identity = digest.digest()[:4]  # files carry it

    def encode(
        self, maps: "Grids", before: "Sequence[Grids]" = (), *, known: int = 0
    ) -> list[bytes]:
        """Return the bytes of maps, (h, w) each and all of one shape.

        Args:
            maps: N of them.
            before: for each map that it is told of as many, of the same shape.
            known: of sound, so many columns are known to who decodes, and not coded.
        """
        coders = [RangeEncoder() for _ in maps]

        def take(places: "Places", cumulative: "NDArray[np.int64]") -> list[list[int]]:
            cells = [m[places].tolist() for m in maps]
            for coder, symbols, bounds in zip(coders, cells, cumulative, strict=True):
                for symbol, bound in zip(symbols, bounds, strict=True):
                    start = int(bound[symbol])
                    coder.encode(start, int(bound[symbol + 1]) - start)
            return cells

        self._walk(len(maps), maps[0].shape, take, before, [m[:, :known] for m in maps])
        return [coder.finish() for coder in coders]

    def decode(
        self,
        payloads: list[bytes],
        shape: tuple[int, ...],
        before: "Sequence[Grids]" = (),
        *,
        known: "Grids | None" = None,
    ) -> "NDArray[np.uint16]":
        """Reverse `encode`: (N, h, w) uint16. Foreign bytes give some map, never an error.

        `known` are the first columns of maps, of sound, that were not coded.
        """
        coders = [RangeDecoder(data) for data in payloads]

        def take(_: "Places", cumulative: "NDArray[np.int64]") -> list[list[int]]:
            return [  # the few numbers that are looked at come faster from a memoryview
                [coder.decode(memoryview(bound)) for bound in bounds]
                for coder, bounds in zip(coders, cumulative, strict=True)
            ]

        return self._walk(len(payloads), shape, take, before, known)

    def bits(self, maps: "Grids", before: "Sequence[Grids]" = ()) -> "NDArray[np.float64]":
        """Return the bits, (N, h, w), that each index of maps costs, but for the coder's waste."""
        import numpy as np

        cost = np.zeros((len(maps), *maps[0].shape))

        def take(places: "Places", cumulative: "NDArray[np.int64]") -> list[list[int]]:
            cells = [m[places].tolist() for m in maps]
            sizes = np.diff(cumulative, axis=-1)
            size = np.take_along_axis(sizes, np.array(cells)[..., None], -1)[..., 0]
            cost[:, places[0], places[1]] = np.log2(TOTAL / size)
            return cells

        self._walk(len(maps), maps[0].shape, take, before)
        return cost

    def frequencies(self, grid: "NDArray[np.uint16]") -> "NDArray[np.uint16]":
        """Return what share of `TOTAL` each code had, (h, w, K), where it could have come."""
        import numpy as np

        found = np.empty((*grid.shape, self.codebook_size), np.uint16)

        def take(places: "Places", cumulative: "NDArray[np.int64]") -> list[list[int]]:
            found[places] = np.diff(cumulative[0])
            return [grid[places].tolist()]

        self._walk(1, grid.shape, take)
        return found

    @one_blas_thread
    def _walk(
        self,
        number: int,
        shape: tuple[int, ...],
        take: "Take",
        before: "Sequence[Grids]" = (),
        known: "Grids | None" = None,
    ) -> "NDArray[np.uint16]":
        """Visit the cells of `number` maps of one shape in coding order.

        `before` are, for each map that it is told of, as many of the same shape; in sound the
        first columns may be `known`. `take(places, cumulative)` gets the cumulative frequencies,
        (number, places, K + 1), of the cells at these rows and columns, and returns their indices.
        """
        import numpy as np

        layout, area = self.layout, (number, *shape)
        own = _Neighbours(self.table, layout.window, area)
        others = [_Neighbours(table, ROW_BEFORE, area) for table in self.before]
        if len(before) != len(others):
            raise ValueError(f"this prior is told of {len(others)} maps before its own")
        for other, maps in zip(others, before, strict=True):
            other.indices[:] = maps
        memory = [
            Memory((number, shape[0], self.units), taps, layout.skew, np.float64, itself=True)
            for taps in layout.blocks
        ]
        scratch = Scratch()
        begin = 0  # columns are known where each is a step, in sound
        if known is not None and known[0].size:
            begin = known[0].shape[1]
            own.indices[..., :begin] = known
        for step, rows in layout.steps(*shape):
            r = np.arange(rows.start, rows.stop)
            x = step - layout.skew * r
            h = own.sums(r, x)  # (number, rows, C)
            flat = number * len(rows), self.units
            for other in others:
                h += other.sums(r, x)
            np.clip(h, -LIMIT, LIMIT, out=h)
            for (conv, mix), seen in zip(self.blocks, memory, strict=True):
                seen.keep(np.maximum(h, 0), rows)
                v = conv(seen.around(rows), scratch("v", flat, np.float64))
                np.clip(v, 0, LIMIT, out=v)
                h += mix(v, scratch("mixed", flat, np.float64)).reshape(h.shape)
                np.clip(h, -LIMIT, LIMIT, out=h)
            if step < begin:
                continue
            scores = scratch("scores", (flat[0], self.codebook_size), np.float64)
            self.head(np.maximum(h, 0).reshape(flat), scores)
            cumulative = self._cumulative(scores).reshape(number, len(rows), -1)
            own.indices[:, r, x] = take((r, x), cumulative)
        return own.indices.astype(np.uint16)

    def _cumulative(self, scores: "Array") -> "NDArray[np.int64]":
        """Return cumulative frequencies, (P, K + 1), from 0 to `TOTAL`, for scores, (P, K)."""
        import numpy as np

        depth = np.subtract(scores.max(1, keepdims=True), scores, out=scores)
        likeliest = depth.argmin(1)
        np.minimum(depth, EXP_LENGTH - 1, out=depth)
        share = self.exp[depth.astype(np.intp)]
        total = share.sum(1, keepdims=True)
        # one for each symbol, the rest by share, what rounding leaves to the likeliest. Quotients
        # are below 2^16 and by 2^-33 or more away from a whole number: float64 rounds none to it
        share *= TOTAL - self.codebook_size
        share /= total
        sizes = np.floor(share, out=share)
        sizes += 1
        sizes[np.arange(len(sizes)), likeliest] += TOTAL - sizes.sum(1)
        cumulative = np.zeros((len(sizes), self.codebook_size + 1), np.int64)
        np.cumsum(sizes, axis=1, out=cumulative[:, 1:], dtype=np.int64)
        return cumulative


class _Neighbours:
    """What the cells of a window in a map, of N maps at once, add to the first layer.

    Attributes:
        indices: (N, height, width); around the maps there is the index K.
    """

    def __init__(self, table: "Array", window: Taps, area: tuple[int, ...]) -> None:
        import numpy as np

        number, height, width = area
        outside = len(table) // len(window) - 1
        rights = [right for _, right in window]
        self._top, self._left = max(up for up, _ in window), -min(rights)
        self._stride = self._left + width + max(0, *rights)
        known = np.full((number, self._top + height, self._stride), outside, np.int64)
        self.indices = known[:, self._top :, self._left : self._left + width]
        self._flat = known.reshape(number, -1)
        self._offsets = np.array([right - up * self._stride for up, right in window])
        self._entries = np.arange(len(window)) * (outside + 1)  # where a neighbour's rows start
        self._table = table

    def sums(self, r: "NDArray[np.int64]", x: "NDArray[np.int64]") -> "Array":
        """Return what is added to cells, of these rows and columns, (N, cells, C)."""
        there = (r + self._top) * self._stride + x + self._left
        cells = self._flat[:, there[:, None] + self._offsets]
        total: Array = self._table.take(cells + self._entries, axis=0).sum(2)
        return total


def _table(embedding: "NDArray[np.int64]", window: "NDArray[np.int64]", shift: int) -> "Array":
    """Return what each index adds to the first layer, neighbour after neighbour, (... , C)."""
    import numpy as np

    exact = embedding.astype(np.float64) @ window.astype(np.float64)
    entries: Array = (exact * 2.0**-shift).reshape(-1, window.shape[2])
    return entries


def _exp_table() -> "NDArray[np.int64]":
    """Return 2^24 exp(-d / 2^FRACTION) for d from 0 to `EXP_LENGTH` - 1."""
    import numpy as np

    values, value = [], 1 << 56
    for _ in range(EXP_LENGTH):
        values.append(value >> 32)
        value = value * EXP_RATIO >> 32
    return np.array(values)
