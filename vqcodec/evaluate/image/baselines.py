"""The codecs that people use now, each behind one call: the best picture in at most N bytes.

Sizes are those of whole files without metadata. Every codec may also code the picture at a smaller
scale and enlarge it again (Lanczos both ways), as vqcodec may: at few bytes that decides.
"""

import io
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vqcodec.errors import UsageError
from vqcodec.media.image import Image
from vqcodec.metrics.basic import psnr

if TYPE_CHECKING:
    from PIL import Image as Pillow

SCALES = (1.0, 0.75, 0.5)
LAST_SCALES = (0.25, 0.125)  # tried in turn where even the worst quality at those is too large


@dataclass(frozen=True)
class Setting:
    """What a codec was told: its quality, and the scale that the picture was coded at."""

    quality: int
    scale: float


@dataclass(frozen=True)
class BaselinePicture:
    """A picture that went through a codec.

    Attributes:
        bytes: size of the file, header included.
        image: what comes back, of the original's size.
        setting: how it was made.
        psnr: of `image`, in dB.
    """

    bytes: int
    image: Image
    setting: Setting
    psnr: float


class Baseline(ABC):
    """A codec to compare with. Subclasses say how one picture becomes one file.

    Attributes:
        name: what users call it.
        label: what plots call it.
        told: what it is told beside its quality, for reports.
        qualities: lowest and highest quality.
    """

    name: str
    label: str
    told: str
    qualities: tuple[int, int]

    @abstractmethod
    def write(self, picture: "Pillow.Image", quality: int) -> bytes:
        """Return the file of a picture in mode RGB."""

    def version(self) -> str:
        """Return what wrote the files, for reports."""
        import PIL

        return f"Pillow {PIL.__version__}"

    def encode(self, image: Image, limits: list[int]) -> list[BaselinePicture | None]:
        """Return, for each limit in bytes, the best file that fits; None where there is none.

        The best is that of highest PSNR among the scales, at each the highest quality that fits.
        """
        best: list[BaselinePicture | None] = [None] * len(limits)
        for scale in (*SCALES, *LAST_SCALES):
            wanted = [i for i in range(len(limits)) if scale in SCALES or best[i] is None]
            if not wanted:
                continue
            search = _Search(self, image, scale)
            try:
                for i in wanted:
                    best[i] = search.better(best[i], limits[i])
            except (OSError, ValueError, RuntimeError):  # such as sides beyond the format's limit
                continue
        return best

    def decode(self, image: Image, setting: Setting) -> Image:
        """Return what `image` looks like when it has gone through the codec."""
        return _Search(self, image, setting.scale).coded(setting.quality).image


class _Search:
    """The files of one picture at one scale; each quality is written once at most."""

    def __init__(self, baseline: Baseline, image: Image, scale: float) -> None:
        height, width = (max(1, round(n * scale)) for n in image.size)
        self.small = image.resize((height, width))
        self.baseline, self.image, self.scale = baseline, image, scale
        self.files: dict[int, bytes] = {}

    @cached_property
    def bound(self) -> float:
        """The PSNR of the scale alone: what no file adds to."""
        return psnr(self.image.pixels, self.small.resize(self.image.size).pixels)

    def better(self, known: BaselinePicture | None, limit: int) -> BaselinePicture | None:
        """Return the best of a file found before and those of at most `limit` bytes."""
        if known is not None and known.psnr >= self.bound:
            return known
        quality = self.highest_quality(limit)
        if quality is None:
            return known
        coded = self.coded(quality)
        return coded if known is None or coded.psnr > known.psnr else known

    def highest_quality(self, limit: int) -> int | None:
        """Return the highest quality whose file is at most `limit` bytes.

        Between a file that fits and one that does not, sizes say where to look, whose logarithm
        grows about evenly; every other look halves what is left, so that there are few in any case.
        """
        first, last = self.baseline.qualities
        low = max((q for q, data in self.files.items() if len(data) <= limit), default=first - 1)
        high = min((q for q in self.files if q > low), default=last + 1)
        halve = False
        while high - low > 1:
            middle = (low + high) // 2
            if not halve and low in self.files and high in self.files:
                sizes = (len(self.files[low]), limit, len(self.files[high]))
                start, wanted, end = map(math.log, sizes)
                middle = low + math.floor((high - low) * (wanted - start) / (end - start))
                middle = min(max(middle, low + 1), high - 1)
            halve = not halve
            if len(self.file(middle)) <= limit:
                low = middle
            else:
                high = middle
        return low if low >= first else None

    def file(self, quality: int) -> bytes:
        """Return the file of a quality."""
        if quality not in self.files:
            self.files[quality] = self.baseline.write(self.small.to_pillow(), quality)
        return self.files[quality]

    def coded(self, quality: int) -> BaselinePicture:
        """Return what the file of a quality gives back."""
        data = self.file(quality)
        back = Image.open(io.BytesIO(data), self.baseline.name).resize(self.image.size)
        setting = Setting(quality, self.scale)
        return BaselinePicture(len(data), back, setting, psnr(self.image.pixels, back.pixels))


def _save(picture: "Pillow.Image", kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


class Jpeg(Baseline):
    """JPEG with optimised Huffman tables, colour at half resolution."""

    name, label, qualities = "jpeg", "JPEG", (1, 95)
    told = "Huffman tables optimised, 4:2:0"

    def write(self, picture: "Pillow.Image", quality: int) -> bytes:
        """Return the file of a picture."""
        return _save(picture, "JPEG", quality=quality, optimize=True, subsampling=2)


class Webp(Baseline):
    """WebP, slowest method."""

    name, label, qualities = "webp", "WebP", (0, 100)
    told = "method 6"

    def write(self, picture: "Pillow.Image", quality: int) -> bytes:
        """Return the file of a picture."""
        return _save(picture, "WEBP", quality=quality, method=6)


class Avif(Baseline):
    """AVIF at the default speed, colour at half resolution."""

    name, label, qualities = "avif", "AVIF", (0, 100)
    told = "speed 6, 4:2:0"

    def write(self, picture: "Pillow.Image", quality: int) -> bytes:
        """Return the file of a picture."""
        return _save(picture, "AVIF", quality=quality, speed=6, subsampling="4:2:0")


class JpegXl(Baseline):
    """JPEG XL at the default effort; Pillow needs a plugin for it."""

    name, label, qualities = "jxl", "JPEG XL", (0, 99)  # 100 would be without loss
    told = "effort 7"

    def __init__(self) -> None:
        import pillow_jxl  # noqa: F401  (registers itself with Pillow)

    def write(self, picture: "Pillow.Image", quality: int) -> bytes:
        """Return the file of a picture."""
        return _save(picture, "JXL", quality=quality, effort=7, num_threads=1)

    def version(self) -> str:
        """Return what wrote the files, for reports."""
        from importlib.metadata import version

        return f"pillow-jxl-plugin {version('pillow-jxl-plugin')}"


BASELINES: dict[str, type[Baseline]] = {b.name: b for b in (Jpeg, Webp, Avif, JpegXl)}


def find_baselines(names: list[str]) -> tuple[list[Baseline], list[str]]:
    """Return the codecs of these names, and a note for each that is not installed.

    Raises:
        UsageError: a name is none of `BASELINES`.
    """
    from PIL import features

    found, notes = [], []
    for name in names:
        if name not in BASELINES:
            raise UsageError(
                f"no codec '{name}' to compare with; there are: {', '.join(BASELINES)}"
            )
        if name in ("webp", "avif") and not features.check(name):
            notes.append(f"{BASELINES[name].label} is left out: this Pillow was built without it")
            continue
        try:
            found.append(BASELINES[name]())
        except ImportError:
            notes.append(
                f"{BASELINES[name].label} is left out: needs pip install 'vqcodec[evaluate]'"
            )
    return found, notes
