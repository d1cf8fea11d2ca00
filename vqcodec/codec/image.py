"""Media to `Codes` and back, with a trained model."""

import functools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, cast

from vqcodec.codec.base import BaseCodec, Report
from vqcodec.codec.effort import DEFAULT_EFFORT, sweeps_of, weight_of
from vqcodec.codec.readahead import encode_in_turns
from vqcodec.codec.sampling import SamplingParams
from vqcodec.codec.scales import coded_size
from vqcodec.codec.tiles import Span, check_grids, cropped, filled_up, in_cells, tiles
from vqcodec.codec.tint import apply_tint, measure_tint
from vqcodec.codec.unseen import Unseen, plain_codes
from vqcodec.errors import FormatError, UsageError, VqcodecError
from vqcodec.files.codes import Codes
from vqcodec.files.contents import ImageInfo
from vqcodec.files.tint import BLOCK
from vqcodec.maps import filled, ratio
from vqcodec.media.image import Image, check_size
from vqcodec.modality import IMAGE, load
from vqcodec.weights import RATES, Weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image as Pillow

    from vqcodec.codec.engine import Choose
    from vqcodec.codec.rates import Rates
    from vqcodec.codec.search import PictureSearch
    from vqcodec.models.priors.integer import IntegerPrior

    Pixels = NDArray[np.uint8]
    Grids = tuple[NDArray[np.uint16], ...]
    Chooser = Callable[[tuple[slice, slice]], Choose]

REFINED = "vqcodec.codec.refined:RefinedCodec"  # of weights that stand on others
WINDOW = 160  # cells of the finest map along the side of a tile: at stride 4, 640 pixels
BATCH_CELLS = 32 * 1024  # of small pictures coded at once: 32 of 128x128 pixels at stride 4


class ImageCodec(BaseCodec):
    """Turns pictures into index maps and back."""

    modality, pixels = IMAGE, True
    default_weight = 0.0  # the rate weight where nobody asks for a rate

    @classmethod
    def _kind(cls, weights: Weights) -> type[Self]:
        return cast(type[Self], load(REFINED)) if weights.refiner else cls

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
            image: the picture, or whatever `Image.of` makes one of: a path, a Pillow image, an
                array (H, W, 3) uint8. Its transparency is kept beside the codes, without loss.
            scale: code a picture smaller by this factor (0 to 1); decoding enlarges it again. By
                default 1.
            rate_weight: the squared error, in 8-bit levels summed over pixels and colours, that
                saving a bit under the coding prior may cost; 0, the default, for the best picture.
            effort: 0 codes in one pass, and with a rate weight only by weights that were trained
                for that (`rates`); up to 9, how far to search for better codes. By default 0, or
                `DEFAULT_EFFORT` for a rate weight that needs a search.
            tinted: tell beside the codes what they do not say of colours; it takes decoding.
            report: called with the fraction done, for progress bars.

        Raises:
            UsageError: a rate is asked for, and the weights have no coding prior.
            TypeError: it is no picture.
        """
        image, rate_weight = Image.of(image), rate_weight or 0.0
        pixels = self._scaled(image, scale)
        if effort is None:
            effort = self.effort_for(rate_weight)
        sweeps = sweeps_of(effort)
        if rate_weight and self.rates is not None and not sweeps:
            choose = self.rates.chooser
            grids = self.encode_pixels(pixels, report, lambda _: choose(rate_weight))
            condition = self.rates.condition(rate_weight)
            codes = self._codes(grids, image, pixels, condition)
            return self.tinted(codes, pixels, rate_weight) if tinted else codes
        if rate_weight and not sweeps:
            raise UsageError("a rate weight needs an effort of 1 or more with these weights")
        grids = self.encode_pixels(pixels, None if sweeps else report)
        if sweeps:
            search = self.search(pixels, grids, rate=bool(rate_weight))
            for done in range(1, sweeps + 1):
                search.sweep(rate_weight)
                if report:
                    report(done / sweeps)
            grids = (search.grid,)
        codes = self._codes(grids, image, pixels)
        return self.tinted(codes, pixels, rate_weight) if tinted else codes

    @functools.cached_property
    def rates(self) -> "Rates | None":
        """The rates that one pass can code at; None where a rate needs a search."""
        if RATES not in self.weights.config:
            return None
        from vqcodec.codec.rates import rates_of

        return rates_of(self.weights)

    def at_weights(
        self, image: Image, scale: float, sweeps: int = 0, about: float = 0.0
    ) -> "Callable[[float, int], Codes]":
        """Return what codes a picture with a rate weight, in one pass, for those who try many.

        By a class of statistics, see `Rates.steps`. After some sweeps of a search, where these
        weights can be searched with, `about` a weight.
        """
        if sweeps:
            raise UsageError("codes of several maps cannot be searched for")
        pixels, rates = self._scaled(image, scale), self.rates
        assert rates is not None

        def coded(weight: float, condition: int) -> Codes:
            chooser = functools.partial(rates.chooser, weight, condition)
            grids = self.encode_pixels(pixels, None, (lambda _: chooser()) if weight else None)
            return self.tinted(self._codes(grids, image, pixels, condition), pixels, weight)

        return coded

    def weight_of(self, quality: float) -> float:
        """Return the rate weight of a quality from 1 to 100, which is 0 at 100."""
        return weight_of(quality) if self.rates is None else self.rates.weight_of(quality)

    def effort_for(self, rate: object) -> int:
        """Return the effort that is taken by itself, with a rate that is asked for or without."""
        return DEFAULT_EFFORT if rate and self.rates is None else 0

    def search(self, pixels: "Pixels", grids: "Grids", *, rate: bool) -> "PictureSearch":
        """Return a search for better codes of a picture, (H, W, 3), than `grids`.

        Raises:
            UsageError: `rate` is true and the weights have no coding prior.
        """
        from vqcodec.codec.search import PictureSearch

        if len(grids) != 1:
            raise UsageError("codes of several maps cannot be searched for")
        if self.engine.draws:
            raise UsageError("codes of a decoder that draws cannot be searched for")
        engine = self.torch_engine
        prior = self._float_prior if rate else None
        return PictureSearch(engine.model, prior, pixels, grids[0], bf16=engine.bf16)

    @functools.cached_property
    def _float_prior(self) -> "IntegerPrior":
        from vqcodec.codec.search import float_prior

        return float_prior(self.weights).to(self.torch_engine.device)

    def encode_images(
        self, images: list[Image], *, scale: float | None = None, tinted: bool = True
    ) -> list[Codes]:
        """Return the codes of many pictures; those of equal size are computed together.

        The arguments are those of `encode`.
        """
        import numpy as np

        scaled = [self._scaled(image, scale) for image in images]
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for position, pixels in enumerate(scaled):
            by_shape.setdefault(pixels.shape, []).append(position)
        codes: dict[int, Codes] = {}
        for positions in by_shape.values():
            grids = self.encode_batch(np.stack([scaled[p] for p in positions]))
            for row, position in enumerate(positions):
                maps = tuple(g[row] for g in grids)
                found = self._codes(maps, images[position], scaled[position])
                codes[position] = self.tinted(found, scaled[position]) if tinted else found
        return [codes[position] for position in range(len(images))]

    def encode_files(self, files: "Iterable[tuple[str, Any]]") -> "Iterator[Codes | VqcodecError]":
        """See `BaseCodec.encode_files`; the codes are without tints, which are for eyes."""
        return encode_in_turns(functools.partial(self.encode_images, tinted=False), files)

    def decode(
        self,
        codes: Codes,
        *,
        levels: int | None = None,
        params: SamplingParams | None = None,
        report: Report | None = None,
    ) -> Image:
        """Return the picture, of its original size, that codes stand for.

        Args:
            codes: of a picture.
            levels: go by so many maps only, from the coarsest on; by default by all that there are.
            params: how to draw, of a model whose decoder does; others take none.
            report: called with the fraction done, for progress bars.

        Raises:
            UsageError: there are not so many maps.
            WeightsError: the codes were made with another codebook.
            FormatError: the codes are not those of a picture of the size that they claim.
        """
        self._check(codes)
        if levels is not None and not 1 <= levels <= len(codes.grids):
            raise UsageError(f"levels is {levels}, must be 1 to {len(codes.grids)}")
        height, width = codes.media.coded_size
        if params is not None and not self.engine.draws:
            raise UsageError(f"'{self.weights.name}' decodes without drawing anything: no seed")
        params = params or SamplingParams()
        pixels = self._decode(codes.grids[:levels], (height, width), params, report)
        tint = codes.image.tint
        if tint is not None and len(codes.grids[:levels]) == len(self.maps):
            pixels = apply_tint(pixels, tint)
        height, width = codes.media.size
        return Image(Image(pixels).resize((height, width)).pixels, codes.image.alpha)

    def encode_batch(self, pixels: "Pixels") -> "Grids":
        """Return the index maps, (N, h, w) each, of pictures, (N, H, W, 3) uint8 sRGB.

        Where H or W is no multiple of the stride, the last row or column is repeated.
        """
        import numpy as np

        if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.dtype != np.uint8 or not pixels.size:
            raise UsageError("pictures must be a uint8 array of shape (N, H, W, 3), not empty")
        size = pixels.shape[1:3]
        height, width = self.maps[-1].shape(size)
        if max(height, width) > WINDOW:
            found = [self.encode_pixels(p) for p in pixels]
            return tuple(np.stack(maps) for maps in zip(*found, strict=True))
        step = max(1, BATCH_CELLS // (height * width))
        parts = [
            self._encode_window(pixels[i : i + step], filled(self.maps, size))
            for i in range(0, len(pixels), step)
        ]
        return cropped(self.maps, tuple(np.concatenate(m) for m in zip(*parts, strict=True)), size)

    def decode_batch(self, grids: "Grids", params: SamplingParams | None = None) -> "Pixels":
        """Return the pictures, (N, h * stride, w * stride, 3) uint8, of index maps, (N, h, w).

        Several maps are those of pictures as large as the finest one covers. A model whose decoder
        draws goes by `params`.
        """
        import numpy as np

        params = params or SamplingParams()
        height, width = check_grids(self.maps, grids)
        number, *shape = grids[-1].shape
        if max(shape) > WINDOW:
            sized = (
                self._decode(m, (height, width), params.other(i), None)
                for i, m in enumerate(zip(*grids, strict=True))
            )
            return np.stack(list(sized))
        step = max(1, BATCH_CELLS // math.prod(shape))
        whole = filled_up(self.maps, grids)
        parts = [
            self.engine.decode(tuple(g[i : i + step] for g in whole), None, params.other(i))
            for i in range(0, number, step)
        ]
        return np.concatenate(parts)[:, :height, :width]

    def _scaled(self, image: Image, scale: float | None) -> "Pixels":
        return image.resize(coded_size(image.size, scale)).pixels

    def _codes(self, grids: "Grids", image: Image, pixels: "Pixels", condition: int = 0) -> Codes:
        """Return the codes of a picture, of which `pixels` were coded."""
        media = ImageInfo(image.size, pixels.shape[:2], image.alpha)
        name, codebook_id = self.weights.name, self.weights.codebook_id
        return Codes(grids, self.codebook_sizes, IMAGE.axes, name, codebook_id, media, condition)

    def plain(self, codes: Codes, report: Report | None = None) -> "Pixels":
        """Return what the maps of this codec stand for without a tint, (H, W, 3)."""
        grids, (height, width) = codes.grids[: len(self.maps)], codes.media.coded_size
        return self._decode(grids, (height, width), SamplingParams(), report)

    def tinted(
        self,
        codes: Codes,
        pixels: "Pixels",
        rate_weight: float = 0.0,
        decoded: "Pixels | None" = None,
    ) -> Codes:
        """Return codes with what they do not say of the colours of what was coded, (H, W, 3)."""
        if self.engine.draws:
            return codes
        decoded = self.plain(codes) if decoded is None else decoded
        find = self._unseen.share if self._unseen else None
        tint = measure_tint(pixels, decoded, rate_weight or None, find)
        return replace(codes, media=replace(codes.image, tint=tint))

    def without_unseen(self, codes: Codes) -> Codes:
        """Return codes of the same picture whose file is smaller: what no pixel shows is plain."""
        tint, plain = codes.image.tint, plain_codes(self.weights)
        if tint is None or self._unseen is None:
            return codes
        return replace(codes, grids=self._unseen.filled(codes.grids, tint.smooth, plain))

    @functools.cached_property
    def _unseen(self) -> Unseen | None:
        """What pictures do not show; None where that saves nothing."""
        fits = all(BLOCK % spec.stride[0] == 0 for spec in self.maps)
        useful = fits and plain_codes(self.weights) and not self.engine.draws
        return Unseen(self.maps, self.engine.decoder_halo) if useful else None

    def _check(self, codes: Codes) -> None:
        self.check_codebook(codes.axes, codes.model, codes.codebook_id)
        height, width = codes.media.coded_size
        maps = self.maps[: len(codes.grids)]  # finer ones may be missing
        shapes = [spec.shape((height, width)) for spec in maps]
        sizes = tuple(spec.codebook_size for spec in maps)
        if codes.codebook_sizes != sizes or [g.shape for g in codes.grids] != shapes:
            raise FormatError(f"the index map does not fit a picture of {width}×{height} pixels")
        check_size(height, width, "the coded picture")
        check_size(codes.media.size[0], codes.media.size[1], "the decoded picture")

    def _tiles(self, size: tuple[int, ...], halo: int) -> list[tuple[Span, Span]]:
        """Return the tiles of a picture, in cells of the coarsest map; `halo` is in them, too."""
        coarse, (down, right) = self.maps[0], ratio(self.maps[0], self.maps[-1])
        height, width = coarse.shape(size)
        return list(tiles((height, width), WINDOW // max(down, right), halo))

    def encode_pixels(
        self, pixels: "Pixels", report: Report | None = None, chooser: "Chooser | None" = None
    ) -> "Grids":
        """Encode one picture, (H, W, 3); `chooser` is told where in the coarsest map tiles lie."""
        import numpy as np

        size, coarse = pixels.shape[:2], self.maps[0]
        whole = filled(self.maps, size)
        grids = tuple(np.empty(spec.shape(whole), np.uint16) for spec in self.maps)
        every = self._tiles(size, self.engine.encoder_halo)
        for done, tile in enumerate(every, 1):
            rows, columns = in_cells(tile, coarse.stride)
            window = pixels[None, rows.window, columns.window]
            height, width = rows.stop - rows.start, columns.stop - columns.start
            choose = chooser and chooser((tile[0].window, tile[1].window))
            found = self._encode_window(window, (height, width), choose)
            for grid, part, spec in zip(grids, found, self.maps, strict=True):
                down, across = in_cells(tile, ratio(coarse, spec))
                grid[down.kept, across.kept] = part[0, down.inner, across.inner]
            if report:
                report(done / len(every))
        return cropped(self.maps, grids, size)

    def _decode(
        self, grids: "Grids", size: tuple[int, int], params: SamplingParams, report: Report | None
    ) -> "Pixels":
        """Decode all maps of one picture, or the first of them, to (*size, 3), tile by tile."""
        import numpy as np

        coarse, whole = self.maps[0], filled_up(self.maps, grids)
        pixels = np.empty((*size, 3), np.uint8)
        every = self._tiles(size, self.engine.decoder_halo)
        # graphs of other engines take all maps
        engine = self.engine if len(grids) == len(self.maps) else self.torch_engine
        for done, tile in enumerate(every, 1):
            places = [in_cells(tile, ratio(coarse, spec)) for spec in self.maps[: len(grids)]]
            cells = zip(whole, places, strict=True)
            windows = tuple(g[None, r.window, c.window] for g, (r, c) in cells)
            window = engine.decode(windows, None, params.other(done - 1))
            rows, columns = in_cells(tile, coarse.stride)
            target = pixels[rows.kept, columns.kept]
            inner = window[0, rows.inner, columns.inner]
            target[:] = inner[: target.shape[0], : target.shape[1]]  # the padding goes
            if report:
                report(done / len(every))
        return pixels

    def _encode_window(
        self, pixels: "Pixels", size: tuple[int, ...], choose: "Choose | None" = None
    ) -> "Grids":
        """Run the encoder on pictures, (N, H, W, 3), filled up to (height, width)."""
        import numpy as np

        missing = [n - had for n, had in zip(size, pixels.shape[1:3], strict=True)]
        if any(missing):
            around = ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0))
            pixels = np.pad(pixels, around, mode="edge")
        if choose is None:
            return self.engine.encode(pixels)
        return self.torch_engine.encode(pixels, choose)  # others take the nearest codes


Codec = ImageCodec  # an older name
