"""A codebook to look at: what each code decodes to, a colour for it, and which codes are alike."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqcodec.codec.image import ImageCodec
from vqcodec.figures.colour import from_oklab, to_oklab

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH = 512  # codes decoded at a time
MEAN = (0.62, 0.0, 0.0)  # of false colours in Oklab: middle lightness, no tint
SPREAD = (0.17, 0.075, 0.075)  # their standard deviations: lively, and hardly ever clipped


@dataclass(frozen=True)
class CodebookChart:
    """The codes of one map of a model.

    Attributes:
        vectors: (K, D) float32.
        patches: (K, s, s, 3) uint8, the middle of what a map filled with the code decodes to, other
            maps being filled with their most ordinary code; s is the stride, pixels per index. Of a
            decoder that draws, one pixel of the code's colour, as what it draws from one code is
            nearly all invented, and takes long.
        colours: (K, 3) uint8, false colours, see `false_colours`.
    """

    vectors: "NDArray[np.float32]"
    patches: "NDArray[np.uint8]"
    colours: "NDArray[np.uint8]"

    @classmethod
    def of(cls, codec: ImageCodec, level: int = 0) -> "CodebookChart":
        """Take the codebook of a map, 0 being the coarsest, out of a codec for pictures."""
        import numpy as np

        vectors = codec.code_vectors(level)
        if codec.engine.draws:
            colours = code_colours(vectors)
            return cls(vectors, colours[:, None, None], colours)
        shape, side, halo = codec.maps[0], max(codec.maps[level].stride), codec.decoder_halo
        middle = slice(halo * max(shape.stride), halo * max(shape.stride) + side)
        size = shape.covers((2 * halo + 1,) * 2)
        ordinary = [ordinary_code(codec.code_vectors(i)) for i in range(len(codec.maps))]
        patches = []
        for start in range(0, len(vectors), BATCH):
            codes = np.arange(start, min(start + BATCH, len(vectors)), dtype=np.uint16)
            maps = []
            for i, spec in enumerate(codec.maps):
                filling = codes if i == level else np.full_like(codes, ordinary[i])
                everywhere = (len(codes), *spec.shape(size))
                maps.append(np.broadcast_to(filling[:, None, None], everywhere))
            patches.append(codec.decode_batch(tuple(maps))[:, middle, middle])
        every = np.concatenate(patches)
        return cls(vectors, every, false_colours(vectors, every))

    def nearest(self, code: int, number: int) -> "tuple[NDArray[np.intp], NDArray[np.float64]]":
        """Return the codes nearest to `code`, itself left out, and their Euclidean distances."""
        import numpy as np

        distances = np.linalg.norm(self.vectors - self.vectors[code], axis=1).astype(np.float64)
        distances[code] = np.inf
        order = np.argsort(distances, kind="stable")[: min(number, len(distances) - 1)]
        return order, distances[order]

    def arranged(self, columns: int) -> "NDArray[np.intp]":
        """Return all codes, (K,), so ordered that in rows of `columns` near ones are neighbours.

        Starts from a sort by the lightness of the false colours. Then every cell's goal is the mean
        vector around it, in a window that shrinks, and two codes change places when that brings
        them nearer to their goals. Always gives the same.
        """
        import numpy as np

        size = len(self.vectors)
        rng = np.random.default_rng(0)
        order = np.argsort(to_oklab(self.colours)[:, 0], kind="stable")
        rounds = 300
        for turn in range(rounds):
            radius = max(1, round(min(columns, size / columns) / 3 * (1 - turn / rounds) ** 2))
            goals = _blurred(self.vectors[order], columns, radius)
            for _ in range(8):
                a, b = rng.permutation(size)[: size // 2 * 2].reshape(2, -1)
                apart = self.vectors[order[b]] - self.vectors[order[a]]
                better = (apart * (goals[a] - goals[b])).sum(1) > 0
                a, b = a[better], b[better]
                order[a], order[b] = order[b], order[a]
        return order


def ordinary_code(vectors: "NDArray[np.float32]") -> int:
    """Return the code that is nearest to the mean of all, (K, D)."""
    return int(((vectors - vectors.mean(0)) ** 2).sum(1).argmin())


def _blurred(vectors: "NDArray[np.float32]", columns: int, radius: int) -> "NDArray[np.float64]":
    """Return the mean, (n, D), in a square around each of vectors, (n, D), in rows of `columns`."""
    import numpy as np

    size = len(vectors)
    filled = np.pad(vectors, ((0, -size % columns), (0, 0)), mode="edge")
    grid = filled.reshape(-1, columns, vectors.shape[1]).astype(np.float64)
    for axis in (0, 1):
        padding = [(0, 0)] * 3
        padding[axis] = (radius + 1, radius)
        total = np.pad(grid, padding, mode="edge").cumsum(axis)
        here = np.arange(grid.shape[axis])
        grid = total.take(here + 2 * radius + 1, axis) - total.take(here, axis)
    return grid.reshape(-1, vectors.shape[1])[:size] / (2 * radius + 1) ** 2


def false_colours(
    vectors: "NDArray[np.float32]", patches: "NDArray[np.uint8]"
) -> "NDArray[np.uint8]":
    """Return a colour, (K, 3), for each code vector, (K, D): near vectors look alike.

    The three principal components of the codebook become lightness, green to red and blue to
    yellow of a space where distances look as they are. Which way round is free, so they are turned
    (orthogonal Procrustes) to where they come closest to the colours of `patches`, (K, s, s, 3):
    a dark code is dark in the map as well. The mean colour of a patch alone would not do: codes of
    different texture would all be grey.
    """
    import numpy as np

    parts = principal_parts(vectors)
    goal = to_oklab(patches.mean((1, 2)).round().astype(np.uint8))
    left, _, right = np.linalg.svd(parts.T @ (goal - goal.mean(0)))
    return _painted(parts @ (left @ right))


def code_colours(vectors: "NDArray[np.float32]") -> "NDArray[np.uint8]":
    """Return a colour, (K, 3), for each code vector, (K, D), where no patches say which way round.

    As `false_colours`, but for the turn: the first principal component is the lightness.
    """
    return _painted(principal_parts(vectors))


def principal_parts(vectors: "NDArray[np.float32]") -> "NDArray[np.float64]":
    """Return the three principal components of code vectors, (K, 3); zeros where there are fewer.

    Of the two ways round of each, that in which the value furthest from zero is positive.
    """
    import numpy as np

    centred = (vectors - vectors.mean(0)).astype(np.float64)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    parts = centred @ axes[:3].T
    parts = np.pad(parts, ((0, 0), (0, 3 - parts.shape[1])))
    return parts * np.where(parts.max(0) >= -parts.min(0), 1, -1)


def _painted(parts: "NDArray[np.float64]") -> "NDArray[np.uint8]":
    import numpy as np

    return from_oklab(parts / np.maximum(parts.std(0), 1e-9) * SPREAD + MEAN)
