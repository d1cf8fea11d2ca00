"""Integers near zero to bytes and back, with frequencies that are learned on the way.

For the few numbers of a file that no trained prior knows. Encoder and decoder begin with the same
guess for each context and move it towards every symbol that they pass, in integers only.
"""

from collections.abc import Sequence

from vqcodec.coding.rangecoder import TOTAL, RangeDecoder, RangeEncoder

SYMBOLS = 32  # 0, -1, 1, -2, 2, ... -15, 15, and then what stands for any other number
ESCAPE = SYMBOLS - 1
BYTES = range(0, TOTAL + 1, TOTAL // 256)  # cumulative frequencies of what is not foreseen
FAST, SLOW = 4, 6  # a symbol moves a guess by 1 / 16 at first, by 1 / 64 in the end
EARLY = 32  # symbols after which it moves half as far
LIMIT = 1 << 15  # numbers lie below it, and not below its negative


class Guess:
    """How often each symbol is expected in one context.

    Args:
        shares: of the symbols, in any unit, to begin with.

    Attributes:
        cumulative: K + 1 cumulative frequencies, from 0 to `TOTAL`, all different.
    """

    __slots__ = ("_rate", "_seen", "cumulative")

    def __init__(self, shares: Sequence[int]) -> None:
        total, room, before = sum(shares), TOTAL - len(shares), 0
        self.cumulative = [0]
        for i, share in enumerate(shares, 1):
            before += share
            self.cumulative.append(i + before * room // total)
        self._rate, self._seen = FAST, 0

    def learn(self, symbol: int) -> None:
        """Expect a symbol more than before, and all others less."""
        moved, rate = self.cumulative, self._rate
        last = len(moved) - 1
        for i in range(1, last):  # every symbol keeps a share of 1
            moved[i] += (i + (TOTAL - last if i > symbol else 0) - moved[i]) >> rate
        self._seen += 1
        if rate < SLOW and self._seen == EARLY:
            self._rate, self._seen = rate + 1, 0


def expecting(zeros: int) -> Guess:
    """Return a guess of numbers: so many of 1,000 are 0, and the larger, the rarer."""
    shares, rest = [zeros << 20], (1000 - zeros) << 19
    while len(shares) < ESCAPE:
        share = rest * 2 * zeros // (1000 + zeros)  # so that 0 and all others are one geometric row
        shares += [share, share]
        rest -= share
    return Guess([*shares, max(1, 2 * rest)])


class NumberEncoder:
    """Collects numbers; `finish` returns their bytes.

    Args:
        guesses: one for each context that numbers are expected differently in.
    """

    def __init__(self, guesses: Sequence[Guess]) -> None:
        self._coder, self._guesses = RangeEncoder(), guesses
        self.finish = self._coder.finish

    def encode(self, context: int, number: int) -> None:
        """Add a number between -2^15 and 2^15."""
        folded = 2 * number if number >= 0 else -2 * number - 1
        symbol = min(folded, ESCAPE)
        self.symbol(context, symbol)
        if symbol == ESCAPE:
            for byte in folded.to_bytes(2, "big"):
                self._coder.encode(BYTES[byte], BYTES.step)

    def symbol(self, context: int, symbol: int) -> None:
        """Add one of the symbols of a context."""
        guess = self._guesses[context]
        start, end = guess.cumulative[symbol : symbol + 2]
        self._coder.encode(start, end - start)
        guess.learn(symbol)


class NumberDecoder:
    """Reads numbers from the bytes that `NumberEncoder` wrote; foreign bytes give some numbers."""

    def __init__(self, data: bytes, guesses: Sequence[Guess]) -> None:
        self._coder, self._guesses = RangeDecoder(data), guesses

    def decode(self, context: int) -> int:
        """Return the next number."""
        folded = self.symbol(context)
        if folded == ESCAPE:
            folded = self._coder.decode(BYTES) << 8
            folded |= self._coder.decode(BYTES)
        return -(folded >> 1) - 1 if folded & 1 else folded >> 1

    def symbol(self, context: int) -> int:
        """Return the next of the symbols of a context."""
        guess = self._guesses[context]
        symbol = self._coder.decode(guess.cumulative)
        guess.learn(symbol)
        return symbol
