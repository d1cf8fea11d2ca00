"""Fixed-width packing of indices."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 1 << 20  # indices at a time: unpacked bits take 16 times the room


def width_of(codebook_size: int) -> int:
    """Return ceil(log2 K), the bits that an index below K needs."""
    return max(1, (codebook_size - 1).bit_length())


def packed_bytes(count: int, width: int) -> int:
    """Return how many bytes `count` indices of `width` bits take."""
    return (count * width + 7) // 8


def pack(indices: "NDArray[np.uint16]", width: int) -> bytes:
    """Pack flat indices into `width` bits each, most significant bit first, zero-padded."""
    import numpy as np

    shifts = np.arange(width - 1, -1, -1, dtype=np.uint16)
    parts = []
    for start in range(0, len(indices), BLOCK):
        bits = (indices[start : start + BLOCK, None] >> shifts) & 1
        parts.append(np.packbits(bits.astype(np.uint8)).tobytes())
    return b"".join(parts)


def unpack(data: bytes, count: int, width: int) -> "NDArray[np.uint16]":
    """Reverse `pack`; `data` holds exactly `packed_bytes(count, width)` bytes."""
    import numpy as np

    indices = np.zeros(count, np.uint16)
    for start in range(0, count, BLOCK):
        number = min(BLOCK, count - start)
        chunk = np.frombuffer(data, np.uint8, packed_bytes(number, width), start * width // 8)
        bits = np.unpackbits(chunk, count=number * width).reshape(number, width)
        for bit in range(width):
            indices[start : start + number] |= bits[:, bit].astype(np.uint16) << (width - 1 - bit)
    return indices
