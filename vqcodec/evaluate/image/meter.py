"""Pictures through vqcodec and through the codecs that it is compared with, at equal bytes."""

import hashlib
import io
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from vqcodec.codec.image import Codec
from vqcodec.codec.rate import DEFAULT_EFFORT, encode_to, weight_of
from vqcodec.data.sources import Source
from vqcodec.evaluate.bits import BitMeter
from vqcodec.evaluate.image.baselines import Anchor, Setting
from vqcodec.evaluate.record import OURS, Measured, Record, count_used
from vqcodec.evaluate.threads import run_all
from vqcodec.files.codes import Codes
from vqcodec.media.image import Image
from vqcodec.metrics.image import Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
    """

    label: str
    scale: float = 1.0
    quality: int | None = None
    target_bytes: int | None = None

    @property
    def setting(self) -> dict[str, Any]:
        """What differs from plain coding at full size."""
        return {k: v for k, v in asdict(self).items() if k != "label" and v is not None}

    def encode(self, codec: Codec, image: Image) -> Codes:
        """Return the codes of a picture at this point."""
        if self.target_bytes is not None:
            return encode_to(codec, image, self.target_bytes)
        if self.quality is not None:
            return codec.encode(image, rate_weight=weight_of(self.quality), effort=DEFAULT_EFFORT)
        return codec.encode(image, scale=self.scale)


def points_of(qualities: list[int], targets: list[int]) -> tuple[Point, ...]:
    """Return the points to measure, that of the highest rate last.

    Without any wish those of plain coding, at three sizes.
    """
    if qualities:
        return tuple(Point(f"quality {q}", quality=q) for q in sorted(set(qualities)))
    if targets:
        return tuple(Point(f"{n:,} bytes", target_bytes=n) for n in sorted(set(targets)))
    return (Point("half size", 0.5), Point("3/4 size", 0.75), Point("full size", 1.0))


def open_picture(source: Source) -> Image:
    """Return a picture to measure on: upright, sRGB, transparency put on white."""
    return Image.open(io.BytesIO(source.read()), source.name).flatten(WHITE)


def through_file(codec: Codec, image: Image, point: Point) -> tuple[int, Image, Codes]:
    """Return the bytes of our file, the picture that is decoded from it, and its codes."""
    data = point.encode(codec, image).to_bytes(CONTAINER)
    codes = Codes.from_bytes(data, "a file in memory")
    return len(data), codec.decode(codes), codes


class PictureMeter:
    """Measures pictures with one codec, and others at the bytes that it used."""

    def __init__(
        self,
        codec: Codec,
        points: tuple[Point, ...],
        anchors: list[Anchor],
        metrics: list[Metric],
    ) -> None:
        self.codec, self.points = codec, points
        self.anchors, self.metrics = anchors, metrics
        self.bits = BitMeter(codec)

    def measure(self, source: Source, name: str) -> Record:
        """Measure one picture.

        Raises:
            MediaError: it cannot be read.
        """
        data = source.read()
        image = Image.open(io.BytesIO(data), name).flatten(WHITE)
        made = [through_file(self.codec, image, point) for point in self.points]
        limits = [size for size, _, _ in made]
        ours = partial(self._ours, image, [(size, back) for size, back, _ in made])
        others = [partial(self._against, anchor, image, limits) for anchor in self.anchors]
        measured = [m for found in run_all([ours, *others]) for m in found]
        return Record(
            name=name,
            identity=_identity(image.pixels),
            input_bytes=len(data),
            shape=image.size,
            usage=count_used(made[-1][2]),
            bits=self.bits.measure(made[-1][2]),
            measured=tuple(measured),
        )

    def _ours(self, image: Image, made: list[tuple[int, Image]]) -> list[Measured]:
        return [
            Measured(OURS, number, size, point.setting, self._values(image, back))
            for number, (point, (size, back)) in enumerate(zip(self.points, made, strict=True))
        ]

    def _against(self, anchor: Anchor, image: Image, limits: list[int]) -> list[Measured]:
        found = []
        for number, coded in enumerate(anchor.encode(image, limits)):
            if coded is not None:
                values = self._values(image, coded.image)
                setting = asdict(coded.setting)
                found.append(Measured(anchor.name, number, coded.bytes, setting, values))
        return found

    def _values(self, image: Image, other: Image) -> dict[str, float | None]:
        return {m.key: m.measure(image.pixels, other.pixels) for m in self.metrics}


def decode_again(anchor: Anchor, image: Image, measured: Measured) -> Image:
    """Return the picture that a measured file of another codec gives back."""
    setting = Setting(int(measured.setting["quality"]), measured.setting["scale"])
    return anchor.decode(image, setting)


def _identity(pixels: "NDArray[np.uint8]") -> str:
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(pixels.tobytes())
    return digest.hexdigest()[:32]
