"""A coding prior of several maps as integers: p(codes of a pass | coarser maps, earlier passes).

`vqcodec.coding.quadtree` says which cells are coded when, and see what. All cells of a pass are
coded at once, in a few large matrix products.

All numbers are integers, see `vqcodec.coding.layers`. A cell of a pass has

    h = see (what the level before says, known codes around) + a bias for each condition
    h = h + 1x1(relu(1x1(relu(h))))     some times
    frequencies = 2^(1x1(relu(h)) - its maximum), each octave a straight line

and every cell of a level says to the level after it

    t = above (what the level before says) + a vector for each code
    t = t + 1x1(relu(3x3(relu(t))))     some times
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from vqcodec.coding.layers import CAP, EXACT, MAX_CODES, Head, Layer, rectified
from vqcodec.coding.quadtree import MAX_DEPTH, PHASES, RATIOS, REACH, Cells, Level, levels
from vqcodec.coding.threads import spread

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Ints = NDArray[np.int32]
    Arrays = dict[str, NDArray[np.int64]]
    Look = Callable[[Cells, Ints], Any]
    Take = Callable[[Cells, Any], NDArray[np.int32]]


class FirstPrior(Protocol):
    """What is asked of a prior of the first map: that of `vqcodec.coding.causal` will do."""

    def encode(self, maps: "list[NDArray[np.uint16]]") -> list[bytes]:
        """Return the bytes of maps, (h, w) each and all of one shape."""

    def decode(self, payloads: list[bytes], shape: tuple[int, ...]) -> "NDArray[np.uint16]":
        """Reverse it: (N, h, w)."""

    def bits(self, maps: "list[NDArray[np.uint16]]") -> "NDArray[np.float64]":
        """Return the bits, (N, h, w), that each index of maps costs."""


MAX_BLOCKS = 8
CHUNK = 1 << 19  # numbers at once: they stay in a cache, and there is work for all cores


@dataclass(frozen=True)
class LevelNetwork:
    """The layers of a level.

    Attributes:
        level: where its cells lie.
        see: of each phase, from what the level before says and the window to h.
        above: the bias with which the first rows of `see` alone lead to t; None where there is no
            level before, or after.
        before: how many these rows are.
        blocks: of h, each two layers.
        trunk: of t, each two layers.
    """

    level: Level
    see: list[Layer]
    above: "Array | None"
    before: int
    blocks: list[tuple[Layer, Layer]]
    trunk: list[tuple[Layer, Layer]]


class LatticeModel:
    """An integer network that predicts the codes of maps, coarse to fine, pass by pass.

    Args:
        arrays: ``ratios`` (maps,) and ``depth`` (1,), see `quadtree.levels`. Of each map m
            ``map.m.codes`` (K, d), what neighbours see of a code; ``map.m.tell`` (K, C), what it
            says to the next level; ``map.m.head`` (C, K). Of each level i ``level.i.see.p`` (C of
            the level before + taps d, C) of each phase p, ``level.i.block.j.conv`` and ``.mix``
            (C, C), ``level.i.trunk.j.conv`` (9 C, C) and ``.mix``. All matrices have a bias under
            their name and ``_bias``, those of ``see`` one for each condition, and there is
            ``level.i.above_bias`` (1 or 4, C), of cells that have a cell of the level before of
            their own, or the four that share one. ``shifts``: of the matrices, sorted by name.

    Raises:
        ValueError: the arrays do not fit each other, or sums could be inexact.

    Attributes:
        first: what codes the first map instead, where there is such a prior.
    """

    first: "FirstPrior | None" = None

    def __init__(self, arrays: "Arrays") -> None:
        import numpy as np

        self.arrays = arrays
        if not {"ratios", "depth", "shifts"} <= arrays.keys():
            raise ValueError("it has no plan")
        ratios = tuple(arrays["ratios"].ravel().tolist())
        depth = arrays["depth"].ravel().tolist()
        if not 1 <= len(ratios) <= 16 or any(ratio not in RATIOS for ratio in ratios[1:]):
            raise ValueError("its ratios are out of range")
        if len(depth) != 1 or not 0 <= depth[0] <= MAX_DEPTH:
            raise ValueError("its depth is out of range")
        self.ratios = ratios
        self._plan = levels(ratios, depth[0])
        names = sorted(name for name in arrays if f"{name}_bias" in arrays)
        shifts = arrays["shifts"].ravel().tolist()
        self._shifts = dict(zip(names, shifts, strict=True))
        self._check_shapes(names)
        numbers = range(len(ratios))
        self.codes = [arrays[f"map.{m}.codes"].astype(np.float32) for m in numbers]
        if any(np.abs(codes).max() > CAP for codes in self.codes):
            raise ValueError("its numbers are too large to stay exact")
        self.tells = [
            arrays[f"map.{m}.tell"].astype(np.float32) if f"map.{m}.tell" in arrays else None
            for m in numbers
        ]
        self.heads = [Head(*self._of(f"map.{m}.head")) for m in numbers]
        self.codebook_sizes = tuple(head.codes for head in self.heads)
        self.conditions = len(arrays["level.0.see.0_bias"])
        self.networks = [self._network(i, level) for i, level in enumerate(self._plan)]
        digest = hashlib.sha256()
        for name in sorted(arrays):
            digest.update(name.encode() + arrays[name].astype("<i8").tobytes())
        self.identity = digest.digest()[:4]  # files carry it

    def _of(self, name: str) -> "tuple[NDArray[np.int64], NDArray[np.int64], int]":
        return self.arrays[name], self.arrays[f"{name}_bias"], self._shifts[name]

    def _network(self, i: int, level: Level) -> LevelNetwork:
        import numpy as np

        def pairs(kind: str) -> list[tuple[Layer, Layer]]:
            found: list[tuple[Layer, Layer]] = []
            while f"level.{i}.{kind}.{len(found)}.conv" in self.arrays:
                name = f"level.{i}.{kind}.{len(found)}"
                found.append((Layer(*self._of(f"{name}.conv")), Layer(*self._of(f"{name}.mix"))))
            return found

        see = [Layer(*self._of(f"level.{i}.see.{p}")) for p in range(len(PHASES))]
        above = self.arrays.get(f"level.{i}.above_bias")
        if above is not None and (np.abs(above) >= EXACT >> 1).any():
            raise ValueError("its numbers are too large to stay exact")
        before = self._units(i - 1) if i else 0
        bias = None if above is None else above.astype(np.float32)
        return LevelNetwork(level, see, bias, before, pairs("block"), pairs("trunk"))

    def _units(self, i: int) -> int:
        return int(self.arrays[f"map.{self._plan[i].number}.head"].shape[0])

    def _check_shapes(self, names: list[str]) -> None:
        """Raise ValueError unless all arrays are there, of the shapes that go together."""
        arrays = self.arrays
        dim, conditions = arrays["map.0.codes"].shape[1], len(arrays["level.0.see.0_bias"])
        if not 1 <= dim <= 64 or not 1 <= conditions <= 256:
            raise ValueError("its shapes are out of range")
        shapes: dict[str, tuple[int, ...]] = {"ratios": (len(self.ratios),), "depth": (1,)}
        shapes["shifts"] = (len(names),)
        last = len(self._plan) - 1
        for m in range(len(self.ratios)):
            units, size = arrays[f"map.{m}.head"].shape
            if not 8 <= units <= 256 or not 2 <= size <= MAX_CODES:
                raise ValueError("its shapes are out of range")
            shapes |= {f"map.{m}.codes": (size, dim)}
            shapes |= {f"map.{m}.head": (units, size), f"map.{m}.head_bias": (size,)}
            if any(level.number == m for level in self._plan[:-1]):
                shapes[f"map.{m}.tell"] = (size, units)
        for i, level in enumerate(self._plan):
            units, before = self._units(i), self._units(i - 1) if i else 0
            for p in range(len(PHASES)):
                taps = len(level.taps(p)) if p in level.phases else 0
                shapes[f"level.{i}.see.{p}"] = (before + taps * dim, units)
                shapes[f"level.{i}.see.{p}_bias"] = (conditions, units)
            if 0 < i < last:
                shapes[f"level.{i}.above_bias"] = (level.factor**2, units)
            for kind, inputs in (("block", units), ("trunk", 9 * units)):
                for j in range(MAX_BLOCKS):
                    name = f"level.{i}.{kind}.{j}"
                    if f"{name}.conv" in arrays and (kind == "block" or i < last):
                        shapes |= {f"{name}.conv": (inputs, units), f"{name}.mix": (units, units)}
                        shapes |= {f"{name}.{part}_bias": (units,) for part in ("conv", "mix")}
        if {name: array.shape for name, array in arrays.items()} != shapes:
            raise ValueError("its arrays are not those of a lattice prior")


class Walk:
    """Goes over the maps of some blocks, coarse to fine.

    Args:
        model: what codes cost.
        condition: the class of all blocks, below `LatticeModel.conditions`.
        beside: (B, h, w, C), what else is known of each cell of a model of one map: it is added to
            h, and to t. None for nothing.
    """

    def __init__(
        self, model: LatticeModel, condition: int = 0, beside: "Array | None" = None
    ) -> None:
        self._model, self._condition, self._beside = model, condition, beside
        self._number = 0
        self._told: Array | None = None  # relu of t, (B, h, w, C)
        self._passed: list[tuple[LevelNetwork, Ints]] = []  # which have not told it yet

    def go(
        self, shape: tuple[int, int, int], look: "Look", take: "Take" = lambda _, codes: codes
    ) -> "Ints":
        """Go over the next map.

        Args:
            shape: (B, h, w).
            look: gets where in the map some cells lie, and the cumulative parts of their codes, (B,
                rows, columns, room); returns what matters of them. Of several cells side by side.
            take: gets what was found so, one after the other; returns the codes, (B, rows,
                columns). By default that is what `look` returned.

        Returns:
            The map.
        """
        import numpy as np

        found = np.zeros(shape, np.int32)
        self._go(found, (look, take))
        return found

    def know(self, grid: "NDArray[np.unsignedinteger]") -> None:
        """Go over the next map, (B, h, w), which is known already: nothing is asked of it."""
        self._go(grid.astype("int32"), None)

    def _go(self, found: "Ints", fill: "tuple[Look, Take] | None") -> None:
        """Go over the next map, `found`, which is filled in where it is said how."""
        for network in self._model.networks:
            if network.level.number == self._number:
                if fill is not None:
                    self._listen()
                    self._level(network, found, *fill)
                self._passed.append((network, found))
        self._number += 1

    def _listen(self) -> None:
        """Let the levels passed say what they have to say: only now does anyone ask."""
        for network, found in self._passed:
            self._told = self._tell(network, found)
        self._passed.clear()

    def _level(self, network: LevelNetwork, found: "Ints", look: "Look", take: "Take") -> None:
        """Fill in the cells of a level."""
        import numpy as np

        level, codes = network.level, self._model.codes[self._number]
        room = self._model.heads[self._number].room
        grid = found[:, :: level.spacing, :: level.spacing]
        batch, height, width = grid.shape
        around = (batch, height + 2 * REACH, width + 2 * REACH, codes.shape[1])
        known = np.zeros(around, np.float32)
        inner = known[:, REACH : REACH + height, REACH : REACH + width]
        if not level.first:
            inner[:, ::2, ::2] = codes[grid[:, ::2, ::2]]
        for phase in level.phases:
            row, column = PHASES[phase]
            rows, columns = len(range(row, height, 2)), len(range(column, width, 2))
            down, across = level.cells(phase)

            def looked(
                part: range,
                phase: int = phase,
                columns: int = columns,
                down: slice = down,
                across: slice = across,
            ) -> "tuple[Cells, Any]":
                first, last = (down.start + n * down.step for n in (part.start, part.stop))
                cells = slice(first, last, down.step), across
                beside = None if self._beside is None else self._beside[:, *cells]
                return cells, look(cells, self._parts(network, phase, known, part, columns, beside))

            step = max(1, CHUNK // max(1, batch * columns * room))
            starts = range(0, rows if columns else 0, step)
            parts = [range(first, min(rows, first + step)) for first in starts]
            for cells, seen in spread(looked, parts):
                found[:, *cells] = take(cells, seen)
            inner[:, row::2, column::2] = codes[grid[:, row::2, column::2]]

    def _parts(
        self,
        network: LevelNetwork,
        phase: int,
        known: "Array",
        rows: range,
        columns: int,
        beside: "Array | None",
    ) -> "Ints":
        """Return the cumulative parts of the codes of some rows of a phase."""
        import numpy as np

        row, column = PHASES[phase]
        seen = []
        if self._told is not None:
            there = self._told_at(network.level, phase)
            seen.append(there[:, rows.start : rows.stop, :columns])
        for y, x in network.level.taps(phase):
            top, left = row + 2 * rows.start + y + REACH, column + x + REACH
            seen.append(known[:, top : top + 2 * len(rows) : 2, left : left + 2 * columns : 2])
        shape = (len(known), len(rows), columns)
        layer = network.see[phase]
        inputs = len(layer.weight)
        flat = np.concatenate(seen, -1).reshape(-1, inputs) if seen else np.zeros((1, 0))
        h = layer(flat.astype(np.float32, copy=False), self._condition)
        if beside is not None:
            h = h + beside.reshape(-1, h.shape[1])
        h = _blocks(h, network.blocks)
        cumulative = self._model.heads[self._number](rectified(h))
        if not seen and beside is None:
            cumulative = np.repeat(cumulative, shape[0] * shape[1] * shape[2], 0)
        return cumulative.reshape(*shape, -1)

    def _told_at(self, level: Level, phase: int) -> "Array":
        """Return what was told to the cells of a phase, or a row or column more."""
        assert self._told is not None
        row, column = PHASES[phase]
        return self._told if level.factor == 2 else self._told[:, row::2, column::2]

    def _tell(self, network: LevelNetwork, found: "Ints") -> "Array":
        """Return what a level that is known says to the next one."""
        level = network.level
        grid = found[:, :: level.spacing, :: level.spacing]
        vectors = self._model.tells[level.number]
        assert vectors is not None
        t = vectors[grid]
        if self._beside is not None:
            t += self._beside[:, :: level.spacing, :: level.spacing]
        if self._told is not None and network.above is not None:
            for phase, (row, column) in enumerate(PHASES):
                target = t[:, row::2, column::2]
                rows, columns = target.shape[1:3]
                told = self._told_at(level, phase)[:, :rows, :columns]
                layer = network.see[phase]
                y = told.reshape(-1, network.before) @ layer.weight[: network.before]
                bias = network.above[2 * row + column if level.factor == 2 else 0]
                target += layer.finish(y, bias).reshape(target.shape)
        for conv, mix in network.trunk:
            t = convolved(t, conv, mix)
        return rectified(t)


def _blocks(h: "Array", blocks: list[tuple[Layer, Layer]]) -> "Array":
    for conv, mix in blocks:
        h += mix(rectified(conv(rectified(h))))
    return h


def convolved(t: "Array", conv: Layer, mix: Layer) -> "Array":
    """Return t + 1x1(relu(3x3(relu(t)))) of (B, h, w, C), which is overwritten."""
    for rows, y in windows(rectified(t), conv, 3, mix):
        target = t[:, rows]
        target += y.reshape(target.shape)
    return t


def windows(
    x: "Array", layer: Layer, side: int, mix: Layer | None = None
) -> "Iterator[tuple[slice, Array]]":
    """Yield what a layer makes of the side x side cells around each of x, (B, h, w, inputs).

    Or what another one, `mix`, makes of that. Some rows at a time, as (cells, outputs); beyond the
    edges there are zeros.
    """
    import numpy as np

    batch, height, width, inputs = x.shape
    reach = side // 2
    around = np.pad(x, ((0, 0), (reach, reach), (reach, reach), (0, 0)))
    step = max(1, CHUNK // (batch * width * side**2 * inputs))

    def of(rows: slice) -> "tuple[slice, Array]":
        seen = [
            around[:, rows.start + y : rows.stop + y, x : x + width]
            for y in range(side)
            for x in range(side)
        ]
        flat = np.concatenate(seen, -1).reshape(-1, side**2 * inputs)
        y = layer(flat)
        return rows, y if mix is None else mix(rectified(y))

    parts = [slice(first, min(height, first + step)) for first in range(0, height, step)]
    yield from spread(of, parts)
