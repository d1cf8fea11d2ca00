"""Under a lattice prior: blocks of maps to bytes and back, and codes chosen by their bits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqcodec.coding.lanes import TOTAL, TOTAL_BITS, LaneDecoder, LaneEncoder
from vqcodec.coding.lattice import LatticeModel, Walk
from vqcodec.coding.quadtree import Cells
from vqcodec.coding.threads import one_blas_thread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Grids = NDArray[np.uint16]  # (B, h, w): a map of some blocks
    Ints = NDArray[np.int32]
    Float = NDArray[np.float64]

Lanes = list[bytes]
CELLS_OF_LANE = 1 << 13
OUT = 1e6  # bits of a code that is no candidate
FEW = 0.25  # of all codes: so few candidates are looked at one by one


def lanes_of(shape: tuple[int, ...]) -> int:
    """Return how many lanes a block of a map of this shape, (h, w), is coded in."""
    return -(-shape[0] * shape[1] // CELLS_OF_LANE)


@one_blas_thread
def encode(
    model: LatticeModel,
    maps: "Sequence[Grids]",
    condition: int,
    beside: "NDArray[np.float32] | None" = None,
) -> list[list[Lanes]]:
    """Return the lanes of each block of each map.

    Args:
        model: what the codes cost.
        maps: coarse to fine, (B, h, w) each.
        condition: the class of all blocks.
        beside: see `Walk`.
    """
    walk, coded = Walk(model, condition, beside), []
    if model.first is not None:
        lanes = lanes_of(maps[0].shape[1:])
        payloads = model.first.encode(list(maps[0]))
        coded.append([[payload] + [b""] * (lanes - 1) for payload in payloads])
        walk.know(maps[0])
    for grid in maps[len(coded) :]:
        coder = LaneEncoder(len(grid), lanes_of(grid.shape[1:]))
        put(walk, grid, coder)
        coded.append(coder.finish())
    return coded


@one_blas_thread
def decode(
    model: LatticeModel,
    maps: "Sequence[Grids | list[Lanes]]",
    shapes: Sequence[tuple[int, ...]],
    condition: int,
    beside: "NDArray[np.float32] | None" = None,
) -> "list[Grids]":
    """Reverse `encode`: (B, h, w) for each map. Foreign bytes give some codes, never an error.

    Args:
        model: what `encode` was called with.
        maps: coarse to fine: the lanes of each block, or the map where it is known already.
        shapes: (h, w) of each map.
        condition: what `encode` was called with.
        beside: likewise.
    """
    walk, found = Walk(model, condition, beside), []
    if model.first is not None:
        first = maps[0]
        if isinstance(first, list):
            first = model.first.decode([lanes[0] for lanes in first], shapes[0])
        found.append(first)
        walk.know(first)
    for coded, (height, width) in list(zip(maps, shapes, strict=True))[len(found) :]:
        if isinstance(coded, list):
            found.append(take(walk, (len(coded), height, width), LaneDecoder(coded)))
        else:
            walk.know(coded)
            found.append(coded)
    return found


@one_blas_thread
def bits(
    model: LatticeModel,
    maps: "Sequence[Grids]",
    condition: int = 0,
    beside: "NDArray[np.float32] | None" = None,
) -> "list[Float]":
    """Return the bits, (B, h, w), that each code of each map costs, but for the coder's waste.

    The arguments are those of `encode`.
    """
    walk, found = Walk(model, condition, beside), list["Float"]()
    if model.first is not None:
        found.append(model.first.bits(list(maps[0])))
        walk.know(maps[0])
    found += [cost(walk, grid) for grid in maps[len(found) :]]
    return found


def put(walk: Walk, grid: "Grids", coder: LaneEncoder) -> None:
    """Go over the next map, (B, h, w), and give its codes to a coder of B blocks."""

    def look(cells: Cells, cumulative: "Ints") -> "tuple[Ints, Ints]":
        return parts_of(grid[:, *cells].astype("int32"), cumulative)

    def give(cells: Cells, parts: "tuple[Ints, Ints]") -> "Ints":
        coder.encode(*parts)
        return grid[:, *cells].astype("int32")

    walk.go(_shape(grid), look, give)


def take(walk: Walk, shape: tuple[int, int, int], coder: LaneDecoder) -> "Grids":
    """Reverse `put`: return the next map, of this shape (B, h, w)."""

    def look(_: Cells, cumulative: "Ints") -> "Ints":
        return cumulative

    return walk.go(shape, look, lambda _, cumulative: coder.decode(cumulative)).astype("uint16")


def cost(walk: Walk, grid: "Grids") -> "Float":
    """Go over the next map, and return the bits, (B, h, w), that each of its codes costs."""
    import numpy as np

    found = np.zeros(grid.shape)

    def look(cells: Cells, cumulative: "Ints") -> "Ints":
        codes = grid[:, *cells].astype(np.int32)
        found[:, *cells] = TOTAL_BITS - np.log2(parts_of(codes, cumulative)[1])
        return codes

    walk.go(_shape(grid), look)
    return found


@dataclass(frozen=True)
class Chosen:
    """Maps of a picture whose codes were chosen, and the bytes that came of it.

    Attributes:
        grids: the maps, (h, w) each; the first was known before.
        model: the identity of the prior that they were chosen by.
        condition: the class of all blocks.
        lanes: of each block, row after row, those of the second map and of the maps after it, or of
            the first of these.
    """

    grids: "tuple[Grids, ...]"
    model: bytes
    condition: int
    lanes: list[list[Lanes]]

    def told(
        self, model: LatticeModel, grids: "Sequence[Grids]", condition: int
    ) -> "list[list[Lanes]] | None":
        """Return the lanes of blocks of these maps; None where they are others."""
        import numpy as np

        same = (self.model, self.condition) == (model.identity, condition)
        same = same and len(grids) <= len(self.grids)
        pairs = zip(self.grids, grids, strict=False)
        return self.lanes if same and all(np.array_equal(*pair) for pair in pairs) else None


@one_blas_thread
def choose(walk: Walk, cost: "NDArray[np.float32]", coder: LaneEncoder | None = None) -> "Grids":
    """Choose the codes of the next map: in each pass the cheapest, given those chosen before.

    Args:
        walk: over the maps before.
        cost: (B, h, w, K), what it costs beside its bits, in bits, to take a code: its distance
            over what a bit is worth; `OUT` of codes that are no candidates.
        coder: gets what is chosen, where there is one.

    Returns:
        The map, (B, h, w).
    """
    import numpy as np

    def look(cells: Cells, cumulative: "Ints") -> "tuple[Ints, tuple[Ints, Ints] | None]":
        codes = _cheapest(cost[:, *cells], cumulative)
        return codes, None if coder is None else parts_of(codes, cumulative)

    def give(_: Cells, looked: "tuple[Ints, tuple[Ints, Ints] | None]") -> "Ints":
        codes, parts = looked
        if coder is not None and parts is not None:
            coder.encode(*parts)
        return codes

    batch, height, width = cost.shape[:3]
    return walk.go((batch, height, width), look, give).astype(np.uint16)


def _cheapest(cost: "NDArray[np.float32]", cumulative: "Ints") -> "Ints":
    """Return the codes, (B, rows, columns), that cost least with their bits."""
    import numpy as np

    found, size = cost.copy(), cost.shape[-1]
    flat, candidates = found.reshape(-1), np.flatnonzero(found < OUT)
    if len(candidates) > FEW * found.size:
        sizes = np.diff(cumulative[..., :size], axis=-1, prepend=0)
        found -= np.log2(sizes, dtype=np.float32)
    else:
        cells, codes = np.divmod(candidates, size)
        _, sizes = _parts_at(cells * cumulative.shape[-1] + codes, cumulative)
        flat[candidates] -= np.log2(sizes, dtype=np.float32)
    return found.argmin(-1).astype(np.int32)


def _shape(grid: "Grids") -> tuple[int, int, int]:
    batch, height, width = grid.shape
    return batch, height, width


def parts_of(codes: "Ints", cumulative: "Ints") -> "tuple[Ints, Ints]":
    """Return the parts below those of codes, and how many parts they have."""
    import numpy as np

    ends = np.arange(codes.size).reshape(codes.shape) * cumulative.shape[-1] + codes
    return _parts_at(ends, cumulative)


def _parts_at(ends: "NDArray[np.int64]", cumulative: "Ints") -> "tuple[Ints, Ints]":
    """Return the same for codes that lie at these places of all, flat."""
    flat = cumulative.reshape(-1)
    starts = flat[ends - 1] & (TOTAL - 1)  # before the first of a cell lies TOTAL
    return starts, flat[ends] - starts
