"""The beginning of a ``.vqc`` file; `vqcodec.files.vqc` says what is where."""

import math
from dataclasses import dataclass

from vqcodec.errors import FormatError
from vqcodec.files.contents import AXES, INFOS, Contents, MediaInfo, check_size
from vqcodec.files.joint import CHECKS, SHORT_CHECKS, Checks
from vqcodec.files.profiles import Profile, profile_numbered, profile_of
from vqcodec.files.reader import Reader, varint
from vqcodec.files.sections import read_sections, write_sections
from vqcodec.maps import Maps, MapSpec
from vqcodec.weights import MAX_MAPS

MAGIC = b"VQC"
SECTIONS, SCALED, CODED, STREAM, JOINT = 0b0100, 0b1000, 0b1_0000, 0b10_0000, 0b100_0000
# the sizes that are told at the start of a stream, whose length is not: channels; height and width
TOLD = {"ct": slice(0, 1), "thw": slice(1, 3)}
# which stride each axis has: hw share one, the channels of ct have none of their own
STRIDES = {"hw": (0, 0), "ct": (None, 0), "thw": (0, 1, 1)}
PACKED, RANGE_CODED = 0, 1  # how version 2 holds a map
CONDITION = CODED  # the same bit in version 2
# bits that must be 0, by version
UNKNOWN = {1: JOINT | 0b1000_0000, 2: 0b1000_0000, 3: 0b1000_0000}
# the flags of version 4: the first two are as above, two bits on the right
SHORT = 4  # is its number
SHIFT, SHORT_CONDITION, NUMBER, SHORT_UNKNOWN = 2, 0b0100, 3, 0b1000_0000


@dataclass(frozen=True)
class Header:
    """All that a file says before its indices.

    Attributes:
        axes: those of `Contents`, as are `model` and `codebook_id`.
        model: see there.
        codebook_id: see there.
        maps: K and strides of each map.
        media: what the indices are made from; of a stream, (channels, 0) in size, or 0 frames.
        prior_ids: of each map, the coding prior that it is range-coded with; None if it is packed.
        stream: the length is told at the end only.
        joint: the maps are range-coded together, by one prior.
        condition: that of `Contents`.
        profile: says all of this but the condition and what the indices are made from.
    """

    axes: str
    model: str
    codebook_id: bytes
    maps: Maps
    media: MediaInfo
    prior_ids: tuple[bytes | None, ...]
    stream: bool = False
    joint: bool = False
    condition: int = 0
    profile: Profile | None = None

    @classmethod
    def of(
        cls, codes: Contents, prior_ids: tuple[bytes | None, ...], *, joint: bool = False
    ) -> "Header":
        """Return the header of a file of codes; the rest is as above."""
        profile = profile_of(codes, prior_ids, joint=joint)
        if profile is not None:
            return cls.by(profile, len(codes.grids), codes.media, codes.condition)
        coded_size, axes = codes.media.coded_size, codes.axes
        maps = tuple(
            MapSpec(size, _strides(grid.shape, coded_size, axes))
            for grid, size in zip(codes.grids, codes.codebook_sizes, strict=True)
        )
        return cls(
            axes,
            codes.model,
            codes.codebook_id,
            maps,
            codes.media,
            prior_ids,
            joint=joint,
            condition=codes.condition,
        )

    @classmethod
    def by(cls, profile: Profile, number: int, media: MediaInfo, condition: int) -> "Header":
        """Return the header of a file of so many maps that a profile speaks for."""
        return cls(
            profile.axes,
            profile.model,
            profile.codebook_id(number),
            profile.maps[:number],
            media,
            profile.priors(number),
            joint=profile.joint,
            condition=condition,
            profile=profile,
        )

    @property
    def version(self) -> int:
        """The fourth where a profile speaks for the file, else the first that can say all this."""
        if self.profile is not None:
            return SHORT
        if self.stream and self.axes == "thw":
            return 3
        said = len(self.maps) == 1 and not self.joint and not self.condition
        return 1 if said and not (self.coded and (self.stream or self.axes == "thw")) else 2

    @property
    def alone(self) -> bool:
        """Whether a file ends with its one map, the length of which then goes without saying."""
        return self.version == 1 or (self.version == SHORT and not self.joint and self.number == 1)

    @property
    def checks(self) -> Checks:
        """Bytes of the checksums of maps that are coded together."""
        return CHECKS if self.profile is None else SHORT_CHECKS

    @property
    def number(self) -> int:
        """The number of maps."""
        return len(self.maps)

    @property
    def coded(self) -> bool:
        """Whether any map is range-coded."""
        return any(identity is not None for identity in self.prior_ids)

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """K of each map."""
        return tuple(spec.codebook_size for spec in self.maps)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of each map."""
        return [spec.shape(self.media.coded_size) for spec in self.maps]

    @property
    def cells(self) -> int:
        """The number of indices in all maps."""
        return sum(map(math.prod, self.shapes))


def write_header(header: Header) -> bytes:
    """Serialise a header."""
    if header.profile is not None:
        return _write_short(header, header.profile)
    media, version = header.media, header.version
    scaled = media.coded_size != media.size
    sections = write_sections(media)
    flags = AXES.index(header.axes) | SECTIONS * bool(sections) | SCALED * scaled
    if version == 1:
        flags |= CODED * header.coded
    else:
        flags |= CONDITION * bool(header.condition) | JOINT * header.joint
    flags |= STREAM * header.stream
    out = bytearray(MAGIC + bytes([version, flags]) + header.codebook_id)
    out += bytes([len(header.model)]) + header.model.encode("ascii")
    if version == 1 or header.joint:
        out += header.prior_ids[0] or b""
    if header.condition:
        out.append(header.condition)
    out.append(len(header.maps))
    before = 0
    for spec, identity in zip(header.maps, header.prior_ids, strict=True):
        codes = 1 if header.joint and spec.codebook_size == before else spec.codebook_size
        before = spec.codebook_size
        for n in (codes, *_told(spec.stride, header.axes)):
            out += varint(n - 1)
        if version > 1 and not header.joint:
            out += bytes([PACKED]) if identity is None else bytes([RANGE_CODED]) + identity
    for size in (media.size, media.coded_size if scaled else ()):
        for n in size[TOLD[header.axes]] if header.stream else size:
            out += varint(n - 1)
    return bytes(out) + sections


def read_header(read: Reader) -> Header:
    """Reverse `write_header`.

    Raises:
        FormatError: not such a file, damaged, or of a newer version.
    """
    if read.take(3) != MAGIC:
        raise FormatError("not a .vqc file")
    version, flags = read.take(2)
    if version == SHORT:
        return _read_short(read, flags)
    stream, coded = bool(flags & STREAM), version == 1 and bool(flags & CODED)
    joint = version > 1 and bool(flags & JOINT)
    if not _is_known(version, flags):
        raise FormatError(
            f"needs a newer version of vqcodec (format {version}, flags {flags:#04x})"
        )
    axes = AXES[flags & 0b11]
    codebook_id = read.take(4)
    model = read.take(read.take(1)[0]).decode("ascii", "replace")
    if not model.isprintable():  # it will be quoted on terminals
        raise FormatError("damaged: the model's name is malformed")
    prior_id = read.take(4) if coded or joint else None
    condition = read.take(1)[0] if version == 2 and flags & CONDITION else 0
    if version == 2 and bool(flags & CONDITION) != bool(condition):
        raise FormatError("damaged: a condition of 0 is told")
    number = read.take(1)[0]
    alone = version == 1 and (stream or coded)
    if not 1 <= number <= MAX_MAPS or (alone and (number > 1 or axes == "thw")):
        raise FormatError(f"damaged: {number} index maps")
    maps: list[MapSpec] = []
    prior_ids = []
    for _ in range(number):
        maps.append(_read_map(read, axes, maps[-1].codebook_size if joint and maps else 1))
        prior_ids.append(_read_prior_id(read) if version > 1 and not joint else prior_id)
    media = _read_sizes(read, axes, scaled=bool(flags & SCALED), stream=stream)
    if flags & SECTIONS:
        media = read_sections(read, media)
    header = Header(
        axes,
        model,
        codebook_id,
        tuple(maps),
        media,
        tuple(prior_ids),
        stream=stream,
        joint=joint,
        condition=condition,
    )
    if version == 2 and header.version == 1:
        raise FormatError("damaged: it is of version 2 without need")
    if version == 3:
        _check_frames(header)
    return header


def axes_of(head: bytes) -> str | None:
    """Return the axes of the file that begins with these bytes, five at least; None if unknown."""
    if head[3] == SHORT:
        profile = profile_numbered(head[4])
        return None if profile is None else profile.axes
    axis = head[4] & 0b11
    return AXES[axis] if axis < len(AXES) else None


def _write_short(header: Header, profile: Profile) -> bytes:
    """Serialise a header of version 4."""
    media = header.media
    scaled = media.coded_size != media.size
    sections = write_sections(media)
    flags = SECTIONS * bool(sections) | SCALED * scaled
    flags = flags >> SHIFT | SHORT_CONDITION * bool(header.condition) | header.number - 1 << NUMBER
    out = bytearray(MAGIC + bytes([SHORT, profile.number, flags]))
    if header.condition:
        out.append(header.condition)
    for size in (media.size, media.coded_size if scaled else ()):
        for n in size:
            out += varint(n - 1)
    return bytes(out) + sections


def _read_short(read: Reader, number: int) -> Header:
    """Read what follows the number of the profile in a header of version 4."""
    profile, flags = profile_numbered(number), read.take(1)[0]
    if profile is None or flags & SHORT_UNKNOWN:
        raise FormatError(
            f"needs a newer version of vqcodec (profile {number}, flags {flags:#04x})"
        )
    condition = read.take(1)[0] if flags & SHORT_CONDITION else 0
    if bool(flags & SHORT_CONDITION) != bool(condition):
        raise FormatError("damaged: a condition of 0 is told")
    maps = (flags >> NUMBER) + 1
    if maps > len(profile.maps):
        raise FormatError(f"damaged: {maps} index maps")
    told = flags << SHIFT
    media = _read_sizes(read, profile.axes, scaled=bool(told & SCALED), stream=False)
    if told & SECTIONS:
        media = read_sections(read, media)
    return Header.by(profile, maps, media, condition)


def _is_known(version: int, flags: int) -> bool:
    """Tell whether there are files of this version that have these flags."""
    axis, stream = flags & 0b11, bool(flags & STREAM)
    if version not in (1, 2, 3) or axis >= len(AXES) or flags & UNKNOWN[version]:
        return False
    if version == 3:
        return stream and AXES[axis] == "thw" and not flags & CODED
    return not stream or (AXES[axis] == "ct" and not flags & (SCALED | CODED | JOINT))


def _read_map(read: Reader, axes: str, before: int) -> MapSpec:
    """Read what is told of a map; `before` is the size that stands for an impossible one of 1."""
    size = read.varint() + 1
    size = before if size == 1 else size
    told = [read.varint() + 1 for _ in range(_distinct(axes))]
    return MapSpec(size, tuple(1 if i is None else told[i] for i in STRIDES[axes]))


def _read_prior_id(read: Reader) -> bytes | None:
    kind = read.take(1)[0]
    if kind not in (PACKED, RANGE_CODED):
        raise FormatError(f"needs a newer version of vqcodec (indices of kind {kind})")
    return read.take(4) if kind == RANGE_CODED else None


def _read_sizes(read: Reader, axes: str, *, scaled: bool, stream: bool) -> MediaInfo:
    told = TOLD[axes] if stream else slice(None)

    def read_size() -> tuple[int, ...]:
        size = [0] * len(axes)
        size[told] = [read.varint() + 1 for _ in axes[told]]
        return tuple(size)

    size = read_size()
    coded_size = read_size() if scaled else size
    if not stream:
        check_size(size, axes)
        check_size(coded_size, axes)
    return INFOS[axes](size, coded_size)


def _check_frames(header: Header) -> None:
    """Raise FormatError unless the frames of a stream of video are such as can be coded."""
    media = header.media
    for size in (media.size, media.coded_size):
        check_size(size[1:], "hw")
    media.check()
    fit = (spec.stride[0] == 1 and 2 <= spec.codebook_size <= 65536 for spec in header.maps)
    if not all(fit):
        raise FormatError("damaged: its maps are not those of frames")


def _distinct(axes: str) -> int:
    """Return how many strides are told of a map."""
    return len({i for i in STRIDES[axes] if i is not None})


def _told(stride: tuple[int, ...], axes: str) -> list[int]:
    """Return those of a map's strides that are told, of axes that share one once."""
    return [stride[STRIDES[axes].index(i)] for i in range(_distinct(axes))]


def _strides(shape: tuple[int, ...], coded_size: tuple[int, ...], axes: str) -> tuple[int, ...]:
    """Return the smallest strides that give a grid of this shape."""
    told = [1] * _distinct(axes)
    for cells, n, index in zip(shape, coded_size, STRIDES[axes], strict=True):
        if index is not None:
            told[index] = max(told[index], -(-n // cells))
    strides = tuple(1 if i is None else told[i] for i in STRIDES[axes])
    if MapSpec(2, strides).shape(coded_size) != shape:
        raise FormatError(f"a map of shape {shape} does not fit a coded size of {coded_size}")
    return strides
