"""Options of commands that are for video alone."""

from dataclasses import dataclass, field
from pathlib import Path

from vqcodec.errors import UsageError


@dataclass(frozen=True)
class Encoding:
    """How videos are to be encoded.

    Attributes:
        scale: code frames smaller by this factor.
        verify: decode again.
        video: take animated pictures for videos.
        sound: code the sound track, too.
    """

    scale: float = 1.0
    verify: bool = False
    video: bool = False
    sound: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.scale <= 1:
            raise UsageError(f"--scale is {self.scale}, must be above 0 and at most 1")


@dataclass(frozen=True)
class Benchmarking:
    """Which frames to code."""

    picture: Path | None = field(default=None, metadata={"flag": "PICTURE"})
