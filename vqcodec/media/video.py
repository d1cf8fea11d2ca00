"""Video files, frame after frame: 8-bit sRGB pictures, each with how long it is shown."""

import contextlib
import math
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from vqcodec.errors import MediaError
from vqcodec.media.animation import open_animation
from vqcodec.media.soundfiles import peek
from vqcodec.media.videoformats import ANIMATED
from vqcodec.media.videopyav import open_stream
from vqcodec.media.videoreader import VideoReader

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

HEAD = 4096  # bytes that tell of what kind a file is


@dataclass(frozen=True)
class Video:
    """A short video in memory.

    Attributes:
        pixels: (T, H, W, 3) uint8.
        rate: ticks a second.
        durations: of each frame in ticks, (T,) int64.
        notes: see `VideoReader`.
    """

    pixels: "Pixels"
    rate: Fraction
    durations: "NDArray[np.int64]"
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, reader: VideoReader, most: int | None = None) -> "Video":
        """Read a video, or its first frames.

        Args:
            reader: of it.
            most: bytes that its pictures may take.

        Raises:
            MediaError: it is damaged, or takes more.
        """
        import numpy as np

        pixels, durations, room = [], [], math.inf if most is None else most
        for frame in reader.frames():
            room -= frame.pixels.nbytes
            if room < 0:
                raise MediaError(f"{reader.name}: too long to be held in memory; cut it up")
            pixels.append(frame.pixels)
            durations.append(frame.duration)
        notes = tuple(reader.notes)
        return cls(np.stack(pixels), reader.rate, np.array(durations, np.int64), notes)


@contextlib.contextmanager
def open_video(
    file: str | Path | BinaryIO, name: str | None = None, *, sound: bool = False
) -> Iterator[VideoReader]:
    """Open a video, or an animated picture.

    Args:
        file: a path or a binary stream. Streams that cannot seek are read as they come, or by way
            of a temporary copy where their format needs it.
        name: what messages call it; the path by default.
        sound: whether its sound track will be asked for.

    Raises:
        MediaError: there is none, it cannot be read, or holds no moving pictures.
    """
    name = name or str(file)
    with contextlib.ExitStack() as stack:
        if isinstance(file, str | Path):
            try:
                file = stack.enter_context(Path(file).open("rb"))
            except OSError as error:
                missing = isinstance(error, FileNotFoundError)
                reason = "no such file" if missing else f"cannot be read ({error.strerror})"
                raise MediaError(f"{name}: {reason}") from None
        head, file = peek(file, HEAD)
        if not head:
            raise MediaError(f"{name}: empty file")
        animated = head.startswith(ANIMATED) and head[8:12] != b"AVI "
        at_its_end = head[4:8] == b"ftyp" and b"moov" not in head  # is what tells of its frames
        if not file.seekable() and (animated or at_its_end or sound):
            copy = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(file, copy)
            copy.seek(0)
            file = cast(BinaryIO, copy)
        if animated:
            yield stack.enter_context(open_animation(file, name))
        else:
            yield stack.enter_context(open_stream(file, name))
