"""What a decoded picture lacks, as codes: an orthonormal transform and residual codebooks.

The error of each cell of a picture is a vector z, of which codebooks say more and more: each codes
what those before it left. Codes are chosen by squared error and bits, see `vqcodec.codec.rates`;
as the transform keeps distances, the error of vectors is that of pixels. Code 0 of each codebook
says nothing.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vqcodec.codec.rates import Rates
from vqcodec.coding import latticecoder
from vqcodec.coding.lattice import Walk
from vqcodec.coding.threads import usable_cores
from vqcodec.files.joint import SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Grid = NDArray[np.uint16]
    Pixels = NDArray[np.uint8]
    Report = Callable[[float], None]

NOTHING = 0  # the code of the zero vector


@dataclass(frozen=True)
class Refinement:
    """Codes of what a picture lacks.

    Attributes:
        analysis: (values of a cell, D), from errors in 8-bit levels to vectors.
        codebooks: (K, D) each.
        rates: what codes cost, and how much vectors matter.
        stride: pixels to a cell along each axis.
    """

    analysis: "Floats"
    codebooks: "tuple[Floats, ...]"
    rates: Rates
    stride: int

    def codes(
        self,
        pixels: "Pixels",
        decoded: "Pixels",
        first: "Grid",
        weight: float,
        report: "Report | None" = None,
    ) -> "tuple[Grid, ...]":
        """Return the maps, (h, w) each, of what a decoded picture lacks.

        Args:
            pixels: (H, W, 3), the picture.
            decoded: the same as it was decoded.
            first: (h, w), the map that it was decoded from.
            weight: the rate weight; 0 for the nearest codes.
            report: called with the fraction done, for progress bars.
        """
        maps = tuple(np.zeros(first.shape, np.uint16) for _ in self.codebooks)
        height, width = first.shape
        # as the range coder has them, so that what is known to choose by is known to it
        places = [
            (slice(top, top + SIDE), slice(left, left + SIDE))
            for top in range(0, height, SIDE)
            for left in range(0, width, SIDE)
        ]

        def choose(place: tuple[slice, slice]) -> None:
            part = tuple(slice(self.stride * s.start, self.stride * s.stop) for s in place)
            z = self._vectors(pixels[part], decoded[part])
            for grid, found in zip(maps, self._chosen(z, first[place], weight), strict=True):
                grid[place] = found

        with ThreadPoolExecutor(usable_cores()) as pool:
            for done, _ in enumerate(pool.map(choose, places), 1):
                if report:
                    report(done / len(places))
        return maps

    def vectors(self, maps: "tuple[Grid, ...]") -> "Floats":
        """Return what maps, (h, w) each, all or the first of them, say together: (h, w, D)."""
        z_q = np.zeros((*maps[0].shape, self.analysis.shape[1]), np.float32)
        for grid, codebook in zip(maps, self.codebooks, strict=False):
            z_q += codebook[grid]
        return z_q

    def _vectors(self, pixels: "Pixels", decoded: "Pixels") -> "Floats":
        """Return z, (h, w, D), of a part of a picture; beyond its edges nothing is lacking."""
        error = np.subtract(pixels, decoded, dtype=np.float32)
        step = self.stride
        around = [(0, -n % step) for n in error.shape[:2]]
        error = np.pad(error, (*around, (0, 0)))
        height, width = (n // step for n in error.shape[:2])
        cells = error.reshape(height, step, width, step, 3).transpose(0, 2, 4, 1, 3)
        z = cells.reshape(height, width, -1) @ self.analysis
        return z.astype(np.float32, copy=False)

    def _chosen(self, z: "Floats", first: "Grid", weight: float) -> "list[Grid]":
        """Return the codes of vectors, (h, w, D), that weigh least."""
        walk = Walk(self.rates.prior, self.rates.condition(weight))
        walk.know(first[None])
        left, found = z, []
        for codebook, curvature in zip(self.codebooks, self.rates.curvature, strict=True):
            distances = (codebook**2).sum(1) - 2 * (left @ codebook.T)
            if weight:
                cost = distances[None] * np.float32(curvature / weight)
                codes = latticecoder.choose(walk, cost)[0]
            else:
                codes = distances.argmin(-1).astype(np.uint16)
            found.append(codes)
            left = left - codebook[codes]
        return found
