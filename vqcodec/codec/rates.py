"""Every quality from one pass of the encoder: codes chosen by what they change and by their bits.

Entropy-constrained vector quantization (Chou et al. 1989): of each map, and pass by pass of its
coding prior, the codes that minimise

    curvature * |z - e|^2 + rate_weight * bits

where the curvature, measured in training, turns distances between vectors into squared errors of
pixels. What is chosen is the context of what is chosen next.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqcodec.coding import latticecoder
from vqcodec.coding.lattice import LatticeModel, Walk
from vqcodec.codingpriors import lattice_prior
from vqcodec.errors import WeightsError
from vqcodec.weights import CONFIG, RATES, Weights, table_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    # squared distances of a map's vectors to all codes, (N, h, w, K), to codes, (N, h, w)
    Choose = Callable[["NDArray[np.float32]"], "NDArray[np.uint16]"]

BEFORE = 1.25  # times the largest weight of a class, another may use its statistics


@dataclass(frozen=True)
class Rates:
    """The range of rate weights that a model was trained for.

    Attributes:
        prior: what codes cost.
        curvature: of each map that is chosen, by how much the squared error of a picture grows, in
            8-bit levels summed over pixels and colours, with each unit of squared distance between
            vectors.
        least: the smallest rate weight, in such errors per bit.
        most: the largest.
    """

    prior: LatticeModel
    curvature: tuple[float, ...]
    least: float
    most: float

    def weight_of(self, quality: float) -> float:
        """Return the rate weight of a quality from 1 to 99, in equal ratios, and 0 of 100."""
        if quality >= 100:
            return 0.0
        return self.most * (self.least / self.most) ** ((quality - 1) / 98)

    def condition(self, weight: float) -> int:
        """Return the class of statistics, for the prior, of codes chosen with a rate weight."""
        part = math.log(max(weight, self.least) / self.least) / math.log(self.most / self.least)
        return min(self.prior.conditions - 1, int(part * self.prior.conditions))

    def steps(self, weights: "Iterable[float]") -> list[tuple[float, int]]:
        """Return rate weights with classes of statistics that suit them, for more and more bits.

        Where the class changes, bits jump: choosing by other statistics, a picture takes a tenth
        more. So each class begins with weights that are larger than its own.
        """
        pairs = [
            (weight, condition)
            for weight in weights
            for condition in range(self.condition(weight / BEFORE), self.condition(weight) + 1)
        ]
        return sorted(pairs, key=lambda pair: (-pair[1], -pair[0]))

    def chooser(self, weight: float, condition: int | None = None) -> "Choose":
        """Return what chooses the codes of pictures, map by map, with a rate weight above 0.

        By the statistics of a class; by default those of the weight's own.
        """
        walk = Walk(self.prior, self.condition(weight) if condition is None else condition)
        curvature = iter(self.curvature)

        def choose(distances: "NDArray[np.float32]") -> "NDArray[np.uint16]":
            return latticecoder.choose(walk, distances * (next(curvature) / weight))

        return choose


def rates_of(weights: Weights) -> Rates | None:
    """Return what weights say of rates; None where they were not trained for several.

    Raises:
        WeightsError: they say what cannot be.
    """
    prior = lattice_prior(weights)
    if RATES not in weights.config or prior is None:
        return None
    return read_rates(weights, prior, len(prior.codebook_sizes) - (prior.first is not None))


def read_rates(weights: Weights, prior: LatticeModel, chosen: int) -> Rates:
    """Return what weights say of the rates of so many maps that are chosen under a prior.

    Raises:
        WeightsError: they say what cannot be.
    """
    table = table_of(weights.config, RATES)
    try:
        curvature = tuple(float(c) for c in table["curvature"])
        least, most = float(table["least"]), float(table["most"])
        if len(curvature) != chosen or not all(
            0 < number < 1e12 for number in (*curvature, least, most)
        ):
            raise ValueError("out of range")
        if least >= most:
            raise ValueError("out of range")
    except (KeyError, TypeError, ValueError):
        raise WeightsError(f"{weights.folder / CONFIG}: says of rates what cannot be") from None
    return Rates(prior, curvature, least, most)
