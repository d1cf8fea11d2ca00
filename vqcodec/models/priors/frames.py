"""A prior of successive frames that obeys actions: p(z_t | the frames before it, a_t-1).

A network sees the frames before and the action between the last of them and the new one
(arXiv:1711.00937v2, section 4.4); the cells of the new frame then follow in a few passes, by the
lattice of `vqcodec.models.priors.lattice`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from vqcodec.config import check_range
from vqcodec.models.nn.residual import ACTIVATIONS
from vqcodec.models.priors import lattice
from vqcodec.models.priors.base import UNKNOWN, Prior, Tensors
from vqcodec.models.priors.pixelcnn import Draw

MAX_FRAMES = 16  # of context
MAX_ACTIONS = 64
Relu = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Config:
    """Settings of `FramesPrior`.

    Attributes:
        codebook_sizes: K of each map, coarse to fine.
        ratios: of each map, how many of its cells lie along the side of one of the map before it.
        actions: their names, which lead from one frame to the next; there may be none.
        frames: N, how many frames before it a frame depends on.
        width: channels of the network that sees them, at the cells of the finest map.
        inner: the same, at half as many rows and columns.
        layers: residual blocks there; without any there is no middle.
        units: numbers per cell of the new frame, see `lattice.Config`.
        embedding: numbers that stand for a code.
        blocks: see `lattice.Config`.
        trunk: see there.
        depth: see there.
        coding: integers are made of it that code frames, see `vqcodec.coding.framemodel`:
            activations are bounded; there are no actions, no middle, and only one map.
        activation: a key of `ACTIVATIONS`, where there is no coding. With ``relu`` all units of the
            middle die within some hundred steps.
    """

    codebook_sizes: tuple[int, ...]
    ratios: tuple[int, ...]
    actions: tuple[str, ...] = ()
    frames: int = 4
    width: int = 80
    inner: int = 144
    layers: int = 4
    units: int = 64
    embedding: int = 16
    blocks: int = 2
    trunk: int = 1
    depth: int = 2
    coding: bool = False
    activation: str = "relu"

    def __post_init__(self) -> None:
        """Check all ranges: configs come with weights, and weights from anywhere."""
        check_range("number of actions", len(self.actions), 0, MAX_ACTIONS)
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}")
        if len(set(self.actions)) < len(self.actions):
            raise ValueError("actions must have names of their own")
        if self.coding and (self.actions or self.layers or len(self.codebook_sizes) > 1):
            raise ValueError("a prior that codes frames has no actions, no layers, and one map")
        check_range("frames", self.frames, 1, MAX_FRAMES)
        check_range("width", self.width, 8, 1024)
        check_range("inner", self.inner, 8, 1024)
        check_range("layers", self.layers, 0, 32)
        self.lattice  # noqa: B018 - checks the rest

    @property
    def lattice(self) -> lattice.Config:
        """Settings of what draws the new frame."""
        return lattice.Config(
            self.codebook_sizes,
            self.ratios,
            (self.units,),
            self.embedding,
            self.blocks,
            self.trunk,
            self.depth,
            1 + len(self.actions),
        )

    @property
    def min_parameters(self) -> int:
        """A lower bound of the numbers to learn."""
        seen = self.frames * len(self.codebook_sizes) * self.embedding
        outer = self.width * (25 * seen + 20 * self.width)
        middle = 8 * self.width * self.inner + 10 * self.layers * self.inner**2
        return self.lattice.min_parameters + outer + (middle if self.layers else 0)

    def build(self) -> "FramesPrior":
        """Make the prior with fresh weights."""
        return FramesPrior(self)


class ActionBlock(nn.Module):
    """h + 1x1(relu(scale * conv(relu(h)) + shift)), starting as the identity.

    Scale and shift are those of the action.
    """

    def __init__(self, width: int, actions: int, relu: Relu) -> None:
        super().__init__()
        self.relu = relu
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.action = nn.Embedding(actions, 2 * width)
        self.mix = nn.Conv2d(width, width, 1)
        nn.init.normal_(self.action.weight, std=0.1)
        nn.init.zeros_(self.mix.weight)

    def forward(self, h: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        """Update h, (B, C, height, width), by actions, (B,)."""
        scale, shift = self.action(action)[..., None, None].chunk(2, 1)
        inner = self.relu(self.conv(self.relu(h)) * (1 + scale) + shift)
        y: torch.Tensor = h + self.mix(inner)
        return y


class Context(nn.Module):
    """What the frames before, and an action, say of each cell of the new frame.

    Half as many rows and columns in the middle, so that it sees far: a turn moves all there is.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        actions, width, inner = 1 + len(config.actions), config.width, config.inner
        self.relu = relu = lattice.rectified if config.coding else ACTIVATIONS[config.activation]()
        # one more code: of frames before the first
        self.embeddings = nn.ModuleList(
            nn.Embedding(size + 1, config.embedding) for size in config.codebook_sizes
        )
        inputs = config.frames * len(config.codebook_sizes) * config.embedding
        self.first = nn.Conv2d(inputs, width, 5, padding=2)
        self.before = ActionBlock(width, actions, relu)
        if config.layers:
            self.down = nn.Conv2d(width, inner, 2, stride=2)
            self.up = nn.Conv2d(inner, 4 * width, 1)
        self.blocks = nn.ModuleList(ActionBlock(inner, actions, relu) for _ in range(config.layers))
        self.after = ActionBlock(width, actions, relu)
        self.last = nn.Conv2d(width, config.units, 1)

    def forward(self, before: Tensors, action: torch.Tensor) -> torch.Tensor:
        """Return (B, units, h, w) on the grid of the finest map.

        Args:
            before: (B, N, h, w) int64 of each map; K where there was no frame.
            action: (B,) int64.
        """
        height, width = before[-1].shape[2:]
        seen = []
        for grid, embedding in zip(before, self.embeddings, strict=True):
            z = embedding(grid).permute(0, 1, 4, 2, 3).flatten(1, 2)
            seen.append(F.interpolate(z, (height, width)) if z.shape[2:] != (height, width) else z)
        h = self.before(self.first(torch.cat(seen, 1)), action)
        if self.blocks:
            inner = self.down(F.pad(self.relu(h), (0, width % 2, 0, height % 2)))
            for block in self.blocks:
                inner = block(inner, action)
            h = h + F.pixel_shuffle(self.up(self.relu(inner)), 2)[..., :height, :width]
        told: torch.Tensor = self.last(self.relu(self.after(h, action)))
        return told


class FramesPrior(Prior):
    """p(maps of frames): of each map (B, T, h, w), with an action for each frame, (B, T).

    The action of a frame leads to the next one: 0 where it is unknown, else 1 and more.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.codebook_sizes = config.codebook_sizes
        self.context = Context(config)
        self.lattice = lattice.LatticePrior(config.lattice)

    mean_nats = staticmethod(lattice.LatticePrior.mean_nats)

    def log_prob(self, indices: Tensors, cond: torch.Tensor | None = None) -> torch.Tensor:
        """Return log p(indices) in nats, (B,); arguments as of `forward`."""
        bits = [grid.flatten(1).sum(1) for grid in self(indices, cond)]
        return torch.stack(bits).sum(0) * -math.log(2)

    @torch.no_grad()
    def initialize(self, codebooks: Tensors) -> None:
        """Begin with code vectors, (K, D): near codes mean, and are followed by, near things."""
        self.lattice.initialize(codebooks)
        for codebook, embedding in zip(codebooks, self.context.embeddings, strict=True):
            assert isinstance(embedding, nn.Embedding)
            vectors = codebook[:, : embedding.embedding_dim] / codebook.std()
            embedding.weight.mul_(0.1)
            embedding.weight[: len(vectors), : vectors.shape[1]] += vectors

    def walk(self, before: Tensors, action: torch.Tensor) -> lattice.Walk:
        """Return what goes over the maps of the new frame; arguments as of `Context`."""
        return lattice.Walk(self.lattice, action, self.context(before, action))

    def forward(
        self, indices: Tensors, cond: torch.Tensor | None = None, *, last: bool = False
    ) -> Tensors:
        """Return the bits that every index costs, (B, T, h, w) of each map.

        Args:
            indices: (B, T, h, w) int64 of each map.
            cond: (B, T) int64, the action of each frame; None where they are unknown.
            last: only those of the last frame, (B, 1, h, w). K among the frames before it then
                stands for no frame.
        """
        batch, length = indices[0].shape[:2]
        n = self.config.frames
        led = indices[0].new_full((batch, length + 1), UNKNOWN)
        if cond is not None:
            led[:, 1:] = cond
        first = length - 1 if last else 0
        before = []
        for grid, size in zip(indices, self.codebook_sizes, strict=True):
            nothing = grid.new_full((batch, n, *grid.shape[2:]), size)
            windows = torch.cat([nothing, grid[:, :-1]], 1).unfold(1, n, 1).movedim(-1, 2)
            before.append(windows[:, first:].flatten(0, 1))
        walk = self.walk(tuple(before), led[:, first:length].flatten())
        found = (walk.take(grid[:, first:].flatten(0, 1)).bits for grid in indices)
        return tuple(bits.view(batch, -1, *bits.shape[1:]) for bits in found)

    def draw_next(
        self,
        frames: Sequence[Tensors],
        shapes: Sequence[tuple[int, ...]],
        action: torch.Tensor,
        how: Draw,
        generator: torch.Generator | None = None,
    ) -> Tensors:
        """Draw the maps of the frame after some others, (B, h, w) each.

        Args:
            frames: the maps of those before it, of which the last N are looked at; there may be
                none.
            shapes: of the maps.
            action: (B,) int64, from the last of them to the new one.
            how: indices are drawn.
            generator: of random numbers, on the CPU.
        """
        n, device = self.config.frames, action.device
        last = list(frames[-n:])
        nothing = tuple(
            torch.full(shape, size, device=device)
            for shape, size in zip(shapes, self.codebook_sizes, strict=True)
        )
        every = [nothing] * (n - len(last)) + last
        walk = self.walk(tuple(torch.stack(m, 1) for m in zip(*every, strict=True)), action)
        numbers = [torch.rand(s, generator=generator, dtype=torch.float64) for s in shapes]
        return tuple(walk.draw(uniform.to(device), how) for uniform in numbers)

    @torch.inference_mode()
    def sample(
        self,
        shapes: tuple[tuple[int, ...], ...],
        cond: torch.Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
        top_k: int = 0,
        known: Tensors | None = None,
        report: Callable[[float], None] | None = None,
    ) -> Tensors:
        """Draw maps of frames, (B, T, h, w); see `Prior.sample`.

        `cond` is as in `forward`. Of `known`, frames are given as a whole, and first.
        """
        batch, length = shapes[0][:2]
        device = next(self.parameters()).device
        if cond is None:
            cond = torch.full((batch, length), UNKNOWN, device=device)
        each = [(batch, *shape[2:]) for shape in shapes]
        frames: list[Tensors] = []
        if known is not None:
            given = int((known[0] >= 0).flatten(2).all(2).all(0).sum())
            frames = [tuple(grid[:, number] for grid in known) for number in range(given)]
        led = torch.cat([torch.full_like(cond[:, :1], UNKNOWN), cond[:, :-1]], 1)
        for number in range(len(frames), length):
            how = Draw(temperature, top_k)
            frames.append(self.draw_next(frames, each, led[:, number], how, generator))
            if report:
                report((number + 1) / length)
        return tuple(torch.stack(maps, 1) for maps in zip(*frames, strict=True))
