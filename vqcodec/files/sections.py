"""What a ``.vqc`` file can hold beside indices: what a picture, a sound or a video tells."""

import dataclasses
import math
import zlib
from typing import TYPE_CHECKING

from vqcodec.errors import FormatError
from vqcodec.files.contents import AudioInfo, ImageInfo, MediaInfo, VideoInfo
from vqcodec.files.reader import Reader, varint
from vqcodec.files.tint import unpack

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

END, ALPHA, SOUND, VIDEO, TINT = 0, 1, 2, 3, 4


def write_sections(media: MediaInfo) -> bytes:
    """Return the sections of a file and their end; nothing where there are none."""
    sections = []
    if isinstance(media, ImageInfo) and media.alpha is not None:
        sections.append((ALPHA, _pack_alpha(media.alpha)))
    if isinstance(media, ImageInfo) and media.tint is not None:
        sections.append((TINT, media.tint.packed))
    if isinstance(media, AudioInfo) and (media.sample_rate or media.level or media.speaker):
        level = media.level.to_bytes(1, "little", signed=True)
        sections.append((SOUND, varint(media.sample_rate) + level + media.speaker))
    if isinstance(media, VideoInfo) and media.frame_rate != (0, 1):
        sections.append((VIDEO, b"".join(map(varint, media.frame_rate))))
    if not sections:
        return b""
    parts = [bytes([kind]) + varint(len(content)) + content for kind, content in sections]
    return b"".join([*parts, bytes([END])])


def read_sections(read: Reader, media: MediaInfo) -> MediaInfo:
    """Reverse `write_sections`: return `media` with what they say; unknown ones are skipped."""
    known = set()
    while (kind := read.take(1)[0]) != END:
        content = Reader(read.take(read.varint()))
        if kind in known:
            raise FormatError("damaged: it tells something twice")
        if kind in (ALPHA, SOUND, VIDEO, TINT):
            media = _told(kind, content, media)
            known.add(kind)
    return media


def _told(kind: int, content: Reader, media: MediaInfo) -> MediaInfo:
    """Return `media` with what a section says.

    Raises:
        FormatError: it is damaged, or of another medium.
    """
    if kind == ALPHA and isinstance(media, ImageInfo):
        alpha = _unpack_alpha(content.take(content.left), media.size)
        return dataclasses.replace(media, alpha=alpha)
    if kind == TINT and isinstance(media, ImageInfo):
        tint = unpack(content.take(content.left), media.coded_size)
        return dataclasses.replace(media, tint=tint)
    if kind == SOUND and isinstance(media, AudioInfo):
        rate, level = content.varint(), int.from_bytes(content.take(1), "little", signed=True)
        speaker = content.take(content.left)
        return dataclasses.replace(media, sample_rate=rate, level=level, speaker=speaker)
    if kind == VIDEO and isinstance(media, VideoInfo):
        rate, seconds = content.varint(), content.varint()
        if not content.ended or (rate, seconds) == (0, 1):
            raise FormatError("damaged: the frame rate is malformed")
        return dataclasses.replace(media, frame_rate=(rate, seconds))
    raise FormatError("damaged: it tells of another medium")


def _pack_alpha(alpha: "NDArray[np.uint8]") -> bytes:
    import numpy as np

    above = np.vstack([np.zeros_like(alpha[:1]), alpha[:-1]])
    return zlib.compress((alpha - above).tobytes(), 9)


def _unpack_alpha(content: bytes, size: tuple[int, ...]) -> "NDArray[np.uint8]":
    import numpy as np

    total = math.prod(size)
    # deflate cannot shrink by more than 1,032 times, so the claim is checked before it is met
    if len(size) != 2 or total > 1100 * len(content):
        raise FormatError("damaged: the transparency does not fit the picture")
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(content, total)
        # The output limit may stop just before the checksum is looked at.
        rest = b"" if inflate.eof else inflate.decompress(inflate.unconsumed_tail, 1)
    except zlib.error:
        raise FormatError("damaged: the transparency cannot be read") from None
    if len(raw) != total or rest or not inflate.eof or inflate.unused_data:
        raise FormatError("damaged: the transparency does not fit the picture")
    return np.cumsum(np.frombuffer(raw, np.uint8).reshape(size), axis=0, dtype=np.uint8)
