"""The maps of a ``.vqc`` file: all of them, or as many as are wanted or there."""

import math
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from vqcodec.coding.lattice import LatticeModel
from vqcodec.coding.movingmodel import FramePrior
from vqcodec.errors import FormatError
from vqcodec.files import joint
from vqcodec.files.contents import MAX_CODES
from vqcodec.files.frames import (
    MAX_CODED,
    CodingPrior,
    packed_size,
    read_coded,
    read_packed,
    skip_coded,
)
from vqcodec.files.header import Header
from vqcodec.files.reader import Reader

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Grid = NDArray[np.uint16]

FindPrior = Callable[[str, bytes, bytes, int | None], CodingPrior | LatticeModel | FramePrior]


def read_maps(
    read: Reader,
    header: Header,
    find_prior: FindPrior,
    *,
    levels: int | None = None,
    partial: bool = False,
) -> "list[Grid]":
    """Return the maps behind a header; the rest is as `vqcodec.files.vqc.load` has it.

    None is allocated before it is known that the file can hold it.
    """
    check_size(header)
    number = len(header.maps)
    if not header.alone:
        number = _readable(read, header, levels, partial=partial)
    elif not header.coded:
        check_packed(read, header)
    if header.joint:
        return _read_jointly(read, header, find_prior, number)
    crc = zlib.crc32(read.passed())
    grids: list[Grid] = []
    parts = zip(header.maps[:number], header.shapes, header.prior_ids, strict=False)
    for place, (spec, shape, identity) in enumerate(parts):
        if identity is None:
            grid, crc = read_packed(read, shape, spec.codebook_size, crc)
        else:
            prior = find_prior(header.model, header.codebook_id, identity, place)
            if (
                isinstance(prior, LatticeModel | FramePrior)
                or prior.codebook_size != spec.codebook_size
            ):
                raise FormatError("damaged: its codebook size is not that of its coding prior")
            last = header.alone
            grid, crc = read_coded(read, grids, shape, header.axes, prior, crc, last=last)
        grids.append(grid)
    if header.alone and read.left:
        raise FormatError("followed by foreign bytes")
    return grids


def check_size(header: Header) -> None:
    """Raise FormatError if a file claims more indices than any."""
    if header.cells > MAX_CODES:
        raise FormatError(f"claims {header.cells:,} indices, more than any file")
    pairs = zip(header.shapes, header.prior_ids, strict=True)
    cells = sum(math.prod(shape) for shape, identity in pairs if identity is not None)
    if cells > (joint.MAX_JOINT if header.joint else MAX_CODED):
        raise FormatError(f"claims {cells:,} range-coded indices; too many")


def check_packed(read: Reader, header: Header) -> None:
    """Raise FormatError unless what is left is as long as packed maps are."""
    specs = zip(header.maps, header.shapes, strict=True)
    implied = sum(packed_size(shape, spec.codebook_size) for spec, shape in specs)
    size, whole = len(read.data), len(read.data) - read.left + implied
    if read.left < implied:
        raise FormatError(f"truncated, {size:,} of {whole:,} bytes")
    if read.left > implied:
        raise FormatError(f"followed by foreign bytes, {size:,} of {whole:,} bytes")


def map_ends(read: Reader, header: Header) -> tuple[list[int], FormatError | None]:
    """Return where the maps end, as places in the file, that are whole, and what ails the next.

    Args:
        read: behind the header; it stays there.
        header: of a file whose maps tell their lengths.
    """
    ends: list[int] = []
    ahead = Reader(read.data)
    ahead.position = read.position
    parts = zip(header.maps, header.shapes, header.prior_ids, strict=True)
    for number, (spec, shape, identity) in enumerate(parts):
        try:
            if header.joint:
                joint.read_frame(ahead, header.shapes, number, header.checks)
            elif identity is None:
                ahead.take(packed_size(shape, spec.codebook_size))
            else:
                skip_coded(ahead, shape, header.axes)
        except FormatError as error:
            return ends, error
        ends.append(ahead.position)
    return ends, None


def _readable(read: Reader, header: Header, levels: int | None, *, partial: bool) -> int:
    """Return how many maps are to be read.

    Raises:
        FormatError: that many are not there, or something is behind them.
    """
    (ends, error), number = map_ends(read, header), len(header.maps)
    wanted = number if levels is None else min(levels, number)
    size, whole = len(read.data), len(ends)
    if whole == number and size > ends[-1]:
        raise FormatError("followed by foreign bytes")
    cut = whole and (partial or size == ends[-1])  # where a map ends a file may
    if error and not whole:
        raise error
    if whole < wanted and not cut:
        maps = "first is" if whole == 1 else f"first {whole} are"
        reach = f"of its {number} maps the {maps} whole, which decode --partial goes by"
        raise FormatError(f"truncated after {size:,} bytes: {reach}")
    return min(whole, wanted)


def _read_jointly(read: Reader, header: Header, find_prior: FindPrior, number: int) -> "list[Grid]":
    """Read the first maps of a file whose maps are coded by one prior."""
    identity = header.prior_ids[0]
    assert identity is not None
    model = find_prior(header.model, header.codebook_id, identity, None)
    if (
        not isinstance(model, LatticeModel)
        or header.codebook_sizes != model.codebook_sizes[: len(header.maps)]
        or header.condition >= model.conditions
        or not joint.fits(model, header.shapes)
    ):
        raise FormatError("damaged: its maps or condition are not those of its coding prior")
    crc = zlib.crc32(read.passed())
    frames = [
        joint.read_frame(read, header.shapes, place, header.checks) for place in range(number)
    ]
    return joint.decode(frames, header.shapes, model, header.condition, crc)
