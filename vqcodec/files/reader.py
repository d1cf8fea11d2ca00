"""Reading bytes off the front of a file or a stream, and numbers of few bytes."""

from typing import BinaryIO

from vqcodec.errors import FormatError

MAX_AT_ONCE = 1 << 20  # bytes that a stream may ask for, whatever a length in it says


class Truncated(FormatError):
    """The bytes end before what was to be read."""


class Reader:
    """Takes bytes off the front; running out of them is an error."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0
        self._mark = 0

    @property
    def left(self) -> int:
        """Bytes that have not been taken."""
        return len(self.data) - self.position

    @property
    def ended(self) -> bool:
        """Whether nothing is left."""
        return not self.left

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        if count > self.left:
            raise Truncated(f"truncated after {len(self.data):,} bytes")
        self.position += count
        return self.data[self.position - count : self.position]

    def passed(self) -> bytes:
        """Return all that was taken since the last call."""
        self._mark, start = self.position, self._mark
        return self.data[start : self.position]

    def varint(self) -> int:
        """Return a number of 7 bits a byte, low bits first; each has one spelling."""
        value = 0
        for place in range(9):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                if place and not byte:
                    break
                return value
        raise FormatError("damaged: a number in it is malformed")


class StreamReader(Reader):
    """Takes bytes off a stream as they come, and forgets those that `passed` has returned."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(b"")
        self._file, self._gone = file, 0

    @property
    def ended(self) -> bool:
        """Whether nothing is left; waits for the stream to end or go on."""
        if not self.left:
            self.data += self._file.read(1)
        return not self.left

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        missing = min(count, MAX_AT_ONCE) - self.left
        if missing > 0:
            self.data += self._file.read(missing)
        if count > self.left:
            raise Truncated(f"truncated after {self._gone + len(self.data):,} bytes")
        return super().take(count)

    def passed(self) -> bytes:
        """Return all that was taken since the last call."""
        found, self.data = self.data[: self.position], self.data[self.position :]
        self._gone += self.position
        self.position = 0
        return found


def varint(value: int) -> bytes:
    """Spell a number as `Reader.varint` reads it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
