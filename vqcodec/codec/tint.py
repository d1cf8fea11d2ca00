"""Colours of large smooth areas put right after decoding: see `Tint`.

An encoder that compares directions of vectors forgets how bright and how colourful a flat area is,
and what its neighbours say of it fades away from edges. Means of blocks are what it lacks, and
take few bytes. Where a block is but a slope between such means, the codes are not needed at all.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from vqcodec.coding.threads import usable_cores
from vqcodec.files.tint import (
    BLOCK,
    MAX_STEP,
    SHARES,
    Surroundings,
    Tint,
    blocks,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float32]
    FindUnseen = Callable[[NDArray[np.bool_]], Floats]

# luma and colours of JPEG (JFIF 1.02), without their offset
FROM_RGB = np.array(
    [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
)
TO_RGB = np.linalg.inv(FROM_RGB)
BAND = 8  # rows of blocks that are computed at once, which bounds memory
# A bit is worth so many times the squared error of a value: about what a bit of the codes brings.
WORTH = 10.0
LEAST = 0.5  # of what a bit is worth: below it there is nothing to see
SAVED = 32  # about the bits of the codes of a block, where no pixel depends on them


def measure_tint(
    pixels: "Pixels",
    decoded: "Pixels",
    rate_weight: float | None = None,
    find_unseen: "FindUnseen | None" = None,
) -> Tint | None:
    """Return what is to be told of colours beside codes; None where it is not worth its bits.

    Args:
        pixels: (H, W, 3), the picture.
        decoded: the same as the codes have it.
        rate_weight: the squared error, in 8-bit levels summed over pixels and colours, that a bit
            is worth; by default what it is worth in the codes of such a picture.
        find_unseen: tells of the smooth blocks, (h, w) bool, the share of each block's codes that
            no pixel would depend on, where that saves bits.
    """
    wanted, had = _means(pixels), _means(decoded)
    before = _errors(pixels, decoded)
    exact = {False: (wanted - had) @ FROM_RGB.T, True: wanted @ FROM_RGB.T}
    every = np.zeros(before.shape, bool)
    # what each block would be if it and its neighbours were of one kind
    plain, slope = (
        _errors(pixels, apply_tint(decoded, Tint(1, _nearest(exact[kind]), every ^ kind)))
        for kind in (False, True)
    )
    if rate_weight is None:
        rate_weight = max(LEAST, WORTH * float(np.minimum(plain, slope).sum()) / pixels.size)
    cells = BLOCK * BLOCK
    # of a uniform quantizer, at high rates: d(error) / d(bits) = (2 ln 2) cells step^2 / 12
    step = round(math.sqrt(rate_weight * 6 / (math.log(2) * SHARES * cells)))
    step = min(MAX_STEP, max(1, step))
    smooth = slope + rate_weight < plain
    if find_unseen is not None:
        more = slope - SAVED * rate_weight < plain
        smooth |= more & _beside(find_unseen(more) > 0)
    worth = (TO_RGB**2).sum(0) * cells / rate_weight
    tint = Tint(step, _chosen(exact, smooth, worth, step), smooth)
    saved = before.sum() - _errors(pixels, apply_tint(decoded, tint)).sum()
    if find_unseen is not None:
        saved += SAVED * rate_weight * find_unseen(smooth).sum()
    return tint if saved > 8 * rate_weight * len(tint.packed) else None


def apply_tint(decoded: "Pixels", tint: Tint) -> "Pixels":
    """Return pixels, (H, W, 3), that codes stand for, with the colours of a tint."""
    height, width = decoded.shape[:2]
    flat = tint.smooth[..., None]
    told = (tint.numbers * np.where(flat, 1, tint.step) @ TO_RGB.T).astype(np.float32)
    means = np.where(flat, told, _means(decoded) + told)
    # between blocks that are not smooth; what codes say in smooth ones must not matter
    change = np.where(flat, _around(told, ~tint.smooth), told)
    found = np.empty_like(decoded)

    def fill(first: int) -> None:
        rows = slice(first * BLOCK, min(height, (first + BAND) * BLOCK))
        smooth = tint.smooth[first : first + BAND]
        if smooth.all():
            band = _spread(means, rows, width)
        else:
            band = decoded[rows] + _spread(change, rows, width)
            if smooth.any():
                here = np.repeat(np.repeat(smooth, BLOCK, 0), BLOCK, 1)[: len(band), :width]
                band = np.where(here[..., None], _spread(means, rows, width), band)
        found[rows] = np.clip(np.rint(band), 0, 255)

    with ThreadPoolExecutor(usable_cores()) as pool:
        list(pool.map(fill, range(0, len(means), BAND)))
    return found


def _nearest(numbers: "Floats") -> "NDArray[np.int16]":
    return np.rint(numbers).astype(np.int16)


def _around(numbers: "Floats", known: "NDArray[np.bool_]") -> "Floats":
    """Return the mean of the known numbers, (h, w, 3), of the blocks around each; 0 without any."""
    total = _sums(np.where(known[..., None], numbers, np.float32(0)))
    count = _sums(known[..., None].astype(np.float32))
    return (total / np.maximum(count, 1)).astype(np.float32)


def _beside(flags: "NDArray[np.bool_]") -> "NDArray[np.bool_]":
    """Return which blocks, (h, w), are flagged or beside one that is, corners included."""
    found: NDArray[np.bool_] = _sums(flags[..., None].astype(np.float32))[..., 0] > 0
    return found


def _sums(numbers: "Floats") -> "Floats":
    """Return the sum of each block's numbers, (h, w, C), and those of the eight around it."""
    height, width = numbers.shape[:2]
    padded = np.pad(numbers, ((1, 1), (1, 1), (0, 0)))
    total = np.zeros_like(numbers)
    for y in range(3):
        for x in range(3):
            total += padded[y : y + height, x : x + width]
    return total


def _chosen(
    exact: "dict[bool, Floats]", smooth: "NDArray[np.bool_]", worth: "Floats", step: int
) -> "NDArray[np.int16]":
    """Return the numbers that cost least: squared error over what a bit is worth, and bits."""
    height, width = smooth.shape
    numbers = np.empty((height, width, SHARES), np.int16)
    around = Surroundings(width)
    flags = smooth.tolist()
    values = np.where(smooth[..., None], exact[True], exact[False] / step).tolist()
    shares = {True: worth.tolist(), False: (worth * step * step).tolist()}
    for y in range(height):
        for x in range(width):
            around.next()
            kind = flags[y][x]
            own = tuple(
                _cheapest(value, expected, share)
                for value, (expected, _), share in zip(
                    values[y][x], around.expect(kind), shares[kind], strict=True
                )
            )
            around.add(kind, own)
            numbers[y, x] = own
    return numbers


def _cheapest(value: float, expected: int, worth: float) -> int:
    """Return the number for a value, the nearest one or one that is closer to what is expected."""
    nearest = round(value)
    if nearest == expected:
        return nearest
    closer = nearest - 1 if nearest > expected else nearest + 1
    return min(
        (nearest, closer, expected),
        key=lambda n: worth * (value - n) ** 2 + _bits(n - expected),
    )


def _bits(number: int) -> float:
    """Return about what a number costs."""
    return 2.5 + 2 * math.log2(abs(number)) if number else 0.3


def _means(pixels: "Pixels") -> "Floats":
    """Return the mean colour of each block, (h, w, 3)."""
    height, width = blocks(pixels.shape[:2])
    found = np.empty((height, width, 3), np.float32)
    for row in range(height):
        band = pixels[row * BLOCK : (row + 1) * BLOCK].mean(0, dtype=np.float32)
        around = ((0, width * BLOCK - len(band)), (0, 0))
        found[row] = np.pad(band, around, mode="edge").reshape(width, BLOCK, 3).mean(1)
    return found


def _errors(pixels: "Pixels", found: "Pixels") -> "Floats":
    """Return the squared error of each block, (h, w)."""
    height, width = blocks(pixels.shape[:2])
    errors = np.empty((height, width), np.float32)
    for row in range(height):
        rows = slice(row * BLOCK, (row + 1) * BLOCK)
        error = np.square(found[rows].astype(np.int32) - pixels[rows]).sum((0, 2))
        errors[row] = np.add.reduceat(error, np.arange(0, len(error), BLOCK))
    return errors


def _spread(grid: "Floats", rows: slice, width: int) -> "Floats":
    """Return numbers of blocks between their middles, for some rows: (rows, width, 3).

    Linear in between, and beyond the outermost middles as before them.
    """
    upright = _along(grid, np.arange(rows.start, rows.stop))
    across = _along(upright.swapaxes(0, 1), np.arange(width))
    return across.swapaxes(0, 1)


def _along(grid: "Floats", places: "NDArray[np.int64]") -> "Floats":
    """Return numbers at some pixels along the first axis."""
    if len(grid) == 1:
        return np.repeat(grid, len(places), 0)
    where = (places + 0.5) / BLOCK - 0.5
    below = np.clip(np.floor(where).astype(int), 0, len(grid) - 2)
    part = (where - below).astype(np.float32).reshape(-1, *[1] * (grid.ndim - 1))
    found: Floats = grid[below] * (1 - part) + grid[below + 1] * part
    return found
