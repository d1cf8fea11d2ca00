"""Streams of indices of sound, written and read as they come; a kind of ``.vqc`` file."""

import dataclasses
import zlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

from vqcodec.coding.bits import pack, packed_bytes, unpack, width_of
from vqcodec.coding.lattice import LatticeModel
from vqcodec.coding.movingmodel import FramePrior
from vqcodec.codingpriors import needed_coding_prior
from vqcodec.errors import FormatError
from vqcodec.files.contents import AudioInfo, check_size
from vqcodec.files.frames import CRC_BYTES, RUN, CodingPrior
from vqcodec.files.header import Header, read_header, write_header
from vqcodec.files.mapreader import FindPrior
from vqcodec.files.reader import Reader, StreamReader, varint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Indices = NDArray[np.uint16]

KNOWN = 128  # cells of the frames before that a range-coded frame goes on from
CODED_BYTES = 2  # an index takes at most, and a payload 16 more


class StreamWriter:
    """Writes a stream to `file`, which need not seek.

    Args:
        file: what to write to.
        header: of the stream; tells which maps are range-coded.
        priors: of the maps, or of the first; those of maps that are range-coded are used.

    Attributes:
        size: bytes written so far.
    """

    def __init__(self, file: BinaryIO, header: Header, priors: Sequence[CodingPrior] = ()) -> None:
        self.size = 0
        self._file, self._crc = file, 0
        self._sizes = header.codebook_sizes
        pairs = zip(header.prior_ids, range(len(header.maps)), strict=True)
        self._priors = [None if identity is None else priors[i] for identity, i in pairs]
        self._known = _nothing(header)
        start = write_header(header)
        self._crc = zlib.crc32(start)
        self._give(start)

    def write(self, indices: "Indices") -> None:
        """Write a frame of indices, (maps, channels, n); none if n is 0."""
        maps, channels, cells = indices.shape
        step = max(1, RUN // (maps * channels))
        for start in range(0, cells, step):
            self._write(indices[..., start : start + step])

    def finish(self, samples: int, coded_samples: int) -> None:
        """Write the end, which tells how many samples each channel had, and how many were coded."""
        self._seal(b"\0" + varint(samples - 1) + varint(coded_samples - 1))

    def _write(self, part: "Indices") -> None:
        import numpy as np

        whole = np.concatenate([self._known, part], axis=2)
        known = self._known.shape[2]
        data, coded = varint(part.shape[2]), b""
        for i, (prior, size) in enumerate(zip(self._priors, self._sizes, strict=True)):
            if prior is None:
                data += pack(part[i].reshape(-1), width_of(size))
                continue
            (payload,) = prior.encode([whole[i]], _before(whole, i, prior), known=known)
            data += varint(len(payload)) + payload
            coded += part[i].astype("<u2").tobytes()
        self._known = whole[..., -KNOWN:]
        self._seal(data, coded)

    def _seal(self, data: bytes, coded: bytes = b"") -> None:
        self._crc = zlib.crc32(coded, zlib.crc32(data, self._crc))
        self._give(data + self._crc.to_bytes(CRC_BYTES, "little"))

    def _give(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()  # whoever reads it may be waiting
        self.size += len(data)


class StreamFrames:
    """The frames of a stream, one after the other.

    Attributes:
        header: what was told at its start.
        media: what the indices are made from; of its full size once all frames were read.
    """

    def __init__(
        self, read: Reader, header: Header, find_prior: FindPrior = needed_coding_prior
    ) -> None:
        """Go on behind a header that was read; `find_prior` is that of `vqc.load`."""
        assert isinstance(header.media, AudioInfo)  # as `read_header` makes sure
        self.header, self.media = header, header.media
        self._read, self._crc = read, zlib.crc32(read.passed())
        self.media.check()
        channels, maps = self.media.size[0], header.maps
        for size in header.codebook_sizes:
            if not 2 <= size <= 65536 or channels * len(maps) > RUN:
                raise FormatError(f"damaged: {channels} channels, a codebook of {size}")
        if any(spec.stride != maps[0].stride for spec in maps):
            raise FormatError("damaged: its maps are not of one rate")
        self._priors = [self._prior(find_prior, i) for i in range(len(maps))]
        self._known = _nothing(header)

    @classmethod
    def open(cls, file: BinaryIO) -> "StreamFrames":
        """Read the header of a stream from a file that need not seek.

        Raises:
            FormatError: it is no stream, or damaged.
            WeightsError: it is range-coded, and its coding prior is not installed.
        """
        read = StreamReader(file)
        header = read_header(read)
        if not header.stream:
            raise FormatError("not a stream")
        return cls(read, header)

    def __iter__(self) -> "Iterator[Indices]":
        """Yield the indices of each frame, (maps, channels, n).

        Raises:
            FormatError: it is truncated, damaged, or something follows its end.
        """
        total, channels = 0, self.media.size[0]
        while cells := self._read.varint():
            if cells * channels * len(self.header.maps) > RUN:
                raise FormatError(f"damaged: a frame claims {cells * channels:,} indices")
            yield self._frame(channels, cells)
            total += cells
        samples, coded = self._read.varint() + 1, self._read.varint() + 1
        self._check()
        if (channels, total) != self.header.maps[0].shape((channels, coded)):
            raise FormatError("damaged: its length is not that of its frames")
        if not self._read.ended:
            raise FormatError("followed by foreign bytes")
        for size in ((channels, samples), (channels, coded)):
            check_size(size, self.header.axes)
        self.media = dataclasses.replace(
            self.media, size=(channels, samples), coded_size=(channels, coded)
        )

    def _prior(self, find_prior: FindPrior, number: int) -> CodingPrior | None:
        header = self.header
        if (identity := header.prior_ids[number]) is None:
            return None
        prior = find_prior(header.model, header.codebook_id, identity, number)
        if isinstance(prior, LatticeModel | FramePrior):
            raise FormatError("damaged: its coding prior is one of all maps, or of frames")
        sizes = header.codebook_sizes[number - len(prior.coarser) : number + 1]
        if (*prior.coarser, prior.codebook_size) != sizes:
            raise FormatError("damaged: its codebook sizes are not those of its coding prior")
        return prior

    def _frame(self, channels: int, cells: int) -> "Indices":
        import numpy as np

        count, payloads = channels * cells, []
        for prior, size in zip(self._priors, self.header.codebook_sizes, strict=True):
            length = packed_bytes(count, width_of(size)) if prior is None else self._read.varint()
            if length > CODED_BYTES * count + 16:
                raise FormatError(f"damaged: a frame claims {length:,} bytes")
            payloads.append(self._read.take(length))
        known = self._known.shape[2]
        whole = np.zeros((len(payloads), channels, known + cells), np.uint16)
        whole[..., :known] = self._known
        passed, coded = self._read.passed(), b""
        for i, (payload, prior) in enumerate(zip(payloads, self._priors, strict=True)):
            if prior is None:
                whole[i, :, known:] = self._unpacked(payload, i, channels, cells)
                continue
            told, own = _before(whole, i, prior), [self._known[i]]
            whole[i] = prior.decode([payload], whole[i].shape, told, known=own)[0]
            coded += whole[i, :, known:].astype("<u2").tobytes()
        self._known = whole[..., -KNOWN:]
        self._check(passed, coded)
        return whole[..., known:]

    def _unpacked(self, payload: bytes, number: int, channels: int, cells: int) -> "Indices":
        count, size = channels * cells, self.header.codebook_sizes[number]
        width = width_of(size)
        indices = unpack(payload, count, width)
        if payload[-1] & ((1 << (-count * width % 8)) - 1) or int(indices.max()) >= size:
            raise FormatError(f"damaged: an index is not below the codebook's size {size}")
        return indices.reshape(channels, cells)

    def _check(self, passed: bytes | None = None, coded: bytes = b"") -> None:
        """Compare the checksum of what was read, and of range-coded indices, with the next one."""
        data = self._read.passed() if passed is None else passed
        self._crc = zlib.crc32(coded, zlib.crc32(data, self._crc))
        if self._crc != int.from_bytes(self._read.take(CRC_BYTES), "little"):
            raise FormatError("damaged: the checksum is wrong")
        self._read.passed()  # the checksum is not part of the next


def _nothing(header: Header) -> "Indices":
    """Return the cells that come before the first frame: none."""
    import numpy as np

    return np.zeros((len(header.maps), header.media.size[0], 0), np.uint16)


def _before(whole: "Indices", number: int, prior: CodingPrior) -> "list[list[Indices]]":
    """Return what the prior of a map is told of those before it."""
    return [[whole[j]] for j in range(number - len(prior.coarser), number)]
