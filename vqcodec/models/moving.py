"""What codes frames by the frames before them, while it is trained.

`vqcodec.codec.moving` codes with what is learned, and training walks the same way: vectors are
chosen under the prior, the frame before is moved by them, and of what that lacks codes are chosen,
under the prior as well. What the network makes of them is what the next frame is made of.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from vqcodec.coding.latticecoder import OUT
from vqcodec.coding.movingmodel import BLOCK, Past, maps_of
from vqcodec.config import Tree
from vqcodec.errors import UsageError
from vqcodec.maps import Maps, MapSpec
from vqcodec.models.nn.pixels import to_pixels
from vqcodec.models.priors.lattice import Coded, LatticePrior, Walk
from vqcodec.models.quantizers.base import Quantized
from vqcodec.models.rated import total_bits
from vqcodec.models.refinement import Refinement, build_parts
from vqcodec.models.terms import LossTerms

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Grid = NDArray[np.uint16]
    # rows and columns of vectors, as codes, (B, h', w') each, to frames (B, 3, H, W) in [-1, 1]
    Move = Callable[[Grid, Grid], torch.Tensor]

VECTORS = 256  # codes of rows, and of columns: quarters of a pixel
FADED = 0.3  # of how loud what is known of the frame before begins
WAVES = 8  # that tell vectors apart, of sine and cosine each
LOUD = 0.5, 0.3, 0.3, 0.1  # how loud these begin, see `_begin_vectors`


@dataclass(frozen=True)
class Coding:
    """Frames as they were coded.

    Attributes:
        moved: (B, 3, H, W) in [-1, 1], the frames before, moved by vectors.
        decoded: the frames, with what codes say that those lack.
        vectors: rows, and columns.
        codes: of each codebook.
        found: what the quantizer made of it.
        pasts: what is known of each of the frames then.
    """

    moved: torch.Tensor
    decoded: torch.Tensor
    vectors: list[Coded]
    codes: list[Coded]
    found: Quantized
    pasts: list[Past]

    @property
    def bits(self) -> torch.Tensor:
        """What all that cost, (B,)."""
        return total_bits(tuple(own.bits for own in (*self.vectors, *self.codes)))

    @property
    def pixels(self) -> torch.Tensor:
        """The frames, (B, 3, H, W) uint8."""
        return to_pixels(self.decoded.detach().float())


class Moving(Refinement):
    """What is learned of frames that follow others."""

    def forward(
        self,
        x: torch.Tensor,
        weight: torch.Tensor,
        candidates: torch.Tensor,
        costs: torch.Tensor,
        pasts: Sequence[Past],
        move: "Move",
    ) -> Coding:
        """Code frames, each of another video; while training, quantizer and rates follow them.

        Args:
            x: (B, 3, H, W) in [-1, 1].
            weight: (B,), rate weights.
            candidates: (B, n, h', w', 2) int64, codes of vectors to choose from.
            costs: (B, n, h', w'), what they cost beside their bits, in bits.
            pasts: what is known of each of the frames before.
            move: makes of chosen vectors the moved frames.
        """
        walk = Walk(self.prior, self.rates.classes(self.prior, weight))

        def know(grids: "tuple[Grid, ...]") -> None:
            walk.know(torch.from_numpy(np.stack(grids).astype(np.int64)).to(x.device))

        for grids in zip(*(past.vectors for past in pasts), strict=True):
            know(grids)
        vectors = choose_vectors(walk, candidates, costs)
        rows, columns = (_grid(own) for own in vectors)
        moved = move(rows, columns)
        chosen = list(zip(rows, columns, strict=True))
        told = [past.moved(VECTORS, *pair) for past, pair in zip(pasts, chosen, strict=True)]
        for grids in zip(*told, strict=True):
            know(grids)
        z = self.vectors(x, moved)
        decode = partial(self.refined, moved)
        if self.training:
            self.rates.observe((z,), self.quantizer, decode)
        choose, codes = self.rates.choosing(walk, weight, self.foresight(z, weight))
        found = self.quantizer((z,), choose=choose)
        maps = zip(*(_grid(own) for own in codes), strict=True)
        parts = zip((before for before, *_ in told), chosen, maps, strict=True)
        after = [Past.after(*part) for part in parts]
        return Coding(moved, decode(found.z_q), vectors, codes, found, after)

    def terms(self, x: torch.Tensor, coding: Coding, weight: torch.Tensor) -> LossTerms:
        """Return the terms of a training step that coded frames, x, and note what it chose."""
        terms = self.rates.terms(x, coding.decoded, coding.found, coding.bits, weight)
        self.learn(terms.indices, weight)
        return terms

    def codebook_bytes(self, on: bytes) -> bytes:
        """Return what gives indices their meaning, on a codec of first frames of this id."""
        return on + self.quantizer.codebook_bytes()

    def maps(self, first: int) -> Maps:
        """Return what is known of each map; `first` is the first codebook size of first frames."""
        stride = self.network.config.stride
        strides = (BLOCK * stride,) * 2 + (stride,) * (1 + len(self.quantizer.codebook_sizes))
        sizes = VECTORS, VECTORS, first, *self.quantizer.codebook_sizes
        return tuple(MapSpec(size, (step, step)) for size, step in zip(sizes, strides, strict=True))

    def _take_prior(self, prior: LatticePrior) -> None:
        """Go on from another prior, or begin with what is alike of one of pictures."""
        if prior.codebook_sizes == self.prior.codebook_sizes:
            super()._take_prior(prior)
            return
        sizes = self.quantizer.codebook_sizes
        if prior.codebook_sizes[1:] != sizes:
            raise ValueError("of other codebooks")
        known = len(self.prior.codebook_sizes) - len(sizes)
        for theirs in range(1, len(sizes) + 1):
            own = known + theirs - 1
            pairs = list(zip(self.prior.of_map(own), prior.of_map(theirs), strict=True))
            for parts in ("embeddings", "heads", "tells"):
                pairs.append((getattr(self.prior, parts)[own], getattr(prior, parts)[theirs]))
            for module, like in pairs:
                _take(module, like)
        for tell in self.prior.tells[:known]:
            assert isinstance(tell, nn.Embedding)
            tell.weight.mul_(FADED)
        self._begin_vectors()

    def _begin_vectors(self) -> None:
        """Have near vectors mean and follow the like: they begin as waves of their lengths."""
        codes = torch.arange(VECTORS)
        steps = torch.where(codes >= VECTORS // 2, codes - VECTORS, codes)[:, None]
        frequencies = torch.linspace(math.log(0.02), math.log(1.5), WAVES).exp()
        waves = torch.cat([torch.sin(steps * frequencies), torch.cos(steps * frequencies)], 1)
        prior = self.prior
        for number in (2, 3):
            ends = prior.embeddings[number], prior.tells[number], prior.tells[number - 2]
            for part, scale in zip((*ends, prior.heads[number]), LOUD, strict=True):
                assert isinstance(part, nn.Embedding | nn.Conv2d)
                weight = part.weight.flatten(1)  # a view
                width = min(weight.shape[1], 2 * WAVES)
                weight[:, :width] = scale * waves[:, :width]


def choose_vectors(walk: Walk, candidates: torch.Tensor, costs: torch.Tensor) -> list[Coded]:
    """Choose rows and then columns of vectors under a prior; see `Moving.forward`."""
    found: list[Coded] = []
    batch, _, height, width = costs.shape
    for axis in range(2):
        codes = candidates[..., axis]
        every = costs.new_full((batch, VECTORS, height, width), OUT)
        found.append(walk.choose(every.scatter_reduce(1, codes, costs, "amin")))
        costs = torch.where(codes == found[-1].indices[:, None], costs, OUT)
    return found


def build_moving(model: Tree) -> Moving:
    """Make what codes frames by those before them, with fresh weights, of a preset's ``model``.

    Raises:
        UsageError: settings do not fit.
    """
    if set(model) != {"refiner", "quantizer", "prior", "rates"}:
        raise UsageError(
            "what codes frames by those before is of refiner, quantizer, prior and rates"
        )

    def prior_of(sizes: tuple[int, ...]) -> Tree:
        every, ratios = maps_of(VECTORS, sizes)
        return {**model["prior"], "codebook_sizes": list(every), "ratios": list(ratios)}

    return Moving(*build_parts(model, prior_of))


def _grid(coded: Coded) -> "Grid":
    found: Grid = coded.indices.cpu().numpy().astype(np.uint16)
    return found


def _take(module: nn.Module, other: nn.Module) -> None:
    """Take over the tensors of another module that are of the same name and shape."""
    own = module.state_dict()
    alike = {k: v for k, v in other.state_dict().items() if k in own and v.shape == own[k].shape}
    module.load_state_dict(own | alike)
