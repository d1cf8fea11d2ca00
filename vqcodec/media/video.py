"""Video files, frame after frame: 8-bit sRGB pictures, each with how long it is shown."""

import contextlib
import math
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

from vqcodec.errors import MediaError
from vqcodec.files.contents import MAX_DURATION, MAX_FRAME_RATE
from vqcodec.media.soundfiles import peek
from vqcodec.media.videoformats import ANIMATED

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

INSTALL = "to read and write video: pip install 'vqcodec[video]'"
WHITE = (255, 255, 255)
HEAD = 4096  # bytes that tell of what kind a file is


class Frame(NamedTuple):
    """One picture of a video.

    Attributes:
        pixels: (H, W, 3) uint8.
        duration: how long it is shown, in ticks.
    """

    pixels: "Pixels"
    duration: int


class Timed(NamedTuple):
    """A picture as readers give it.

    Attributes:
        pixels: (H, W, 3) uint8.
        time: when it is shown, in seconds; None where the file does not say.
        shown: for how long, in seconds; 0 where the file does not say.
    """

    pixels: "Pixels"
    time: Fraction | None
    shown: Fraction


@dataclass
class VideoReader:
    """A video that is being read.

    Attributes:
        name: what messages call it.
        size: height and width of its pictures.
        rate: ticks a second, in which durations are told.
        expected: about how many frames there are; None where the file does not say.
        announced: how many the file says there are; 0 where it does not.
        has_sound: whether there is a sound track as well.
        pictures: them, in the order they are shown in.
        notes: what a user should know about how it is read; complete when all has been read.
    """

    name: str
    size: tuple[int, int]
    rate: Fraction
    expected: int | None
    announced: int
    has_sound: bool
    pictures: Iterator[Timed] = field(repr=False)
    notes: list[str] = field(default_factory=list)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames.

        Raises:
            MediaError: the file is damaged, or the size of its pictures changes.
        """
        shown, at, number = next(self.pictures), 0, 1
        for following in self.pictures:
            if following.pixels.shape != shown.pixels.shape:
                (a, b), (c, d) = (p.pixels.shape[:2] for p in (shown, following))
                raise MediaError(
                    f"{self.name}: changes its size on the way, from {b}×{a} to {d}×{c} pixels at "
                    f"frame {number + 1:,}"
                )
            then = at + max(1, round(shown.shown * self.rate))
            if following.time is not None:  # what is out of order is shown for one tick
                then = max(at + 1, round(following.time * self.rate))
            yield Frame(shown.pixels, self._checked(then - at))
            shown, at, number = following, then, number + 1
        last = round(shown.shown * self.rate) or round(at / max(1, number - 1))
        yield Frame(shown.pixels, self._checked(max(1, last)))
        if self.announced > number:
            self.notes.append(f"holds {number:,} of the {self.announced:,} frames it announces")

    def _checked(self, ticks: int) -> int:
        if ticks > MAX_DURATION:
            raise MediaError(f"{self.name}: shows a frame longer than any video may")
        return ticks


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
            from vqcodec.media.animation import open_animation

            yield stack.enter_context(open_animation(file, name))
        else:
            from vqcodec.media.videopyav import open_stream

            yield stack.enter_context(open_stream(file, name))


def check_rate(rate: Fraction, name: str) -> Fraction:
    """Return a number of ticks a second; raise MediaError for one that no file can tell."""
    if not 0 < rate or max(rate.numerator, rate.denominator) > MAX_FRAME_RATE:
        raise MediaError(f"{name}: has {rate} frames or ticks a second, which cannot be")
    return rate


def ticks_of(durations: "Iterable[Fraction]") -> Fraction:
    """Return ticks a second such that each of some durations, in seconds, is a whole number."""
    denominator = 1
    for duration in durations:
        denominator = math.lcm(denominator, duration.denominator)
    return Fraction(denominator)
