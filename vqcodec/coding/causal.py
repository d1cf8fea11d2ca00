"""The coding prior of a map of a picture: p(index | indices before it), in float32 and so faster.

It sees what that of `vqcodec.coding.contextmodel` sees, in the same order, but its layers are fewer
and narrower, and their numbers small enough for `vqcodec.coding.layers`. For a map whose cells hold
a vector h of C numbers:

    h = a matrix times the vectors of a window of neighbours, zero outside the map
    h = h + 1x1(relu(conv(relu(h))))     some times
    frequencies = 2^(1x1(relu(h)) - its maximum), each octave a straight line
"""

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from vqcodec.coding.lanes import TOTAL_BITS, LaneDecoder, LaneEncoder
from vqcodec.coding.latticecoder import parts_of
from vqcodec.coding.layers import CAP, MAX_CODES, Head, Layer, rectified
from vqcodec.coding.layout import TAPS, WINDOW, of_maps
from vqcodec.coding.memory import Memory, Scratch
from vqcodec.coding.threads import one_blas_thread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int32]
    Grids = list[NDArray[np.uint16]]
    Take = Callable[[slice, Ints], Ints]

MAX_BLOCKS = 8
MAX_WIDTH = 256


class CausalModel:
    """An integer network that predicts each index of a map from those before it.

    Args:
        arrays: ``codes`` (K, d), what neighbours see of a code; ``window`` (neighbours d, C); for
            each block i ``block.i.conv`` (taps C, c) and ``block.i.mix`` (c, C); ``head`` (C, K).
            All matrices have a bias under their name and ``_bias``. ``shifts``: of the matrices,
            sorted by name.

    Raises:
        ValueError: the arrays do not fit each other, or sums could be inexact.
    """

    coarser: tuple[int, ...] = ()
    most_per_byte: int | None = None  # zeros at the end of a payload are not written

    def __init__(self, arrays: "dict[str, NDArray[np.int64]]") -> None:
        import numpy as np

        self.arrays = arrays
        names = sorted(name for name in arrays if f"{name}_bias" in arrays)
        blocks = sum(name.endswith(".mix") for name in names)
        (k, d), c = arrays["codes"].shape, len(arrays["head"])
        shapes: dict[str, tuple[int, ...]] = {
            "codes": (k, d),
            "window": (len(WINDOW) * d, c),
            "head": (c, k),
        }
        for i in range(blocks):
            inner = len(arrays[f"block.{i}.mix"])
            shapes |= {f"block.{i}.conv": (len(TAPS) * c, inner), f"block.{i}.mix": (inner, c)}
        shapes |= {f"{name}_bias": shapes[name][1:] for name in names if name in shapes}
        shapes["shifts"] = (len(names),)
        if {name: array.shape for name, array in arrays.items()} != shapes:
            raise ValueError("its arrays are not those of a coding prior")
        widths = [shape[-1] for name, shape in shapes.items() if name not in ("head", "head_bias")]
        if not 2 <= k <= MAX_CODES or max(widths[:-1]) > MAX_WIDTH or blocks > MAX_BLOCKS:
            raise ValueError("its shapes are out of range")
        if np.abs(arrays["codes"]).max() > CAP:
            raise ValueError("its numbers are too large to stay exact")
        shifts = dict(zip(names, arrays["shifts"].tolist(), strict=True))

        def of(name: str) -> "tuple[NDArray[np.int64], NDArray[np.int64], int]":
            return arrays[name], arrays[f"{name}_bias"], shifts[name]

        self.codebook_size, self.units = k, c
        self._codes = arrays["codes"].astype(np.float32)
        self._window = Layer(*of("window"))
        self._blocks = [
            (Layer(*of(f"block.{i}.conv")), Layer(*of(f"block.{i}.mix"))) for i in range(blocks)
        ]
        self._head = Head(*of("head"))
        digest = hashlib.sha256()
        for name in sorted(arrays):
            digest.update(name.encode() + arrays[name].astype("<i8").tobytes())
        self.identity = digest.digest()[:4]  # files carry it

    def encode(self, maps: "Grids", before: object = (), *, known: int = 0) -> list[bytes]:
        """Return the bytes of maps, (h, w) each and all of one shape."""
        import numpy as np

        every, coder = np.stack(maps).astype(np.int32), LaneEncoder(len(maps), 1)
        flat = every.reshape(len(maps), 1, -1)

        def take(cells: slice, cumulative: "Ints") -> "Ints":
            codes = flat[..., cells]
            coder.encode(*parts_of(codes, cumulative))
            return codes

        self._walk(every.shape, take)
        return [lane for (lane,) in coder.finish()]

    def decode(
        self,
        payloads: list[bytes],
        shape: tuple[int, ...],
        before: object = (),
        *,
        known: object = None,
    ) -> "NDArray[np.uint16]":
        """Reverse `encode`: (N, h, w). Foreign bytes give some map, never an error."""
        import numpy as np

        coder = LaneDecoder([[data] for data in payloads])
        found = self._walk((len(payloads), *shape), lambda _, bounds: coder.decode(bounds))
        return found.astype(np.uint16)

    def bits(self, maps: "Grids", before: object = ()) -> "NDArray[np.float64]":
        """Return the bits, (N, h, w), that each index of maps costs, but for the coder's waste."""
        import numpy as np

        every = np.stack(maps).astype(np.int32)
        cost = np.zeros(every.shape)
        flat, costs = every.reshape(len(maps), 1, -1), cost.reshape(len(maps), 1, -1)  # views

        def take(cells: slice, cumulative: "Ints") -> "Ints":
            codes = flat[..., cells]
            costs[..., cells] = TOTAL_BITS - np.log2(parts_of(codes, cumulative)[1])
            return codes

        self._walk(every.shape, take)
        return cost

    @one_blas_thread
    def _walk(self, area: tuple[int, ...], take: "Take") -> "Ints":
        """Visit the cells of maps, (N, h, w), in coding order.

        `take(cells, cumulative)` gets the cumulative parts, (N, 1, cells, room), of the codes of
        these cells of a map in reading order, and returns their codes, (N, 1, cells).
        """
        import numpy as np

        number, height, width = area
        layout, units = of_maps(len(self._blocks)), self.units
        found = np.zeros((number, height * width), np.int32)
        seen = Memory(
            (number, height, self._codes.shape[1]), WINDOW, layout.skew, np.float32, itself=False
        )
        memory = [
            Memory((number, height, units), taps, layout.skew, np.float32, itself=True)
            for taps in layout.blocks
        ]
        scratch = Scratch()
        following = 0
        for step, rows in layout.steps(height, width):
            for _ in range(following, step):
                for every in (seen, *memory):
                    every.skip()
            following = step + 1
            # a row further down and so many columns to the left are so many cells on
            apart, begin = width - layout.skew, rows.start * width + step - layout.skew * rows.start
            cells = slice(begin, begin + 1 + (len(rows) - 1) * apart, max(1, apart))
            shape = number * len(rows), units
            h = self._window(seen.around(rows), out=scratch("h", shape, np.float32))
            active = scratch("active", shape, np.float32)
            added = scratch("added", shape, np.float32)
            for (conv, mix), own in zip(self._blocks, memory, strict=True):
                own.keep(rectified(h, active).reshape(number, -1, units), rows)
                inner = scratch("inner", (shape[0], conv.weight.shape[1]), np.float32)
                h += mix(rectified(conv(own.around(rows), out=inner), inner), out=added)
            cumulative = self._head(rectified(h, active), scratch)
            cumulative = cumulative.reshape(number, 1, len(rows), -1)
            codes = take(cells, cumulative)[:, 0]
            found[:, cells] = codes
            seen.keep(self._codes[codes], rows)
        return found.reshape(area)
