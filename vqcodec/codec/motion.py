"""What moved from one picture to the next: blocks of a decoded picture, moved by vectors.

A vector says, in quarters of a pixel, where in the picture before a block of 8x8 pixels lies.
Between pixels there are those that four of them make, by the filters of HEVC's chroma. Blocks
overlap (Orchard & Sullivan 1994): what each vector would make of the blocks around is blended, so
that no edges appear where there are none. All in integers, and so on all machines alike.
"""

import functools
from typing import TYPE_CHECKING

import numpy as np

from vqcodec.coding.movingmodel import BLOCK, PIXEL, STRIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]

SIDE = BLOCK * STRIDE  # pixels of a block along each axis
FAR = np.array([15, 31])  # pixels down and across: the longest vectors; most views turn sideways
AROUND = 31 + 6  # pixels around a picture: the longest vector, half a block, and the filter
CODES = 2 * PIXEL * (AROUND - SIDE // 2 - 1)  # of vectors, at most: none leads beyond these pixels
FILTERS = ((0, 64, 0, 0), (-6, 46, 28, -4), (-4, 36, 36, -4), (-4, 28, 46, -6))
# how much the vector of a block counts from half a block before it to half a block behind it
WINDOW = np.array([*range(1, SIDE * 2, 2), *range(SIDE * 2 - 1, 0, -2)])
LUMA = np.array([2, 5, 1])  # in eighths
COMMON = 12  # of the commonest vectors of a picture are tried everywhere
CANDIDATES = COMMON + 23  # for each block, at most
COLOURS = 3  # squared errors of luma count as those of three colours
LENGTH = 4.0  # levels that a vector twice as long has to gain at least


class Reference:
    """A picture, (H, W, 3), of which blocks are moved.

    Attributes:
        shape: of the maps of vectors.
    """

    def __init__(self, pixels: "Pixels") -> None:
        self._size = pixels.shape[:2]
        self.shape = tuple(-(-n // SIDE) for n in self._size)
        self._padded = _filled(pixels, AROUND)

    @functools.cached_property
    def _planes(self) -> "Pixels":
        """(4, 4, rows, columns, 3): moved up and left by so many quarters of a pixel."""
        padded = self._padded.astype(np.int32)
        height, width = padded.shape[:2]
        tall = np.pad(padded, ((1, 2), (0, 0), (0, 0)), mode="edge")
        planes = np.empty((PIXEL, PIXEL, *padded.shape), np.uint8)
        for row, down in enumerate(FILTERS):
            rows = sum(tap * tall[i : i + height] for i, tap in enumerate(down))
            wide = np.pad(rows, ((0, 0), (1, 2), (0, 0)), mode="edge")
            for column, across in enumerate(FILTERS):
                both = sum(tap * wide[:, i : i + width] for i, tap in enumerate(across))
                planes[row, column] = np.clip((both + 2048) >> 12, 0, 255)
        return planes

    @functools.cached_property
    def _luma(self) -> "Floats":
        return luma(self._planes).astype(np.float32)

    def moved(self, vectors: "Ints") -> "Pixels":
        """Return the picture that vectors, (h', w', 2), make of this one."""
        height, width = self.shape
        y = AROUND - SIDE // 2 + SIDE * np.arange(height)[:, None] + (vectors[..., 0] >> 2)
        x = AROUND - SIDE // 2 + SIDE * np.arange(width) + (vectors[..., 1] >> 2)
        inner = np.arange(2 * SIDE)
        parts = (vectors[..., 0] & 3, vectors[..., 1] & 3, y, x)
        row, column, y, x = (part[..., None, None] for part in parts)
        blocks = self._planes[row, column, y + inner[:, None], x + inner].astype(np.int32)
        window = (WINDOW[:, None] * WINDOW)[..., None].astype(np.int32)
        blocks *= window
        total = np.zeros((SIDE * (height + 1), SIDE * (width + 1), 3), np.int32)
        weight = np.zeros((*total.shape[:2], 1), np.int32)
        for down in (slice(0, SIDE), slice(SIDE, None)):
            for across in (slice(0, SIDE), slice(SIDE, None)):
                rows = slice(down.start, down.start + SIDE * height)
                columns = slice(across.start, across.start + SIDE * width)
                part = blocks[:, :, down, across].transpose(0, 2, 1, 3, 4)
                total[rows, columns] += part.reshape(SIDE * height, SIDE * width, 3)
                weight[rows, columns] += np.tile(window[down, across], (height, width, 1))
        half = SIDE // 2
        inside = slice(half, half + self._size[0]), slice(half, half + self._size[1])
        found: Pixels = (total[inside] + weight[inside] // 2) // weight[inside]
        return found.astype(np.uint8)

    def candidates(self, pixels: "Pixels", before: "Ints") -> "tuple[Ints, Floats]":
        """Return vectors that may have led to a picture, and the squared errors of each.

        Of every block those are tried that fit it best in whole pixels and around there, those of
        the blocks around, of the same block before, and what is common in the picture.

        Args:
            pixels: (H, W, 3), the picture.
            before: (h', w', 2), the vectors of the picture before.

        Returns:
            (n, h', w', 2) and (n, h', w'); n is `CANDIDATES` or less.
        """
        target = luma(_filled(pixels, 0))
        best = self._whole(target) * PIXEL
        found, errors = [best], [self._errors(best, target)]
        least = errors[0]
        for step in (2, 1):
            middle = best
            for y, x in ((y, x) for y in (-step, 0, step) for x in (-step, 0, step) if y or x):
                found.append(np.clip(middle + np.array([y, x]), -PIXEL * FAR, PIXEL * FAR))
                errors.append(self._errors(found[-1], target))
                better = errors[-1] < least
                least = np.where(better, errors[-1], least)
                best = np.where(better[..., None], found[-1], best)
        vectors, counts = np.unique(best.reshape(-1, 2), axis=0, return_counts=True)
        common = vectors[np.argsort(-counts, kind="stable")[:COMMON]]
        more = [np.broadcast_to(v, best.shape) for v in (np.zeros(2, np.int64), *common)]
        more += [before, *(np.roll(best, s, (0, 1)) for s in ((0, 1), (1, 0), (0, -1), (-1, 0)))]
        errors += [self._errors(vectors, target) for vectors in more]
        return np.stack([*found, *more]), np.stack(errors)

    def _whole(self, target: "Ints") -> "Ints":
        """Return the vectors, (h', w', 2) in whole pixels, that fit a picture's luma best."""
        height, width = target.shape
        own = luma(self._padded).astype(np.int16)
        wanted = target.astype(np.int16)
        down_steps, steps = (np.arange(-far, far + 1) for far in FAR.tolist())
        least = np.full(self.shape, np.inf, np.float32)
        best = np.zeros((*self.shape, 2), np.int64)
        for down in down_steps.tolist():
            rows = own[AROUND + down : AROUND + down + height]
            moved = [rows[:, AROUND + across : AROUND + across + width] for across in steps]
            apart = np.abs(np.stack(moved) - wanted)
            blocks = apart.reshape(len(steps), self.shape[0], SIDE, self.shape[1], SIDE)
            sums = blocks.sum(2, dtype=np.int16).sum(3, dtype=np.int32)
            length = np.log2((1 + np.abs(steps)) * (1 + abs(down)))
            cost = (sums + LENGTH * length[:, None, None]).astype(np.float32)
            across = cost.argmin(0)
            lowest = np.take_along_axis(cost, across[None], 0)[0]
            better = lowest < least
            least = np.where(better, lowest, least)
            here = np.stack([np.full_like(across, down), steps[across]], -1)
            best = np.where(better[..., None], here, best)
        return best

    def _errors(self, vectors: "Ints", target: "Ints") -> "Floats":
        """Return the squared errors of blocks, (h', w'), at vectors: of luma, for all colours."""
        height, width = self.shape
        rows, columns = self._luma.shape[2:]
        y, x = vectors[..., 0], vectors[..., 1]
        plane = (y & 3) * PIXEL + (x & 3)
        row = AROUND + SIDE * np.arange(height)[:, None] + (y >> 2)
        column = AROUND + SIDE * np.arange(width) + (x >> 2)
        start = (plane * rows + row) * columns + column
        inner = np.arange(SIDE)
        places = start[..., None, None] + inner[:, None] * columns + inner
        blocks = target.reshape(height, SIDE, width, SIDE).transpose(0, 2, 1, 3)
        apart = np.take(self._luma.reshape(-1), places) - blocks
        return COLOURS * np.square(apart).sum((2, 3), dtype=np.float32)


def luma(pixels: "Pixels") -> "Ints":
    """Return the luma, in whole levels, of (..., 3)."""
    found: Ints = (pixels.astype(np.int32) @ LUMA) >> 3
    return found


def _filled(pixels: "Pixels", around: int) -> "Pixels":
    """Return a picture that blocks fill, its edges repeated and so many pixels around it."""
    sides = [(around, around + -n % SIDE) for n in pixels.shape[:2]]
    return np.pad(pixels, (*sides, (0, 0)), mode="edge")
