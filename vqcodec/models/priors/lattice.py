"""A coding prior of several maps in few passes: the network of `vqcodec.coding.lattice` in torch.

After training `vqcodec.models.fixedpoint` makes integers of it.

Maps go coarse to fine, and each knows all of those before it. `Walk` takes them one by one, as an
encoder makes them; it tells what every code would cost where, so that codes can be chosen by that.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from vqcodec.coding.lattice import MAX_BLOCKS
from vqcodec.coding.layers import CAP, FRACTION, MAX_CODES
from vqcodec.coding.quadtree import MAX_DEPTH, PHASES, RATIOS, REACH, Cells, Level, levels
from vqcodec.config import check_range
from vqcodec.models.priors.base import Prior, Tensors

MOST = (CAP + 1) / (1 << FRACTION)  # of activations


@dataclass(frozen=True)
class Config:
    """Settings of `LatticePrior`.

    Attributes:
        codebook_sizes: K of each map, coarse to fine.
        ratios: of each map, how many of its cells lie along the side of one of the map before it: a
            power of two, 1 for codebooks that share a grid; the first is not looked at.
        units: C, numbers per cell: for each map, or one for all.
        embedding: numbers that stand for a code where neighbours see it.
        blocks: residual blocks behind what a cell sees.
        trunk: residual 3x3 blocks that tell a level to the next one.
        depth: the first map begins with every 2^depth-th row and column.
        conditions: how many classes of files there are whose statistics differ.
    """

    codebook_sizes: tuple[int, ...]
    ratios: tuple[int, ...]
    units: tuple[int, ...] = (64,)
    embedding: int = 16
    blocks: int = 2
    trunk: int = 1
    depth: int = 4
    conditions: int = 1

    def __post_init__(self) -> None:
        number = len(self.codebook_sizes)
        check_range("number of codebook_sizes", number, 1, 16)
        for size in self.codebook_sizes:
            check_range("codebook_size", size, 2, MAX_CODES)
        if len(self.ratios) != number or any(ratio not in RATIOS for ratio in self.ratios[1:]):
            raise ValueError(f"ratios must be one for each map, of {RATIOS}")
        if len(self.units) not in (1, number):
            raise ValueError("units must be one number, or one for each map")
        for units in self.units:
            check_range("units", units, 8, 256)
        check_range("embedding", self.embedding, 1, 64)
        check_range("blocks", self.blocks, 0, MAX_BLOCKS)
        check_range("trunk", self.trunk, 0, MAX_BLOCKS)
        check_range("depth", self.depth, 0, MAX_DEPTH)
        check_range("conditions", self.conditions, 1, 256)

    @property
    def width(self) -> tuple[int, ...]:
        """Units of each map."""
        return self.units if len(self.units) > 1 else self.units * len(self.codebook_sizes)

    @property
    def min_parameters(self) -> int:
        """Numbers in the heads alone."""
        return sum(k * u for k, u in zip(self.codebook_sizes, self.width, strict=True))

    def build(self) -> "LatticePrior":
        """Make the prior with fresh weights."""
        return LatticePrior(self)


def rectified(h: torch.Tensor) -> torch.Tensor:
    """Return h between 0 and `MOST`."""
    return F.hardtanh(h, 0.0, MOST)


class Block(nn.Module):
    """h + 1x1(relu(conv(relu(h)))), starting as the identity."""

    def __init__(self, units: int, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(units, units, size, padding=size // 2)
        self.mix = nn.Conv2d(units, units, 1)
        nn.init.zeros_(self.mix.weight)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """Update h, (B, C, height, width)."""
        y: torch.Tensor = h + self.mix(rectified(self.conv(rectified(h))))
        return y


class Window(nn.Conv2d):
    """What the cells of a phase see of the cells of their level that are known."""

    mask: torch.Tensor

    def __init__(self, inputs: int, outputs: int, level: Level, phase: int) -> None:
        super().__init__(inputs, outputs, 2 * REACH + 1, stride=2, bias=False)
        self.row, self.column = PHASES[phase]
        self.taps = level.taps(phase)
        mask = torch.zeros(self.kernel_size)
        for y, x in self.taps:
            mask[y + REACH, x + REACH] = 1
        self.register_buffer("mask", mask, persistent=False)
        nn.init.normal_(self.weight, std=1.5 / math.sqrt(max(1, len(self.taps)) * inputs))

    def forward(self, known: torch.Tensor) -> torch.Tensor:
        """Return (B, C, height', width') of what is known of a level, (B, d, height, width)."""
        around = F.pad(known, (REACH,) * 4)[..., self.row :, self.column :]
        return F.conv2d(around, self.weight * self.mask, stride=2)


class LevelNetwork(nn.Module):
    """What belongs to one level: from what is known to features of the cells to be coded."""

    def __init__(self, level: Level, before: int, units: int, config: Config) -> None:
        super().__init__()
        self.level = level
        self.units = units
        self.up = nn.Conv2d(before, level.factor**2 * units, 1) if before else None
        self.windows = nn.ModuleDict(
            {
                str(phase): Window(config.embedding, units, level, phase)
                for phase in level.phases
                if phase
            }
        )
        self.bias = nn.Parameter(torch.zeros(len(PHASES), units))
        self.condition = nn.Embedding(config.conditions, units)
        nn.init.zeros_(self.condition.weight)
        self.blocks = nn.ModuleList(Block(units, 1) for _ in range(config.blocks))
        self.trunk = nn.ModuleList(Block(units, 3) for _ in range(config.trunk))

    def above(self, told: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor:
        """Return what the level before says on the grid of this one, `like` (B, h, w)."""
        batch, height, width = like.shape
        if told is None or self.up is None:
            return self.bias.new_zeros(batch, self.units, height, width)
        spread = F.pixel_shuffle(self.up(rectified(told)), self.level.factor)
        return spread[..., :height, :width]

    def offset(self, phase: int) -> int:
        """Return which of the outputs of `up` for one channel is that of a phase."""
        row, column = PHASES[phase]
        return 2 * row + column if self.level.factor == 2 else 0

    def see(self, phase: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the matrix, (inputs, C), of what a phase sees, and its bias, (conditions, C)."""
        parts = []
        bias = self.bias[phase] + self.condition.weight
        if self.up is not None:
            weight, own = up_of(self.up, self.units)
            parts.append(weight[self.offset(phase)])
            bias = bias + own[self.offset(phase)]
        if phase and phase in self.level.phases:
            window = self.windows[str(phase)]
            assert isinstance(window, Window)
            parts += [window.weight[:, :, y + REACH, x + REACH].T for y, x in window.taps]
        return torch.cat([*parts, self.bias.new_zeros(0, self.units)]), bias

    def features(
        self, phase: int, above: torch.Tensor, known: torch.Tensor, cond: torch.Tensor
    ) -> torch.Tensor:
        """Return what goes into the head at the cells of a phase, (B, C, height', width')."""
        row, column = PHASES[phase]
        h = above[..., row::2, column::2] + self.bias[phase, :, None, None]
        h = h + self.condition(cond)[..., None, None]
        if phase:
            h = h + self.windows[str(phase)](known)
        for block in self.blocks:
            h = block(h)
        return rectified(h)


@dataclass(frozen=True)
class Coded:
    """A map that a `Walk` has gone over.

    Attributes:
        indices: (B, h, w) int64.
        bits: that each of them costs, (B, h, w); gradients lead to the prior.
        passes: of each pass, where its cells lie and what every code would cost there, (B, K, h',
            w'), given the passes before it.
    """

    indices: torch.Tensor
    bits: torch.Tensor
    passes: list[tuple[Cells, torch.Tensor]]


class Walk:
    """Goes over the maps of some files, coarse to fine.

    Args:
        prior: what codes cost.
        cond: (B,) int64, the class of each file; None where there is one class only.
        beside: (B, C, h, w), what else is known of each cell of the finest map; None for nothing.
    """

    def __init__(
        self,
        prior: "LatticePrior",
        cond: torch.Tensor | None = None,
        beside: torch.Tensor | None = None,
    ) -> None:
        self._prior, self._cond, self._beside = prior, cond, beside
        self._told: torch.Tensor | None = None
        self._number = 0

    def take(self, indices: torch.Tensor) -> Coded:
        """Go over the next map, (B, h, w) int64, as it is."""
        return self._go(indices.shape, indices.device, lambda cells, _: indices[:, *cells])

    def know(self, indices: torch.Tensor) -> None:
        """Go over the next map, (B, h, w) int64, which is known: what it costs is not asked."""
        for network in self._prior.of_map(self._number):
            grid = indices[:, :: network.level.spacing, :: network.level.spacing]
            self._tell(network, grid, network.above(self._told, grid))
        self._number += 1

    def choose(self, cost: torch.Tensor) -> Coded:
        """Choose the codes of the next map: in each pass the cheapest, given those chosen before.

        Args:
            cost: (B, K, h, w), what it costs beside its bits, in bits, to take a code: its distance
                over what a bit is worth.
        """
        shape = (len(cost), *cost.shape[2:])
        return self._go(
            shape, cost.device, lambda cells, bits: (cost[:, :, *cells] + bits).argmin(1)
        )

    def draw(
        self,
        uniform: torch.Tensor,
        draw: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        known: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Draw the indices of the next map, (B, h, w).

        Args:
            uniform: (B, h, w), a number in [0, 1) for each cell.
            draw: makes indices, (...,), of log-probabilities, (..., K), and such numbers, (...,).
            known: (B, h, w), indices that are given, -1 where one is to be drawn.
        """

        def pick(cells: Cells, bits: torch.Tensor) -> torch.Tensor:
            drawn = draw(bits.movedim(1, -1) * -math.log(2), uniform[:, *cells])
            given = drawn if known is None else known[:, *cells]
            return torch.where(given < 0, drawn, given)

        return self._go(tuple(uniform.shape), uniform.device, pick).indices

    def _go(
        self,
        shape: tuple[int, ...],
        device: torch.device,
        pick: Callable[[Cells, torch.Tensor], torch.Tensor],
    ) -> Coded:
        prior, number, cond = self._prior, self._number, self._cond
        if cond is None:
            cond = torch.zeros(shape[0], dtype=torch.long, device=device)
        indices = torch.zeros(shape, dtype=torch.long, device=device)
        bits = torch.zeros(shape, device=device)
        passes = []
        for network in prior.of_map(number):
            level = network.level
            # cloned where gradients look back at it, for later levels go on filling it
            grid = indices[:, :: level.spacing, :: level.spacing]
            above = network.above(self._told, grid)
            if self._beside is not None:
                step = level.spacing * prior.cell(number)
                above = above + self._beside[..., ::step, ::step]
            known = above.new_zeros(shape[0], prior.config.embedding, *grid.shape[1:])
            if not level.first:
                known[..., ::2, ::2] = prior.seen(number, grid[:, ::2, ::2].clone())
            for phase in level.phases:
                cells = level.cells(phase)
                if not indices[:, *cells].numel():
                    continue
                features = network.features(phase, above, known, cond)
                scores = prior.heads[number](features).float()
                every = F.log_softmax(scores, 1) * (-1 / math.log(2))
                chosen = pick(cells, every.detach())
                indices[:, *cells] = chosen
                bits[:, *cells] = every.gather(1, chosen[:, None])[:, 0]
                passes.append((cells, every))
                row, column = PHASES[phase]
                known = known.clone()  # what was convolved is needed for gradients
                known[..., row::2, column::2] = prior.seen(number, chosen).to(known.dtype)
            self._tell(network, grid.clone(), above)
        self._number += 1
        return Coded(indices, bits, passes)

    def _tell(self, network: LevelNetwork, grid: torch.Tensor, above: torch.Tensor) -> None:
        """Keep what a level that is known, (B, h, w), says to the next one."""
        if network is not self._prior.networks[-1]:
            self._told = above + self._prior.tells[self._number](grid).movedim(-1, 1)
            for block in network.trunk:
                self._told = block(self._told)


class LatticePrior(Prior):
    """p(maps) by passes over `vqcodec.coding.quadtree`'s levels."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.codebook_sizes = config.codebook_sizes
        every = levels(config.ratios, config.depth)
        self.embeddings, self.tells, self.heads = (nn.ModuleList() for _ in range(3))
        for number, (size, units) in enumerate(
            zip(config.codebook_sizes, config.width, strict=True)
        ):
            told = any(level.number == number for level in every[:-1])
            self.embeddings.append(_embedding(size, config.embedding))
            self.tells.append(_embedding(size, units) if told else nn.Identity())
            head = nn.Conv2d(units, size, 1)
            nn.init.normal_(head.weight, std=0.02)
            self.heads.append(head)
        self.networks = nn.ModuleList()
        before = 0
        for level in every:
            units = config.width[level.number]
            self.networks.append(LevelNetwork(level, before, units, config))
            before = units
        self.networks[-1].trunk = nn.ModuleList()  # nobody is left to be told

    def every(self) -> list[LevelNetwork]:
        """Return the networks of all levels."""
        return [network for network in self.networks if isinstance(network, LevelNetwork)]

    def of_map(self, number: int) -> list[LevelNetwork]:
        """Return the networks of the levels of a map."""
        return [network for network in self.every() if network.level.number == number]

    def cell(self, number: int) -> int:
        """Return how many cells of the finest map lie along the side of one of a map."""
        return math.prod(self.config.ratios[number + 1 :])

    def seen(self, number: int, indices: torch.Tensor) -> torch.Tensor:
        """Return what neighbours see of codes of a map, (B, d, h, w)."""
        z: torch.Tensor = self.embeddings[number](indices).movedim(-1, 1)
        return z

    @torch.no_grad()
    def initialize(self, codebooks: Tensors) -> None:
        """Begin with code vectors, (K, D), at both ends: near codes mean and follow the like."""
        for codebook, *ends in zip(codebooks, self.embeddings, self.tells, self.heads, strict=True):
            for part, scale in zip(ends, (1, 1, 0.25), strict=True):
                if isinstance(part, nn.Embedding | nn.Conv2d):
                    weight = part.weight.flatten(1)
                    vectors = scale * codebook[:, : weight.shape[1]]
                    weight.mul_(0.1)
                    weight[:, : vectors.shape[1]] += vectors

    def forward(self, indices: Tensors, cond: torch.Tensor | None = None) -> Tensors:
        """Return the bits, (B, h, w) each, that the indices of maps cost.

        Args:
            indices: (B, h, w) int64 of each map.
            cond: (B,) int64, the class of each file, where there are several.
        """
        walk = Walk(self, cond)
        return tuple(walk.take(grid).bits for grid in indices)

    @staticmethod
    def mean_nats(indices: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """Return the nats per index of a map of which `forward` found the bits."""
        return found.mean() * math.log(2)

    def log_prob(self, indices: Tensors, cond: torch.Tensor | None = None) -> torch.Tensor:
        """Return log p(indices) in nats, (B,)."""
        bits = [grid.flatten(1).sum(1) for grid in self.forward(indices, cond)]
        return torch.stack(bits).sum(0) * -math.log(2)


def up_of(up: nn.Conv2d, units: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weights, (cells, inputs, C), and biases, (cells, C), of cells that share one."""
    assert up.bias is not None
    weight = up.weight.view(units, -1, up.in_channels).permute(1, 2, 0)
    return weight, up.bias.view(units, -1).T


def _embedding(size: int, width: int) -> nn.Embedding:
    embedding = nn.Embedding(size, width)
    nn.init.normal_(embedding.weight, std=0.5)
    return embedding
