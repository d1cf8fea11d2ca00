"""Media to `Codes` and back, with a trained model."""

import functools
from typing import TYPE_CHECKING

from vqcodec.codec.base import BaseCodec, Report
from vqcodec.codec.tiles import tiles
from vqcodec.errors import FormatError, UsageError
from vqcodec.files.codes import Codes
from vqcodec.files.contents import MediaInfo
from vqcodec.media.image import Image, check_size
from vqcodec.modality import IMAGE
from vqcodec.weights import coding_prior

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vqcodec.codec.search import PictureSearch
    from vqcodec.models.priors.integer import IntegerPrior

WINDOW = 160  # cells along the side of a tile: at stride 4, 640 pixels
BATCH_CELLS = 32 * 1024  # of small pictures coded at once: 32 of 128x128 pixels at stride 4
SWEEPS = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24)  # of a search, by effort, 0 to 9


class Codec(BaseCodec):
    """Turns pictures into index maps and back."""

    modality, pixels = IMAGE, True

    def encode(
        self,
        image: Image,
        *,
        scale: float = 1.0,
        rate_weight: float = 0.0,
        effort: int = 0,
        report: Report | None = None,
    ) -> Codes:
        """Return the codes of a picture of any size.

        Args:
            image: the picture; its transparency is kept beside the codes, without loss.
            scale: code a picture smaller by this factor (0 to 1); decoding enlarges it again.
            rate_weight: the squared error, in 8-bit levels summed over pixels and colours, that
                saving a bit under the coding prior may cost; 0 for the best picture.
            effort: 0 takes the nearest codes; up to 9, how far to search for better ones.
            report: called with the fraction done, for progress bars.

        Raises:
            UsageError: a rate is asked for, and the weights have no coding prior.
        """
        pixels = self._scaled(image, scale)
        if effort not in range(len(SWEEPS)):
            raise UsageError(f"effort is {effort}, must be 0 to {len(SWEEPS) - 1}")
        sweeps = SWEEPS[effort]
        if rate_weight and not sweeps:
            raise UsageError("a rate weight needs an effort of 1 or more")
        grids = self._encode(pixels, None if sweeps else report)
        if sweeps:
            search = self.search(pixels, grids, rate=bool(rate_weight))
            for done in range(1, sweeps + 1):
                search.sweep(rate_weight)
                if report:
                    report(done / sweeps)
            grids = (search.grid,)
        return self._codes(grids, image, pixels.shape[:2])

    def search(
        self, pixels: "NDArray[np.uint8]", grids: "tuple[NDArray[np.uint16], ...]", *, rate: bool
    ) -> "PictureSearch":
        """Return a search for better codes of a picture, (H, W, 3), than `grids`.

        Raises:
            UsageError: `rate` is true and the weights have no coding prior.
        """
        from vqcodec.codec.search import PictureSearch

        if len(grids) != 1:
            raise UsageError("codes of several maps cannot be searched for")
        prior = self._float_prior if rate else None
        return PictureSearch(self.engine.model, prior, pixels, grids[0], bf16=self.engine.bf16)

    @functools.cached_property
    def _float_prior(self) -> "IntegerPrior":
        """The coding prior in floating point, which searches take gradients of."""
        from vqcodec.models.priors.integer import from_arrays

        integers = coding_prior(self.weights)
        if integers is None:
            raise UsageError(f"the weights '{self.weights.name}' have no coding prior")
        return from_arrays(integers.arrays).to(self.engine.device)

    def encode_images(self, images: list[Image], *, scale: float = 1.0) -> list[Codes]:
        """Return the codes of many pictures; those of equal size are computed together."""
        import numpy as np

        scaled = [self._scaled(image, scale) for image in images]
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for position, pixels in enumerate(scaled):
            by_shape.setdefault(pixels.shape, []).append(position)
        codes: dict[int, Codes] = {}
        for shape, positions in by_shape.items():
            grids = self.encode_batch(np.stack([scaled[p] for p in positions]))
            for row, position in enumerate(positions):
                maps = tuple(g[row] for g in grids)
                codes[position] = self._codes(maps, images[position], shape[:2])
        return [codes[position] for position in range(len(images))]

    def decode(self, codes: Codes, *, report: Report | None = None) -> Image:
        """Return the picture, of its original size, that codes stand for.

        Raises:
            WeightsError: the codes were made with another codebook.
            FormatError: the codes are not those of a picture of the size that they claim.
        """
        self._check(codes)
        height, width = codes.media.coded_size
        pixels = self._decode(codes.grids, (height, width), report)
        original_height, original_width = codes.media.size
        decoded = Image(pixels).resize((original_height, original_width))
        return Image(decoded.pixels, codes.media.alpha)

    def encode_batch(self, pixels: "NDArray[np.uint8]") -> "tuple[NDArray[np.uint16], ...]":
        """Return the index maps, (N, h, w) each, of pictures, (N, H, W, 3) uint8 sRGB.

        Where H or W is no multiple of the stride, the last row or column is repeated.
        """
        import numpy as np

        if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.dtype != np.uint8 or not pixels.size:
            raise UsageError("pictures must be a uint8 array of shape (N, H, W, 3), not empty")
        height, width = self._grid_shape(pixels.shape[1], pixels.shape[2])
        if max(height, width) > WINDOW:
            found = [self._encode(p, None) for p in pixels]
            return tuple(np.stack(maps) for maps in zip(*found, strict=True))
        step = max(1, BATCH_CELLS // (height * width))
        parts = [
            self._encode_window(pixels[i : i + step], height, width)
            for i in range(0, len(pixels), step)
        ]
        return tuple(np.concatenate(maps) for maps in zip(*parts, strict=True))

    def decode_batch(self, grids: "tuple[NDArray[np.uint16], ...]") -> "NDArray[np.uint8]":
        """Return the pictures, (N, h * stride, w * stride, 3) uint8, of index maps, (N, h, w)."""
        import numpy as np

        if len(grids) != len(self.codebook_sizes) or any(g.ndim != 3 for g in grids):
            raise UsageError("index maps must be a tuple of arrays of shape (N, h, w)")
        for grid, size in zip(grids, self.codebook_sizes, strict=True):
            if grid.dtype != np.uint16 or not grid.size or int(grid.max()) >= size:
                raise UsageError(f"index maps must be uint16 and hold indices below {size}")
        height, width = grids[-1].shape[1:]
        if max(height, width) > WINDOW:
            shape = (height * self.stride, width * self.stride)
            return np.stack([self._decode(m, shape, None) for m in zip(*grids, strict=True)])
        step = max(1, BATCH_CELLS // (height * width))
        return np.concatenate(
            [
                self.engine.decode(tuple(g[i : i + step] for g in grids))
                for i in range(0, len(grids[-1]), step)
            ]
        )

    def _scaled(self, image: Image, scale: float) -> "NDArray[np.uint8]":
        if not 0 < scale <= 1:
            raise UsageError(f"scale is {scale}, must be above 0 and at most 1")
        height, width = (max(1, round(n * scale)) for n in image.size)
        return image.resize((height, width)).pixels

    def _grid_shape(self, height: int, width: int) -> tuple[int, int]:
        return -(-height // self.stride), -(-width // self.stride)

    def _codes(
        self, grids: "tuple[NDArray[np.uint16], ...]", image: Image, coded_size: tuple[int, ...]
    ) -> Codes:
        media = MediaInfo(image.size, coded_size, image.alpha)
        name, codebook_id = self.weights.name, self.weights.codebook_id
        return Codes(grids, self.codebook_sizes, IMAGE.axes, name, codebook_id, media)

    def _check(self, codes: Codes) -> None:
        self.check_codebook(codes.axes, codes.model, codes.codebook_id)
        height, width = codes.media.coded_size
        shape = self._grid_shape(height, width)
        if codes.codebook_sizes != self.codebook_sizes or codes.grids[-1].shape != shape:
            raise FormatError(f"the index map does not fit a picture of {width}×{height} pixels")
        check_size(height, width, "the coded picture")
        check_size(codes.media.size[0], codes.media.size[1], "the decoded picture")

    def _encode(
        self, pixels: "NDArray[np.uint8]", report: Report | None
    ) -> "tuple[NDArray[np.uint16], ...]":
        """Encode one picture, (H, W, 3), tile by tile."""
        import numpy as np

        shape = self._grid_shape(pixels.shape[0], pixels.shape[1])
        grids = tuple(np.empty(shape, np.uint16) for _ in self.codebook_sizes)
        every = list(tiles(shape, WINDOW, self.engine.encoder_halo))
        for done, (rows, columns) in enumerate(every, 1):
            s = self.stride
            window = pixels[rows.start * s : rows.stop * s, columns.start * s : columns.stop * s]
            found = self._encode_window(
                window[None], rows.stop - rows.start, columns.stop - columns.start
            )
            for grid, part in zip(grids, found, strict=True):
                grid[rows.kept, columns.kept] = part[0, rows.inner, columns.inner]
            if report:
                report(done / len(every))
        return grids

    def _decode(
        self,
        grids: "tuple[NDArray[np.uint16], ...]",
        size: tuple[int, int],
        report: Report | None,
    ) -> "NDArray[np.uint8]":
        """Decode the maps of one picture to (*size, 3), tile by tile."""
        import numpy as np

        pixels = np.empty((*size, 3), np.uint8)
        every = list(tiles(grids[-1].shape, WINDOW, self.engine.decoder_halo))
        for done, (rows, columns) in enumerate(every, 1):
            window = self.engine.decode(tuple(g[None, rows.window, columns.window] for g in grids))
            s = self.stride
            inner = window[
                0,
                rows.inner.start * s : rows.inner.stop * s,
                columns.inner.start * s : columns.inner.stop * s,
            ]
            target = pixels[
                rows.keep_start * s : rows.keep_stop * s,
                columns.keep_start * s : columns.keep_stop * s,
            ]
            target[:] = inner[: target.shape[0], : target.shape[1]]  # the padding goes
            if report:
                report(done / len(every))
        return pixels

    def _encode_window(
        self, pixels: "NDArray[np.uint8]", height: int, width: int
    ) -> "tuple[NDArray[np.uint16], ...]":
        """Run the encoder on pictures, (N, H, W, 3), filled up to height x width cells."""
        import numpy as np

        missing_rows = height * self.stride - pixels.shape[1]
        missing_columns = width * self.stride - pixels.shape[2]
        if missing_rows or missing_columns:
            padding = ((0, 0), (0, missing_rows), (0, missing_columns), (0, 0))
            pixels = np.pad(pixels, padding, mode="edge")
        return self.engine.encode(pixels)
