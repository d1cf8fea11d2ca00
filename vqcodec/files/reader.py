"""Reading bytes off the front of a file, and numbers of few bytes."""

from vqcodec.errors import FormatError


class Reader:
    """Takes bytes off the front; running out of them is an error."""

    def __init__(self, data: bytes) -> None:
        self.data, self.position = data, 0

    @property
    def left(self) -> int:
        """Bytes that have not been taken."""
        return len(self.data) - self.position

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        if count > self.left:
            raise FormatError(f"truncated after {len(self.data):,} bytes")
        self.position += count
        return self.data[self.position - count : self.position]

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


def varint(value: int) -> bytes:
    """Spell a number as `Reader.varint` reads it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
