"""A video that is being read: what every reader of files gives."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from vqcodec.errors import MediaError
from vqcodec.files.contents import MAX_DURATION, MAX_FRAME_RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

INSTALL = "to read and write video: pip install 'vqcodec[video]'"
WHITE = (255, 255, 255)


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
