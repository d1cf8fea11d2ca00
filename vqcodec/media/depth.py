"""Grey pictures of more than 8 bits, in floating point, or with a sign, brought to 8 bits."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image as Pillow

    Values = NDArray[np.float32 | np.int32 | np.uint32 | np.int8]

BITS, PHOTOMETRIC, FORMAT, MAXIMUM = 258, 262, 339, 341  # tags of TIFF
WHITE_IS_ZERO, SIGNED = 0, 2  # values of the second and the third
ORIENTATION = 0x0112  # of Exif
FULL_SCALES = (255, (1 << 15) - 1, (1 << 16) - 1, (1 << 31) - 1, (1 << 32) - 1)
CLIPPED = 0.05  # of all pixels may be brighter than white
BRIGHT = 4.0  # more than this many times white is another scale, or a highlight
SAMPLED = 1 << 20  # pixels that tell where white is


def is_deep(picture: "Pillow.Image") -> bool:
    """Tell whether a picture has other than 8 bits from 0 on that Pillow does not bring to them."""
    signed = picture.mode == "L" and _first(getattr(picture, "tag_v2", {}), FORMAT) == SIGNED
    return signed or picture.mode in ("I", "F") or picture.mode.startswith("I;16")


def to_8_bits(picture: "Pillow.Image") -> tuple["Pillow.Image", tuple[str, ...]]:
    """Return a deep picture in mode L or LA, and what a user should know of how it was done."""
    import numpy as np
    from PIL import Image as Pillow

    tags = getattr(picture, "tag_v2", {})
    raw = np.asarray(picture)
    if picture.mode == "I" and _first(tags, BITS) == 32 and _first(tags, FORMAT) != SIGNED:
        raw = raw.view(np.uint32)  # Pillow has no such mode, and lets large ones go below zero
    if picture.mode == "L":
        raw = raw.view(np.int8)  # nor this one
    top, notes = _white(picture, raw)
    with np.errstate(all="ignore"):  # infinity is what it then is
        values = raw.astype(np.float32)
        scaled = np.nan_to_num(values / np.float32(top), nan=0, posinf=1, neginf=0).clip(0, 1)
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:  # Pillow turns these round in 8 bits only
        scaled = 1 - scaled
    grey = Pillow.fromarray((scaled * 255 + 0.5).astype(np.uint8))
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Pillow.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    grey.getexif()[ORIENTATION] = picture.getexif().get(ORIENTATION, 1)
    return grey, notes


def _white(picture: "Pillow.Image", values: "Values") -> tuple[float, tuple[str, ...]]:
    """Return the value that is white; 0 is black."""
    import numpy as np

    tags = getattr(picture, "tag_v2", {})
    if picture.mode.startswith("I;16"):
        return (4095 if _first(tags, BITS) == 12 else 65535), ()
    finite = values[np.isfinite(values)]
    notes: tuple[str, ...] = ()
    if finite.size < values.size:
        notes = ("pixels that are infinite or no number were taken as white or black",)
    least, most = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if least < 0:
        notes += ("values below 0 were taken as black",)
    top = _first(tags, MAXIMUM)
    known = top is not None and 0 < top < float("inf")
    if not tags and picture.mode == "I" and most <= 65535:  # of formats that scale to that
        top, known = 65535, True
    if top is None or not known:
        top = _of_floats(finite, most) if picture.mode == "F" else _full_scale(most)
    if top < most:
        notes += (f"values above {top:,.4g} were taken as white",)
    elif top != 1 and not known:
        notes += (f"it does not say which value is white; {top:,.10g} was taken for it",)
    return top, notes


def _of_floats(values: "Values", most: float) -> float:
    """Return what is white: 1, unless too much is brighter."""
    import numpy as np

    some = values[:: max(1, values.size // SAMPLED)]
    lit = some[some > 0]
    # unlike the maximum, no highlight moves the median of what is not black
    typical = float(np.median(lit)) if lit.size else 0.0
    if most <= 1 or (typical <= 1 and float((some > 1).mean()) <= CLIPPED):
        return 1.0
    if typical > BRIGHT:
        return _full_scale(most)
    bright = float(np.percentile(lit, 99)) if lit.size else most
    return most if most <= BRIGHT * bright else bright


def _full_scale(most: float) -> float:
    """Return the largest value of the integers that hold this one, if it is near, or itself."""
    return next((float(f) for f in FULL_SCALES if f / 2 <= most <= f), most if most > 0 else 1.0)


def _first(tags: object, tag: int) -> float | None:
    """Return the first number of a tag of TIFF; None without it."""
    value = tags.get(tag) if hasattr(tags, "get") else None
    if isinstance(value, tuple):
        value = value[0] if value else None
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
