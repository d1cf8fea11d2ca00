"""Video files as PyAV reads them."""

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

from vqcodec.errors import MediaError
from vqcodec.media.image import Image, check_size
from vqcodec.media.pyav import DecodedSound
from vqcodec.media.soundreader import SoundReader
from vqcodec.media.videoformats import OPTIONS, moving
from vqcodec.media.videoreader import INSTALL, WHITE, Timed, VideoReader, check_rate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

HDR = {16: "PQ", 18: "HLG"}  # transfer functions, by their numbers in ITU-T H.273
BT709, UNSPECIFIED = 1, 2  # colour spaces, likewise
HD = 720  # rows from which on colours that are not told are those of BT.709


@contextlib.contextmanager
def open_stream(file: BinaryIO, name: str) -> Iterator[VideoReader]:
    """Open a container and its first stream of moving pictures.

    Raises:
        MediaError: PyAV is not installed, or there is no video in it that can be read.
    """
    try:
        import av
    except ImportError:
        raise MediaError(f"{name}: is a video; {INSTALL}") from None
    try:
        container: Any = av.open(file, options=OPTIONS, metadata_errors="replace")
    except (av.FFmpegError, ValueError, OSError) as error:
        raise _damaged(name, error) from None
    with container:
        stream = moving(container)
        if stream is None:
            sound = " but sound" if container.streams.audio else ""
            raise MediaError(f"{name}: holds no moving pictures{sound}")
        try:
            check_size(stream.height, stream.width, name)
            stream.thread_type = "AUTO"
        except (ValueError, AttributeError):
            raise MediaError(f"{name}: holds no pictures that can be decoded") from None
        yield _reader(container, stream, name)


@contextlib.contextmanager
def open_track(file: BinaryIO, name: str) -> Iterator[SoundReader]:
    """Open the first sound track of a container.

    Raises:
        MediaError: it cannot be read.
    """
    import av

    try:
        container: Any = av.open(file, options=OPTIONS, metadata_errors="replace")
    except (av.FFmpegError, ValueError, OSError) as error:
        raise _damaged(name, error) from None
    with container:
        sound = DecodedSound(container, name, "video")
        yield SoundReader(name, sound.channels, sound.sample_rate, None, sound.read)


def _reader(container: Any, stream: Any, name: str) -> VideoReader:
    import av

    notes: list[str] = []
    pictures = _pictures(container, stream, name, notes)
    first = next(pictures, None)
    if first is None:
        raise MediaError(f"{name}: holds no frames")

    def chain() -> Iterator[Timed]:
        yield first
        yield from pictures

    guessed = Fraction(stream.average_rate or stream.guessed_rate or 25)
    base = Fraction(stream.time_base) if stream.time_base else 1 / guessed
    rate = check_rate(1 / base if first.time is not None else guessed, name)
    size = first.pixels.shape[0], first.pixels.shape[1]
    expected = stream.frames or None
    if expected is None and container.duration and 0 < container.duration < 1 << 48:
        expected = round(Fraction(container.duration, av.time_base) * guessed)
    sound = bool(container.streams.audio)
    return VideoReader(name, size, rate, expected, stream.frames, sound, chain(), notes)


def _pictures(container: Any, stream: Any, name: str, notes: list[str]) -> Iterator[Timed]:
    """Yield what is decoded, in the order it is shown in, times from the first frame on."""
    import av

    start: Fraction | None = None
    number = 0
    try:
        for frame in container.decode(stream):
            if frame.is_corrupt:
                raise MediaError(f"{name}: damaged at frame {number + 1:,}")
            if not number:
                _tell(frame, stream, notes)
            base = Fraction(frame.time_base or stream.time_base or 1)
            time = None if frame.pts is None else frame.pts * base
            start = time if start is None else start
            shown = Fraction(frame.duration or 0) * base
            yield Timed(_pixels(frame, name), None if time is None else time - start, shown)
            number += 1
    except (av.FFmpegError, ValueError, OSError) as error:
        raise _damaged(name, error, number) from None


def _pixels(frame: Any, name: str) -> "Pixels":
    """Return a frame as it is to be seen: (H, W, 3) in 8 bits, upright, on white."""
    import numpy as np

    check_size(frame.height, frame.width, name)
    alpha = any(c.is_alpha for c in frame.format.components) or frame.format.has_palette
    told: dict[str, Any] = {"format": "rgba" if alpha else "rgb24"}
    if frame.colorspace == UNSPECIFIED and frame.height >= HD and not frame.format.is_rgb:
        told["src_colorspace"] = BT709
    pixels: Pixels = frame.to_ndarray(**told)
    if alpha:
        opacity = pixels[..., 3]
        pixels = Image(np.ascontiguousarray(pixels[..., :3]), opacity).flatten(WHITE).pixels
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels


def _tell(frame: Any, stream: Any, notes: list[str]) -> None:
    """Note what becomes of a video that 8-bit sRGB does not hold."""
    if curve := HDR.get(frame.color_trc):
        notes.append(f"HDR ({curve}) is taken for standard brightness, and looks flat")
    if any(c.is_alpha for c in frame.format.components):
        notes.append("transparency is put on white")
    ratio = stream.sample_aspect_ratio
    if ratio and ratio != 1:
        notes.append(
            f"its pixels are not square ({ratio.numerator}:{ratio.denominator}); they are coded as "
            "if they were"
        )


def _damaged(name: str, error: Exception, frames: int = 0) -> MediaError:
    reason = getattr(error, "strerror", None) or type(error).__name__
    after = f" after {frames:,} frames" if frames else ""
    return MediaError(f"{name}: damaged or unsupported video{after} ({reason})")
