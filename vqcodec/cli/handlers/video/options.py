"""Options of commands that are for video alone."""

from dataclasses import dataclass, field
from pathlib import Path

from vqcodec.cli.handlers.image.options import Sampling as Pictures
from vqcodec.errors import UsageError

WORLD = "video-frames"  # the weights that imagine where nobody names any


@dataclass(frozen=True)
class Encoding:
    """How videos are to be encoded.

    Attributes:
        scale: code frames smaller by this factor.
        quality: 1 to 100, of weights that code every quality.
        rate_weight: choose codes by their bits, too, see `VideoCodec.encode`.
        verify: decode again.
        video: take animated pictures for videos.
        sound: code the sound track, too.
    """

    scale: float | None = None
    quality: int | None = None
    rate_weight: float | None = None
    verify: bool = False
    video: bool = False
    sound: bool = False

    def __post_init__(self) -> None:
        if self.scale is not None and not 0 < self.scale <= 1:
            raise UsageError(f"--scale is {self.scale}, must be above 0 and at most 1")
        if self.quality is not None and self.rate_weight is not None:
            raise UsageError("--quality and --rate-weight exclude each other")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UsageError(f"--quality is {self.quality}, must be 1 to 100")
        if self.rate_weight is not None and not 0 <= self.rate_weight <= 1e9:
            raise UsageError(f"--rate-weight is {self.rate_weight}, must be 0 to 1e9")

    @property
    def rated(self) -> bool:
        """Whether a rate is asked for."""
        return self.quality is not None or self.rate_weight is not None


@dataclass(frozen=True)
class Sampling:
    """What to draw.

    Attributes:
        size: width and height of the frames, such as ``96x96``.
        frames: how many.
        actions: that lead from each to the next, such as ``forward*5,turn_left*5``.
    """

    size: str | None = None
    frames: int | None = None
    actions: str | None = None

    def __post_init__(self) -> None:
        self.shape(96)  # or an error before any work

    def shape(self, side: int) -> tuple[int, int]:
        """Return (width, height) in pixels, squares of a side where nothing is asked."""
        return Pictures(size=self.size or f"{side}x{side}").shape()


@dataclass(frozen=True)
class Evaluation:
    """What to measure.

    Attributes:
        imagine: imagined frames instead; videos that what tells actions apart learns from.
    """

    imagine: Path | None = None


@dataclass(frozen=True)
class Benchmarking:
    """Which frames to code."""

    picture: Path | None = field(default=None, metadata={"flag": "PICTURE"})
