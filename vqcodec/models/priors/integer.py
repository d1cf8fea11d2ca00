"""The coding prior in training: the network of `vqcodec.coding.contextmodel` in floating point.

After training its weights are rounded to 16 bits (`IntegerPrior.arrays`), activations to 8 bits
behind the point. That rounding is fine enough to cost less than a thousandth of the bits, so
training need not know of it.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from vqcodec.coding.contextmodel import FRACTION, MAX_UNITS
from vqcodec.coding.layout import MAX_DILATION, ROW_BEFORE, Taps, of_maps, of_rows
from vqcodec.config import check_range
from vqcodec.models.priors.base import Prior, Tensors
from vqcodec.weights import MAX_MAPS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_BITS = 15  # of a weight, without its sign
MAX_SHIFT = 14


@dataclass(frozen=True)
class Config:
    """Settings of `IntegerPrior`.

    Attributes:
        codebook_size: K.
        channels: maps; must be 1.
        units: C, numbers per cell.
        blocks: residual blocks; each widens the view by one row and one column.
        embedding: numbers that stand for an index.
        dilations: of a prior of sound, whose channels it sees each on its own: one for each block,
            which widens the view by twice as many cells back; none for pictures.
        coarser: K of the maps before its own that it is told of, of sound only; they are on its
            grid, and it sees their cells up to its own.
    """

    codebook_size: int
    channels: int = 1
    units: int = 96
    blocks: int = 5
    embedding: int = 32
    dilations: tuple[int, ...] = ()
    coarser: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_range("codebook_size", self.codebook_size, 2, 1 << 14)
        check_range("channels", self.channels, 1, 1)
        check_range("units", self.units, 8, MAX_UNITS)
        check_range("blocks", self.blocks, 0, 64)
        check_range("embedding", self.embedding, 1, 256)
        for dilation in self.dilations:
            check_range("dilation", dilation, 1, MAX_DILATION)
        for size in self.coarser:
            check_range("coarser", size, 2, 1 << 14)
        if len(self.coarser) >= MAX_MAPS or (self.coarser and not self.dilations):
            raise ValueError("coarser maps are for a prior of sound, with dilations, and few")
        if self.dilations and len(self.dilations) != self.blocks:
            raise ValueError(f"dilations must be {self.blocks}, one for each block, or none")

    @property
    def min_parameters(self) -> int:
        """Numbers in the head alone."""
        return self.codebook_size * self.units

    def build(self) -> "IntegerPrior":
        """Make the prior with fresh weights."""
        return IntegerPrior(self)


class CausalConv(nn.Conv2d):
    """A convolution that sees given taps only.

    Attributes:
        halo: cells to the left, right, above and below that its input has in addition.
    """

    mask: torch.Tensor

    def __init__(self, inputs: int, outputs: int, taps: Taps, *, bias: bool = True) -> None:
        ups, rights = zip(*taps, strict=True)
        step = math.gcd(*rights)
        size = 1 + max(ups), 1 + (max(rights) - min(rights)) // step
        super().__init__(inputs, outputs, size, dilation=(1, step), bias=bias)
        self.halo = -min(rights), max(rights), max(ups), 0
        self.places = [
            (max(ups) - up, (right - min(rights)) // step) for up, right in taps
        ]  # of the taps in the kernel
        mask = torch.zeros(size)
        for place in self.places:
            mask[place] = 1
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve x, (B, inputs, ...), that is padded by `halo`."""
        return F.conv2d(x, self.weight * self.mask, self.bias, dilation=self.dilation)

    def matrices(self) -> torch.Tensor:
        """Return the weights, (taps, inputs, outputs)."""
        kernel = self.weight.permute(2, 3, 1, 0)
        return torch.stack([kernel[place] for place in self.places])

    @torch.no_grad()
    def assign(self, matrices: torch.Tensor) -> None:
        """Reverse `matrices`."""
        for (row, column), matrix in zip(self.places, matrices, strict=True):
            self.weight[:, :, row, column] = matrix.T


class Block(nn.Module):
    """h + 1x1(relu(conv(relu(h)))), starting as the identity."""

    def __init__(self, units: int, taps: Taps) -> None:
        super().__init__()
        self.conv = CausalConv(units, units, taps)
        self.mix = nn.Conv2d(units, units, 1)
        nn.init.zeros_(self.mix.weight)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """Update h, (B, C, height, width)."""
        u = F.pad(F.relu(h), self.conv.halo)
        return h + self.mix(F.relu(self.conv(u)))


class Look(nn.Module):
    """What a map, (B, h, w), tells the first layer: an embedding, and a convolution over it."""

    def __init__(self, codebook_size: int, dim: int, units: int, window: Taps) -> None:
        super().__init__()
        self.codebook_size = codebook_size
        self.embedding = nn.Embedding(codebook_size + 1, dim)
        self.window = CausalConv(dim, units, window, bias=False)

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """Return what it adds, (B, C, h, w)."""
        padded = F.pad(grid, self.window.halo, value=self.codebook_size)
        added: torch.Tensor = self.window(self.embedding(padded).movedim(-1, 1))
        return added


class IntegerPrior(Prior):
    """Causal convolutions over one index map; what it is for is `arrays`."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.codebook_sizes = (config.codebook_size,)
        dilations = config.dilations
        layout = of_rows(dilations) if dilations else of_maps(config.blocks)
        self.embedding = nn.Embedding(config.codebook_size + 1, config.embedding)
        self.window = CausalConv(config.embedding, config.units, layout.window, bias=False)
        self.blocks = nn.ModuleList(Block(config.units, taps) for taps in layout.blocks)
        self.head = nn.Conv2d(config.units, config.codebook_size, 1)
        self.told = len(config.coarser)
        looks = (Look(k, config.embedding, config.units, ROW_BEFORE) for k in config.coarser)
        self.before = nn.ModuleList(looks)

    @torch.no_grad()
    def initialize(self, codebooks: Tensors) -> None:
        """Begin with code vectors, (K, D), at both ends: near codes mean and follow the like.

        That is worth 0.5 and 0.2 bits per index after two minutes of training.
        """
        *before, codebook = codebooks
        dim, units = self.embedding.embedding_dim, self.head.in_channels
        for look, other in zip(self.before, before, strict=True):
            assert isinstance(look, Look)
            known = other[:, :dim]
            look.embedding.weight.mul_(0.1)
            look.embedding.weight[:-1, : known.shape[1]] = known / known.std()
        vectors = codebook[:, : min(dim, units)]
        self.embedding.weight.mul_(0.1)
        self.embedding.weight[:-1, : vectors.shape[1]] = vectors
        self.head.weight.mul_(0.1)
        self.head.weight[:, : vectors.shape[1], 0, 0] += vectors / 4

    def embed(self, grid: torch.Tensor) -> torch.Tensor:
        """Return what stands for each index of grid, (B, h, w), and around it: (B, d, ...)."""
        outside = self.embedding.num_embeddings - 1
        padded = F.pad(grid, self.window.halo, value=outside)
        z: torch.Tensor = self.embedding(padded).movedim(-1, 1)
        return z

    def logits(self, z: torch.Tensor, before: Tensors = ()) -> torch.Tensor:
        """Return scores, (B, K, h, w), of each index of a map given those before it, of `embed`.

        `before` are the maps, (B, h, w) each, that it is told of.
        """
        h = self.window(z)
        for look, grid in zip(self.before, before, strict=True):
            h = h + look(grid)
        for block in self.blocks:
            h = block(h)
        scores: torch.Tensor = self.head(F.relu(h))
        return scores

    def forward(self, indices: Tensors, cond: torch.Tensor | None = None) -> Tensors:
        """Return scores, (B, h, w, K), of one (B, h, w) map; `cond` is not used."""
        *before, grid = indices
        return (self.logits(self.embed(grid), tuple(before)).movedim(1, -1),)

    def log_prob(self, indices: Tensors, cond: torch.Tensor | None = None) -> torch.Tensor:
        """Return log p(indices) in nats, (B,), of one (B, h, w) map.

        Not by `forward`, which training runs in few bits: files are coded with all of them.
        """
        *before, grid = indices
        scores = self.logits(self.embed(grid), tuple(before)).float()
        return -F.cross_entropy(scores, grid, reduction="none").flatten(1).sum(1)

    @torch.no_grad()
    def arrays(self) -> "dict[str, NDArray[np.int64]]":
        """Return the integers that `vqcodec.coding.contextmodel.ContextModel` runs."""
        import numpy as np

        found: dict[str, NDArray[np.int64]] = {}
        shifts = []

        def matrix(name: str, weight: torch.Tensor, bias: torch.Tensor | None, bits: int) -> None:
            """Store a weight, (..., inputs, outputs), as integers, and what to shift back by."""
            shift = _shift(weight)
            found[name] = _integers(weight, shift)
            if bias is not None:  # floor(x + 1/2) rounds
                half = 2 ** (shift - 1) if shift else 0
                found[f"{name}_bias"] = _integers(bias, shift + bits) + half
            shifts.append(shift)

        embedding = self.embedding.weight
        shift = _shift(embedding)
        found["embedding"] = _integers(embedding, shift)
        matrix("window", self.window.matrices(), None, 0)
        shifts[0] += shift - FRACTION
        for i, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            taps = block.conv.matrices().flatten(0, 1)
            matrix(f"block.{i}.conv", taps, block.conv.bias, FRACTION)
            matrix(f"block.{i}.mix", block.mix.weight[..., 0, 0].T, block.mix.bias, FRACTION)
        matrix("head", self.head.weight[..., 0, 0].T, self.head.bias, FRACTION)
        found["shifts"] = np.array(shifts)
        told = []
        for j, look in enumerate(self.before):
            assert isinstance(look, Look)
            shift = _shift(look.embedding.weight)
            found[f"before.{j}.embedding"] = _integers(look.embedding.weight, shift)
            matrices = look.window.matrices()
            found[f"before.{j}.window"] = _integers(matrices, _shift(matrices))
            told.append(_shift(matrices) + shift - FRACTION)
        if told:
            found["before_shifts"] = np.array(told)
        if self.config.dilations:
            found["dilations"] = np.array(self.config.dilations)
        return found


def from_arrays(arrays: "dict[str, NDArray[np.int64]]") -> IntegerPrior:
    """Return the network, in floating point, that `IntegerPrior.arrays` made integers of."""
    shifts = [int(s) for s in arrays["shifts"]]
    entries, dim = arrays["embedding"].shape
    units, blocks = arrays["window"].shape[2], (len(shifts) - 2) // 2
    dilations = tuple(arrays["dilations"].tolist()) if "dilations" in arrays else ()
    prior = Config(entries - 1, 1, units, blocks, dim, dilations).build()

    def real(name: str, shift: int) -> torch.Tensor:
        return torch.from_numpy(arrays[name]).double().mul(2.0**-shift).float()

    def bias(name: str, shift: int) -> torch.Tensor:
        half = 2 ** (shift - 1) if shift else 0
        return real(name, shift + FRACTION) - half * 2.0 ** -(shift + FRACTION)

    with torch.no_grad():
        # How the first shift is shared between the two is not known; training wants embeddings
        # of the size that a normal distribution gives them.
        embedding, window = real("embedding", FRACTION), real("window", shifts[0])
        size = embedding.std()
        prior.embedding.weight.copy_(embedding / size)
        prior.window.assign(window * size)
        names = []
        for i, block in enumerate(prior.blocks):
            assert isinstance(block, Block)
            names += [(f"block.{i}.conv", block.conv), (f"block.{i}.mix", block.mix)]
        for (name, layer), shift in zip([*names, ("head", prior.head)], shifts[1:], strict=True):
            weight = real(name, shift)
            if isinstance(layer, CausalConv):
                layer.assign(weight.view(-1, units, units))
            else:
                layer.weight.copy_(weight.T[..., None, None])
            assert layer.bias is not None
            layer.bias.copy_(bias(f"{name}_bias", shift))
    return prior.eval().requires_grad_(False)


def _shift(weight: torch.Tensor) -> int:
    """Return the most bits behind the point with which a weight fits `MAX_BITS`."""
    largest = float(weight.abs().max().clamp(min=1e-6))
    shift = MAX_SHIFT
    while shift > 0 and round(largest * 2**shift) >= 1 << MAX_BITS:
        shift -= 1
    return shift


def _integers(values: torch.Tensor, shift: int) -> "NDArray[np.int64]":
    rounded: NDArray[np.int64] = (values.double() * 2.0**shift).round().long().cpu().numpy()
    return rounded
