"""Animated pictures, GIF, WebP and APNG, as Pillow reads them."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, BinaryIO

from vqcodec.errors import MediaError
from vqcodec.media.image import Image, check_size
from vqcodec.media.videoreader import WHITE, Timed, VideoReader, check_rate, ticks_of

if TYPE_CHECKING:
    from PIL import Image as Pillow

STILL = Fraction(1, 10)  # seconds that a frame is shown where nothing, or 0, is said
MAX_FRAMES = 1 << 20


@contextlib.contextmanager
def open_animation(file: BinaryIO, name: str) -> Iterator[VideoReader]:
    """Open an animated picture; a still one is a video of one frame.

    Args:
        file: that can seek.
        name: what messages call it.

    Raises:
        MediaError: it is no picture, damaged, or too large.
    """
    from PIL import Image as Pillow

    with _telling(name), Pillow.open(file) as picture:
        check_size(picture.height, picture.width, name)
        number = getattr(picture, "n_frames", 1)
        if number > MAX_FRAMES:
            raise MediaError(f"{name}: has more than {MAX_FRAMES:,} frames")
        durations = [_duration(picture, i) for i in range(number)]
        rate = check_rate(ticks_of(durations), name)
        notes: list[str] = []
        pictures = _pictures(picture, durations, notes, name)
        size = picture.height, picture.width
        yield VideoReader(name, size, rate, number, 0, False, pictures, notes)


def _duration(picture: "Pillow.Image", number: int) -> Fraction:
    picture.seek(number)
    if picture.format == "WEBP":
        picture.load()  # which tells it
    milliseconds = Fraction(picture.info.get("duration") or 0).limit_denominator(1000)
    return milliseconds / 1000 if milliseconds > 0 else STILL


def _pictures(
    picture: "Pillow.Image", durations: list[Fraction], notes: list[str], name: str
) -> Iterator[Timed]:
    time = Fraction(0)
    with _telling(name):
        for number, duration in enumerate(durations):
            picture.seek(number)
            image = Image.of(picture)
            if image.alpha is not None and not notes:
                notes.append("transparency is put on white")
            yield Timed(image.flatten(WHITE).pixels, time, duration)
            time += duration


@contextlib.contextmanager
def _telling(name: str) -> Iterator[None]:
    try:
        yield
    except (MediaError, GeneratorExit):
        raise
    except Exception as error:  # decoders raise whatever they like on damaged files
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MediaError(f"{name}: damaged or unsupported animation ({reason})") from None
