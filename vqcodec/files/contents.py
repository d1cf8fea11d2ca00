"""What a code file holds, and the limits of what it may claim."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

from vqcodec.errors import FormatError
from vqcodec.modality import NAMES
from vqcodec.weights import MAX_MAPS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vqcodec.coding.latticecoder import Chosen
    from vqcodec.files.tint import Tint

AXES = ("hw", "ct", "thw")
MAX_PIXELS = 100 << 20  # of a picture: 100 binary megapixels, which fit into 2 GiB on the way
MAX_SAMPLES = 1 << 36  # sound samples, or pixels of a video, that a file can claim
MAX_CODES = 1 << 27  # indices in one file
MAX_RATE = 1 << 20  # Hz
MAX_SPEAKER = 1 << 10  # numbers of a speaker vector
SPEAKER_STEPS = 127  # a number of a speaker vector is a multiple of 1 / 127: one signed byte
MAX_CONDITION = 255
MAX_FRAME_RATE = 1 << 31  # of either number of the fraction
MAX_DURATION = 1 << 40  # ticks that a frame may be shown


@dataclass(frozen=True)
class MediaInfo:
    """What the indices were made from; each medium tells more of its own.

    Attributes:
        size: of the original, along `axes`: pixels, frames, channels, samples.
        coded_size: the same of what was coded: smaller than `size` for a scaled picture, other
            than it for sound that was resampled.
    """

    axes: ClassVar[str]

    size: tuple[int, ...]
    coded_size: tuple[int, ...]

    def check(self) -> None:
        """Raise FormatError unless what it tells, beside its sizes, is possible."""


@dataclass(frozen=True)
class ImageInfo(MediaInfo):
    """A picture.

    Attributes:
        alpha: (H, W) uint8 transparency of the original, or None where it is opaque.
        tint: colours that the codes do not say, or None.
    """

    axes: ClassVar[str] = "hw"

    alpha: "NDArray[np.uint8] | None" = field(default=None, compare=False)
    tint: "Tint | None" = None

    def check(self) -> None:
        """See `MediaInfo.check`."""
        alpha = self.alpha
        if alpha is not None and (alpha.shape != self.size or alpha.dtype != "uint8"):
            raise FormatError("the transparency does not fit the picture")
        if self.tint is not None:
            self.tint.check(self.coded_size)


@dataclass(frozen=True)
class AudioInfo(MediaInfo):
    """A sound; files made by others need not tell more than its sizes.

    Attributes:
        sample_rate: of the original, in Hz; 0 if unknown.
        level: decibels, whole ones, by which the sound was made louder before it was coded.
        speaker: the speaker vector, numbers of int8; empty where the model has none.
    """

    axes: ClassVar[str] = "ct"

    sample_rate: int = 0
    level: int = 0
    speaker: bytes = b""

    def check(self) -> None:
        """See `MediaInfo.check`."""
        possible = (
            0 <= self.sample_rate <= MAX_RATE
            and -128 <= self.level <= 127
            and len(self.speaker) <= MAX_SPEAKER
        )
        if not possible:
            raise FormatError("its sample rate, level or speaker vector is impossible")


@dataclass(frozen=True)
class VideoInfo(MediaInfo):
    """A video.

    Attributes:
        frame_rate: frames a second, as a fraction: (30000, 1001), say; (0, 1) if unknown.
        durations: how long each frame is shown where they differ, or that is not known: frame_rate
            tells then in how many parts a second is divided, in which these are counted.
    """

    axes: ClassVar[str] = "thw"

    frame_rate: tuple[int, int] = (0, 1)
    durations: tuple[int, ...] = ()

    def check(self) -> None:
        """See `MediaInfo.check`."""
        frames, seconds = self.frame_rate
        if not (0 <= frames <= MAX_FRAME_RATE and 1 <= seconds <= MAX_FRAME_RATE):
            raise FormatError(f"its frame rate of {frames}/{seconds} is impossible")
        told = self.durations
        if told and (
            not frames
            or len(told) != self.size[0]
            or not 1 <= min(told) <= max(told) <= MAX_DURATION
        ):
            raise FormatError("its durations do not fit its frames")


INFOS: dict[str, type[MediaInfo]] = {"hw": ImageInfo, "ct": AudioInfo, "thw": VideoInfo}


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
        condition: which of the classes of statistics that a coding prior may tell apart they are
            of, 0 to 255; what they stand for does not depend on it.
        chosen: bytes that a coding prior made along, when it was asked for codes; files take them
            as long as the maps are the same.
        missing: finer maps that the file they were read from begins to tell of and does not hold.
    """

    grids: "tuple[NDArray[np.uint16], ...]"
    codebook_sizes: tuple[int, ...]
    axes: str
    model: str
    codebook_id: bytes
    media: MediaInfo
    condition: int = 0
    chosen: "Chosen | None" = field(default=None, repr=False, compare=False)
    missing: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        """Check that the parts fit each other; readers rely on it.

        Raises:
            FormatError: they do not.
        """
        if self.axes not in AXES:
            raise FormatError(f"unknown axes '{self.axes}'")
        if not 1 <= len(self.grids) <= MAX_MAPS or len(self.grids) != len(self.codebook_sizes):
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
        if self.media.axes != self.axes:
            raise FormatError(f"what it tells is of {NAMES[self.media.axes]}")
        self.media.check()
        if not 0 <= self.condition <= MAX_CONDITION:
            raise FormatError(f"impossible condition {self.condition}")

    @property
    def image(self) -> ImageInfo:
        """What they were made from, if that is a picture; raises FormatError if not."""
        if not isinstance(self.media, ImageInfo):
            raise FormatError(f"these are codes of {self.modality}, not of a picture")
        return self.media

    @property
    def audio(self) -> AudioInfo:
        """What they were made from, if that is sound; raises FormatError if not."""
        if not isinstance(self.media, AudioInfo):
            raise FormatError(f"these are codes of {self.modality}, not of sound")
        return self.media

    @property
    def video(self) -> VideoInfo:
        """What they were made from, if that is a video; raises FormatError if not."""
        if not isinstance(self.media, VideoInfo):
            raise FormatError(f"these are codes of {self.modality}, not of a video")
        return self.media

    @property
    def modality(self) -> str:
        """``image``, ``audio`` or ``video``."""
        return NAMES[self.axes]

    def __eq__(self, other: object) -> bool:
        """Compare everything, arrays by value."""
        import numpy as np

        if not isinstance(other, Contents):
            return NotImplemented
        mine, theirs = (getattr(m, "alpha", None) for m in (self.media, other.media))
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
            self.condition,
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


def ticks_a_second(media: VideoInfo) -> Fraction:
    """Return in how many parts a second is divided that durations are counted in."""
    return Fraction(*media.frame_rate) or Fraction(25)


def seconds_of(media: VideoInfo) -> float:
    """Return how long a video is."""
    return float(sum(media.durations or (media.size[0],)) / ticks_a_second(media))
