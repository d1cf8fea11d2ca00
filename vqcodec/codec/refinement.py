"""What a decoded picture lacks, as codes: an orthonormal transform and residual codebooks.

The error of each cell of a picture is a vector z, of which codebooks say more and more: each codes
what those before it left. Codes are chosen by squared error and bits, see `vqcodec.codec.rates`;
as the transform keeps distances, the error of vectors is that of pixels. Code 0 of each codebook
says nothing.

What a code is worth depends on what the codebooks after it will make of the rest. So a few
candidates, the best by the bits that codes usually take, are followed through the next two
codebooks, and the prior chooses between them by what they lead to.
"""

import collections
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vqcodec.codec.rates import Rates, rates_of
from vqcodec.coding import latticecoder
from vqcodec.coding.lanes import LaneEncoder
from vqcodec.coding.lattice import Walk
from vqcodec.coding.latticecoder import OUT, Chosen, Lanes
from vqcodec.coding.refining import AHEAD, CANDIDATES, LITTLE, NOTHING
from vqcodec.coding.threads import spread, usable_cores
from vqcodec.config import check_range
from vqcodec.errors import WeightsError
from vqcodec.files.joint import SIDE
from vqcodec.weights import (
    ANALYSIS,
    CODEBOOKS,
    CONFIG,
    MODEL,
    USUAL,
    Weights,
    codebook_id,
    read_verified,
)

if TYPE_CHECKING:
    Floats = NDArray[np.float32]
    Grid = NDArray[np.uint16]
    Pixels = NDArray[np.uint8]
    Report = Callable[[float], None]

FINEST = 1.0  # the rate weight below which nothing gets better
RUN = 1 << 11  # cells whose costs fit into a cache


@dataclass(frozen=True)
class Refinement:
    """Codes of what a picture lacks.

    Attributes:
        analysis: (values of a cell, D), from errors in 8-bit levels to vectors.
        codebooks: (K, D) each.
        rates: what codes cost, and how much vectors matter.
        usual: (conditions, codebooks, K), the bits that codes usually take.
        stride: pixels to a cell along each axis.
    """

    analysis: "Floats"
    codebooks: "tuple[Floats, ...]"
    rates: Rates
    usual: "Floats"
    stride: int

    def codes(
        self,
        pixels: "Pixels",
        decoded: "Pixels",
        first: "Grid",
        weight: float,
        condition: int | None = None,
        said: "Floats | None" = None,
        report: "Report | None" = None,
    ) -> Chosen:
        """Return the first map and those, (h, w) each, of what a decoded picture lacks.

        Args:
            pixels: (H, W, 3), the picture.
            decoded: the same as it was decoded.
            first: (h, w), the map that it was decoded from.
            weight: the rate weight.
            condition: the class of statistics to choose by; by default that of the weight.
            said: (h, w, D), of which codes `decoded` has been told before: they are chosen anew.
            report: called with the fraction done, for progress bars.
        """
        condition = self.rates.condition(weight) if condition is None else condition
        maps = tuple(np.zeros(first.shape, np.uint16) for _ in self.codebooks)
        height, width = first.shape
        # as the range coder has them, so that what is known to choose by is known to it
        places = [
            (slice(top, top + SIDE), slice(left, left + SIDE))
            for top in range(0, height, SIDE)
            for left in range(0, width, SIDE)
        ]

        def choose(place: tuple[slice, slice]) -> list[Lanes]:
            part = tuple(slice(self.stride * s.start, self.stride * s.stop) for s in place)
            z = self.lacking(pixels[part], decoded[part])
            if said is not None:
                z += said[place]
            chosen, lanes = self._chosen(z, first[place], weight, condition)
            for grid, found in zip(maps, chosen, strict=True):
                grid[place] = found
            return lanes

        lanes = []
        with ThreadPoolExecutor(usable_cores()) as pool:
            for own in pool.map(choose, places):
                lanes.append(own)
                if report:
                    report(len(lanes) / len(places))
        return Chosen((first, *maps), self.rates.prior.identity, condition, lanes)

    def vectors(self, maps: "tuple[Grid, ...]") -> "Floats":
        """Return what maps, (h, w) each, all or the first of them, say together: (h, w, D)."""
        z_q = np.zeros((*maps[0].shape, self.analysis.shape[1]), np.float32)
        for grid, codebook in zip(maps, self.codebooks, strict=False):
            z_q += codebook[grid]
        return z_q

    def lacking(self, pixels: "Pixels", decoded: "Pixels") -> "Floats":
        """Return z, (h, w, D), of a part of a picture; beyond its edges nothing is lacking."""
        error = np.subtract(pixels, decoded, dtype=np.float32)
        step = self.stride
        around = [(0, -n % step) for n in error.shape[:2]]
        error = np.pad(error, (*around, (0, 0)))
        height, width = (n // step for n in error.shape[:2])
        cells = error.reshape(height, step, width, step, 3).transpose(0, 2, 4, 1, 3)
        z = cells.reshape(height, width, -1) @ self.analysis
        return z.astype(np.float32, copy=False)

    def _chosen(
        self, z: "Floats", first: "Grid", weight: float, condition: int
    ) -> "tuple[list[Grid], list[Lanes]]":
        """Return the codes of vectors, (h, w, D), that weigh least, and their lanes.

        Those of all maps, or of the first of them, until one says nothing.
        """
        walk = Walk(self.rates.prior, condition)
        walk.know(first[None])
        left, found, lanes = z, list[NDArray[np.uint16]](), list[Lanes]()
        for number, codebook in enumerate(self.codebooks):
            codes, own = self.choose(walk, number, left, weight, condition)
            if len(lanes) == number:
                lanes += own
            found.append(codes)
            left = left - codebook[codes]
        return found, lanes

    def choose(
        self, walk: Walk, number: int, left: "Floats", weight: float, condition: int
    ) -> "tuple[Grid, list[Lanes]]":
        """Return the codes, (h, w), of a codebook that weigh least, and their lanes.

        There are none where there is nothing to be said.

        Args:
            walk: goes over their map next.
            number: of the codebook.
            left: (h, w, D), what those before it left to be said.
            weight: the rate weight.
            condition: the class whose usual bits are counted on.
        """
        shape = left.shape[:2]
        cost = self._costs(left, number, condition, weight)
        if cost is not None:
            coder = LaneEncoder(1, latticecoder.lanes_of(shape))
            return latticecoder.choose(walk, cost[None], coder)[0], coder.finish()
        codes = np.full(shape, NOTHING, np.uint16)
        walk.know(codes[None])
        return codes, []

    def _costs(self, left: "Floats", number: int, condition: int, weight: float) -> "Floats | None":
        """Return what codes of a codebook cost beside their bits, (h, w, K), in bits.

        Or None, where nothing is worth a code.

        Args:
            left: (h, w, D), what is to be said.
            number: of the codebook.
            condition: the class that rate weights of this size have.
            weight: the rate weight.
        """
        codebook = self.codebooks[number]
        worth = self.rates.curvature[number] / max(weight, FINEST)
        busy = np.nonzero((left**2).sum(-1) * worth > LITTLE)
        z = left[busy]
        if not len(z):
            return None
        costs = np.full((*left.shape[:2], len(codebook)), OUT, np.float32)
        costs[..., NOTHING] = 0

        def fill(part: slice) -> None:
            cells = tuple(axis[part] for axis in busy)
            costs[cells] = self._followed(z[part], number, np.float32(worth), self.usual[condition])

        collections.deque(spread(fill, [slice(i, i + RUN) for i in range(0, len(z), RUN)]), 0)
        return costs

    def _followed(self, z: "Floats", number: int, worth: np.float32, usual: "Floats") -> "Floats":
        """Return what codes of a codebook for vectors, (N, D), lead to, (N, K), in bits.

        Args:
            z: the vectors.
            number: of the codebook.
            worth: bits that a unit of squared distance is worth.
            usual: (codebooks, K), the bits that codes usually take.
        """
        codebook = self.codebooks[number]
        own = _distances(z, codebook) * worth
        following = range(number + 1, min(len(self.codebooks), number + 1 + AHEAD))
        if not following:
            return own
        ranked, each = own + usual[number], np.arange(len(z))
        own.fill(OUT)
        for _ in range(min(CANDIDATES, len(codebook))):
            codes = ranked.argmin(-1)
            ranked[each, codes] = np.inf  # the next one is another
            rest, bits = z - codebook[codes], np.zeros(len(z), np.float32)
            for later in following:
                book, length = self.codebooks[later], usual[later]
                best = (_distances(rest, book) * worth + length).argmin(-1)
                rest, bits = rest - book[best], bits + length[best]
            own[each, codes] = bits + (rest**2).sum(-1) * worth
        return own


def read_refinement(weights: Weights, rates: Rates | None = None) -> Refinement:
    """Return what weights say of how errors are coded.

    Args:
        weights: the weights; their last maps are those of the codebooks.
        rates: what they say of rates; None where their first map is that of another codec.

    Raises:
        WeightsError: they are damaged, or say what cannot be.
    """
    import safetensors.numpy
    from safetensors import SafetensorError

    unfit = WeightsError(f"{weights.folder / MODEL}: not the tensors of weights that refine")
    try:
        tensors: dict[str, Any] = safetensors.numpy.load(read_verified(weights, MODEL))
        analysis = tensors[ANALYSIS].astype(np.float32)
        codebooks = tensors[CODEBOOKS].astype(np.float32)
        usual = tensors[USUAL].astype(np.float32)
        stride = int(weights.refiner["stride"])
        check_range("blocks", int(weights.refiner["blocks"]), 0, 64)
        check_range("stride", stride, 1, 16)
        (_, dim) = analysis.shape
        check_range("dim", int(weights.refiner["dim"]), dim, dim)
    except (SafetensorError, KeyError, TypeError, ValueError):
        raise unfit from None
    if rates is None:
        rates = rates_of(weights)
        if rates is None or rates.prior.first is None:
            raise unfit
    sizes = weights.codebook_sizes[-len(rates.curvature) :]
    fits = analysis.shape == (3 * stride**2, dim) and codebooks.ndim == 3
    fits = fits and codebooks.shape[::2] == (len(sizes), dim)
    fits = fits and set(sizes) == {codebooks.shape[1]} and not codebooks[:, NOTHING].any()
    fits = fits and all(np.isfinite(array).all() for array in (analysis, codebooks, usual))
    if not fits or usual.shape != (rates.prior.conditions, *codebooks.shape[:2]):
        raise unfit
    meant = bytes.fromhex(str(weights.config["model"]["on"]["codebook_id"]))
    if codebook_id(meant + codebooks.astype("<f4").tobytes()) != weights.codebook_id:
        raise WeightsError(f"{weights.folder}: its codebook is not the one that {CONFIG} names")
    return Refinement(analysis, tuple(codebooks), rates, usual, stride)


def _distances(z: "Floats", codebook: "Floats") -> "Floats":
    """Return the squared distances of vectors, (..., D), to codes, (..., K), less |z|^2."""
    distances: Floats = (codebook**2).sum(1) - 2 * (z @ codebook.T)
    return distances
