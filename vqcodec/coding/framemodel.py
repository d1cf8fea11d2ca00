"""A coding prior of successive frames as integers: p(codes of a frame | the frames before it).

All numbers are integers, see `vqcodec.coding.layers`. What the N frames before say of each cell of
the new one is

    h = 5x5(a vector for each code of each frame, one more for no frame)
    h = h + 1x1(relu(3x3(relu(h))))     some times
    beside = 1x1(relu(h))

and with that `vqcodec.coding.lattice` codes it.
"""

import hashlib
from typing import TYPE_CHECKING

from vqcodec.coding.lattice import MAX_BLOCKS, LatticeModel, convolved, windows
from vqcodec.coding.layers import CAP, Layer, rectified

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Arrays = dict[str, NDArray[np.int64]]
    Grids = NDArray[np.uint16]

CONTEXT = "context."
SIDE = 5  # of what is seen first
MAX_FRAMES, MAX_WIDTH = 16, 512


class FrameModel:
    """An integer network that predicts the codes of a frame from those of the frames before it.

    Args:
        arrays: those of a `LatticeModel` of one map, of K codes and C units, and with ``context.``
            before their names: ``codes`` (K + 1, d); ``first`` (25 N d, W); of each block j
            ``block.j.conv`` (9 W, any) and ``block.j.mix`` (any, W); ``last`` (W, C). All matrices
            have a bias under their name and ``_bias``. ``shifts``: of the matrices, sorted by name.

    Attributes:
        frames: N.
        lattice: codes a frame.
        codebook_sizes: K alone, as of other priors.
        identity: four bytes that files carry.

    Raises:
        ValueError: the arrays do not fit each other, or sums could be inexact.
    """

    def __init__(self, arrays: "Arrays") -> None:
        import numpy as np

        own = {n.removeprefix(CONTEXT): a for n, a in arrays.items() if n.startswith(CONTEXT)}
        self.lattice = LatticeModel({n: arrays[n] for n in arrays if not n.startswith(CONTEXT)})
        self.codebook_sizes = self.lattice.codebook_sizes
        names = sorted(name for name in own if f"{name}_bias" in own)
        self.frames = self._check_shapes(own, names)
        self._codes = own["codes"].astype(np.float32)
        if np.abs(self._codes).max() > CAP:
            raise ValueError("its numbers are too large to stay exact")
        shifts = dict(zip(names, own["shifts"].ravel().tolist(), strict=True))
        layers = {name: Layer(own[name], own[f"{name}_bias"], shifts[name]) for name in names}
        self._first, self._last = layers["first"], layers["last"]
        self._blocks = [
            (layers[f"block.{j}.conv"], layers[f"block.{j}.mix"])
            for j in range((len(names) - 2) // 2)
        ]
        digest = hashlib.sha256()
        for name in sorted(arrays):
            digest.update(name.encode() + arrays[name].astype("<i8").tobytes())
        self.identity = digest.digest()[:4]

    def _check_shapes(self, own: "Arrays", names: list[str]) -> int:
        """Return N; raise ValueError unless all arrays are there, of shapes that go together."""
        if len(self.codebook_sizes) > 1 or self.lattice.conditions > 1:
            raise ValueError("it is not one of frames")
        (size,), units = self.codebook_sizes, self.lattice.arrays["map.0.head"].shape[0]
        number, dim = own["codes"].shape
        inputs, width = own["first"].shape
        if not 1 <= dim <= 64 or not 8 <= width <= MAX_WIDTH or number != size + 1:
            raise ValueError("its shapes are out of range")
        frames = inputs // (SIDE**2 * dim)
        if not 1 <= frames <= MAX_FRAMES:
            raise ValueError("its shapes are out of range")
        shapes: dict[str, tuple[int, ...]] = {"codes": (number, dim), "shifts": (len(names),)}
        shapes |= {"first": (SIDE**2 * frames * dim, width), "last": (width, units)}
        for j in range(min(MAX_BLOCKS, (len(names) - 2) // 2)):
            hidden = own[f"block.{j}.conv"].shape[1]
            shapes |= {f"block.{j}.conv": (9 * width, hidden), f"block.{j}.mix": (hidden, width)}
        shapes |= {f"{name}_bias": shapes[name][1:] for name in names if name in shapes}
        if {name: array.shape for name, array in own.items()} != shapes:
            raise ValueError("its arrays are not those of a prior of frames")
        return frames

    def before(self, frames: "Grids", first: int = 0, told: int | None = None) -> "Grids":
        """Return the maps before each frame from `first` on, (T - first, N, h, w).

        Args:
            frames: (T, h, w).
            first: of those asked for.
            told: how many of those before it each is told, where that is fewer than N; the codes of
                others are K.
        """
        import numpy as np

        n, (size,) = self.frames, self.codebook_sizes
        found = np.full((len(frames) - first, n, *frames.shape[1:]), size, np.uint16)
        for back in range(1, 1 + (n if told is None else min(told, n))):
            start = max(first, back)
            found[start - first :, n - back] = frames[start - back : len(frames) - back]
        return found

    def beside(self, before: "Grids") -> "Array":
        """Return what frames say of the one after them, (B, h, w, C).

        Args:
            before: (B, N, h, w), as `before` returns it.
        """
        import numpy as np

        batch, _, height, width = before.shape
        told = self._codes[np.moveaxis(before, 1, -1)].reshape(batch, height, width, -1)
        h = np.empty((batch, height, width, len(self._last.weight)), np.float32)
        for rows, y in windows(told, self._first, SIDE):
            h[:, rows] = y.reshape(h[:, rows].shape)
        for conv, mix in self._blocks:
            h = convolved(h, conv, mix)
        found = self._last(rectified(h).reshape(-1, h.shape[-1]))
        return found.reshape(batch, height, width, -1)
