"""Picture files to 8-bit sRGB arrays and back."""

import contextlib
import functools
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vqcodec.errors import MediaError, UsageError
from vqcodec.files.atomic import writing
from vqcodec.files.contents import MAX_PIXELS
from vqcodec.media.cicp import colour_note
from vqcodec.media.depth import is_deep, to_8_bits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image as Pillow

    Pixels = NDArray[np.uint8]

BAND = 1 << 22  # pixels converted at a time, so that a large picture is not held three times

SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
}


@dataclass(frozen=True)
class Image:
    """A picture in sRGB.

    Attributes:
        pixels: (H, W, 3) uint8.
        alpha: (H, W) uint8, 255 is opaque, or None where every pixel is.
        notes: what a user should know about how the file was read.
    """

    pixels: "Pixels"
    alpha: "Pixels | None" = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @classmethod
    def open(cls, file: str | Path | BinaryIO, name: str | None = None) -> "Image":
        """Read any picture that Pillow opens: upright, in sRGB, its first frame.

        Args:
            file: a path or a binary file object.
            name: what messages call it; the path by default.

        Raises:
            MediaError: it is no picture, is damaged, or has more than `MAX_PIXELS` pixels.
        """
        from PIL import Image as Pillow
        from PIL import UnidentifiedImageError

        name = name or str(file)
        _silence_pillow()
        try:
            with _opened(file) as stream:
                colours = colour_note(stream)
                with Pillow.open(stream) as picture:
                    check_size(picture.height, picture.width, name)
                    return _convert(picture, _notes(picture) + colours)
        except MediaError:
            raise
        except FileNotFoundError:
            raise MediaError(f"{name}: no such file") from None
        except PermissionError:
            raise MediaError(f"{name}: may not be read (permission denied)") from None
        except IsADirectoryError:
            raise MediaError(f"{name}: is a folder, not a picture") from None
        except Pillow.DecompressionBombError:
            limit = MAX_PIXELS >> 20
            raise MediaError(f"{name}: announces more than {limit} megapixels") from None
        except UnidentifiedImageError:
            raise MediaError(f"{name}: not a picture that Pillow can read") from None
        except Exception as error:  # forty decoders raise whatever they like on damaged files
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise MediaError(f"{name}: damaged or unsupported picture ({reason})") from None

    @classmethod
    def of(cls, source: "Image | str | Path | Pillow.Image | Pixels") -> "Image":
        """Return what is a picture already, or a file, a Pillow image or an array as one.

        Args:
            source: an `Image`; a path; an image of Pillow's in any mode, which stays as it is; or
                (H, W, 3) uint8 in sRGB, which is not copied.

        Raises:
            TypeError: it is nothing of the kind.
            MediaError: see `open`.
        """
        import numpy as np
        from PIL import Image as Pillow

        if isinstance(source, Image):
            return source
        if isinstance(source, str | Path):
            return cls.open(source)
        if isinstance(source, Pillow.Image):
            check_size(source.height, source.width, "the picture")
            return _convert(source.copy(), ())
        found = type(source).__name__
        if isinstance(source, np.ndarray):
            if source.ndim == 3 and source.shape[2] == 3 and source.dtype == np.uint8:
                check_size(source.shape[0], source.shape[1], "the picture")
                return cls(source)
            found = f"an array of {source.shape} {source.dtype}"
        raise TypeError(
            "a picture must be a vqcodec.Image, a path, a Pillow image or an array of (H, W, 3) "
            f"uint8; this is {found}"
        )

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the picture in the format that the suffix of `path` names.

        JPEG is written at quality 95, WebP without loss, AVIF at quality 95. Formats without
        transparency get the picture on white.

        Raises:
            MediaError: unknown suffix, or the format cannot hold the picture.
            VqcodecError: `path` exists and `force` is not given, or cannot be written.
        """
        kind = format_of_suffix(Path(path).suffix, str(path))
        with writing(Path(path), force=force) as file:
            self.write(file, kind, str(path))

    def write(self, file: BinaryIO, kind: str, name: str) -> None:
        """Write the picture to a binary file in Pillow's format `kind`, such as ``PNG``."""
        picture = self.to_pillow()
        options = SAVE_OPTIONS.get(kind, {})
        try:
            try:
                picture.save(file, kind, **options)
            except (OSError, ValueError):
                if self.alpha is None:
                    raise
                file.seek(0)
                file.truncate()
                self.flatten((255, 255, 255)).to_pillow().save(file, kind, **options)
        except OSError as error:
            if error.errno is not None:  # the disk's, not the format's
                raise
            raise MediaError(f"{name}: cannot be written as {kind} ({error})") from None
        except (ValueError, KeyError, SystemError) as error:
            raise MediaError(f"{name}: cannot be written as {kind} ({error})") from None

    def to_pillow(self) -> "Pillow.Image":
        """Return a Pillow image in mode RGB, or RGBA where there is transparency."""
        from PIL import Image as Pillow

        picture = Pillow.fromarray(self.pixels)
        if self.alpha is not None:
            picture.putalpha(Pillow.fromarray(self.alpha))
        return picture

    def flatten(self, background: tuple[int, int, int]) -> "Image":
        """Return the picture on an opaque background of sRGB colour `background`."""
        import numpy as np

        if self.alpha is None:
            return self
        pixels = np.empty_like(self.pixels)
        colour = np.array(background, np.uint16)
        for rows in _bands(*self.size):
            alpha = self.alpha[rows, :, None].astype(np.uint16)
            mixed = self.pixels[rows] * alpha + colour * (255 - alpha) + 127
            pixels[rows] = mixed // 255
        return replace(self, pixels=pixels, alpha=None)

    def resize(self, size: tuple[int, int]) -> "Image":
        """Return the picture at (height, width), filtered with Lanczos; alpha is left out."""
        import numpy as np
        from PIL import Image as Pillow

        if size == self.size:
            return replace(self, alpha=None)
        height, width = size
        picture = Pillow.fromarray(self.pixels).resize((width, height), Pillow.Resampling.LANCZOS)
        return Image(np.asarray(picture), None, self.notes)

    def shrink(self, size: tuple[int, int]) -> "Image":
        """Return the picture at (height, width), so that `resize` brings back more of it.

        What is lost when the resized picture is enlarged again is resized and added, once, as in
        iterative back-projection (Irani and Peleg 1991).
        """
        import numpy as np
        from PIL import Image as Pillow
        from PIL import ImageChops

        small, middle = self.resize(size), 128
        if small.size == self.size:
            return small
        whole, back, less = (
            Pillow.fromarray(one.pixels) for one in (self, small.resize(self.size), small)
        )
        lost = Image(np.asarray(ImageChops.subtract(whole, back, 1, middle))).resize(size)
        more = ImageChops.add(less, Pillow.fromarray(lost.pixels), 1, -middle)
        return replace(small, pixels=np.asarray(more))

    def lost(self, size: tuple[int, int]) -> float:
        """Return the squared error, summed over all values, of shrinking to (height, width)."""
        import numpy as np

        back, total = self.shrink(size).resize(self.size).pixels, 0.0
        for rows in _bands(*self.size):
            error = np.subtract(back[rows], self.pixels[rows], dtype=np.float32)
            total += float(np.square(error, out=error).sum())
        return total


def peek_size(path: Path) -> tuple[int, int]:
    """Return height and width from a file's header alone; (0, 0) where it cannot be read."""
    from PIL import Image as Pillow

    _silence_pillow()
    try:
        with Pillow.open(path) as picture:
            return picture.height, picture.width
    except Exception:  # whatever is wrong with it is said when it is opened
        return 0, 0


def check_size(height: int, width: int, name: str) -> None:
    """Raise MediaError if a picture of this size is empty or too large to code."""
    if height < 1 or width < 1:
        raise MediaError(f"{name}: the picture is empty")
    if height * width > MAX_PIXELS:
        raise MediaError(
            f"{name}: {width}×{height} pixels, more than the limit of {MAX_PIXELS >> 20} megapixels"
        )


def parse_colour(text: str) -> tuple[int, int, int]:
    """Read a colour such as ``white`` or ``#ff8800``."""
    from PIL import ImageColor

    try:
        return ImageColor.getcolor(text, "RGB")[:3]  # type: ignore[index,return-value]
    except ValueError:
        raise UsageError(f"'{text}' is no colour; write a name such as white, or #rrggbb") from None


@functools.cache
def picture_suffixes() -> frozenset[str]:
    """Return the file suffixes, with dots and in lower case, that Pillow can read pictures from."""
    from PIL import Image as Pillow

    known = Pillow.registered_extensions()
    documents = {"PDF", "MPEG", "BUFR", "GRIB", "HDF5", "FITS"}
    return frozenset(
        s for s, kind in known.items() if kind in Pillow.OPEN and kind not in documents
    )


def format_of_suffix(suffix: str, name: str) -> str:
    """Return Pillow's name of the format to write for a suffix such as ``.png``."""
    from PIL import Image as Pillow

    Pillow.preinit()  # the usual formats; all others take a while to load
    kind = Pillow.EXTENSION.get(suffix.lower())
    kind = kind or Pillow.registered_extensions().get(suffix.lower())
    if (
        kind is None or kind not in Pillow.SAVE or kind in ("ICO", "ICNS")
    ):  # icons: sizes of their own
        raise UsageError(f"{name}: no picture format is known for the suffix '{suffix}'; try .png")
    return kind


@functools.cache
def _silence_pillow() -> None:
    """Turn off what Pillow says, for good: a context that restores it is not thread-safe.

    Its warnings tell of large pictures, which are checked against a limit of our own before
    anything is decoded, and of harmless oddities such as a broken EXIF block; its log, of what it
    raises as well.
    """
    from PIL import Image as Pillow

    warnings.filterwarnings("ignore", category=Pillow.DecompressionBombWarning)
    warnings.filterwarnings("ignore", module="PIL")
    logging.getLogger("PIL").addHandler(logging.NullHandler())


@contextlib.contextmanager
def _opened(file: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    """Open a file that can seek.

    Pillow never sees a path: by that, it maps uncompressed files into memory, where it confuses
    rows and columns of those that are to be turned.
    """
    if isinstance(file, str | Path):
        with Path(file).open("rb") as stream, _opened(stream) as seekable:
            yield seekable
    else:
        yield file if file.seekable() else io.BytesIO(file.read())


def _notes(picture: "Pillow.Image") -> tuple[str, ...]:
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # the further pictures of an MPO are other views
        return (f"animated or of several pages: the first of {frames} frames is taken",)
    return ()


def _convert(picture: "Pillow.Image", notes: tuple[str, ...]) -> Image:
    from PIL import ImageOps

    picture.load()
    profile = picture.info.get("icc_profile")
    if is_deep(picture):
        picture, more = to_8_bits(picture)
        notes += more
    ImageOps.exif_transpose(picture, in_place=True)
    alpha = None
    if picture.mode in ("La", "RGBa"):  # premultiplied
        picture = picture.convert({"La": "LA", "RGBa": "RGBA"}[picture.mode])
    if picture.has_transparency_data:
        picture = picture.convert("LA" if picture.mode in ("L", "LA") else "RGBA")
        alpha = _array(picture.getchannel("A"))
        picture = picture.convert("L" if picture.mode == "LA" else "RGB")
        if alpha.min() == 255:
            alpha = None
    elif picture.mode not in ("L", "RGB", "CMYK", "LAB"):
        picture = picture.convert("RGB")
    if profile:
        picture, problem = _to_srgb(picture, profile)
        notes += problem
    if picture.mode == "LAB":
        picture = _lab_to_srgb(picture)
    return Image(_array(picture.convert("RGB")), alpha, notes)


def _to_srgb(picture: "Pillow.Image", profile: bytes) -> tuple["Pillow.Image", tuple[str, ...]]:
    """Convert to sRGB by the embedded ICC profile; a broken or unfitting one is noted."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower() and picture.mode == "RGB":
            return picture, ()
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(picture, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return picture, ("its colour profile cannot be used and is ignored",)
    assert converted is not None  # only in-place conversion returns nothing
    return converted, ()


def _lab_to_srgb(picture: "Pillow.Image") -> "Pillow.Image":
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(picture, lab, srgb, outputMode="RGB")
    assert converted is not None
    return converted


def _array(picture: "Pillow.Image") -> "Pixels":
    """Copy a picture into an array, in bands: in one piece Pillow would hold it three times."""
    import numpy as np

    height, width = picture.height, picture.width
    channels = (len(picture.getbands()),) if len(picture.getbands()) > 1 else ()
    pixels = np.empty((height, width, *channels), np.uint8)
    for rows in _bands(height, width):
        pixels[rows] = np.asarray(picture.crop((0, rows.start, width, rows.stop)))
    return pixels


def _bands(height: int, width: int) -> Iterator[slice]:
    step = max(1, BAND // width)
    for top in range(0, height, step):
        yield slice(top, min(top + step, height))
