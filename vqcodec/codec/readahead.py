"""Pictures of many files, read a few ahead, so that those of one size are computed together."""

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from vqcodec.errors import MediaError, VqcodecError
from vqcodec.files.codes import Codes
from vqcodec.media.image import Image

READ_AHEAD, MAX_AHEAD = 1 << 21, 1 << 10  # pixels, and files, that are held


def encode_in_turns(
    encode: Callable[[list[Image]], list[Codes]], files: Iterable[tuple[str, Any]]
) -> Iterator[Codes | VqcodecError]:
    """Yield the codes of files, in their order, or what is wrong with one of them.

    Args:
        encode: returns the codes of pictures.
        files: what messages call each, and its bytes, or what `Image.of` takes.
    """
    found: list[Image | VqcodecError] = []
    room = READ_AHEAD
    for name, data in files:
        try:
            image = _open(name, data)
            room -= image.size[0] * image.size[1]
            found.append(image)
        except VqcodecError as error:
            found.append(error)
        if room <= 0 or len(found) >= MAX_AHEAD:
            yield from _encoded(encode, found)
            found, room = [], READ_AHEAD
    yield from _encoded(encode, found)


def _encoded(
    encode: Callable[[list[Image]], list[Codes]], found: list[Image | VqcodecError]
) -> Iterator[Codes | VqcodecError]:
    codes = iter(encode([image for image in found if isinstance(image, Image)]))
    for image in found:
        yield next(codes) if isinstance(image, Image) else image


def _open(name: str, data: Any) -> Image:
    """Return the picture that a file holds, or what `Image.of` takes for one."""
    if isinstance(data, bytes):
        return Image.open(io.BytesIO(data), name)
    try:
        return Image.of(data)
    except TypeError as error:
        raise MediaError(f"{name}: {error}") from None
