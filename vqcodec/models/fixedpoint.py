"""Priors as integers, for coding; lattice priors also back: to search and to go on training."""

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from vqcodec.coding.framemodel import CONTEXT
from vqcodec.coding.layers import CAP, EXACT, FRACTION, MAX_HEAD_SHIFT, MAX_SHIFT
from vqcodec.coding.quadtree import PHASES, REACH
from vqcodec.models.priors.base import UNKNOWN
from vqcodec.models.priors.frames import FramesPrior
from vqcodec.models.priors.lattice import (
    Block,
    Config,
    LatticePrior,
    LevelNetwork,
    Window,
    up_of,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Arrays = dict[str, NDArray[np.int64]]

MAX_WEIGHT = MAX_TELL = (1 << 15) - 1


class Matrices:
    """Integers of matrices, and how many bits lie behind their points."""

    def __init__(self) -> None:
        self.found: Arrays = {}
        self._shifts: dict[str, int] = {}

    def add(
        self, name: str, weight: torch.Tensor, bias: torch.Tensor, shift: int | None = None
    ) -> None:
        """Store (inputs, outputs) and (..., outputs) as integers."""
        shift = _shift(weight, bias) if shift is None else shift
        self._shifts[name] = shift
        self.found[name] = integers(weight, shift)
        self.found[f"{name}_bias"] = _rounding(bias, shift)

    def add_conv(self, name: str, conv: nn.Conv2d) -> None:
        """Store a convolution: of its inputs, the columns of a row of a channel come first."""
        assert conv.bias is not None
        self.add(name, conv.weight.permute(2, 3, 1, 0).flatten(0, 2), conv.bias)

    def add_head(self, name: str, head: nn.Conv2d) -> None:
        """Store what gives scores, as powers of two."""
        assert head.bias is not None
        weight, bias = head.weight[..., 0, 0].T / math.log(2), head.bias / math.log(2)
        self._shifts[name] = shift = _shift(weight, bias, MAX_HEAD_SHIFT)
        self.found[name] = integers(weight, shift)
        self.found[f"{name}_bias"] = integers(bias, shift + FRACTION)

    def arrays(self) -> "Arrays":
        """Return all, with ``shifts`` sorted by name."""
        import numpy as np

        shifts = np.array([self._shifts[name] for name in sorted(self._shifts)])
        return {**self.found, "shifts": shifts}


@torch.no_grad()
def frame_arrays(prior: FramesPrior) -> "Arrays":
    """Return the integers that `vqcodec.coding.framemodel.FrameModel` runs."""
    context, matrices = prior.context, Matrices()
    (embedding,) = context.embeddings
    assert isinstance(embedding, nn.Embedding)
    matrices.found["codes"] = integers(embedding.weight, FRACTION).clip(-CAP, CAP)
    matrices.add_conv("first", context.first)
    for j, block in enumerate((context.before, context.after)):
        assert block.conv.bias is not None
        scale, shift = block.action.weight[UNKNOWN].chunk(2)
        conv = block.conv.weight.permute(2, 3, 1, 0).flatten(0, 2) * (1 + scale)
        matrices.add(f"block.{j}.conv", conv, block.conv.bias * (1 + scale) + shift)
        matrices.add_conv(f"block.{j}.mix", block.mix)
    matrices.add_conv("last", context.last)
    own = {CONTEXT + name: array for name, array in matrices.arrays().items()}
    return {**to_arrays(prior.lattice), **own}


@torch.no_grad()
def to_arrays(prior: LatticePrior) -> "Arrays":
    """Return the integers that `vqcodec.coding.lattice.LatticeModel` runs."""
    import numpy as np

    matrices = Matrices()
    found = matrices.found
    for m, (codes, tell, head) in enumerate(
        zip(prior.embeddings, prior.tells, prior.heads, strict=True)
    ):
        assert isinstance(codes, nn.Embedding) and isinstance(head, nn.Conv2d)
        found[f"map.{m}.codes"] = integers(codes.weight, FRACTION).clip(-CAP, CAP)
        if isinstance(tell, nn.Embedding):
            found[f"map.{m}.tell"] = integers(tell.weight, FRACTION).clip(-MAX_TELL, MAX_TELL)
        matrices.add_head(f"map.{m}.head", head)
    for i, network in enumerate(prior.every()):
        see = [network.see(phase) for phase in range(len(PHASES))]
        shift = min(_shift(*pair) for pair in see)
        for phase, pair in enumerate(see):
            matrices.add(f"level.{i}.see.{phase}", *pair, shift)
        if network.up is not None and network is not prior.networks[-1]:
            bias = up_of(network.up, network.units)[1]
            found[f"level.{i}.above_bias"] = _rounding(bias, shift)
        for name, block in _blocks(i, network):
            matrices.add_conv(f"{name}.conv", block.conv)
            matrices.add_conv(f"{name}.mix", block.mix)
    found["ratios"] = np.array(prior.config.ratios)
    found["depth"] = np.array([prior.config.depth])
    return matrices.arrays()


@torch.no_grad()
def from_arrays(arrays: "Arrays") -> LatticePrior:
    """Return the network, in floating point, that `to_arrays` made integers of."""
    names = sorted(name for name in arrays if f"{name}_bias" in arrays)
    shifts = dict(zip(names, arrays["shifts"].tolist(), strict=True))
    number = len(arrays["ratios"])
    heads = [arrays[f"map.{m}.head"] for m in range(number)]

    def count(kind: str) -> int:
        return sum(name.startswith(f"level.0.{kind}.") and name.endswith("mix") for name in names)

    prior = Config(
        codebook_sizes=tuple(head.shape[1] for head in heads),
        ratios=tuple(arrays["ratios"].tolist()),
        units=tuple(head.shape[0] for head in heads),
        embedding=arrays["map.0.codes"].shape[1],
        blocks=count("block"),
        trunk=count("trunk"),
        depth=int(arrays["depth"][0]),
        conditions=len(arrays["level.0.see.0_bias"]),
    ).build()

    def real(name: str, shift: int, less: float = 0.0) -> torch.Tensor:
        return (torch.from_numpy(arrays[name]).double() - less).mul(2.0**-shift).float()

    def bias_of(name: str, shift: int) -> torch.Tensor:
        return real(name, shift + FRACTION, less=0.5 * 2**shift)

    for m, (codes, tell, head) in enumerate(
        zip(prior.embeddings, prior.tells, prior.heads, strict=True)
    ):
        assert isinstance(codes, nn.Embedding) and isinstance(head, nn.Conv2d)
        assert head.bias is not None
        codes.weight.copy_(real(f"map.{m}.codes", FRACTION))
        if isinstance(tell, nn.Embedding):
            tell.weight.copy_(real(f"map.{m}.tell", FRACTION))
        shift = shifts[f"map.{m}.head"]
        head.weight.copy_(real(f"map.{m}.head", shift).T[..., None, None] * math.log(2))
        head.bias.copy_(real(f"map.{m}.head_bias", shift + FRACTION) * math.log(2))
    for i, network in enumerate(prior.every()):
        shift = shifts[f"level.{i}.see.0"]
        see = [real(f"level.{i}.see.{phase}", shift) for phase in range(len(PHASES))]
        biases = torch.stack(
            [bias_of(f"level.{i}.see.{p}_bias", shift) for p in range(len(PHASES))]
        )
        network.condition.weight.copy_(biases[0] - biases[0, :1])
        network.bias.copy_(biases[:, 0])
        before = 0
        if network.up is not None:
            before = network.up.in_channels
            weight, above = up_of(network.up, network.units)  # views
            above.zero_()
            if network is not prior.networks[-1]:
                above.copy_(bias_of(f"level.{i}.above_bias", shift))
            for phase in range(len(PHASES)):
                weight[network.offset(phase)] = see[phase][:before]
                network.bias[phase] -= above[network.offset(phase)]
        for key, window in network.windows.items():
            assert isinstance(window, Window)
            taps = see[int(key)][before:].view(len(window.taps), -1, network.units)
            for (y, x), matrix in zip(window.taps, taps, strict=True):
                window.weight[:, :, y + REACH, x + REACH] = matrix.T
        for name, block in _blocks(i, network):
            for part, conv in (("conv", block.conv), ("mix", block.mix)):
                shift = shifts[f"{name}.{part}"]
                size = conv.weight.permute(2, 3, 1, 0)
                weight = real(f"{name}.{part}", shift).reshape(size.shape)
                conv.weight.copy_(weight.permute(3, 2, 0, 1))
                assert conv.bias is not None
                conv.bias.copy_(bias_of(f"{name}.{part}_bias", shift))
    return prior.eval().requires_grad_(False)


def _blocks(i: int, network: LevelNetwork) -> list[tuple[str, Block]]:
    """Return the blocks of level i and what their arrays are called."""
    kinds = (("block", network.blocks), ("trunk", network.trunk))
    return [
        (f"level.{i}.{kind}.{j}", block)
        for kind, blocks in kinds
        for j, block in enumerate(blocks)
        if isinstance(block, Block)
    ]


def _shift(weight: torch.Tensor, bias: torch.Tensor, most: int = MAX_SHIFT) -> int:
    """Return the most bits behind the point with which sums stay exact, and weights short."""
    weight, bias = weight.double().abs(), bias.double().abs()
    rows, shift = len(weight), most
    while shift > 0:
        total = (weight.sum(0) * 2**shift + rows / 2) * CAP + bias * 2 ** (shift + FRACTION)
        short = not rows or float(weight.max()) * 2**shift < MAX_WEIGHT - 1
        if float(total.max()) + 2**shift < EXACT - 1 and short:
            break
        shift -= 1
    return shift


def integers(values: torch.Tensor, shift: int) -> "NDArray[np.int64]":
    """Return values as multiples of 2^-shift."""
    rounded: NDArray[np.int64] = (values.double() * 2.0**shift).round().long().cpu().numpy()
    return rounded


def _rounding(bias: torch.Tensor, shift: int) -> "NDArray[np.int64]":
    """Return a bias that makes the floor of what is shifted round to the nearest."""
    return integers(bias, shift + FRACTION) + (1 << shift >> 1)
