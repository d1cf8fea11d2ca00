"""Colour that a picture names by numbers, as video does: ITU-T H.273.

Pillow reads the pixels and leaves the numbers; pictures in high dynamic range have nothing else.
"""

import struct
from typing import BinaryIO

PNG = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 1000  # of PNG, before its pixels
AVIF_HEAD = 1 << 16  # bytes of AVIF that hold its properties
# by number, those that look as sRGB does, or nearly so, are left out
PRIMARIES = {4: "System M", 8: "film", 9: "BT.2020", 10: "XYZ", 11: "DCI-P3", 12: "Display P3"}
CURVES = {8: "linear light", 16: "PQ", 17: "SMPTE 428", 18: "HLG"}
LIKE_SRGB = ({1, 2, 5, 6, 7}, {1, 2, 4, 6, 13, 14, 15})  # primaries and curves


def colour_note(file: BinaryIO) -> tuple[str, ...]:
    """Say that a picture's colours will be off, where its numbers name others than those of sRGB.

    Args:
        file: it can seek, and is left where it is.
    """
    place = file.tell()
    numbers = _numbers(file)
    file.seek(place)
    if numbers is None or all(n in known for n, known in zip(numbers, LIKE_SRGB, strict=True)):
        return ()
    primaries, curve = numbers
    names = [PRIMARIES.get(primaries, ""), CURVES.get(curve, "")]
    said = " with ".join(name for name in names if name) or f"number {primaries}/{curve} of H.273"
    return (f"its colours ({said}) were taken as sRGB and will be off",)


def _numbers(file: BinaryIO) -> tuple[int, int] | None:
    """Return the numbers of primaries and curve."""
    head = file.read(12)
    if head[:8] == PNG:
        file.seek(-4, 1)
        return _of_png(file)
    if head[4:] in (b"ftypavif", b"ftypavis"):
        data = file.read(AVIF_HEAD)
        at = data.find(b"colrnclx")
        if 0 <= at <= len(data) - 12 and b"colrprof" not in data:  # a profile is used instead
            primaries, curve = struct.unpack_from(">HH", data, at + 8)
            return primaries, curve
    return None


def _of_png(file: BinaryIO) -> tuple[int, int] | None:
    for _ in range(MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8 or head[4:] in (b"IDAT", b"IEND"):
            return None
        if head[4:] == b"cICP":
            said = file.read(4)
            return (said[0], said[1]) if head[:4] == b"\0\0\0\4" and len(said) == 4 else None
        file.seek(int.from_bytes(head[:4], "big") + 4, 1)
    return None
