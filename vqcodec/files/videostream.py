"""Video in a ``.vqc`` file, written as it comes: version 3, groups of frames.

Each group can be decoded without those before it, and skipped without being decoded.
"""

import dataclasses
import io
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from vqcodec.coding.bits import pack, width_of
from vqcodec.coding.framemodel import FrameModel
from vqcodec.coding.lattice import LatticeModel
from vqcodec.coding.movingmodel import FramePrior, MovingModel
from vqcodec.errors import FormatError
from vqcodec.files import interframe, moving
from vqcodec.files.contents import (
    Contents,
    VideoInfo,
)
from vqcodec.files.frames import CRC_BYTES, MAX_CODED, CodingPrior, code
from vqcodec.files.header import PACKED, RANGE_CODED, Header, write_header
from vqcodec.files.mapreader import FindPrior
from vqcodec.files.reader import varint
from vqcodec.maps import Maps

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Grid = NDArray[np.uint16]
    Grids = tuple[Grid, ...]

AFTER = 2  # how a group holds a map: each frame after those before, see `interframe`
MOVING = 3  # how it holds all maps: what moved, and what that lacks, see `moving`
FRAMES = 32  # of a group, where they are small
GROUP_CELLS = 1 << 19  # of a group of several frames
MAX_FRAMES = 1 << 10  # of a group that is read
MAX_GROUP_CELLS = 1 << 25  # likewise, of all maps


class Group(NamedTuple):
    """Some frames of a video, one after the other.

    Attributes:
        grids: the maps of each, (n, h, w) uint16, coarse to fine.
        durations: of each, in ticks.
        condition: that of `Contents`.
    """

    grids: "Grids"
    durations: tuple[int, ...]
    condition: int = 0


def frames_of(maps: Maps, coded_size: tuple[int, ...]) -> int:
    """Return how many frames of (height, width) make a group.

    Where frames have several maps they may be made of the frames before: groups are longer.
    """
    cells = sum(cells_of(maps, coded_size))
    most = GROUP_CELLS if len(maps) == 1 else MAX_GROUP_CELLS
    return max(1, min(FRAMES, most // cells))


# of each map, none, or one of successive frames
Priors = Sequence[CodingPrior] | FramePrior


def find_priors(header: Header, find_prior: FindPrior) -> Priors:
    """Return the coding priors that a file names; see `vqc.load` for `find_prior`."""
    sizes = header.codebook_sizes
    found: list[CodingPrior] = []
    for number, identity in enumerate(header.prior_ids):
        if identity is None:
            continue
        which = None if header.joint else number
        prior = find_prior(header.model, header.codebook_id, identity, which)
        if isinstance(prior, FrameModel) and header.joint and interframe.fits(prior, sizes):
            return prior
        if isinstance(prior, MovingModel) and header.joint and moving.fits(prior, sizes):
            return prior
        if isinstance(prior, FramePrior | LatticeModel):
            raise FormatError("damaged: its coding prior is not one of frames")
        found.append(prior)
    if found and tuple(prior.codebook_size for prior in found) != sizes:
        raise FormatError("damaged: its codebook sizes are not those of its coding priors")
    return found


def identities_of(priors: Priors, maps: int) -> tuple[bytes | None, ...]:
    """Return the `Header.prior_ids` of so many maps that go by some priors, or none."""
    if isinstance(priors, FramePrior):
        return (priors.identity,) * maps
    return tuple(p.identity for p in priors) or (None,) * maps


def fitting(priors: Priors | LatticeModel, codebook_sizes: tuple[int, ...]) -> Priors:
    """Return priors if they are such as code frames of these codebooks, or else none."""
    if isinstance(priors, FrameModel):
        return priors if interframe.fits(priors, codebook_sizes) else ()
    if isinstance(priors, MovingModel):
        return priors if moving.fits(priors, codebook_sizes) else ()
    if isinstance(priors, LatticeModel):
        return ()
    return priors if tuple(p.codebook_size for p in priors) == codebook_sizes else ()


def is_stream_of_frames(codes: Contents) -> bool:
    """Tell whether codes are those of a video that has a map, or several, for each frame."""
    lengths = {len(codes.grids[0]), codes.media.size[0], codes.media.coded_size[0]}
    alike = all(len(grid) == len(codes.grids[0]) for grid in codes.grids)
    return isinstance(codes.media, VideoInfo) and alike and len(lengths) == 1


def dump(codes: Contents, priors: Priors | LatticeModel = ()) -> bytes:
    """Serialise codes; see `vqc.dump`."""
    media = codes.video
    cells = sum(grid.size for grid in codes.grids)
    fit = fitting(priors, codes.codebook_sizes) if cells <= MAX_CODED else ()
    joint = isinstance(fit, FramePrior)
    whole = Header.of(codes, identities_of(fit, len(codes.grids)), joint=joint)
    length, *size = media.size
    empty = dataclasses.replace(
        media, size=(0, *size), coded_size=(0, *media.coded_size[1:]), durations=()
    )
    file = io.BytesIO()
    writer = VideoWriter(
        file, dataclasses.replace(whole, media=empty, stream=True, condition=0), fit
    )
    durations = media.durations or (1,) * length
    step = frames_of(whole.maps, media.coded_size[1:])
    for start in range(0, length, step):
        some = slice(start, start + step)
        grids = tuple(grid[some] for grid in codes.grids)
        writer.write(Group(grids, durations[some], codes.condition))
    writer.finish()
    return file.getvalue()


def cells_of(maps: Maps, coded_size: tuple[int, ...]) -> list[int]:
    """Return the cells of each map of a frame of (height, width)."""
    found = []
    for spec in maps:
        height, width = dataclasses.replace(spec, stride=spec.stride[-2:]).shape(coded_size)
        found.append(height * width)
    return found


class VideoWriter:
    """Writes a video to `file`, which need not seek.

    Args:
        file: a binary file.
        header: of it; see `Header`.
        priors: of each map, or one of successive frames, or none: to range-code what is smaller so
            than packed.

    Attributes:
        size: bytes written so far.
        frames: written so far.
    """

    def __init__(self, file: BinaryIO, header: Header, priors: Priors = ()) -> None:
        self.size = self.frames = self._groups = 0
        self._file, self._maps, self._priors = file, header.maps, priors
        start = write_header(header)
        self._seed = zlib.crc32(start)
        self._give(start)

    def write(self, group: Group) -> None:
        """Write a group of frames."""
        out = bytearray(b"".join(map(varint, group.durations)))
        together = self._together(group)
        for number in range(len(group.grids) if together is None else 0):
            out += self._map(group.grids[: number + 1], number)
        out += together or b""
        self._give(varint(len(group.durations)) + varint(len(out)) + out)
        self._give(self._crc(bytes(out)))
        self._groups += 1
        self.frames += len(group.durations)

    def finish(self) -> None:
        """Write the end, which tells how many frames there were."""
        end = varint(self.frames)
        self._give(b"\0" + end + self._crc(end))

    def _together(self, group: Group) -> bytes | None:
        """Return all maps of a group, coded together; None where they are not, or better packed."""
        grids, condition, model = group.grids, group.condition, self._priors
        if not isinstance(model, MovingModel) or not moving.can_code(model, grids, condition):
            return None
        coded = moving.code(grids, model, condition)
        cells = sum(grid.size for grid in grids)
        return bytes([MOVING]) + coded if cells <= moving.MAX_PER_BYTE * len(coded) else None

    def _map(self, grids: "Grids", number: int) -> bytes:
        """Return one map of a group, packed or range-coded, whichever is smaller."""
        grid, size = grids[-1], self._maps[number].codebook_size
        packed = bytes([PACKED]) + pack(grid.reshape(-1), width_of(size))
        if isinstance(self._priors, FrameModel):
            if grid[0].size > interframe.MAX_CELLS:
                return packed
            coded = bytes([AFTER]) + interframe.code(grid, self._priors)
            if grid.size > interframe.MAX_PER_BYTE * (len(coded) - 1):
                return packed
        elif self._priors and not isinstance(self._priors, MovingModel):
            payloads = code(grids, "thw", self._priors[number])
            coded = bytes([RANGE_CODED]) + b"".join(varint(len(p)) + p for p in payloads)
        else:
            return packed
        return min(packed, coded, key=len)

    def _crc(self, content: bytes) -> bytes:
        return crc_of(self._seed, self._groups, content).to_bytes(CRC_BYTES, "little")

    def _give(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()  # whoever reads it may be waiting
        self.size += len(data)


def crc_of(seed: int, number: int, content: bytes) -> int:
    """Return the CRC-32 of group `number`: groups cannot be exchanged, or left out."""
    return zlib.crc32(content, zlib.crc32(varint(number), seed))
