"""Gated PixelCNN (arXiv:1606.05328): each index given those before it, by masked convolutions.

Rows are read from above, each from the left. The bounded reach is a departure from the paper: where
a cell sees no more than `reach` columns to the right per row up, the cells of a diagonal
x + (reach + 1) * y do not see each other and are drawn together: 94 steps for 32x32 cells instead
of 1,024 at a reach of one. Without the bound, the paper's two stacks leave no blind spot.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from vqcodec.config import check_range
from vqcodec.errors import UsageError
from vqcodec.models.nn.attention import HEAD, MaskedAttention
from vqcodec.models.nn.masked import Cells, MaskedConv2d, Memory, Taps, Whole, band, cone
from vqcodec.models.priors.base import UNKNOWN, Prior, Tensors

MAX_CLASSES = 4096
CELLS_AT_ONCE = 1 << 18  # sampled in one go; larger maps are sampled in bands of rows


@dataclass(frozen=True)
class Config:
    """Settings of `PixelCNN`.

    Attributes:
        codebook_size: K of every channel.
        width: channels of the layers.
        dilations: one gated block each; the distance between the cells that it sees.
        channels: maps of one shape that are modelled together, each given those before it.
        embedding: numbers that an index becomes.
        first: (rows up, columns to each side) that the first layer sees.
        kernel: the same of the blocks. Maps of one row (speech) need no rows up.
        reach: columns to the right that are seen per row up; -1 for no bound.
        cond_dim: channels of a spatial condition; 0 for none.
        attention_every: blocks after which there is attention; 0 for none.
        classes: names of the classes that maps may be of; a class is a condition of one cell,
            one-hot, and all zeros where it is not known.
    """

    codebook_size: int
    width: int
    dilations: tuple[int, ...]
    channels: int = 1
    embedding: int = 64
    first: tuple[int, int] = (3, 3)
    kernel: tuple[int, int] = (1, 1)
    reach: int = 1
    cond_dim: int = 0
    attention_every: int = 0
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check all ranges: configs come with weights, and weights from anywhere."""
        check_range("codebook_size", self.codebook_size, 2, 65536)
        check_range("width", self.width, 1, 2048)
        check_range("number of dilations", len(self.dilations), 1, 64)
        for dilation in self.dilations:
            check_range("dilation", dilation, 1, 64)
        check_range("channels", self.channels, 1, 16)
        check_range("embedding", self.embedding, 1, 1024)
        check_range("reach", self.reach, -1, 8)
        check_range("cond_dim", self.cond_dim, 0, 65536)
        check_range("attention_every", self.attention_every, 0, 64)
        check_range("number of classes", len(self.classes), 0, MAX_CLASSES)
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes must have names of their own")
        if not all(name and name.isprintable() for name in self.classes):
            raise ValueError("classes must have names that can be printed")
        if self.classes and self.cond_dim:
            raise ValueError("with classes there is no other condition: cond_dim must be 0")
        if self.attention_every and self.width % HEAD:
            raise ValueError(f"with attention, width must be a multiple of {HEAD}")
        for up, side in (self.first, self.kernel):
            check_range("rows up", up, 0, 8)
            check_range("columns to each side", side, 1, 8)
            if side < self.reach * up:
                raise ValueError("first and kernel must be as wide as reach times their rows")

    @property
    def min_parameters(self) -> int:
        """A lower bound of the numbers to learn."""
        ends = self.channels * self.codebook_size * (self.embedding + self.width)
        taps = (self.kernel[0] + 1) * (self.kernel[1] + 1)  # those to the right left out
        told = (9 * self.cond_dim + len(self.classes)) * self.width
        return ends + told + len(self.dilations) * (2 * taps + 1) * self.width**2

    @property
    def margin(self) -> tuple[int, int]:
        """Rows above and columns to the side that one layer sees at most."""
        far = max(self.dilations)
        return (
            max(1, self.first[0], far * self.kernel[0]),
            max(self.first[1], far * self.kernel[1]),
        )

    @property
    def rows_seen(self) -> int:
        """Rows above its own that the distribution of an index depends on."""
        return 1 + self.first[0] + self.kernel[0] * sum(self.dilations)

    def build(self) -> "PixelCNN":
        """Make the prior with fresh weights."""
        return PixelCNN(self)


class GatedBlock(nn.Module):
    """x + W(a * sigmoid(b)), a and b being masked convolutions of x; W starts at zero.

    The paper's gate has tanh(a); without it the gate is one fused operation, four times cheaper.
    """

    def __init__(self, width: int, taps: Taps, *, above: bool = False, cond: bool = False) -> None:
        super().__init__()
        self.conv = MaskedConv2d(width, 2 * width, taps)
        self.above = MaskedConv2d(width, 2 * width, ((-1, 0),)) if above else None
        self.cond = MaskedConv2d(width, 2 * width, ((0, 0),)) if cond else None
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: torch.Tensor, memory: Memory, key: str, above: str) -> torch.Tensor:
        """Return the block's output at the present cells, x kept as `key` of `memory`."""
        memory.write(key, x)
        y = memory.read(key, self.conv)
        if self.above is not None:
            y = y + memory.read(above, self.above)
        if self.cond is not None:
            y = y + memory.read("cond", self.cond)
        return x + self.out(F.glu(y, -1))


class PixelCNN(Prior):
    """p(indices) as a product over cells and channels, categorical over K values.

    With a bounded reach there is one stack, whose taps are a `cone`: their sums stay in it. Without
    the bound, a stack that sees the rows above to both sides feeds one that sees the own row's
    left, so that there is no blind spot.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.codebook_sizes = (config.codebook_size,) * config.channels
        self.classes = config.classes
        width, inputs = config.width, config.channels * config.embedding
        unbounded = config.reach < 0 and config.first[0] + config.kernel[0] > 0
        self.embed = _embeddings(config.channels, config.codebook_size, config.embedding)
        first, kernel, reach = config.first, config.kernel, max(0, config.reach)
        self.rows_first = MaskedConv2d(inputs, width, band(*first)) if unbounded else None
        self.rows = nn.ModuleList()
        if unbounded:
            self.rows += [GatedBlock(width, band(*kernel, d)) for d in config.dilations]
            first, kernel = (0, first[1]), (0, kernel[1])
        self.first = MaskedConv2d(inputs, width, cone(*first, reach, itself=False))
        channels, side = (len(config.classes), 1) if config.classes else (config.cond_dim, 3)
        cond = channels > 0
        self.blocks = nn.ModuleList(
            GatedBlock(width, cone(*kernel, reach, d), above=unbounded, cond=cond)
            for d in config.dilations
        )
        self.cond = nn.Conv2d(channels, width, side, padding="same") if cond else None
        every = config.attention_every or len(config.dilations) + 1
        self.attention = nn.ModuleDict(
            {
                str(i): MaskedAttention(width, config.reach)
                for i in range(every - 1, len(config.dilations), every)
            }
        )
        self.mix = nn.Linear(width, width)
        # what a channel's index says to the channels after it, at the same cell
        self.earlier = _embeddings(config.channels - 1, config.codebook_size, width)
        self.logits = nn.ModuleList(
            nn.Linear(width, config.codebook_size) for _ in range(config.channels)
        )

    def forward(self, indices: Tensors, cond: torch.Tensor | None = None) -> Tensors:
        """Return logits, (B, h, w, K), of each map, (B, h, w) int64; one for each channel.

        An index of -1 is one that nothing is known of.
        """
        maps = torch.stack(indices, 1)
        memory = Whole()
        condition = self._condition(cond, maps.shape)
        if condition is not None:
            memory.write("cond", condition)
        memory.write("indices", self._embed(maps))
        self._above(memory)
        features = self._features(memory)
        return tuple(self._logits(features, maps[:, :c]) for c in range(self.config.channels))

    @torch.no_grad()
    def initialize(self, codebooks: Tensors) -> None:
        """Let embeddings begin with the code vectors, (K, D): near codes mean near things."""
        for embed, codebook in zip(self.embed, codebooks, strict=True):
            scaled = codebook / codebook.std()
            width = min(scaled.shape[1], self.config.embedding)
            assert isinstance(embed, nn.Embedding)
            embed.weight[:, :width] = scaled[:, :width]

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
        """Draw maps, (B, h, w) per channel; see `Prior.sample`.

        Equal generators give equal maps, however the work is cut up: the uniform number that an
        index is drawn by is that of its cell.
        """
        batch, height, width = shapes[0]
        device = self.mix.weight.device
        shape = (batch, self.config.channels, height, width)
        uniform = torch.rand(shape, generator=generator, dtype=torch.float64).to(device)
        maps = torch.full(shape, -1, device=device)
        if known is not None:
            maps.copy_(torch.stack(known, 1))
        draw = Draw(temperature, top_k)
        condition = self._condition(cond, shape)
        bands = list(self._bands(maps))
        for done, (start, stop) in enumerate(bands):
            rows = slice(start, stop)

            def part(fraction: float, done: int = done) -> None:
                if report:
                    report((done + fraction) / len(bands))

            there = condition[:, rows] if condition is not None else None
            self._sample(maps[:, :, rows], uniform[:, :, rows], there, draw, part)
        return maps.unbind(1)

    def _bands(self, maps: torch.Tensor) -> Iterator[tuple[int, int]]:
        """Yield the (first, last + 1) rows to work on so that in the end all cells are known.

        A band takes in the known rows above that its distributions depend on.
        """
        height, width = maps.shape[2:]
        wanted = (maps < 0).any(-1).any(1).any(0).nonzero().flatten().tolist()
        if not wanted:
            return
        first, last = wanted[0], wanted[-1] + 1
        whole = bool(self.attention)  # attention sees all rows
        context = height if whole else self.config.rows_seen
        step = height if whole else max(context, CELLS_AT_ONCE // (len(maps) * width))
        for row in range(first, last, step):
            yield max(0, row - context), min(last, row + step)

    def _sample(
        self,
        maps: torch.Tensor,
        uniform: torch.Tensor,
        condition: torch.Tensor | None,
        draw: "Draw",
        report: Callable[[float], None],
    ) -> None:
        """Fill what is -1 in maps, (B, channels, h, w), diagonal by diagonal."""
        batch, _, height, width = maps.shape
        memory = Cells((batch, height, width), self.config.margin, maps.device)
        if condition is not None:
            memory.write("cond", condition.flatten(1, 2))
        schedule = list(diagonals(height, width, self.config.reach, maps.device))
        for step, (rows, columns) in enumerate(schedule):
            if self.rows_first is not None and step % width == 0 and step > 0:
                memory.at(rows - 1, torch.arange(width, device=maps.device))
                self._above(memory)
            memory.at(rows, columns)
            features = self._features(memory)
            for c in range(self.config.channels):
                logits = self._logits(features, maps[:, :c, rows, columns])
                drawn = draw(logits, uniform[:, c, rows, columns])
                there = maps[:, c, rows, columns]
                maps[:, c, rows, columns] = torch.where(there < 0, drawn, there)
            memory.write("indices", self._embed(maps[:, :, rows, columns]))
            report((step + 1) / len(schedule))

    def _embed(self, indices: torch.Tensor) -> torch.Tensor:
        """Return (B, *cells, channels * embedding) of (B, channels, *cells)."""
        return torch.cat([_known(e, indices[:, c]) for c, e in enumerate(self.embed)], -1)

    def _above(self, memory: Memory) -> None:
        """Run the stack that sees whole rows, where there is one."""
        if self.rows_first is None:
            return
        x = memory.read("indices", self.rows_first)
        for i, block in enumerate(self.rows):
            x = block(x, memory, f"rows {i}", "")
            memory.write(f"above {i}", x)

    def _features(self, memory: Memory) -> torch.Tensor:
        """Return what the cells before say of the present ones, (B, *cells, width)."""
        x = memory.read("indices", self.first)
        for i, block in enumerate(self.blocks):
            x = block(x, memory, f"block {i}", f"above {i}")
            if str(i) in self.attention:
                x = self.attention[str(i)](x, memory, f"attention {i}")
        y: torch.Tensor = self.mix(F.silu(x))
        return y

    def _logits(self, features: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """Return logits, (B, *cells, K), of the channel after those in before, (B, c, *cells)."""
        for c in range(before.shape[1]):
            features = features + _known(self.earlier[c], before[:, c])
        y: torch.Tensor = self.logits[before.shape[1]](F.silu(features))
        return y

    def _condition(self, cond: torch.Tensor | None, shape: tuple[int, ...]) -> torch.Tensor | None:
        """Return what cond, (B, cond_dim, h', w'), says to each cell, (B, h, w, width).

        Of a prior of classes it is the class of each map, (B,) int64; by default they are unknown.
        """
        if self.classes:
            cond = self._one_hot(cond, shape[0])
        if (cond is None) != (self.cond is None):
            raise UsageError(
                "this prior " + ("needs a" if self.cond else "takes no") + " condition"
            )
        if cond is None or self.cond is None:
            return None
        (height, width), (rows, columns) = shape[2:], cond.shape[2:]
        if cond.shape[:2] != (shape[0], self.cond.in_channels) or height % rows or width % columns:
            raise UsageError(f"a condition of shape {tuple(cond.shape)} does not fit the maps")
        y = F.silu(self.cond(cond.to(self.cond.weight.dtype)))
        y = y.repeat_interleave(height // rows, 2).repeat_interleave(width // columns, 3)
        return y.movedim(1, -1)

    def _one_hot(self, labels: torch.Tensor | None, batch: int) -> torch.Tensor:
        """Return the classes of maps, (B, classes, 1, 1); all zeros for one that is not known."""
        if labels is None:
            labels = torch.full((batch,), UNKNOWN, device=self.mix.weight.device)
        return F.one_hot(labels, 1 + len(self.classes))[:, 1:, None, None]


@dataclass(frozen=True)
class Draw:
    """How an index is drawn: by inversion of the cumulative distribution."""

    temperature: float = 1.0
    top_k: int = 0

    def __call__(self, logits: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        """Return indices, (...,), of logits, (..., K), and uniform numbers in [0, 1), (...,)."""
        logits = logits.double()
        # less the largest, which stays finite whatever it is divided by
        logits = (logits - logits.amax(-1, keepdim=True)) / self.temperature
        if 0 < self.top_k < logits.shape[-1]:
            least = logits.topk(self.top_k, -1).values[..., -1:]
            logits = logits.masked_fill(logits < least, -torch.inf)
        total = logits.softmax(-1).cumsum(-1)
        drawn = torch.searchsorted(total, (uniform * total[..., -1])[..., None], right=True)
        return drawn[..., 0].clamp(max=logits.shape[-1] - 1)


def diagonals(
    height: int, width: int, reach: int, device: torch.device | str = "cpu"
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield (rows, columns) of the cells that can be drawn together, in the order of drawing."""
    skew = width if reach < 0 else min(width, reach + 1)
    for step in range(width + skew * (height - 1)):
        first, last = -(-(step - width + 1) // skew), step // skew
        rows = torch.arange(max(0, first), min(height - 1, last) + 1, device=device)
        yield rows, step - skew * rows


def _embeddings(number: int, size: int, width: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Embedding(size, width) for _ in range(number))


def _known(embed: nn.Module, indices: torch.Tensor) -> torch.Tensor:
    """Return the embeddings of indices, zero for -1."""
    y: torch.Tensor = embed(indices.clamp(min=0)) * (indices >= 0)[..., None]
    return y
