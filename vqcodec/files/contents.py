"""What a code file holds, and the limits of what it may claim."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vqcodec.errors import FormatError
from vqcodec.modality import NAMES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AXES = ("hw", "ct", "thw")
MAX_PIXELS = 100 << 20  # of a picture: 100 binary megapixels, which fit into 2 GiB on the way
MAX_SAMPLES = 1 << 36  # sound samples, or pixels of a video, that a file can claim
MAX_CODES = 1 << 27  # indices in one file
MAX_RATE = 1 << 20  # Hz
MAX_SPEAKER = 1 << 10  # numbers of a speaker vector


@dataclass(frozen=True)
class MediaInfo:
    """What the indices were made from.

    Attributes:
        size: of the original: (height, width) in pixels, (channels, samples) of sound.
        coded_size: the same of what was coded: smaller than `size` for a scaled picture, other
            than it for sound that was resampled.
        alpha: (H, W) uint8 transparency of the original, or None where it is opaque.
        sample_rate: of the original sound, in Hz; 0 for other media.
        level: decibels, whole ones, by which the sound was made louder before it was coded.
        speaker: the speaker vector, numbers of int8; empty where the model has none.
    """

    size: tuple[int, ...]
    coded_size: tuple[int, ...]
    alpha: "NDArray[np.uint8] | None" = field(default=None, compare=False)
    sample_rate: int = 0
    level: int = 0
    speaker: bytes = b""


@dataclass(frozen=True)
class Contents:
    """Index maps of one picture (or sound), coarse to fine.

    Attributes:
        grids: uint16 arrays, one per map.
        codebook_sizes: K of each map.
        axes: ``hw`` pictures, ``ct`` sound, ``thw`` video.
        model: published name of the weights that they were made with.
        codebook_id: four bytes that tell one codebook from another.
        media: what they were made from.
    """

    grids: "tuple[NDArray[np.uint16], ...]"
    codebook_sizes: tuple[int, ...]
    axes: str
    model: str
    codebook_id: bytes
    media: MediaInfo

    def __post_init__(self) -> None:
        """Check that the parts fit each other; readers rely on it.

        Raises:
            FormatError: they do not.
        """
        if self.axes not in AXES:
            raise FormatError(f"unknown axes '{self.axes}'")
        if not 1 <= len(self.grids) <= 16 or len(self.grids) != len(self.codebook_sizes):
            raise FormatError("the number of index maps is wrong")
        for grid, codebook_size in zip(self.grids, self.codebook_sizes, strict=True):
            if grid.ndim != len(self.axes) or grid.dtype != "uint16" or grid.size == 0:
                raise FormatError("an index map has the wrong shape or type")
            if not 2 <= codebook_size <= 65536:
                raise FormatError(f"impossible codebook size {codebook_size}")
            if int(grid.max()) >= codebook_size:
                raise FormatError(f"an index is not below the codebook's size {codebook_size}")
        for size in (self.media.size, self.media.coded_size):
            check_size(size, self.axes)
        plain = self.model.isascii() and self.model.isprintable()
        if len(self.codebook_id) != 4 or not 1 <= len(self.model) <= 64 or not plain:
            raise FormatError("the model's name or codebook id is malformed")
        check_sound(self.media, self.axes)
        alpha = self.media.alpha
        if alpha is not None and (alpha.shape != self.media.size or alpha.dtype != "uint8"):
            raise FormatError("the transparency does not fit the picture")

    @property
    def modality(self) -> str:
        """``image``, ``audio`` or ``video``."""
        return NAMES[self.axes]

    def __eq__(self, other: object) -> bool:
        """Compare everything, arrays by value."""
        import numpy as np

        if not isinstance(other, Contents):
            return NotImplemented
        mine, theirs = self.media.alpha, other.media.alpha
        same_alpha = mine is theirs or (
            mine is not None and theirs is not None and np.array_equal(mine, theirs)
        )
        return (
            self._header() == other._header()
            and same_alpha
            and all(map(np.array_equal, self.grids, other.grids))
        )

    __hash__ = None  # type: ignore[assignment]

    def _header(self) -> tuple[Any, ...]:
        return (
            self.codebook_sizes,
            self.axes,
            self.model,
            self.codebook_id,
            self.media,  # but for the transparency
            tuple(g.shape for g in self.grids),
        )


def check_size(size: tuple[int, ...], axes: str) -> None:
    """Raise FormatError unless `size` is one that media of these axes can have."""
    total = 1
    for n in size:
        total *= n
    if len(size) != len(axes) or min(size) < 1:
        raise FormatError(f"impossible size {size}")
    if total > (MAX_PIXELS if axes == "hw" else MAX_SAMPLES):
        raise FormatError(f"claims {total:,} pixels or samples, more than any file may hold")


def check_sound(media: MediaInfo, axes: str) -> None:
    """Raise FormatError unless what `media` says of sound is possible, and nothing without sound.

    Files of sound made by others need not know of it.
    """
    told = (media.sample_rate, media.level, media.speaker)
    possible = (
        0 <= media.sample_rate <= MAX_RATE
        and -128 <= media.level <= 127
        and len(media.speaker) <= MAX_SPEAKER
    )
    if not possible or (axes != "ct" and told != (0, 0, b"")):
        raise FormatError("its sample rate, level or speaker vector is impossible")
