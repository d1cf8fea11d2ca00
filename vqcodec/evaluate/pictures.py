"""Pictures through vqcodec and through the codecs that it is compared with, at equal bytes."""

import hashlib
import io
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

from vqcodec.codec import Codec
from vqcodec.evaluate.anchors import Anchor, Setting
from vqcodec.evaluate.quality import Metric
from vqcodec.evaluate.record import OURS, Measured, Record
from vqcodec.evaluate.threads import run_all
from vqcodec.files.codes import Codes
from vqcodec.media.image import Image
from vqcodec.media.sources import Source

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
    """

    label: str
    scale: float


# One model has one rate at each scale; the last point is the one of highest rate.
POINTS = (Point("half size", 0.5), Point("3/4 size", 0.75), Point("full size", 1.0))


def open_picture(source: Source) -> Image:
    """Return a picture to measure on: upright, sRGB, transparency put on white."""
    return Image.open(io.BytesIO(source.read()), source.name).flatten(WHITE)


def through_file(codec: Codec, image: Image, point: Point) -> tuple[int, Image, Codes]:
    """Return the bytes of our file, the picture that is decoded from it, and its codes."""
    data = codec.encode(image, scale=point.scale).to_bytes(CONTAINER)
    codes = Codes.from_bytes(data, "a file in memory")
    return len(data), codec.decode(codes), codes


class PictureMeter:
    """Measures pictures with one codec, and others at the bytes that it used."""

    def __init__(self, codec: Codec, anchors: list[Anchor], metrics: list[Metric]) -> None:
        self.codec, self.anchors, self.metrics = codec, anchors, metrics

    def measure(self, source: Source, name: str) -> Record:
        """Measure one picture.

        Raises:
            MediaError: it cannot be read.
        """
        data = source.read()
        image = Image.open(io.BytesIO(data), name).flatten(WHITE)
        made = [through_file(self.codec, image, point) for point in POINTS]
        limits = [size for size, _, _ in made]
        ours = partial(self._ours, image, [(size, back) for size, back, _ in made])
        others = [partial(self._against, anchor, image, limits) for anchor in self.anchors]
        measured = [m for found in run_all([ours, *others]) for m in found]
        return Record(
            name=name,
            identity=_identity(image.pixels),
            input_bytes=len(data),
            shape=image.size,
            usage=_usage(made[-1][2]),
            measured=tuple(measured),
        )

    def _ours(self, image: Image, made: list[tuple[int, Image]]) -> list[Measured]:
        return [
            Measured(OURS, number, size, {"scale": point.scale}, self._values(image, back))
            for number, (point, (size, back)) in enumerate(zip(POINTS, made, strict=True))
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


def _usage(codes: Codes) -> dict[int, int]:
    import numpy as np

    used, counts = np.unique(codes.grids[-1], return_counts=True)
    return dict(zip(used.tolist(), counts.tolist(), strict=True))
