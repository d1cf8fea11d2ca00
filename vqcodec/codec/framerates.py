"""Codes of frames chosen by what they change and by their bits, given the frames before.

As in `vqcodec.codec.rates`, pass by pass of the coding prior, the codes that minimise

    curvature * |z - e|^2 + rate_weight * bits

but the prior has seen the frames before, as they were chosen: what stands still keeps its codes,
and flickers less.
"""

import math
from typing import TYPE_CHECKING

from vqcodec.coding import latticecoder
from vqcodec.coding.framemodel import FrameModel
from vqcodec.coding.lattice import Walk
from vqcodec.errors import UsageError
from vqcodec.framepriors import frame_prior

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vqcodec.codec.engine import Choose
    from vqcodec.codec.image import ImageCodec

    Pixels = NDArray[np.uint8]
    Grid = NDArray[np.uint16]

SWAPPED = 0.1  # of the codes of a frame, to measure the curvature
LEAST = 1e-6  # squared distances


class FrameRates:
    """Chooses the codes of a video's frames.

    Args:
        pictures: codes frames; its weights must have a coding prior of successive ones.
        weight: the squared error, in 8-bit levels summed over pixels and colours, that saving a bit
            may cost.

    Raises:
        UsageError: the weights have no such prior.
    """

    def __init__(self, pictures: "ImageCodec", weight: float) -> None:
        prior = frame_prior(pictures.weights)
        if not isinstance(prior, FrameModel):
            raise UsageError(
                f"a rate weight for video needs a coding prior of frames, which the weights "
                f"'{pictures.weights.name}' do not have"
            )
        self._pictures, self._prior, self._weight = pictures, prior, weight
        self._curvature = 0.0  # of this video, once it is measured

    def encode(self, pixels: "Pixels") -> "Grid":
        """Return the index maps, (N, h, w), of frames, (N, H, W, 3); the first knows no others."""
        import numpy as np

        if not self._curvature:
            self._curvature = self.measure(pixels[0])
        frames = np.zeros((len(pixels), *self._pictures.maps[0].shape(pixels.shape[1:3])), "uint16")
        for number, picture in enumerate(pixels):
            some = frames[: number + 1]

            def chooser(cells: tuple[slice, slice], some: "Grid" = some) -> "Choose":
                return self._chooser(some[:, *cells])

            (frames[number],) = self._pictures.encode_pixels(picture, chooser=chooser)
        return frames

    def _chooser(self, frames: "Grid") -> "Choose":
        """Return what chooses the codes of the last of some frames, given the others."""
        import numpy as np

        prior, worth = self._prior, np.float32(self._curvature / self._weight)
        walk = Walk(prior.lattice, 0, prior.beside(prior.before(frames, len(frames) - 1)))
        return lambda distances: latticecoder.choose(walk, distances * worth)

    def measure(self, picture: "Pixels") -> float:
        """Return by how much the squared error grows with each unit of distance between codes.

        Measured where codes of a frame give way to those next to them; noise on vectors would tell
        less, as most of it lies where decoders do not look.
        """
        import numpy as np

        pictures = self._pictures
        grids = pictures.encode_batch(picture[None])
        book = pictures.model.quantizer.codebooks[0].codebook.detach().float().cpu().numpy()
        apart = np.square(book[:, None] - book).sum(-1)
        np.fill_diagonal(apart, math.inf)
        swapped = np.random.default_rng(0).random(grids[0].shape) < SWAPPED
        swapped.flat[0] = True
        other = np.where(swapped, apart.argmin(1)[grids[0]], grids[0]).astype(np.uint16)
        plain, moved = (pictures.decode_batch((g,)).astype(np.float32) for g in (grids[0], other))
        distance = np.square(book[other] - book[grids[0]]).sum()
        return max(float(np.square(moved - plain).sum() / max(distance, LEAST)), LEAST)
