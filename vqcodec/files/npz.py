"""Code files for people who work with arrays: a NumPy ``.npz`` archive.

``indices`` holds the map, uint16 (several maps are ``indices_0``, ``indices_1``, ... coarse to
fine); ``meta`` one JSON text; ``alpha`` the transparency of a picture, where there is any;
``tint``, int16, the numbers of a `Tint`, in units that ``meta`` tells, and whether a block is
smooth; ``speaker`` the vector of who speaks, int8, where there is one; ``durations`` how long each
frame of a video is shown, int64, in parts of a second that ``meta`` tells. There are no pickles in
it, and none are read.
``np.load(file)["indices"]`` is all that most people need.
"""

import contextlib
import io
import json
import math
import zipfile
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from vqcodec.errors import FormatError
from vqcodec.files.contents import (
    MAX_CODES,
    MAX_SPEAKER,
    AudioInfo,
    Contents,
    ImageInfo,
    VideoInfo,
    check_size,
)
from vqcodec.files.meta import ints, of_codes, of_media, restore
from vqcodec.files.tint import SHARES, Tint, blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = b"PK\x03\x04"
VERSION = 1
MAX_META_BYTES = 1 << 16
HEADER_BYTES = 1 << 10  # a .npy header is 128 bytes


def dump(codes: Contents) -> bytes:
    """Serialise codes. Equal codes give equal bytes (with one version of zlib)."""
    import numpy as np

    media = codes.media
    meta = {
        "format": VERSION,
        **of_codes(codes),
        "alpha": isinstance(media, ImageInfo) and media.alpha is not None,
        **of_media(media),
    }
    names = _grid_names(len(codes.grids))
    arrays: dict[str, NDArray[Any]] = dict(zip(names, codes.grids, strict=True))
    arrays["meta"] = np.array(json.dumps(meta))
    if isinstance(media, ImageInfo) and media.alpha is not None:
        arrays["alpha"] = media.alpha
    if isinstance(media, ImageInfo) and media.tint is not None:
        tint = media.tint
        arrays["tint"] = np.concatenate([tint.numbers, tint.smooth[..., None]], 2, dtype=np.int16)
    if isinstance(media, AudioInfo) and media.speaker:
        arrays["speaker"] = np.frombuffer(media.speaker, np.int8)
    if isinstance(media, VideoInfo) and media.durations:
        arrays["durations"] = np.array(media.durations, np.int64)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array, order="C"), allow_pickle=False)
            # ZipInfo's default date is a constant: the clock has no business in the file
            info = zipfile.ZipInfo(f"{name}.npy")
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue())
    return buffer.getvalue()


def load(data: bytes) -> Contents:
    """Reverse `dump`.

    Raises:
        FormatError: not such a file, or damaged. Nothing is allocated before its size is checked.
    """
    with _telling(), zipfile.ZipFile(io.BytesIO(data)) as archive:
        return _load(archive)


def axes_of(file: BinaryIO) -> str:
    """Return the axes of the codes in a file, having read no more than its `meta`.

    Raises:
        FormatError: not such a file, or damaged.
    """
    with _telling(), zipfile.ZipFile(file) as archive:
        text = _read(archive, archive.getinfo("meta.npy"), "U", MAX_META_BYTES)
        return str(json.loads(str(text))["axes"])


@contextlib.contextmanager
def _telling() -> Iterator[None]:
    """Turn whatever a damaged archive raises into a FormatError."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise FormatError(f"damaged or truncated archive ({error})") from None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, OSError):
        raise FormatError("damaged: its contents make no sense") from None


def _load(archive: zipfile.ZipFile) -> Contents:
    members = {}
    for info in archive.infolist():
        if info.filename in members:
            raise FormatError(f"holds '{info.filename}' twice")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FormatError("compressed in an unknown way")
        members[info.filename] = info
    if "meta.npy" not in members:
        raise FormatError("holds no 'meta', so it is not a vqcodec code file")
    text = _read(archive, members.pop("meta.npy"), "U", MAX_META_BYTES)
    if text.ndim != 0:
        raise FormatError("its 'meta' is not one text")
    meta = json.loads(str(text))
    if meta["format"] != VERSION:
        raise FormatError(f"written by another version of vqcodec (format {meta['format']})")
    size, coded_size = ints(meta["size"]), ints(meta["coded_size"])
    axes = str(meta["axes"])
    check_size(size, axes)
    sizes = ints(meta["codebook_sizes"])
    check_size(coded_size, axes)
    # A map has at most one index a pixel; wide integers are read too, where there is room for them.
    room = 2 * min(len(sizes) * math.prod(coded_size), MAX_CODES)
    grids = []
    for name in _grid_names(len(sizes)):
        grid = _read(archive, members.pop(f"{name}.npy"), "ui", room)
        room -= 2 * grid.size
        if grid.size and (int(grid.min()) < 0 or int(grid.max()) > 65535):
            raise FormatError("an index is out of range")
        grids.append(grid.astype("uint16"))
    told = _told(archive, members, meta)
    if members:
        raise FormatError(f"holds '{next(iter(members))}', which is none of its arrays")
    return restore(meta, tuple(grids), **told)


def _told(
    archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo], meta: dict[str, Any]
) -> dict[str, Any]:
    """Take the arrays that tell of the medium out of `members`."""
    size, coded_size = ints(meta["size"]), ints(meta["coded_size"])
    told: dict[str, Any] = {}
    if meta["alpha"]:
        told["alpha"] = _read(archive, members.pop("alpha.npy"), "u", math.prod(size))
    if "tint.npy" in members:
        room = 2 * (SHARES + 1) * math.prod(blocks(coded_size))
        told["tint"] = _tint(meta["tint_step"], _read(archive, members.pop("tint.npy"), "i", room))
    if "speaker.npy" in members:
        told["speaker"] = _speaker(_read(archive, members.pop("speaker.npy"), "i", MAX_SPEAKER))
    if "durations.npy" in members:
        found = _read(archive, members.pop("durations.npy"), "i", 8 * size[0])
        told["durations"] = tuple(found.reshape(-1).tolist())
    return told


def _read(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, kinds: str, limit: int
) -> "NDArray[Any]":
    """Read one array of dtype kinds `kinds` and at most `limit` bytes, never a pickle."""
    with archive.open(info) as file:
        return read_array(cast(BinaryIO, file), info.filename, kinds, limit)


def read_array(file: BinaryIO, name: str, kinds: str, limit: int) -> "NDArray[Any]":
    """Read one array in NumPy's own format, never a pickle.

    Args:
        file: that holds it and nothing else.
        name: what messages call it.
        kinds: of dtypes that it may have.
        limit: bytes that it may take.

    Raises:
        FormatError: it is something else. Nothing is allocated before its size is checked.
        ValueError: it is no array.
    """
    import numpy as np

    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise FormatError(f"'{name}' has an unknown array format")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=HEADER_BYTES)
    if dtype.hasobject or dtype.kind not in kinds:
        raise FormatError(f"'{name}' is of type {dtype}")
    expected = math.prod(shape) * dtype.itemsize
    if expected > limit or len(shape) > 8 or min(shape, default=0) < 0:
        raise FormatError(f"'{name}' claims {expected:,} bytes, more than it may")
    content = file.read(expected + 1)
    if len(content) != expected:
        raise FormatError(f"'{name}' is {len(content):,} bytes long, not {expected:,}")
    array: NDArray[Any] = np.frombuffer(content, dtype)
    return array.reshape(shape, order="F" if fortran else "C")


def _tint(step: Any, array: "NDArray[Any]") -> Tint:
    if type(step) is not int or array.dtype != "int16" or array.shape[2:] != (SHARES + 1,):
        raise FormatError("its tint is malformed")
    flags = array[..., SHARES]
    if not ((flags == 0) | (flags == 1)).all():
        raise FormatError("its tint is malformed")
    return Tint(step, array[..., :SHARES], flags.astype(bool))


def _speaker(array: "NDArray[Any]") -> bytes:
    if array.ndim != 1 or array.dtype != "int8" or not array.size:
        raise FormatError("its speaker vector is malformed")
    return array.tobytes()


def _grid_names(number: int) -> list[str]:
    return ["indices"] if number == 1 else [f"indices_{i}" for i in range(number)]
