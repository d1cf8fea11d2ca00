"""`Codes`: index maps in memory, and their way to files and back."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from vqcodec.codingpriors import find_coding_priors
from vqcodec.errors import FormatError, UsageError, WeightsError
from vqcodec.files import header, npz, vqc
from vqcodec.files.atomic import writing
from vqcodec.files.contents import Contents, VideoInfo
from vqcodec.files.frames import CodingPrior
from vqcodec.files.videoframes import VideoFrames
from vqcodec.framepriors import find_frame_priors, needed_prior
from vqcodec.weights import find_named

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vqcodec.coding.lattice import LatticeModel
    from vqcodec.coding.movingmodel import FramePrior

MAX_FILE_BYTES = 1 << 29
SUFFIXES = (".npz", ".vqc")


class Codes(Contents):
    """Index maps of one picture, sound or video; see `Contents` for what they are made of."""

    @property
    def indices(self) -> "NDArray[np.uint16] | tuple[NDArray[np.uint16], ...]":
        """The index map; of several, a tuple.

        It is (h, w) of a picture, (channels, t) of sound, (T, h, w) of a video.
        """
        return self.grids[0] if len(self.grids) == 1 else self.grids

    def __repr__(self) -> str:
        """Tell the model, the original's size and the maps, in a line."""
        maps = " and ".join(
            f"{grid.shape} below {size}"
            for grid, size in zip(self.grids, self.codebook_sizes, strict=True)
        )
        return f"Codes({self.model!r}, {self.modality} of {self.media.size}, indices {maps})"

    def first(self, levels: int | None) -> "Codes":
        """Return the codes of so many maps only, from the coarsest on; of all with None."""
        sizes = self.codebook_sizes[:levels]
        return replace(self, grids=self.grids[:levels], codebook_sizes=sizes)

    def with_codebooks(self, number: int) -> "Codes":
        """Return the codes of the first so many codebooks; see `Weights.with_codebooks`.

        Raises:
            UsageError: these are not of so many.
            WeightsError: the weights that made them are not installed.
        """
        weights = find_named(self.model).of_codes(self.codebook_id)
        if weights is None:
            raise WeightsError(f"another codebook of the name '{self.model}' is installed")
        if number > len(self.grids):
            raise UsageError(f"codes of {len(self.grids)} codebooks cannot become {number}")
        identity = weights.with_codebooks(number).codebook_id
        return replace(self.first(number), codebook_id=identity)

    def save(self, path: str | Path, *, force: bool = False, prior: bool = True) -> int:
        """Write a ``.npz`` or ``.vqc`` file, by suffix; return its size in bytes.

        See `to_bytes` for `prior`.
        """
        data = self.to_bytes(suffix_of(path), prior=prior)
        with writing(Path(path), force=force) as file:
            file.write(data)
        return len(data)

    def to_bytes(
        self,
        suffix: str,
        *,
        prior: "bool | Sequence[CodingPrior] | LatticeModel | FramePrior" = True,
    ) -> bytes:
        """Serialise as ``.npz`` or ``.vqc``.

        Args:
            suffix: which of them.
            prior: range-code a ``.vqc`` with the coding priors of the installed weights of this
                name, where there are some and it helps: slower, smaller, and those who read the
                file need the same weights. Or the priors themselves, one for
                each map, or of all, or of frames.
        """
        if suffix == ".npz":
            return npz.dump(self)
        if isinstance(prior, bool):
            moving = isinstance(self.media, VideoInfo)
            find = find_frame_priors if moving else find_coding_priors
            prior = find(self.model, self.codebook_id) if prior else ()
        return vqc.dump(self, prior)

    @classmethod
    def load(cls, path: str | Path, *, levels: int | None = None, partial: bool = False) -> "Codes":
        """Read a ``.npz`` or ``.vqc`` file; its first bytes tell which it is.

        See `from_bytes` for the rest.
        """
        data = read_limited(Path(path))
        return cls.from_bytes(data, str(path), levels=levels, partial=partial)

    @classmethod
    def from_bytes(
        cls, data: bytes, name: str, *, levels: int | None = None, partial: bool = False
    ) -> "Codes":
        """Read the bytes of a code file that messages call `name`.

        A ``.vqc`` of several maps that was cut where a map ends gives codes of fewer maps.

        Args:
            data: the bytes.
            name: see above.
            levels: take so many maps only, from the coarsest on, where there are more.
            partial: take those maps of a ``.vqc``, or groups of frames, that are whole, wherever
                it was cut.

        Raises:
            FormatError: it is not a code file, is damaged, or from a newer version.
            WeightsError: it is range-coded, and its coding prior is not installed.
        """
        try:
            if data.startswith(vqc.MAGIC):
                contents = vqc.load(data, needed_prior, levels=levels, partial=partial)
                return cls(**vars(contents))
            if data.startswith(npz.MAGIC):
                return cls(**vars(npz.load(data))).first(levels)
            raise FormatError("empty file" if not data else "not a vqcodec code file")
        except (FormatError, WeightsError) as error:
            raise type(error)(f"{name}: {error}") from None


def axes_of(path: Path) -> str | None:
    """Return the axes of the codes in a file, by its header alone; None where it has none."""
    try:
        with path.open("rb") as file:
            head = file.read(len(vqc.MAGIC) + 2)
            file.seek(0)
            if head.startswith(vqc.MAGIC) and len(head) > 4:
                return header.axes_of(head)
            return npz.axes_of(file)
    except (FormatError, OSError):
        return None


@contextlib.contextmanager
def open_codes(
    path: Path, *, levels: int | None = None, partial: bool = False
) -> "Iterator[Codes | VideoFrames]":
    """Open a code file: one of a video in groups of frames as a stream, any other whole.

    The rest of the arguments are those of `Codes.load`.

    Raises:
        FormatError: it is missing, not a code file, damaged, or from a newer version.
        WeightsError: it is range-coded, and its coding prior is not installed.
    """
    try:
        with path.open("rb") as file:
            video = vqc.is_video(file.read(4))
            if video:
                file.seek(0)
                try:
                    frames = VideoFrames.open(file, needed_prior, partial=partial)
                except (FormatError, WeightsError) as error:
                    raise type(error)(f"{path}: {error}") from None
                yield frames
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file") from None
    if not video:
        yield Codes.load(path, levels=levels, partial=partial)


def read_limited(path: Path) -> bytes:
    """Return the bytes of a code file.

    Raises:
        FormatError: it is missing, unreadable, or larger than any code file.
    """
    try:
        with path.open("rb") as file:
            return read_stream(file, str(path))
    except FileNotFoundError:
        raise FormatError(f"{path}: no such file") from None
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from None


def read_stream(file: BinaryIO, name: str) -> bytes:
    """Return all of a stream that messages call `name`, up to `MAX_FILE_BYTES`."""
    data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise FormatError(f"{name}: larger than the limit of {MAX_FILE_BYTES >> 20} MiB")
    return data


def suffix_of(path: str | Path) -> str:
    """Return ``.npz`` or ``.vqc``.

    Raises:
        UsageError: the path ends in neither.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path}: code files end in .npz or .vqc")
    return suffix
