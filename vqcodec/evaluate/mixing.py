"""Context mixing without a network, the yardstick of a coding prior: what indices would cost.

As in lpaq and zpaq, an index is told bit by bit, down a binary tree of the codes. Each of some
contexts, such as the index to the left, keeps a probability for every node of the tree, and how
often it came there. The probabilities are mixed in the logistic domain, by weights that learn, and
a coding prior may be one more voice among them. Everything adapts: but for the codebook, which
orders the tree, nothing is known before the first index. Integers throughout.

This measures. No file is made of it: mixed into the shipped coding prior it saves less than 1 % of
the bits, for a decoder that would have to go cell by cell.
"""

import functools

import numpy as np
from numba import njit
from numpy.typing import NDArray

Integers = NDArray[np.int64]

ALL = 16
# (rows up, columns right, leading bits) of the neighbours that make up each context; the leading
# bits of an index tell a branch of codes that are near each other
CONTEXTS: dict[str, tuple[tuple[tuple[int, int, int], ...], ...]] = {
    "hw": (
        (),
        ((0, -1, ALL),),
        ((1, 0, ALL),),
        ((1, 1, ALL),),
        ((0, -1, ALL), (1, 0, ALL)),
        ((0, -1, 4), (1, 0, 4)),
        ((0, -1, 3), (1, 0, 3), (1, 1, 3)),
        ((0, -1, 2), (1, 0, 2), (1, 1, 2), (1, -1, 2), (0, -2, 2)),
    ),
    "ct": (
        (),
        ((0, -1, ALL),),
        ((0, -2, ALL),),
        ((0, -1, 5),),
        ((0, -1, ALL), (0, -2, 4)),
        ((0, -1, 4), (0, -2, 4)),
        ((0, -1, 3), (0, -2, 3), (0, -3, 3)),
        ((0, -1, 2), (0, -2, 2), (0, -3, 2), (0, -4, 2)),
    ),
}
MARGIN = 4  # of cells outside, as far as they reach
SLOT_BITS = 20  # of each context's table, which a hash addresses
ONE = 1 << 16  # probabilities are parts of it
LOGIT_BITS, WEIGHT_BITS = 8, 16  # behind the point
MOST_LOGIT = 12 << LOGIT_BITS
MOST_COUNT = 30  # a probability goes on moving by a 31st of the way
FIRST_WEIGHTS = (0.0, 0.1, 0.15, 0.2, 0.25)  # of a context seen 0, 1, 2-3, 4-7, or more often
BESIDE_PRIOR = 0.25  # times those, where a prior has a weight of 1
RATE_SHIFT = 16  # weights learn at 2^-16 of the product of error and logit
HASH = 0x1E35A7BD  # of 29 bits: no product leaves 64


class ContextMixing:
    """An adaptive model of index maps: what it learns of one map it knows in the next.

    Args:
        codebook: (K, D), which orders the tree.
        axes: ``hw`` for maps of pictures, ``ct`` for those of sound.
        prior: whether maps come with what a coding prior expects.
    """

    def __init__(
        self, codebook: NDArray[np.float32], axes: str = "hw", *, prior: bool = False
    ) -> None:
        self.contexts = CONTEXTS[axes]
        number = len(self.contexts)
        self.width = _width(len(codebook))
        self.rank = ranks(codebook)
        self._chances = np.full((number, 1 << SLOT_BITS), ONE // 2, np.int32)
        self._counts = np.zeros((number, 1 << SLOT_BITS), np.uint8)
        first = np.array(FIRST_WEIGHTS) * (BESIDE_PRIOR if prior else 1) * (1 << WEIGHT_BITS)
        shape = (number + prior, len(FIRST_WEIGHTS), self.width)
        self._weights = np.full(shape, 1 << WEIGHT_BITS)
        self._weights[:number] = first.astype(np.int64)[:, None]

    def bits(
        self, grid: NDArray[np.uint16], frequencies: NDArray[np.uint16] | None = None
    ) -> NDArray[np.float64]:
        """Return what each index of a map, (h, w), costs, and learn from them in reading order.

        Args:
            grid: the indices.
            frequencies: (h, w, K), what the prior expects, if there is one.
        """
        symbols = self.rank[grid]
        leaves = np.zeros((0, 1 << self.width), np.uint16)
        if frequencies is not None:
            leaves = np.zeros((grid.size, 1 << self.width), np.uint16)
            leaves[:, self.rank] = frequencies.reshape(grid.size, -1)
        told = _tell(
            symbols.reshape(-1),
            self._hashes(symbols),
            leaves,
            self._chances,
            self._counts,
            self._weights,
            *_tables(),
        )
        cost = -np.log2(told / ONE).sum(1)
        return cost.reshape(grid.shape)

    def _hashes(self, symbols: Integers) -> Integers:
        """Return a hash of every context of every cell of a map, (h, w): (h w, contexts)."""
        padded = np.pad(symbols, ((MARGIN, 0), (MARGIN, MARGIN)), constant_values=1 << self.width)
        height, columns = symbols.shape
        found = []
        for context in self.contexts:
            value = np.zeros_like(symbols)
            for up, right, leading in context:
                top, left = MARGIN - up, MARGIN + right
                there = padded[top : top + height, left : left + columns]
                there = there >> max(0, self.width - leading)
                value = value * (2 << self.width) + there + 1
                value = (value & 0xFFFFFFFF) * HASH & 0xFFFFFFFF
            found.append(value.reshape(-1))
        return np.stack(found, 1)


def ranks(codebook: NDArray[np.float32]) -> Integers:
    """Return the place of each code of a codebook, (K, D), among the leaves of a binary tree: (K,).

    Every branch is parted in the middle, along its first principal component.
    """
    found = np.zeros(len(codebook), np.int64)

    def part(codes: Integers, width: int) -> None:
        if len(codes) < 2:
            return
        centred = codebook[codes].astype(np.float64)
        centred -= centred.mean(0)
        axis = np.linalg.eigh(centred.T @ centred)[1][:, -1]
        order = codes[np.argsort(centred @ axis, kind="stable")]
        half = -(-len(order) // 2)
        found[order[half:]] += 1 << (width - 1)
        part(order[:half], width - 1)
        part(order[half:], width - 1)

    part(np.arange(len(codebook)), _width(len(codebook)))
    return found


def _width(codes: int) -> int:
    return max(1, (codes - 1).bit_length())


@functools.cache
def _tables() -> tuple[Integers, Integers, Integers]:
    """Return tables: the logit of a probability, the way back, and the bucket of a count."""
    p = (np.arange(ONE) + 0.5) / ONE
    logits = np.round(np.log(p / (1 - p)) * (1 << LOGIT_BITS)).astype(np.int64)
    x = np.arange(-MOST_LOGIT, MOST_LOGIT + 1) / (1 << LOGIT_BITS)
    chances = np.round(ONE / (1 + np.exp(-x))).astype(np.int64).clip(1, ONE - 1)
    most = len(FIRST_WEIGHTS) - 1
    buckets = np.array([min(most, n.bit_length()) for n in range(MOST_COUNT + 1)])
    return logits, chances, buckets


@njit(cache=True)
def _tell(
    symbols: Integers,
    contexts: Integers,
    leaves: NDArray[np.uint16],
    chances: NDArray[np.int32],
    counts: NDArray[np.uint8],
    weights: Integers,
    logit_of: Integers,
    chance_of: Integers,
    bucket_of: Integers,
) -> Integers:
    """Return the probability, of `ONE`, that each bit of each symbol had: (N, width).

    Args:
        symbols: (N,), places among the leaves.
        contexts: (N, C) hashes.
        leaves: (N, 2^width), what a prior expects of each leaf; (0, 2^width) without one.
        chances: (C, slots), the probability of a 1, by context and node; learns.
        counts: (C, slots), how often each was asked; learns.
        weights: (C or C + 1, buckets, width); learns.
        logit_of: see `_tables`, as for
        chance_of: and
        bucket_of: these.
    """
    voices, _, width = weights.shape
    number, mask = contexts.shape[1], chances.shape[1] - 1
    slots = np.zeros(number, np.int64)
    logits = np.zeros(voices, np.int64)
    buckets = np.zeros(voices, np.int64)
    told = np.zeros((len(symbols), width), np.int64)
    for cell in range(len(symbols)):
        node = 1
        for depth in range(width):
            for c in range(number):
                hashed = (contexts[cell, c] + node) * HASH & 0xFFFFFFFFFFFF
                slots[c] = (hashed ^ (hashed >> 23)) & mask
                logits[c] = logit_of[chances[c, slots[c]]]
                buckets[c] = bucket_of[counts[c, slots[c]]]
            if voices > number:
                half = 1 << (width - 1 - depth)
                start = 2 * half * (node - (1 << depth))
                zero = np.int64(leaves[cell, start : start + half].sum())
                one = np.int64(leaves[cell, start + half : start + 2 * half].sum())
                logits[number] = logit_of[(2 * one + 1) * ONE // (2 * (zero + one) + 2)]
            total = 0
            for c in range(voices):
                total += weights[c, buckets[c], depth] * logits[c]
            total = min(max(total >> WEIGHT_BITS, -MOST_LOGIT), MOST_LOGIT)
            chance = chance_of[total + MOST_LOGIT]
            bit = (symbols[cell] >> (width - 1 - depth)) & 1
            told[cell, depth] = chance if bit else ONE - chance
            error = bit * ONE - chance
            for c in range(voices):
                weights[c, buckets[c], depth] += (logits[c] * error) >> RATE_SHIFT
            for c in range(number):
                seen = np.int64(counts[c, slots[c]])
                before = np.int64(chances[c, slots[c]])
                chances[c, slots[c]] = before + 2 * (bit * (ONE - 1) - before) // (2 * seen + 3)
                if seen < MOST_COUNT:
                    counts[c, slots[c]] += 1
            node = 2 * node + bit
    return told
