"""The coding prior of a map of pictures in training: `vqcodec.coding.causal` in floating point.

It sees what `vqcodec.models.priors.integer` sees, through fewer and narrower layers, and keeps its
activations so small that float32 computes their integers exactly, twice as fast as float64 does.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from vqcodec.coding.causal import MAX_BLOCKS, MAX_WIDTH
from vqcodec.coding.layers import CAP, FRACTION, MAX_CODES
from vqcodec.coding.layout import TAPS, WINDOW, Taps
from vqcodec.config import check_range
from vqcodec.models.fixedpoint import Matrices, integers
from vqcodec.models.priors import integer
from vqcodec.models.priors.base import Prior, Tensors
from vqcodec.models.priors.integer import CausalConv, IntegerPrior

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[np.int64]]

MOST = (CAP + 1) / (1 << FRACTION)  # of activations


@dataclass(frozen=True)
class Config:
    """Settings of `CausalPrior`.

    Attributes:
        codebook_size: K.
        channels: maps; must be 1.
        units: C, numbers per cell.
        inner: numbers per cell inside a block.
        blocks: residual blocks; each widens the view by one row and one column.
        embedding: numbers that stand for an index.
    """

    codebook_size: int
    channels: int = 1
    units: int = 96
    inner: int = 64
    blocks: int = 3
    embedding: int = 16

    def __post_init__(self) -> None:
        check_range("codebook_size", self.codebook_size, 2, MAX_CODES)
        check_range("channels", self.channels, 1, 1)
        check_range("units", self.units, 8, MAX_WIDTH)
        check_range("inner", self.inner, 8, MAX_WIDTH)
        check_range("blocks", self.blocks, 0, MAX_BLOCKS)
        check_range("embedding", self.embedding, 1, MAX_WIDTH)

    @property
    def min_parameters(self) -> int:
        """Numbers in the head alone."""
        return self.codebook_size * self.units

    def build(self) -> "CausalPrior":
        """Make the prior with fresh weights."""
        return CausalPrior(self)


def rectified(h: torch.Tensor) -> torch.Tensor:
    """Return h between 0 and `MOST`."""
    return F.hardtanh(h, 0.0, MOST)


class Block(nn.Module):
    """h + 1x1(relu(conv(relu(h)))), starting as the identity."""

    def __init__(self, units: int, inner: int, taps: Taps) -> None:
        super().__init__()
        self.conv = CausalConv(units, inner, taps)
        self.mix = nn.Conv2d(inner, units, 1)
        nn.init.zeros_(self.mix.weight)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """Update h, (B, C, height, width)."""
        u = F.pad(rectified(h), self.conv.halo)
        return h + self.mix(rectified(self.conv(u)))


class CausalPrior(IntegerPrior):
    """Causal convolutions over one index map of a picture; what it is for is `arrays`."""

    def __init__(self, config: Config) -> None:
        Prior.__init__(self)
        self.codebook_sizes = (config.codebook_size,)
        self.embedding = nn.Embedding(config.codebook_size + 1, config.embedding)
        self.window = CausalConv(config.embedding, config.units, WINDOW)
        self.blocks = nn.ModuleList(
            Block(config.units, config.inner, TAPS) for _ in range(config.blocks)
        )
        self.head = nn.Conv2d(config.units, config.codebook_size, 1)
        self.before = nn.ModuleList()

    def logits(self, z: torch.Tensor, before: Tensors = ()) -> torch.Tensor:
        """Return scores, (B, K, h, w), of each index of a map given those before it, of `embed`."""
        h = self.window(z)
        for block in self.blocks:
            h = block(h)
        scores: torch.Tensor = self.head(rectified(h))
        return scores

    @torch.no_grad()
    def arrays(self) -> "Arrays":
        """Return the integers that `vqcodec.coding.causal.CausalModel` runs."""
        matrices = Matrices()
        vectors, outside = self.embedding.weight[:-1], self.embedding.weight[-1]
        codes = integers(vectors - outside, FRACTION).clip(-CAP, CAP)
        window = self.window.matrices()
        assert self.window.bias is not None
        bias = self.window.bias + (outside @ window).sum(0)
        matrices.add("window", window.flatten(0, 1), bias)
        for i, block in enumerate(self.blocks):
            assert isinstance(block, Block) and block.conv.bias is not None
            taps = block.conv.matrices().flatten(0, 1)
            matrices.add(f"block.{i}.conv", taps, block.conv.bias)
            matrices.add_conv(f"block.{i}.mix", block.mix)
        matrices.add_head("head", self.head)
        return {"codes": codes, **matrices.arrays()}


def from_arrays(arrays: "Arrays") -> CausalPrior:
    """Return the network, in floating point, that `CausalPrior.arrays` made integers of."""
    names = sorted(name for name in arrays if f"{name}_bias" in arrays)
    shifts = dict(zip(names, arrays["shifts"].tolist(), strict=True))
    (k, dim), units = arrays["codes"].shape, len(arrays["head"])
    blocks = sum(name.endswith(".mix") for name in names)
    inner = len(arrays["block.0.mix"]) if blocks else Config.inner
    prior = Config(k, 1, units, inner, blocks, dim).build()

    def real(name: str, shift: int, less: float = 0.0) -> torch.Tensor:
        return (torch.from_numpy(arrays[name]).double() - less).mul(2.0**-shift).float()

    def fill(name: str, layer: nn.Conv2d, scale: float = 1.0) -> None:
        shift = shifts[name]
        weight = real(name, shift) * scale
        if isinstance(layer, CausalConv):
            layer.assign(weight.view(len(layer.places), -1, layer.out_channels))
        else:
            layer.weight.copy_(weight.T[..., None, None])
        assert layer.bias is not None
        less = 0.0 if name == "head" else 0.5 * 2**shift  # what rounds
        layer.bias.copy_(real(f"{name}_bias", shift + FRACTION, less) * scale)

    with torch.no_grad():
        prior.embedding.weight[:-1] = real("codes", FRACTION)
        prior.embedding.weight[-1] = 0
        fill("window", prior.window)
        for i, block in enumerate(prior.blocks):
            assert isinstance(block, Block)
            fill(f"block.{i}.conv", block.conv)
            fill(f"block.{i}.mix", block.mix)
        fill("head", prior.head, math.log(2))
    return prior.eval().requires_grad_(False)


def floating(arrays: "Arrays") -> IntegerPrior:
    """Return the network, in floating point, of a coding prior of a map, of whichever kind."""
    return from_arrays(arrays) if "codes" in arrays else integer.from_arrays(arrays)
