"""A range coder that codes many symbols at once, in integers only.

Martin's range coding (1979), as in `vqcodec.coding.rangecoder`, with 64 bits of state, 32-bit
words and `TOTAL` = 2^22: likely symbols need fine frequencies. The symbols of a block are dealt in
turn to lanes, each a range coder with bytes of its own, and the lanes of all blocks take a step
together. The end of a lane costs as few bytes as tell the last range from its neighbours; the
decoder reads zeros behind it.
"""

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int32]

TOTAL_BITS = 22
TOTAL = 1 << TOTAL_BITS
STATE_BITS, WORD_BITS = 64, 32
WORD_BYTES = WORD_BITS // 8
MIN_RANGE = 1 << (STATE_BITS - WORD_BITS)  # a symbol leaves 2^10 of it: one word is enough
FULL = (1 << STATE_BITS) - 1
FEW = 16  # lanes: so many Python takes one after the other faster than NumPy all at once
GROUP = 16  # symbols: which group one is in is found out first


class LaneEncoder:
    """Collects the symbols of blocks; `finish` returns their bytes.

    Args:
        blocks: that are coded side by side.
        lanes: of each block.
    """

    def __init__(self, blocks: int, lanes: int) -> None:
        self._shape = blocks, lanes
        self._steps: list[tuple[Ints, Ints]] = []

    def encode(self, starts: "Ints", sizes: "Ints") -> None:
        """Add symbols.

        Args:
            starts: (blocks, rows, columns), the parts of `TOTAL` below those of each symbol; they
                are dealt row by row, from the first lane on.
            sizes: the same, how many parts it has, at least one.
        """
        import numpy as np

        blocks, lanes = self._shape
        missing = ((0, 0), (0, 0), (0, -starts.shape[2] % lanes))
        filled = np.pad(starts, missing), np.pad(sizes, missing)  # a size of zero: no symbol
        first, second = (
            a.reshape(blocks, -1, lanes).swapaxes(0, 1).reshape(-1, blocks * lanes) for a in filled
        )
        self._steps.append((first, second))

    def finish(self) -> list[list[bytes]]:
        """Return the bytes of each lane, block after block."""
        import numpy as np

        starts, sizes = (np.concatenate(parts) for parts in zip(*self._steps, strict=True))
        blocks, lanes = self._shape
        if blocks * lanes <= FEW:
            columns = zip(starts.T.tolist(), sizes.T.tolist(), strict=True)
            found = [_encode_lane(*column) for column in columns]
        else:
            found = _encode_lanes(starts, sizes)
        return [found[i : i + lanes] for i in range(0, len(found), lanes)]


def _encode_lane(starts: list[int], sizes: list[int]) -> bytes:
    low, width = 0, FULL
    words: list[int] = []
    for start, size in zip(starts, sizes, strict=True):
        if not size:
            continue
        unit = width >> TOTAL_BITS
        low += start * unit
        width = size * unit
        if low > FULL:
            low &= FULL
            words[-1] += 1
        if width < MIN_RANGE:
            words.append(low >> WORD_BITS)
            low = low << WORD_BITS & FULL
            width <<= WORD_BITS
    return _bytes(words, low, width)


def _encode_lanes(starts: "Ints", sizes: "Ints") -> list[bytes]:
    """Return the bytes of each lane, of (symbols, lanes)."""
    import numpy as np

    steps, lanes = starts.shape
    low = np.zeros(lanes, np.uint64)
    width = np.full(lanes, FULL, np.uint64)
    words = np.zeros((lanes, steps + 1), np.uint64)
    count = np.zeros(lanes, np.int64)
    bits, total_bits = np.uint64(WORD_BITS), np.uint64(TOTAL_BITS)
    for start, size in zip(starts.astype(np.uint64), sizes.astype(np.uint64), strict=True):
        unit = width >> total_bits
        step = start * unit
        low += step
        over = low < step
        if over.any():
            words[over, count[over] - 1] += np.uint64(1)
        width = np.where(size > 0, size * unit, width)
        (full,) = np.nonzero(width < MIN_RANGE)
        if full.size:
            words[full, count[full]] = low[full] >> bits
            count[full] += 1
            low[full] <<= bits
            width[full] <<= bits
    ends = zip(words, count.tolist(), low.tolist(), width.tolist(), strict=True)
    return [_bytes(own[:number].tolist(), *end) for own, number, *end in ends]


def _bytes(words: list[int], low: int, width: int) -> bytes:
    """Return what words, each perhaps with a carry for the one before it, and the end make up."""
    for count in range(STATE_BITS // 8 + 1):
        rest = (1 << (STATE_BITS - 8 * count)) - 1
        value = (low + rest) & ~rest
        if value < low + width:
            break
    carry, digits = value >> STATE_BITS, []
    for word in reversed(words):
        carry, digit = divmod(word + carry, 1 << WORD_BITS)
        digits.append(digit.to_bytes(WORD_BYTES, "big"))
    end = (value & FULL).to_bytes(STATE_BITS // 8, "big")
    return (b"".join(reversed(digits)) + end).rstrip(b"\0")


class LaneDecoder:
    """Reads symbols from the bytes that `LaneEncoder` wrote; foreign bytes give some symbols.

    Args:
        payloads: of each lane, block after block.
    """

    def __init__(self, payloads: list[list[bytes]]) -> None:
        import numpy as np

        self._shape = len(payloads), len(payloads[0])
        lanes = [lane for block in payloads for lane in block]
        length = -(-max(map(len, lanes)) // WORD_BYTES) + 2  # the longest, and zeros behind it
        filled = b"".join(lane.ljust(length * WORD_BYTES, b"\0") for lane in lanes)
        words = np.frombuffer(filled, ">u4").astype(np.uint64).reshape(len(lanes), length)
        self._words, self._few = words, len(lanes) <= FEW
        self._code = words[:, 0] << np.uint64(WORD_BITS) | words[:, 1]  # less what lies below
        self._width = np.full(len(lanes), FULL, np.uint64)
        self._next = np.full(len(lanes), 2)

    def decode(self, cumulative: "Ints") -> "Ints":
        """Return the next symbols, (blocks, rows, columns).

        Args:
            cumulative: (blocks, rows, columns, K), how many of `TOTAL` parts each symbol and those
                before it have together; K a multiple of `GROUP`, and the last of them `TOTAL`.
        """
        return self._lane_by_lane(cumulative) if self._few else self._all_lanes(cumulative)

    def _lane_by_lane(self, cumulative: "Ints") -> "Ints":
        import numpy as np

        found, codes = np.empty(cumulative.shape[:3], np.int32), cumulative.shape[3]
        for number, words in enumerate(self._words):
            block, lane = divmod(number, self._shape[1])
            there = found[block, :, lane :: self._shape[1]]
            rows = np.ascontiguousarray(cumulative[block, :, lane :: self._shape[1]])
            flat: Any = rows.reshape(-1)
            bounds = memoryview(flat)  # few are looked at
            code, width = int(self._code[number]), int(self._width[number])
            first = int(self._next[number])
            ahead = iter(words[first : first + there.size].tolist())  # a step takes one at most
            symbols, taken = [], 0
            for begin in range(0, rows.size, codes):
                unit = width >> TOTAL_BITS
                target = code // unit
                if target >= TOTAL:  # what division left over belongs to nobody: foreign bytes
                    target = TOTAL - 1
                end = bisect_right(bounds, target, begin, begin + codes)
                start = bounds[end - 1] & (TOTAL - 1)  # before the first of a cell lies TOTAL
                code -= start * unit
                width = (bounds[end] - start) * unit
                if width < MIN_RANGE:
                    code = (code << WORD_BITS | next(ahead, 0)) & FULL
                    width <<= WORD_BITS
                    taken += 1
                symbols.append(end - begin)
            self._code[number], self._width[number] = code, width
            self._next[number] += taken
            there[:] = np.reshape(symbols, there.shape)
        return found

    def _all_lanes(self, cumulative: "Ints") -> "Ints":
        import numpy as np

        (blocks, lanes), (rows, columns, codes) = self._shape, cumulative.shape[1:]
        code, width, place = (
            a.reshape(blocks, lanes) for a in (self._code, self._width, self._next)
        )
        words, ends = self._words.reshape(blocks, lanes, -1), self._words.shape[1] - 1
        bounds = cumulative.reshape(-1)
        grouped = bounds.reshape(-1, codes // GROUP, GROUP)
        groups = np.ascontiguousarray(grouped[..., -1])
        cells = np.arange(blocks * rows * columns).reshape(blocks, rows, columns)
        found = np.empty(cells.shape, np.int32)
        bits, total_bits = np.uint64(WORD_BITS), np.uint64(TOTAL_BITS)
        for row in range(rows):
            for first in range(0, columns, lanes):
                here = cells[:, row, first : first + lanes]
                low, size = code[:, : here.shape[1]], width[:, : here.shape[1]]  # views
                unit = size >> total_bits
                target = np.minimum(low // unit, TOTAL - 1).astype(np.int32)[..., None]
                group = (groups[here] > target).argmax(2)
                symbol = group * GROUP + (grouped[here, group] > target).argmax(2)
                end = here * codes + symbol
                start = bounds[end - 1] & (TOTAL - 1)  # before the first of a cell lies TOTAL
                low -= start.astype(np.uint64) * unit
                size[:] = (bounds[end] - start).astype(np.uint64) * unit
                full = np.nonzero(size < MIN_RANGE)
                if full[0].size:
                    following = words[(*full, np.minimum(place[full], ends))]
                    low[full] = low[full] << bits | following
                    size[full] <<= bits
                    place[full] += 1
                found[:, row, first : first + lanes] = symbol
        return found
