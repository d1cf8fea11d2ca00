"""A range coder: symbols of known frequencies to bytes and back, in integers only.

Martin's range coding (1979) with 48 bits of state: frequencies sum to `TOTAL` = 2^16, the range
stays at 2^40 or more, so its division by 2^16 wastes less than 2^-24 of it. Carries are added to
the bytes already written. The end costs as few bytes as tell the last range from its neighbours:
the decoder reads zeros behind the end.
"""

from bisect import bisect_right
from collections.abc import Sequence

TOTAL_BITS = 16
TOTAL = 1 << TOTAL_BITS
STATE_BITS = 48
MIN_RANGE = 1 << (STATE_BITS - 8)
MASK = (1 << STATE_BITS) - 1


class RangeEncoder:
    """Collects symbols; `finish` returns their bytes."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._low = 0
        self._range = 1 << STATE_BITS

    def encode(self, start: int, size: int) -> None:
        """Add a symbol whose share of `TOTAL` is [start, start + size), size >= 1."""
        unit = self._range >> TOTAL_BITS
        self._low += start * unit
        self._range = size * unit
        if self._low > MASK:
            self._low &= MASK
            self._carry()
        while self._range < MIN_RANGE:
            self._out.append(self._low >> (STATE_BITS - 8))
            self._low = (self._low << 8) & MASK
            self._range <<= 8

    def _carry(self) -> None:
        position = len(self._out) - 1
        while self._out[position] == 0xFF:
            self._out[position] = 0
            position -= 1
        self._out[position] += 1

    def finish(self) -> bytes:
        """Return all bytes. The encoder must not be used afterwards."""
        for count in range(STATE_BITS // 8 + 1):
            rest = (1 << (STATE_BITS - 8 * count)) - 1
            value = (self._low + rest) & ~rest
            if value < self._low + self._range:
                break
        if value > MASK:
            value &= MASK
            self._carry()
        self._out += value.to_bytes(STATE_BITS // 8, "big")[:count]
        return bytes(self._out)


class RangeDecoder:
    """Reads symbols from the bytes that `RangeEncoder` wrote; foreign bytes give some symbols."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = STATE_BITS // 8
        self._code = int.from_bytes(data[: self._position].ljust(self._position, b"\0"), "big")
        self._range = 1 << STATE_BITS

    def decode(self, cumulative: Sequence[int]) -> int:
        """Return the next symbol, given the K + 1 cumulative frequencies from 0 to `TOTAL`."""
        unit = self._range >> TOTAL_BITS
        # what division left over belongs to nobody: only foreign bytes point there
        target = min(self._code // unit, TOTAL - 1)
        symbol = bisect_right(cumulative, target) - 1
        self._code -= cumulative[symbol] * unit
        self._range = (cumulative[symbol + 1] - cumulative[symbol]) * unit
        while self._range < MIN_RANGE:
            following = self._data[self._position] if self._position < len(self._data) else 0
            self._position += 1
            self._code = (self._code << 8 | following) & MASK
            self._range <<= 8
        return symbol
