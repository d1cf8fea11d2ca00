"""The beginning of a ``.vqc`` file; `vqcodec.files.vqc` says what is where."""

import math
from dataclasses import dataclass

from vqcodec.errors import FormatError
from vqcodec.files.contents import AXES, Contents, MediaInfo, check_size
from vqcodec.files.frames import BLOCKS
from vqcodec.files.reader import Reader, varint
from vqcodec.files.sections import read_sections, write_sections

MAGIC = b"VQC"
VERSION = 1
SECTIONS, SCALED, CODED, STREAM, UNKNOWN = 0b0100, 0b1000, 0b1_0000, 0b10_0000, 0b1100_0000
# which stride each axis has: hw share one, the channels of ct have none of their own
STRIDES = {"hw": (0, 0), "ct": (None, 0), "thw": (0, 1, 1)}


@dataclass(frozen=True)
class Header:
    """All that a file says before its indices.

    Attributes:
        axes: those of `Contents`, as are `model` and `codebook_id`.
        model: see there.
        codebook_id: see there.
        codebook_sizes: K of each map.
        strides: of each map, those that `STRIDES` tells apart.
        media: what the indices are made from; of a stream, (channels, 0) in size.
        prior_id: of the coding prior, if the indices are range-coded.
        stream: the length is told at the end only.
    """

    axes: str
    model: str
    codebook_id: bytes
    codebook_sizes: tuple[int, ...]
    strides: tuple[tuple[int, ...], ...]
    media: MediaInfo
    prior_id: bytes | None = None
    stream: bool = False

    @classmethod
    def of(cls, codes: Contents) -> "Header":
        """Return the header of a file of packed codes."""
        coded_size, axes = codes.media.coded_size, codes.axes
        strides = tuple(_strides(grid.shape, coded_size, axes) for grid in codes.grids)
        sizes = codes.codebook_sizes
        return cls(axes, codes.model, codes.codebook_id, sizes, strides, codes.media)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """The shape of each map."""
        return [_shape(s, self.media.coded_size, self.axes) for s in self.strides]

    @property
    def cells(self) -> int:
        """The number of indices in all maps."""
        return sum(map(math.prod, self.shapes))


def write_header(header: Header) -> bytes:
    """Serialise a header."""
    media = header.media
    scaled = media.coded_size != media.size
    sections = write_sections(media)
    flags = AXES.index(header.axes) | CODED * (header.prior_id is not None)
    flags |= SECTIONS * bool(sections) | SCALED * scaled | STREAM * header.stream
    out = bytearray(MAGIC + bytes([VERSION, flags]) + header.codebook_id)
    out += bytes([len(header.model)]) + header.model.encode("ascii")
    if header.prior_id is not None:
        out += header.prior_id
    out.append(len(header.codebook_sizes))
    for size, strides in zip(header.codebook_sizes, header.strides, strict=True):
        for n in (size, *strides):
            out += varint(n - 1)
    for n in media.size[:1] if header.stream else media.size:
        out += varint(n - 1)
    for n in media.coded_size if scaled else ():
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
    stream = bool(flags & STREAM)
    known = (flags & 0b11) < len(AXES) and not flags & UNKNOWN
    if stream:
        known = known and AXES[flags & 0b11] == "ct" and not flags & (SCALED | CODED)
    if version != VERSION or not known:
        raise FormatError(
            f"needs a newer version of vqcodec (format {version}, flags {flags:#04x})"
        )
    axes = AXES[flags & 0b11]
    codebook_id = read.take(4)
    model = read.take(read.take(1)[0]).decode("ascii", "replace")
    if not model.isprintable():  # it will be quoted on terminals
        raise FormatError("damaged: the model's name is malformed")
    prior_id = read.take(4) if flags & CODED else None
    number = read.take(1)[0]
    alone = stream or prior_id is not None
    if not 1 <= number <= 16 or (alone and (number > 1 or axes not in BLOCKS)):
        raise FormatError(f"damaged: {number} index maps")
    sizes, strides = [], []
    for _ in range(number):
        sizes.append(read.varint() + 1)
        distinct = len({i for i in STRIDES[axes] if i is not None})
        strides.append(tuple(read.varint() + 1 for _ in range(distinct)))
    if stream:
        channels = read.varint() + 1
        media = MediaInfo((channels, 0), (channels, 0))
    else:
        size = tuple(read.varint() + 1 for _ in axes)
        coded_size = tuple(read.varint() + 1 for _ in axes) if flags & SCALED else size
        check_size(size, axes)
        check_size(coded_size, axes)
        media = MediaInfo(size, coded_size)
    if flags & SECTIONS:
        media = read_sections(read, media)
    return Header(axes, model, codebook_id, tuple(sizes), tuple(strides), media, prior_id, stream)


def _strides(shape: tuple[int, ...], coded_size: tuple[int, ...], axes: str) -> tuple[int, ...]:
    """Return the smallest strides that give a grid of this shape."""
    strides = [1] * len({i for i in STRIDES[axes] if i is not None})
    for cells, n, index in zip(shape, coded_size, STRIDES[axes], strict=True):
        if index is not None:
            strides[index] = max(strides[index], -(-n // cells))
    if _shape(tuple(strides), coded_size, axes) != shape:
        raise FormatError(f"a map of shape {shape} does not fit a coded size of {coded_size}")
    return tuple(strides)


def _shape(strides: tuple[int, ...], coded_size: tuple[int, ...], axes: str) -> tuple[int, ...]:
    return tuple(
        n if index is None else -(-n // strides[index])
        for n, index in zip(coded_size, STRIDES[axes], strict=True)
    )
