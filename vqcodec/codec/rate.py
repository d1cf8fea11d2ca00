"""Files of a wanted size: the rate weight, and the scale, that measure best."""

import itertools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vqcodec.codec.base import Report
from vqcodec.codec.effort import DEFAULT_EFFORT, sweeps_of
from vqcodec.codec.image import ImageCodec
from vqcodec.codec.scales import (
    SEARCHED,
    costs_of_scales,
    most_scales,
    search_scales,
)
from vqcodec.codingpriors import find_coding_priors
from vqcodec.errors import MediaError
from vqcodec.files.codes import Codes
from vqcodec.files.frames import CodingPrior
from vqcodec.media.image import Image

if TYPE_CHECKING:
    from vqcodec.codec.search import PictureSearch
    from vqcodec.coding.lattice import LatticeModel

SCALES = (1.0, 0.75, 0.5)
MIN_WEIGHT, FIRST_WEIGHT, MAX_WEIGHT = (
    30.0,
    200.0,
    1e5,
)  # squared error in 8-bit levels for a bit
GAIN = 6.0  # how strongly the weight follows the relative excess of bytes
MORE_SWEEPS, MAX_MORE = 4, 12  # sweeps beyond those of the effort: to come closer, and at all
HALVINGS = 2  # of the steps between scales
MOST_SEARCHED = 1000.0  # rate weight; a smaller scale is better than such a search
STEPS = 4  # of a bisection between a quality and the next
TOO_COARSE = 10_000.0  # rate weight; a smaller scale may be better than what such a one leaves
CLOSE = 0.985  # of the bytes asked for is close enough
# A scale whose nearest codes take less of the bytes cannot use the room; one that takes so many
# times more is beaten by a smaller one, or out of reach.
WORTH_TRYING, TOO_MANY = 0.8, 2.5
# Nearest codes that take so many times the bytes at the smallest scale may be out of reach; this
# many sweeps tell how small a file gets, to within a tenth.
DOUBTFUL, FLOOR_SWEEPS, NEAR = 1.5, 3, 1.1
# What a file takes with one code throughout, in times the bytes asked for, beyond which they are
# refused at once. That code need not be the cheapest: 55 bytes where it takes 100 have been seen.
ABSURD = 2.5


def encode_to(
    codec: ImageCodec,
    image: Image,
    target_bytes: int,
    *,
    effort: int | None = None,
    report: Report | None = None,
) -> Codes:
    """Return the best codes found whose ``.vqc`` file has at most `target_bytes`.

    The picture may be coded at three quarters or half of its size, if that measures better. Where
    one pass codes at any rate, these are the codes of the best quality that fits, and who asks for
    more bytes never gets a lower quality; but for a search, which is on top.

    Args:
        codec: to encode with.
        image: the picture.
        target_bytes: of the file.
        effort: see `ImageCodec.encode`.
        report: called with the fraction done, for progress bars.

    Raises:
        MediaError: no codes of so few bytes were found.
        UsageError: the weights have no coding prior.
    """
    if codec.rates is not None:
        return _best_quality(codec, image, target_bytes, sweeps_of(effort or 0), report)
    effort = DEFAULT_EFFORT if effort is None else effort
    # those that whoever reads the file will look for
    priors = find_coding_priors(codec.weights.name, codec.weights.codebook_id)
    smallest = _Attempt(codec, image, SCALES[-1], priors)
    plainest = tuple(np.zeros_like(g) for g in smallest.codes.grids)
    bare = replace(smallest.codes.image, tint=None)
    least = len(replace(smallest.codes, grids=plainest, media=bare).to_bytes(".vqc", prior=priors))
    if least > ABSURD * target_bytes:
        kept = " and its transparency kept; put it on a --background"
        raise MediaError(
            f"cannot be coded in {target_bytes:,} bytes: a picture of this size takes {least:,} "
            f"with a single code throughout{kept if image.alpha is not None else ''}"
        )
    if smallest.bytes > DOUBTFUL * target_bytes:  # before a long search, see if there is hope
        least = smallest.floor()
        if least > NEAR * target_bytes:
            raise _unreachable(target_bytes, least)
    best: tuple[float, Codes] | None = None
    least = 0
    for done, scale in enumerate(SCALES):
        attempt = smallest if scale == SCALES[-1] else _Attempt(codec, image, scale, priors)
        if best is not None and attempt.bytes < WORTH_TRYING * target_bytes:
            break
        if attempt.bytes <= TOO_MANY * target_bytes or scale == SCALES[-1]:

            def partly(swept: float, done: int = done) -> None:
                if report:
                    report((done + swept) / len(SCALES))

            attempt.run(target_bytes, sweeps_of(effort), partly)
        if attempt.best and (best is None or attempt.best[0] < best[0]):
            best = attempt.best
        least = min(least or attempt.bytes, attempt.bytes)
        if report:
            report((done + 1) / len(SCALES))
    if best is None:
        raise _unreachable(target_bytes, least)
    return best[1]


def _best_quality(
    codec: ImageCodec, image: Image, target_bytes: int, sweeps: int, report: Report | None
) -> Codes:
    """Return the codes of the best picture that fits, for weights with `rates`.

    At the best of some scales. Then after a search there and at larger ones, for the rate weights
    that fitted: it leaves room for lower ones.
    """
    found: dict[float, _Tried] = {}
    fitting: list[tuple[float, Codes]] = []
    assert codec.rates is not None
    qualities = (number / STEPS for number in range(STEPS, 101 * STEPS))
    steps = codec.rates.steps(codec.weight_of(quality) for quality in qualities)
    counted = itertools.count(1)
    most = most_scales(HALVINGS) + (SEARCHED if sweeps else 0)

    def cost(scale: float, sweeps: int = 0, about: float = 0.0) -> float:
        tried = _bisect(codec, codec.at_weights(image, scale, sweeps, about), steps, target_bytes)
        found[scale] = tried
        if report:
            report(min(1.0, next(counted) / most))
        if tried.codes is None:
            return math.inf
        fitting.append((squared_error(codec, image, tried.codes), tried.codes))
        return fitting[-1][0] if tried.weight < TOO_COARSE else math.inf

    costs = costs_of_scales(cost, HALVINGS)
    if sweeps:

        def searched(scale: float) -> float:
            return cost(scale, sweeps, min(found[scale].weight, MOST_SEARCHED))

        search_scales(searched, costs)
    if not fitting:
        least = min(tried.least for tried in found.values())
        raise MediaError(
            f"cannot be coded in {target_bytes:,} bytes: the smallest file of this picture that "
            f"was found takes {least:,}"
        )
    return min(fitting, key=operator.itemgetter(0))[1]


@dataclass(frozen=True)
class _Tried:
    """What a bisection found: the best codes that fit, their rate weight, and the fewest bytes.

    Where none fit it is the largest rate weight.
    """

    codes: Codes | None
    weight: float
    least: int


def _bisect(
    codec: ImageCodec,
    coded: "Callable[[float, int], Codes]",
    steps: list[tuple[float, int]],
    target_bytes: int,
) -> _Tried:
    """Return the codes of the last step, a rate weight and a class of statistics, that fits.

    Whatever fits fewer bytes fits more, and so each search for more bytes goes at least as far,
    even where sizes do not always grow with quality.
    """
    tried = _Tried(None, steps[0][0], 0)
    low, high = 0, len(steps)  # fits, once something does, and does not
    while high - low > 1:
        middle = (low + high) // 2 if tried.codes else low
        codes = coded(*steps[middle])
        size = file_bytes(codec, codes)
        least = min(tried.least or size, size)
        if size <= target_bytes:
            low, tried = middle, _Tried(codes, steps[middle][0], least)
        elif tried.codes is None:
            return replace(tried, least=least)
        else:
            high, tried = middle, replace(tried, least=least)
    return tried


def file_bytes(codec: ImageCodec, codes: Codes) -> int:
    """Return how many bytes a ``.vqc`` file of codes takes."""
    priors = find_coding_priors(codec.weights.name, codec.weights.codebook_id)
    return len(codec.without_unseen(codes).to_bytes(".vqc", prior=priors))


def squared_error(codec: ImageCodec, image: Image, codes: Codes) -> float:
    """Return the squared error of codes, in 8-bit levels summed over pixels and colours."""
    decoded = codec.decode(codes).pixels
    return float(np.square(decoded.astype(np.float32) - image.pixels).sum())


def _unreachable(target: int, least: int) -> MediaError:
    return MediaError(
        f"cannot be coded in {target:,} bytes: files of this picture do not go below {least:,}"
    )


class _Attempt:
    """Codes of one picture at one scale, pushed towards a size.

    Attributes:
        bytes: of the file of the last codes measured.
        best: the squared error and the codes of the best that fit, if any did.
    """

    def __init__(
        self,
        codec: ImageCodec,
        image: Image,
        scale: float,
        priors: "Sequence[CodingPrior] | LatticeModel",
    ) -> None:
        self.codec, self.image, self.priors = codec, image, priors
        self.codes = codec.encode(image, scale=scale)
        height, width = self.codes.media.coded_size
        self._pixels = image.resize((height, width)).pixels
        self.bytes = self._measure(self.codes)
        self.best: tuple[float, Codes] | None = None

    def floor(self) -> int:
        """Return about how many bytes the smallest file takes: after sweeps for bytes alone."""
        search = self._search()
        for _ in range(FLOOR_SWEEPS):
            search.sweep(MAX_WEIGHT)
        return self._measure(self._found(search, MAX_WEIGHT))

    def _search(self) -> "PictureSearch":
        return self.codec.search(self._pixels, self.codes.grids, rate=True)

    def _found(self, search: "PictureSearch", weight: float) -> Codes:
        """Return the codes of a search, with what they do not say of colours."""
        codes = replace(self.codes, grids=(search.grid.copy(),))
        return self.codec.tinted(codes, self._pixels, weight)

    def run(self, target: int, sweeps: int, report: Report) -> None:
        """Sweep until the file fits, and `sweeps` times at least.

        Args:
            target: bytes.
            sweeps: how many at least.
            report: called with the fraction done, of all that may be needed.
        """
        search = self._search()
        weight, hopeless = 0.0, 0
        for sweep in range(1, sweeps + MAX_MORE + 1):
            if self.bytes > target or weight:
                step = math.exp(max(-1.0, min(1.5, GAIN * (self.bytes / target - 1))))
                weight = min(MAX_WEIGHT, max(MIN_WEIGHT, (weight or FIRST_WEIGHT) * step))
            hopeless += weight == MAX_WEIGHT
            if hopeless > 2:
                break
            search.sweep(weight)
            report(sweep / (sweeps + MAX_MORE))
            self.codes = self._found(search, weight)
            self.bytes = self._measure(self.codes)
            if self.bytes <= target:
                error = squared_error(self.codec, self.image, self.codes)
                if self.best is None or error < self.best[0]:
                    self.best = error, self.codes
                # then come closer from below, unless bits are as good as free already
                near = self.bytes >= CLOSE * target or weight <= MIN_WEIGHT
                if sweep >= sweeps + (0 if near else MORE_SWEEPS):
                    break

    def _measure(self, codes: Codes) -> int:
        """Return the bytes of a file of codes."""
        return len(self.codec.without_unseen(codes).to_bytes(".vqc", prior=self.priors))
