"""The rates that pictures are measured at, and pictures through vqcodec at them."""

import io
from dataclasses import asdict, dataclass, replace
from typing import Any

from vqcodec.codec.image import ImageCodec
from vqcodec.codec.rate import encode_to
from vqcodec.data.sources import Source
from vqcodec.files.codes import Codes
from vqcodec.media.image import Image

WHITE = (255, 255, 255)
CONTAINER = ".vqc"


@dataclass(frozen=True)
class Point:
    """A way to code at one rate.

    Attributes:
        label: what tables call it.
        scale: pictures are coded smaller by this factor.
        quality: 1 to 100, of a search for cheaper codes; None for the nearest ones.
        target_bytes: of each file at most, whatever scale and codes that takes; None for any.
        effort: 0 to 9, how far to search; None for what a rate takes by itself.
    """

    label: str
    scale: float = 1.0
    quality: int | None = None
    target_bytes: int | None = None
    effort: int | None = None

    @property
    def setting(self) -> dict[str, Any]:
        """What differs from plain coding at full size."""
        return {k: v for k, v in asdict(self).items() if k != "label" and v is not None}

    def encode(self, codec: ImageCodec, image: Image) -> Codes:
        """Return the codes of a picture at this point."""
        if self.target_bytes is not None:
            return encode_to(codec, image, self.target_bytes, effort=self.effort)
        if self.quality is not None:
            weight = codec.weight_of(self.quality)
            return codec.encode(image, rate_weight=weight, effort=self.effort)
        return codec.encode(image, scale=self.scale, effort=self.effort)


def points_of(
    qualities: list[int], targets: list[int], effort: int | None = None
) -> tuple[Point, ...]:
    """Return the points to measure, that of the highest rate last.

    Without any wish those of plain coding, at three sizes.
    """
    if qualities:
        points = [Point(f"quality {q}", quality=q) for q in sorted(set(qualities))]
    elif targets:
        points = [Point(f"{n:,} bytes", target_bytes=n) for n in sorted(set(targets))]
    else:
        points = [Point("half size", 0.5), Point("3/4 size", 0.75), Point("full size")]
    return tuple(replace(point, effort=effort) for point in points)


def open_picture(source: Source, name: str) -> Image:
    """Return a picture to measure on: upright, sRGB, transparency put on white.

    Raises:
        MediaError: it cannot be read.
    """
    return Image.open(io.BytesIO(source.read()), name).flatten(WHITE)


def through_file(codec: ImageCodec, image: Image, point: Point) -> tuple[int, Image, Codes]:
    """Return the bytes of our file, the picture that is decoded from it, and its codes.

    The file is written and not read again: packing loses nothing, and unpacking takes as long.
    """
    codes = point.encode(codec, image)
    size = len(codec.without_unseen(codes).to_bytes(CONTAINER))
    return size, codec.decode(codes), codes
