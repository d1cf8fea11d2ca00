"""Layers of integers that float32 computes: the same on all machines, and in large products fast.

Matrices are multiplied in float32, which is no approximation here: activations are integers of at
most `CAP`, and the weights of each output add up to so little that every product and partial sum is
an integer below 2^24, in whatever order it is summed; the constructors make sure. Numbers have
`FRACTION` bits behind the point.
"""

from typing import TYPE_CHECKING

from vqcodec.coding.lanes import GROUP, TOTAL
from vqcodec.coding.memory import Scratch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Ints = NDArray[np.int32]

FRACTION = 6
CAP = (1 << 10) - 1  # the largest activation that goes into a product
EXACT = 1 << 24  # float32 holds integers below
MIN_SHIFT, MAX_SHIFT = 4, 14  # of 16 outputs, each EXACT >> MIN_SHIFT at most, the sum is exact
MAX_HEAD_SHIFT = 10
MAX_CODES = 1024
OCTAVE = 1 << 23  # float32 has its exponent in the bits above
OCTAVES = 21  # between the likeliest code and one that gets one part of `TOTAL`
TOP = 147  # exponent of the likeliest, 2^20: the sum of 1024 fits into 31 bits


class Layer:
    """A matrix in fixed point: y = (x weight + bias) / 2^shift, rounded down.

    Args:
        weight: (inputs, outputs), integers.
        bias: (outputs,) or, of several kinds, (kinds, outputs): integers, half a unit of rounding
            included.
        shift: see above.

    Raises:
        ValueError: a sum could be more than float32 holds.
    """

    def __init__(self, weight: "NDArray[np.int64]", bias: "NDArray[np.int64]", shift: int) -> None:
        import numpy as np

        most = np.abs(weight).sum(0) * CAP + np.abs(bias)
        if most.max() >= EXACT or not MIN_SHIFT <= shift <= MAX_SHIFT:
            raise ValueError("its numbers are too large to stay exact")
        self.weight = weight.astype(np.float32)
        self.bias = bias.astype(np.float32)
        self.scale = np.float32(2.0**-shift)  # a power of two: exact, as is the floor of it

    def __call__(self, x: "Array", kind: int | None = None, out: "Array | None" = None) -> "Array":
        """Apply to (N, inputs), with the bias of a kind where there are several: (N, outputs).

        Where `out` is given it takes the result.
        """
        import numpy as np

        y: Array = np.matmul(x, self.weight, out=out)
        return self.finish(y, self.bias if kind is None else self.bias[kind])

    def finish(self, y: "Array", bias: "Array") -> "Array":
        """Return what becomes of products, which are overwritten."""
        import numpy as np

        y += bias
        y *= self.scale
        return np.floor(y, out=y)


class Head:
    """From features of a cell to how many of `TOTAL` parts each code has."""

    def __init__(self, weight: "NDArray[np.int64]", bias: "NDArray[np.int64]", shift: int) -> None:
        import numpy as np

        if (np.abs(weight).sum(0) * CAP + np.abs(bias)).max() >= EXACT:
            raise ValueError("its numbers are too large to stay exact")
        if not 0 <= shift <= MAX_HEAD_SHIFT:
            raise ValueError("its numbers are out of range")
        scale = OCTAVE >> (FRACTION + shift)  # a power of two, too: still exact
        self.weight = np.concatenate([weight, bias[None]]).astype(np.float32) * np.float32(scale)
        self.codes = len(bias)
        self.room = -(-self.codes // GROUP) * GROUP

    def __call__(self, x: "Array", scratch: Scratch | None = None) -> "Ints":
        """Return cumulative parts, (N, room), of (N, C); the last code has what rounding leaves.

        Where a `scratch` is given they lie there until it is used again.
        """
        import numpy as np

        room, shape = scratch or Scratch(), (len(x), self.codes)
        inputs = room("inputs", (len(x), len(self.weight)), np.float32)
        inputs[:, :-1] = x
        inputs[:, -1] = 1  # for the bias: every pass over K codes counts
        z = np.matmul(inputs, self.weight, out=room("scores", shape, np.float32))
        # exact, too, but for scores of no use; and number by number, so the same everywhere
        z += TOP * OCTAVE - z.max(1, keepdims=True)
        np.maximum(z, (TOP - OCTAVES) * OCTAVE, out=z)
        # read as float32, such an integer is a power of two, but straight within each octave
        bits = room("powers", shape, np.int32)
        np.copyto(bits, z, casting="unsafe")
        power, sizes = bits.view(np.float32), z.view(np.int32)
        np.copyto(sizes, power, casting="unsafe")
        total = sizes.sum(1, dtype=np.int32)
        parts = np.float32(TOTAL - self.codes - 8) / (total + self.codes).astype(np.float32)
        power *= parts[:, None]
        np.copyto(sizes, power, casting="unsafe")
        sizes += 1
        cumulative = room("cumulative", (len(x), self.room), np.int32)
        np.cumsum(sizes, axis=1, dtype=np.int32, out=cumulative[:, : self.codes])
        cumulative[:, self.codes - 1 :] = TOTAL
        return cumulative


def rectified(h: "Array", out: "Array | None" = None) -> "Array":
    """Return activations: h between 0 and `CAP`."""
    import numpy as np

    y: Array = np.clip(h, 0, CAP, out=out)
    return y
