"""What a file can tell of a picture's colours beside its codes: a few numbers for each block.

In bytes: the step; then, by `vqcodec.coding.adaptive`, of each block in reading order, whether it
is smooth, and of its three numbers what is left once its neighbours of the same kind have told what
to expect (`Surroundings`). Pictures that this has to give back for ever lie in tests/golden.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqcodec.coding.adaptive import LIMIT, Guess, NumberDecoder, NumberEncoder, expecting
from vqcodec.errors import FormatError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 16  # pixels along the side of a block
MAX_STEP = 64
SHARES = 3  # luma and two of colour
GREY = (128, 0, 0)  # what is expected of the first smooth block
# What is expected at first, in thousandths, as photographs have it. Of numbers, how many are as
# foretold: by how much the neighbours differ, the last where too few are known;
ZEROS = (900, 620, 550, 400, 280, 200, 620)
CLASSES = len(ZEROS)
# of flags, how many blocks are smooth: by which of the left, upper and right upper one are.
SMOOTH = (8, 620, 150, 850, 100, 600, 600, 980)
NUMBERS = 4 * CLASSES  # contexts before those of flags: of luma and colours, of both kinds


@dataclass(frozen=True, eq=False)
class Tint:
    """Colours of the blocks of 16x16 pixels that a picture is cut into, as it is coded.

    Attributes:
        step: 8-bit levels in a unit of the numbers of blocks that are not smooth.
        numbers: (h, w, 3) int16, luma and two of colour (those of JPEG, around 0). Of a smooth
            block they are its mean colour in 8-bit levels, of any other, in steps, what is missing
            from the mean of what the codes say.
        smooth: (h, w) bool, whether a block is nothing but a slope between mean colours.
    """

    step: int
    numbers: "NDArray[np.int16]"
    smooth: "NDArray[np.bool_]"

    @functools.cached_property
    def packed(self) -> bytes:
        """What `pack` makes of it: asked for what it costs, and again for the file."""
        return pack(self)

    def __eq__(self, other: object) -> bool:
        """Compare everything, arrays by value."""
        import numpy as np

        return (
            isinstance(other, Tint)
            and self.step == other.step
            and np.array_equal(self.numbers, other.numbers)
            and np.array_equal(self.smooth, other.smooth)
        )

    __hash__ = None  # type: ignore[assignment]

    def check(self, coded_size: tuple[int, ...]) -> None:
        """Raise FormatError unless it is that of a picture coded at a size."""
        shape = blocks(coded_size)
        if (
            not 1 <= self.step <= MAX_STEP
            or self.numbers.shape != (*shape, SHARES)
            or self.numbers.dtype != "int16"
            or self.smooth.shape != shape
            or self.smooth.dtype != "bool"
            or int(abs(self.numbers.astype("int32")).max()) >= LIMIT // 2
        ):
            raise FormatError("the tint does not fit the picture")


def blocks(size: tuple[int, ...]) -> tuple[int, ...]:
    """Return how many blocks a picture has along each axis."""
    return tuple(-(-n // BLOCK) for n in size)


class Surroundings:
    """The numbers of the blocks so far, in reading order, and what they let expect of the next.

    Args:
        width: blocks in a row.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        nothing: list[tuple[int, ...] | None] = [None] * (width + 2)
        self._above = {False: nothing, True: nothing}
        self._last = {False: (0,) * SHARES, True: GREY}
        self._column = width

    def next(self) -> int:
        """Go on to the next block; return the context of its flag."""
        if self._column == self._width:
            # a column more on either side, which never holds anything
            self._row: dict[bool, list[tuple[int, ...] | None]] = {
                kind: [None] * (self._width + 2) for kind in (False, True)
            }
            self._before, self._above = self._above, self._row
            self._column = 0
        self._column += 1
        row, before, column = self._row[True], self._before[True], self._column
        known = (row[column - 1], before[column], before[column + 1])
        return sum(1 << i for i, numbers in enumerate(known) if numbers is not None)

    def expect(self, smooth: bool) -> list[tuple[int, int]]:
        """Return the expected value and the context of each number of the block."""
        row, before, column = self._row[smooth], self._before[smooth], self._column
        left, up = row[column - 1], before[column]
        corner, far = before[column - 1], before[column + 1]
        base = 2 * CLASSES * smooth
        places = (base, base + CLASSES, base + CLASSES)
        some = left or up or far or self._last[smooth]
        if left is None or up is None:
            return [(some[c], places[c] + CLASSES - 1) for c in range(SHARES)]
        found = []
        for c in range(SHARES):
            a, b = left[c], up[c]
            edge = a if corner is None else corner[c]
            differing = abs(a - edge) + abs(b - edge) + (0 if far is None else abs(far[c] - b))
            between = max(min(a, b), min(max(a, b), a + b - edge))
            found.append((between, places[c] + min(differing.bit_length(), CLASSES - 2)))
        return found

    def add(self, smooth: bool, numbers: tuple[int, ...]) -> None:
        """Tell what the block is."""
        self._row[smooth][self._column] = self._last[smooth] = numbers


def _guesses() -> list[Guess]:
    return [expecting(n) for _ in range(4) for n in ZEROS] + [Guess((1000 - n, n)) for n in SMOOTH]


def pack(tint: Tint) -> bytes:
    """Serialise; the shape is not told."""
    coder = NumberEncoder(_guesses())
    height, width = tint.smooth.shape
    around = Surroundings(width)
    numbers, flags = tint.numbers.tolist(), tint.smooth.tolist()
    for y, x in _places(height, width):
        smooth, own = flags[y][x], tuple(numbers[y][x])
        coder.symbol(NUMBERS + around.next(), int(smooth))
        for number, (expected, context) in zip(own, around.expect(smooth), strict=True):
            coder.encode(context, number - expected)
        around.add(smooth, own)
    return bytes([tint.step]) + coder.finish()


def unpack(content: bytes, coded_size: tuple[int, ...]) -> Tint:
    """Reverse `pack`.

    Raises:
        FormatError: it is damaged.
    """
    import numpy as np

    if not content or not 1 <= content[0] <= MAX_STEP:
        raise FormatError("damaged: the tint cannot be read")
    height, width = blocks(coded_size)
    coder = NumberDecoder(content[1:], _guesses())
    around = Surroundings(width)
    numbers = np.empty((height, width, SHARES), np.int16)
    flags = np.empty((height, width), bool)
    for y, x in _places(height, width):
        smooth = bool(coder.symbol(NUMBERS + around.next()))
        own = tuple(e + coder.decode(context) for e, context in around.expect(smooth))
        if max(map(abs, own)) >= LIMIT // 2:
            raise FormatError("damaged: the tint cannot be read")
        around.add(smooth, own)
        numbers[y, x], flags[y, x] = own, smooth
    return Tint(content[0], numbers, flags)


def _places(height: int, width: int) -> Iterator[tuple[int, int]]:
    return ((y, x) for y in range(height) for x in range(width))
