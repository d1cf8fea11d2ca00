"""Options of commands that are for pictures alone."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vqcodec.cli.handlers.base import Container
from vqcodec.errors import UsageError

if TYPE_CHECKING:
    from vqcodec.codec.sampling import SamplingParams

MAX_PIXELS = 100_000_000
SIZES = "128x128,768x512,6000x4000"
MEGAPIXELS = "0.1,1,10,100"


@dataclass(frozen=True)
class Encoding:
    """How pictures are to be encoded, and what to search for."""

    scale: float | None = None
    quality: int | None = None
    rate_weight: float | None = None
    target_bytes: int | None = None
    effort: int | None = None
    background: str | None = None
    verify: bool = False

    def __post_init__(self) -> None:
        if self.scale is not None and not 0 < self.scale <= 1:
            raise UsageError(f"--scale is {self.scale}, must be above 0 and at most 1")
        if len(self._rates()) > 1:
            raise UsageError("--quality, --rate-weight and --target-bytes exclude each other")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise UsageError(f"--quality is {self.quality}, must be 1 to 100")
        if self.rate_weight is not None and not 0 <= self.rate_weight <= 1e9:
            raise UsageError(f"--rate-weight is {self.rate_weight}, must be 0 to 1e9")
        if self.target_bytes is not None and self.target_bytes < 1:
            raise UsageError(f"--target-bytes is {self.target_bytes}, must be 1 or more")
        _check_effort(self.effort)
        self.colour()  # or an error before any work

    def _rates(self) -> list[float]:
        asked = (self.quality, self.rate_weight, self.target_bytes)
        return [rate for rate in asked if rate is not None]

    @property
    def rated(self) -> bool:
        """Whether a rate is asked for."""
        return bool(self._rates())

    def colour(self) -> tuple[int, int, int] | None:
        """Return what to put transparent pictures on; None leaves them."""
        if self.background is None:
            return None
        from vqcodec.media.image import parse_colour

        return parse_colour(self.background)

    def check(self, container: Container) -> None:
        """Raise UsageError if files of this kind cannot have what is asked."""
        if self.target_bytes is None:
            return
        if container.suffix != ".vqc":
            raise UsageError(
                "--target-bytes is the size of a .vqc: give -o NAME.vqc or --format vqc"
            )
        if not container.prior:
            raise UsageError("--target-bytes needs the coding prior; leave out --no-prior")
        if self.scale not in (None, 1):
            raise UsageError("--target-bytes chooses the scale itself; leave out --scale")


@dataclass(frozen=True)
class Decoding:
    """How a decoder that draws is to do it."""

    temperature: float | None = None
    seed: int | None = None

    def drawing(self) -> "SamplingParams | None":
        """Return how to draw; None where nothing is said of it."""
        if self.temperature is None and self.seed is None:
            return None
        from vqcodec.codec.sampling import SamplingParams

        return SamplingParams(self.seed or 0, 1.0 if self.temperature is None else self.temperature)


@dataclass(frozen=True)
class Sampling:
    """What to draw."""

    number: int | None = None
    size: str | None = None
    class_name: str | None = field(default=None, metadata={"flag": "--class"})

    def __post_init__(self) -> None:
        self.shape()  # or an error before any work

    def shape(self) -> tuple[int, int]:
        """Return (width, height) in pixels."""
        text = self.size or "128x128"
        found = re.fullmatch(r"([0-9]{1,6})[x×]([0-9]{1,6})", text)
        if not found:
            raise UsageError(f"--size {text}: write width and height in pixels, such as 192x128")
        return int(found[1]), int(found[2])


@dataclass(frozen=True)
class Evaluation:
    """At which rates to measure, or the bounds of likelihoods."""

    quality: str = ""
    target_bytes: str = ""
    effort: int | None = None
    bound: bool = False
    gaussian: Path | None = None

    def __post_init__(self) -> None:
        if self.bound and (self.quality or self.target_bytes or self.effort is not None):
            raise UsageError(
                "--bound measures likelihoods, and takes no --quality, --target-bytes, --effort"
            )
        _check_effort(self.effort)
        if self.gaussian is not None and not self.bound:
            raise UsageError("--gaussian belongs to --bound")
        if self.qualities() and self.targets():
            raise UsageError("--quality and --target-bytes exclude each other")

    def qualities(self) -> list[int]:
        """Return the qualities, 1 to 100."""
        return _numbers("--quality", self.quality, 100)

    def targets(self) -> list[int]:
        """Return the sizes of files in bytes."""
        return _numbers("--target-bytes", self.target_bytes, 1 << 30)


@dataclass(frozen=True)
class Benchmarking:
    """Which pictures to code."""

    picture: Path | None = field(default=None, metadata={"flag": "PICTURE"})
    sizes: str | None = None
    growth: Path | None = None
    megapixels: str = MEGAPIXELS

    def __post_init__(self) -> None:
        if self.picture is not None and self.sizes is not None:
            raise UsageError("--sizes is for synthetic pictures; leave it out, or the picture")
        self.shapes()  # or an error before any work
        self.steps()

    def shapes(self) -> list[tuple[int, int]]:
        """Return (width, height) in pixels of each synthetic picture."""
        found = []
        for part in (self.sizes or SIZES).split(","):
            match = re.fullmatch(r"(\d{1,6})[x×](\d{1,6})", part.strip())
            width, height = map(int, match.groups()) if match else (0, 0)
            if not 0 < width * height <= MAX_PIXELS:
                raise UsageError(f"--sizes: '{part}' is no size such as 768x512, of at most 100 MP")
            found.append((width, height))
        return found

    def steps(self) -> list[float]:
        """Return the sizes in megapixels that growth is measured at."""
        from vqcodec.cli.options import numbers

        return numbers("--megapixels", self.megapixels, float, 1e-6, MAX_PIXELS / 1e6)


def _check_effort(effort: int | None) -> None:
    if effort is not None and not 0 <= effort <= 9:
        raise UsageError(f"--effort is {effort}, must be 0 to 9")


def _numbers(option: str, text: str, most: int) -> list[int]:
    """Read whole numbers from 1 to `most`, separated by commas."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(p.isdecimal() and 1 <= int(p) <= most for p in parts):
        raise UsageError(f"{option} is '{text}', must be numbers from 1 to {most:,}, with commas")
    return [int(p) for p in parts]
