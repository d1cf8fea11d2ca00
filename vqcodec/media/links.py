"""Where one sound ends and the next begins, in files that hold several.

Recordings of radio, and ``cat a b``, give such files; libsndfile reads the first sound of them and
is silent about the others.
"""

import itertools
import os
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

from vqcodec.media.spans import Spans

CHUNK = 1 << 20  # bytes that are looked through at once
FIRST_PAGE = 2  # a flag of a page of Ogg
FLAC = (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22")  # its first block, of 34 bytes, always follows


def links(file: BinaryIO, head: bytes, most: int) -> list[Spans]:
    """Return each sound of a file as a file of its own; none where there is but one.

    Args:
        file: it can seek, and is at its beginning.
        head: its first 12 bytes.
        most: behind so many sounds and one more, no others are looked for.
    """
    find: Callable[[BinaryIO], Iterator[int]]
    if head[:4] == b"OggS":
        find = _ogg
    elif head[:4] == b"fLaC":
        find = _flac
    elif head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        find = _wav
    else:
        return []
    begin = file.tell()
    starts = list(itertools.islice(find(file), most + 1))
    end = file.seek(0, os.SEEK_END)
    file.seek(begin)
    if len(starts) < 2:
        return []
    return [Spans(file, [span]) for span in zip(starts, [*starts[1:], end], strict=True)]


def _ogg(file: BinaryIO) -> Iterator[int]:
    """Yield where the links of a chain begin: RFC 3533, sections 4 and 6."""
    place, between = file.tell(), False
    yield place
    while True:
        file.seek(place)
        page = file.read(27)
        if len(page) < 27:
            return
        if page[:4] != b"OggS":
            found = next(_places(file, place + 1, (b"OggS",)), None)
            if found is None:
                return
            place = found
            continue
        first = bool(page[5] & FIRST_PAGE)
        if first and between:  # streams side by side have all their first pages at the beginning
            yield place
        between = not first
        place += 27 + page[26] + sum(file.read(page[26]))


def _flac(file: BinaryIO) -> Iterator[int]:
    return _places(file, file.tell(), FLAC)


def _wav(file: BinaryIO) -> Iterator[int]:
    place = file.tell()
    while True:
        file.seek(place)
        header = file.read(12)
        if len(header) < 12 or header[:4] != b"RIFF" or header[8:] != b"WAVE":
            return
        yield place
        size = struct.unpack("<I", header[4:8])[0]
        place += 8 + size + (size & 1)


def _places(file: BinaryIO, place: int, wanted: tuple[bytes, ...]) -> Iterator[int]:
    """Yield where any of some words lies in a file, from a place on."""
    longest = max(map(len, wanted))
    file.seek(place)
    kept = b""
    while chunk := file.read(CHUNK):
        data = kept + chunk
        found = []
        for word in wanted:
            at = data.find(word)
            while at >= 0:
                found.append(place + at)
                at = data.find(word, at + 1)
        yield from sorted(found)
        kept = data[max(0, len(data) - longest + 1) :]
        place += len(data) - len(kept)
