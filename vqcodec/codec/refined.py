"""Pictures at every quality: those of a codec of one map, refined by further maps.

The first codec codes a picture as it does alone, its tint included. What its decoded picture lacks
is coded by residual codebooks, with as many bits as a rate weight grants (`vqcodec.codec.rates`),
in the same pass. The first map by itself decodes as the first codec does; each further one makes
the picture better.
"""

import functools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vqcodec.codec.base import Report
from vqcodec.codec.effort import sweeps_of
from vqcodec.codec.engine import Engine
from vqcodec.codec.image import ImageCodec
from vqcodec.codec.rate import file_bytes, squared_error
from vqcodec.codec.rates import Rates
from vqcodec.codec.refinement import FINEST, read_refinement
from vqcodec.codec.refiners import Refine, open_refiner, put
from vqcodec.codec.sampling import SamplingParams
from vqcodec.codec.scales import (
    SCALES,
    WIDE,
    coded_size,
    costs_of_scales,
    most_scales,
    search_scales,
)
from vqcodec.codec.tiles import check_grids
from vqcodec.codec.tint import apply_tint
from vqcodec.errors import UsageError, WeightsError
from vqcodec.files.codes import Codes
from vqcodec.maps import Maps, MapSpec
from vqcodec.media.image import Image
from vqcodec.weights import first_codec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray
    from PIL import Image as Pillow

    from vqcodec.codec.engine_torch import TorchEngine

    Pixels = NDArray[np.uint8]
    Grids = tuple[NDArray[np.uint16], ...]

DEFAULT_WEIGHT = 200.0  # where nobody asks for a rate
WORST, BEST = 30_000.0, 15.0  # rate weights of the qualities 1 and 99
SMALLER = 100.0  # above this rate weight a smaller scale may be better
FINER, HALVINGS = 300.0, 1  # above this one the steps between scales are halved so often
# What shrinking may lose, a value, in rate weights: a scale that loses more is not tried, nor one
# above a wide step that loses next to nothing.
MUCH, LITTLE = 0.035, 0.003
# Rate weights that a first map is searched for with: so many times that of all maps, and at least
# so much. What it lacks the maps that follow mend for fewer bits. In one of so many sweeps, the
# last, it counts what they mend.
MENDED, LEAST, MENDING = 1.5, 350.0, 3


@dataclass(frozen=True)
class Prepared:
    """A picture as the first codec has it.

    Attributes:
        image: the original.
        pixels: (H, W, 3), what is coded of it: the same, or smaller.
        first: the codes of the first codec, without a tint.
        decoded: (H, W, 3), what they stand for.
        searched: a search found `first`; further codes are chosen twice, then.
    """

    image: Image
    pixels: "Pixels"
    first: Codes
    decoded: "Pixels"
    searched: bool = False

    @property
    def share(self) -> float:
        """How many pixels are coded of each of the original.

        A squared error in one of them becomes that of so many times fewer when it is enlarged, so
        that a bit is worth so much of it.
        """
        return self.pixels.size / self.image.pixels.size


class RefinedCodec(ImageCodec):
    """Turns pictures into the map of a first codec and maps that refine it, and back.

    Attributes:
        base: the first codec.
    """

    default_weight = DEFAULT_WEIGHT

    def _open(self, engine: str, work: int | None) -> Engine:
        """Load the first codec, and what refines it; return the engine of the first."""
        weights = self.weights
        first = first_codec(weights)
        if first is None:
            raise WeightsError(f"{weights.folder}: names no codec that it refines")
        self.base = ImageCodec(first, *self._settings, engine, work)
        self.refinement = read_refinement(weights)
        own = (MapSpec(weights.codebook_sizes[0], (self.refinement.stride,) * 2),)
        if self.base.maps != own:
            raise WeightsError(f"{weights.folder}: does not refine such maps as '{first.name}' has")
        return self.base.engine

    @functools.cached_property
    def _refine(self) -> Refine:
        return open_refiner(self.weights, self.engine)

    @property
    def maps(self) -> Maps:
        """What is known of each index map; all lie on one grid."""
        (first,) = self.base.maps
        sizes = [len(codebook) for codebook in self.refinement.codebooks]
        return (first, *(MapSpec(size, first.stride) for size in sizes))

    @property
    def rates(self) -> Rates:
        """The rates that one pass can code at."""
        return self.refinement.rates

    @property
    def torch_engine(self) -> "TorchEngine":
        """There is none."""
        raise UsageError(
            f"'{self.weights.name}' has no network that makes codes; that of "
            f"'{self.weights.first}' makes its first map"
        )

    @property
    def decoder_halo(self) -> int:
        """Cells beyond its own that a pixel depends on, per side."""
        return self.base.decoder_halo + self._halo

    @property
    def _halo(self) -> int:
        """Cells beyond its own that the network looks at, per side."""
        return int(self.weights.refiner["blocks"]) + 1

    def code_vectors(self, level: int = 0) -> "NDArray[np.float32]":
        """Return the code vectors of a map, (K, D)."""
        return self.refinement.codebooks[level - 1] if level else self.base.code_vectors()

    def weight_of(self, quality: float) -> float:
        """Return the rate weight of a quality from 1 to 99, in equal ratios, and 0 of 100."""
        if quality > 99:
            return 0.0 if quality >= 100 else BEST * (FINEST / BEST) ** (quality - 99)
        return WORST * (BEST / WORST) ** ((quality - 1) / 98)

    def encode(
        self,
        image: "Image | str | Path | Pillow.Image | NDArray[np.uint8]",
        *,
        scale: float | None = None,
        rate_weight: float | None = None,
        effort: int | None = None,
        tinted: bool = True,
        report: Report | None = None,
    ) -> Codes:
        """Return the codes of a picture of any size.

        Args:
            image: see `ImageCodec.encode`.
            scale: likewise; by default 1, or what is best above a rate weight of `SMALLER`.
            rate_weight: likewise; by default `DEFAULT_WEIGHT`.
            effort: 0 to 9, how far to search for a better first map, by default 0.
            tinted: see `ImageCodec.encode`.
            report: likewise.

        Raises:
            UsageError: the effort is out of range.
            TypeError: it is no picture.
        """
        sweeps = sweeps_of(effort or 0)
        image = Image.of(image)
        weight = DEFAULT_WEIGHT if rate_weight is None else rate_weight

        def coded(scale: float | None, sweeps: int, report: Report | None = None) -> Codes:
            prepared = self.prepare(image, scale, report)
            own = weight * prepared.share
            return self.finish(self.searched(prepared, own, sweeps, report), own, tinted=tinted)

        if scale is not None or weight <= SMALLER or not tinted:
            return coded(scale, sweeps, report)

        @functools.cache
        def lost(scale: float) -> float:
            size = coded_size(image.size, scale)
            return image.lost(size) / (weight * image.pixels.size) if scale < 1 else 0.0

        halvings = HALVINGS if weight > FINER else 0
        scales: tuple[float, ...] = SCALES
        while len(scales) > WIDE and lost(scales[WIDE]) < LITTLE:
            scales = scales[WIDE:]
        if len(scales) == 1 or lost(scales[WIDE >> halvings]) > MUCH:
            return coded(scales[0], sweeps, report)
        found: dict[float, Codes] = {}

        def cost(scale: float, sweeps: int = 0) -> float:
            if not sweeps and lost(scale) > MUCH:
                return math.inf
            found[scale] = codes = coded(scale, sweeps, report if sweeps else None)
            if report and not sweeps:
                report(len(found) / most_scales(halvings))
            return squared_error(self, image, codes) + weight * 8 * file_bytes(self, codes)

        costs = costs_of_scales(cost, halvings, scales)
        if sweeps:
            costs = search_scales(functools.partial(cost, sweeps=sweeps), costs)
        return found[min(costs, key=costs.__getitem__)]

    def at_weights(
        self, image: Image, scale: float, sweeps: int = 0, about: float = 0.0
    ) -> "Callable[[float, int], Codes]":
        """See `ImageCodec.at_weights`; the first codec is asked once."""
        prepared = self.searched(self.prepare(image, scale), about, sweeps)
        return functools.partial(self.finish, prepared)

    def prepare(
        self, image: Image, scale: float | None = None, report: Report | None = None
    ) -> Prepared:
        """Return what all qualities of a picture begin with; arguments are those of `encode`."""
        pixels = self._scaled(image, scale)
        grids = self.base.encode_pixels(pixels, report)
        first = self.base._codes(grids, image, pixels)
        return Prepared(image, pixels, first, self.base.plain(first))

    def searched(
        self, prepared: Prepared, weight: float, sweeps: int, report: Report | None = None
    ) -> Prepared:
        """Return the same with a better first map, after some sweeps of a search."""
        if not sweeps or not weight:
            return prepared
        search = self.base.search(prepared.pixels, prepared.first.grids, rate=True)

        def found() -> Prepared:
            first = replace(prepared.first, grids=(search.grid.copy(),))
            return replace(prepared, first=first, decoded=self.base.plain(first))

        for done in range(1, sweeps + 1):
            if done <= sweeps - sweeps // MENDING:
                search.sweep(max(LEAST, MENDED * weight))
            else:
                search.expect(self._added(found(), weight))
                search.sweep(weight)
            if report:
                report(done / sweeps)
        return replace(found(), searched=True)

    def _added(self, prepared: Prepared, weight: float) -> "NDArray[np.float32]":
        """Return what tint and further maps add to the first one, (H, W, 3), in 8-bit levels."""
        codes, plain = self.finish(prepared, weight), prepared.decoded
        return np.subtract(self._whole(codes, plain), plain, dtype=np.float32)

    def finish(
        self,
        prepared: Prepared,
        weight: float,
        condition: int | None = None,
        *,
        tinted: bool = True,
    ) -> Codes:
        """Return the codes of a picture with a rate weight.

        By the statistics of a class; by default those of the weight's own.
        """
        first, decoded = prepared.first, prepared.decoded
        if tinted:
            first = self.base.tinted(first, prepared.pixels, max(weight, FINEST), decoded)
        if first.image.tint is not None:
            decoded = apply_tint(decoded, first.image.tint)
        (grid,) = first.grids
        choose = functools.partial(
            self.refinement.codes, prepared.pixels, first=grid, weight=weight, condition=condition
        )
        chosen = choose(decoded)
        if prepared.searched:  # what the network makes of that is known now, and counts
            said = self.refinement.vectors(chosen.grids[1:])
            chosen = choose(self._refined(decoded, chosen.grids[1:]), said=said)
        return replace(
            first,
            grids=chosen.grids,
            codebook_sizes=self.codebook_sizes,
            model=self.weights.name,
            codebook_id=self.weights.codebook_id,
            condition=chosen.condition,
            chosen=chosen,
        )

    def decode(
        self,
        codes: Codes,
        *,
        levels: int | None = None,
        params: SamplingParams | None = None,
        report: Report | None = None,
    ) -> Image:
        """Return the picture that codes stand for; see `ImageCodec.decode`."""
        self._check(codes)
        if levels is not None and not 1 <= levels <= len(codes.grids):
            raise UsageError(f"levels is {levels}, must be 1 to {len(codes.grids)}")
        if params is not None:
            raise UsageError(f"'{self.weights.name}' decodes without drawing anything: no seed")
        pixels = self._whole(codes.first(levels), self.base.plain(codes, report))
        height, width = codes.media.size
        return Image(Image(pixels).resize((height, width)).pixels, codes.image.alpha)

    def encode_images(
        self, images: list[Image], *, scale: float | None = None, tinted: bool = True
    ) -> list[Codes]:
        """Return the codes of many pictures; the arguments are those of `encode`."""
        return [self.encode(image, scale=scale, tinted=tinted) for image in images]

    def encode_batch(self, pixels: "Pixels") -> "Grids":
        """Return the index maps, (N, h, w) each, of pictures, (N, H, W, 3) uint8 sRGB."""
        found = [self.encode(Image(one), tinted=False).grids for one in pixels]
        return tuple(np.stack(maps) for maps in zip(*found, strict=True))

    def decode_batch(self, grids: "Grids", params: SamplingParams | None = None) -> "Pixels":
        """Return the pictures, (N, h * stride, w * stride, 3) uint8, of index maps, (N, h, w)."""
        check_grids(self.maps, grids)
        pixels = self.base.decode_batch(grids[:1], params)
        finer = zip(*grids[1:], strict=True)
        return np.stack([self._refined(*pair) for pair in zip(pixels, finer, strict=True)])

    def without_unseen(self, codes: Codes) -> Codes:
        """Return codes of the same picture whose file is smaller.

        What no pixel shows is plain, and maps that say nothing, behind all others, are left out.
        """
        plain = self.base.without_unseen(codes.first(1))
        number = max(n for n, grid in enumerate(codes.grids, 1) if n == 1 or grid.any())
        kept = (*plain.grids, *codes.grids[1:number])
        return replace(codes, grids=kept, codebook_sizes=codes.codebook_sizes[:number])

    def _scaled(self, image: Image, scale: float | None) -> "Pixels":
        return image.shrink(coded_size(image.size, scale)).pixels

    def _whole(self, codes: Codes, plain: "Pixels") -> "Pixels":
        """Return the picture of codes, (H, W, 3); their first map alone stands for `plain`."""
        tint = codes.image.tint
        return self._refined(plain if tint is None else apply_tint(plain, tint), codes.grids[1:])

    def _refined(self, pixels: "Pixels", maps: "Iterable[NDArray[np.uint16]]") -> "Pixels":
        """Return a picture, (H, W, 3), with what maps, (h, w) each, say that it lacks."""
        maps = tuple(maps)
        if not any(grid.any() for grid in maps):
            return pixels
        z_q, step = self.refinement.vectors(maps), self.refinement.stride
        return put(self._refine, pixels, z_q, step, self._halo)
