"""Videos of which most frames tell only what moved since the frame before, and what that lacks.

The first frame of a group is a picture of `vqcodec.codec.refined`. Each other one is made of the
frame before as it was decoded: its blocks moved by vectors (`vqcodec.codec.motion`), and residual
codebooks for what the result lacks (`vqcodec.codec.refinement`). Vectors and codes are chosen, pass
by pass, by what they change and by their bits under `vqcodec.coding.movingmodel`.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from vqcodec.codec.engine import Engine
from vqcodec.codec.motion import CODES, SIDE, Reference
from vqcodec.codec.rates import read_rates
from vqcodec.codec.refined import DEFAULT_WEIGHT, RefinedCodec
from vqcodec.codec.refinement import Refinement, read_refinement
from vqcodec.codec.refiners import open_refiner, put
from vqcodec.codec.video import VideoCodec
from vqcodec.coding import latticecoder
from vqcodec.coding.lattice import Walk
from vqcodec.coding.latticecoder import OUT
from vqcodec.coding.movingmodel import MovingModel, Past, displacement
from vqcodec.errors import UsageError, WeightsError
from vqcodec.files import moving
from vqcodec.files.codes import Codes
from vqcodec.files.contents import ImageInfo
from vqcodec.framepriors import frame_prior
from vqcodec.maps import Maps, MapSpec
from vqcodec.media.image import Image
from vqcodec.weights import Weights, first_codec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Grid = NDArray[np.uint16]
    Grids = tuple[Grid, ...]

FIRST = 0.5  # rate weights of the first frame of a group, on which all others stand, and ...
VECTORS = 2.0  # ... of vectors, whose errors are not the last word


class MovingCodec(VideoCodec):
    """Turns videos into index maps and back, each frame by the one before it.

    Attributes:
        base: codes the first frame of each group.
        refinement: codes what moved pictures lack.
        prior: what all that costs.
    """

    figure = "vqcodec.figures.moving:draw_moving"

    def _open(self, engine: str, work: int | None) -> Engine:
        """Load the codec of first frames, and all that is there for the others.

        It computes in fp32: frames are made of frames, and so errors of rounding add up.
        """
        weights, (device, _) = self.weights, self._settings
        first, self.prior, self.refinement = read_moving(weights)
        self.base = RefinedCodec(first, device, "fp32", engine, work)
        if self.refinement.stride * 2 != SIDE or self.prior.vectors > CODES:
            raise WeightsError(f"{weights.folder}: its cells or vectors are of another size")
        self._refine = open_refiner(weights, self.base.engine)
        return self.base.engine

    @property
    def pictures(self) -> RefinedCodec:
        """The codec of first frames with the codebooks of the others: to show what codes mean."""
        found = self.base.turned_into(RefinedCodec)
        found.refinement = self.refinement
        vars(found)["_refine"] = self._refine  # in the place of its cached property
        return found

    @property
    def maps(self) -> Maps:
        """What is known of each index map: rows and columns of vectors, and those of pictures."""
        step = self.refinement.stride
        strides = (SIDE, SIDE, *(step,) * (len(self.prior.codebook_sizes) - 2))
        pairs = zip(self.prior.codebook_sizes, strides, strict=True)
        return tuple(MapSpec(size, (1, stride, stride)) for size, stride in pairs)

    def weight_of(self, quality: float) -> float:
        """See `VideoCodec.weight_of`."""
        return self.refinement.rates.weight_of(quality)

    def _coder(self, weight: float | None) -> "Callable[[Pixels], tuple[Grids, int]]":
        """See `VideoCodec._coder`; by default the rate weight is `DEFAULT_WEIGHT`."""
        return partial(self._group, weight=DEFAULT_WEIGHT if weight is None else weight)

    def _group(self, pixels: "Pixels", weight: float) -> "tuple[Grids, int]":
        """Return the maps of a group of frames, and their condition."""
        size = pixels.shape[1:3]
        shapes = [spec.shape((len(pixels), *size)) for spec in self.maps]
        if shapes[-1][1] * shapes[-1][2] > moving.MAX_CELLS:
            raise UsageError(
                f"frames of {size[1]}×{size[0]} pixels are too large for '{self.weights.name}': "
                f"code them smaller, with --scale, or by '{self.base.base.weights.name}'"
            )
        grids = tuple(np.zeros(shape, np.uint16) for shape in shapes)
        prepared = self.base.prepare(Image(pixels[0]), 1.0)
        still = self.base.finish(prepared, FIRST * weight, tinted=False)
        for grid, own in zip(grids[moving.FIRST :], still.grids, strict=True):
            grid[0] = own
        condition = self.refinement.rates.condition(weight)
        frames = self._decoded(grids, (size[0], size[1]))
        past = Past.begin(shapes[0][1:], shapes[-1][1:], len(self.refinement.codebooks))
        for number in range(1, len(pixels)):
            choice = Choice(self, pixels[number], Reference(next(frames)), past, weight)
            maps, past = self.prior.frame(past, condition, choice)
            others = (*grids[: moving.VECTORS], *grids[moving.FIRST + 1 :])
            for grid, own in zip(others, maps, strict=True):
                grid[number] = own
        return grids, self.prior.condition(still.condition, condition)

    def _decoded(self, grids: "Grids", size: tuple[int, int]) -> "Iterator[Pixels]":
        """Yield the frames, (H, W, 3), of a group; each map is looked at as it comes to it."""
        return (picture for _, picture in self._made(grids, size))

    def made(self, codes: Codes) -> "Iterator[tuple[Pixels, Pixels]]":
        """Yield of each frame, as it was coded, what it was made of, and it: (H, W, 3) each.

        That is the frame before, moved; or for the first one of a group, which stands alone, it.

        Raises:
            FormatError: the codes are not those of a video of the size that they claim.
        """
        height, width = codes.video.coded_size[1:]
        for group in self._groups(codes):
            yield from self._made(group.grids, (height, width))

    def bits(self, codes: Codes) -> "NDArray[np.float64]":
        """Return what each map of each frame costs under the coding prior, (T, maps), in bits.

        The errors are those of `made`.
        """
        groups = self._groups(codes)
        return np.concatenate([moving.bits(g.grids, self.prior, codes.condition) for g in groups])

    def _made(self, grids: "Grids", size: tuple[int, int]) -> "Iterator[tuple[Pixels, Pixels]]":
        """Yield moved pictures and frames of a group; see `made`."""
        halo = int(self.weights.refiner["blocks"]) + 1
        stills = Codes(
            tuple(grid[0] for grid in grids[moving.FIRST :]),
            self.base.codebook_sizes,
            self.base.modality.axes,
            self.base.weights.name,
            self.base.weights.codebook_id,
            ImageInfo(size, size),
        )
        picture = self.base.decode(stills).pixels
        yield picture, picture
        for number in range(1, len(grids[0])):
            rows, columns, _, *codes = (grid[number] for grid in grids)
            moved = Reference(picture).moved(self.vectors(rows, columns))
            z_q = self.refinement.vectors(tuple(codes))
            picture = put(self._refine, moved, z_q, self.refinement.stride, halo)
            yield moved, picture

    def vectors(self, rows: "Grid", columns: "Grid") -> "NDArray[np.int64]":
        """Return the vectors, (h', w', 2) in quarters of a pixel, of their codes."""
        return np.stack([displacement(g, self.prior.vectors) for g in (rows, columns)], -1)


def read_moving(weights: Weights) -> tuple[Weights, MovingModel, Refinement]:
    """Return the codec of first frames that weights stand on, and what codes the others.

    Raises:
        WeightsError: they are damaged, or of another kind.
    """
    first, prior = first_codec(weights), frame_prior(weights)
    if first is None or not first.refiner or not isinstance(prior, MovingModel):
        raise WeightsError(f"{weights.folder}: stands on no codec of pictures as it must")
    rates = read_rates(weights, prior.lattice, len(prior.codebook_sizes) - moving.FIRST - 1)
    return first, prior, read_refinement(weights, rates)


class Choice:
    """Chooses the maps of a frame; see `MovingModel.frame`.

    Args:
        codec: chooses.
        pixels: (H, W, 3), the frame.
        reference: the frame before, as decoded.
        past: what is known of that.
        weight: the rate weight.
    """

    def __init__(
        self,
        codec: MovingCodec,
        pixels: "Pixels",
        reference: Reference,
        past: Past,
        weight: float,
    ) -> None:
        self._codec, self._pixels, self._reference = codec, pixels, reference
        self._weight, self._size = weight, codec.prior.vectors
        vectors, errors = reference.candidates(pixels, codec.vectors(*past.vectors))
        self._candidates = vectors % self._size  # (n, h', w', 2): their codes
        self._costs = errors / (VECTORS * max(weight, codec.refinement.rates.least))
        self._vectors: list[Grid] = []
        self._left: NDArray[np.float32] | None = None

    def __call__(self, walk: Walk, number: int) -> "Grid":
        """Return map `number` of the frame, (h, w)."""
        if number < moving.VECTORS:
            self._vectors.append(self._chosen(walk, self._candidates[..., number]))
            return self._vectors[-1]
        refinement, number = self._codec.refinement, number - moving.VECTORS
        if self._left is None:
            moved = self._reference.moved(self._codec.vectors(*self._vectors))
            self._left = refinement.lacking(self._pixels, moved)
        condition = refinement.rates.condition(self._weight)
        codes, _ = refinement.choose(walk, number, self._left, self._weight, condition)
        self._left = self._left - refinement.codebooks[number][codes]
        return codes

    def _chosen(self, walk: Walk, codes: "NDArray[np.int64]") -> "Grid":
        """Return rows, or then columns, of the vectors that weigh least; codes as candidates."""
        count, height, width = codes.shape
        cost = np.full((height * width, self._size), OUT, np.float32)
        places = np.tile(np.arange(height * width), count)
        np.minimum.at(cost, (places, codes.reshape(-1)), self._costs.reshape(-1))
        found = latticecoder.choose(walk, cost.reshape(1, height, width, -1))[0]
        self._costs = np.where(codes == found, self._costs, np.float32(OUT))
        return found
