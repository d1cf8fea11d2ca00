"""New pictures from a codec's sampling prior, and new ends to pictures that are there."""

from dataclasses import replace
from pathlib import Path

import torch

from vqcodec.codec.base import Report
from vqcodec.codec.image import ImageCodec
from vqcodec.codec.sampling import SamplingParams
from vqcodec.errors import UsageError
from vqcodec.maps import filled, ratio
from vqcodec.media.image import Image, check_size
from vqcodec.sampling.base import draw
from vqcodec.sampling.priors import sampling_prior


class Sampler:
    """Draws index maps from a prior and decodes them.

    Args:
        codec: decodes; its weights must come with a prior to draw from, see `sampling_prior`.

    Raises:
        WeightsError: they do not.
    """

    def __init__(self, codec: ImageCodec) -> None:
        self.codec = codec
        self.prior = sampling_prior(codec).to(codec.device)

    @classmethod
    def load(cls, name: str | Path, device: str = "auto", precision: str = "auto") -> "Sampler":
        """Load weights by name or path; see `ImageCodec.load`."""
        return cls(ImageCodec.load(name, device, precision))

    def sample(
        self,
        number: int,
        size: tuple[int, int],
        params: SamplingParams | None = None,
        *,
        class_name: str | None = None,
        report: Report | None = None,
    ) -> list[Image]:
        """Return `number` new pictures.

        Args:
            number: how many.
            size: height and width of each.
            params: how to draw.
            class_name: of what, where the prior knows classes; by default of anything.
            report: called with the fraction done.

        Raises:
            UsageError: the size is out of range, or the prior knows no such class.
        """
        check_size(*size, "the new picture")
        label = self._label(class_name)
        maps = self.codec.maps
        whole = filled(maps, size)
        shapes = tuple((number, *spec.shape(whole)) for spec in maps)
        params = params or SamplingParams()
        grids = draw(self.prior, shapes, params, label=label, report=report)
        pixels = self.codec.decode_batch(grids, params)
        return [Image(p[: size[0], : size[1]]) for p in pixels]

    def complete(
        self,
        image: Image,
        keep: float = 0.5,
        params: SamplingParams | None = None,
        *,
        class_name: str | None = None,
        report: Report | None = None,
    ) -> Image:
        """Return a picture whose codes are those of `image` at the top, and drawn below.

        Args:
            image: what to complete.
            keep: the share of rows, from the top, whose codes are kept; 0 to 1.
            params: how to draw.
            class_name: see `sample`.
            report: called with the fraction done.

        Raises:
            UsageError: the share is out of range, or the prior knows no such class.
        """
        label = self._label(class_name)
        if not 0 <= keep <= 1:
            raise UsageError(f"the share to keep is {keep}, must be from 0 to 1")
        codes = self.codec.encode(image, tinted=False)  # other codes would not fit a tint
        coarse, known = self.codec.maps[0], []
        kept = round(keep * codes.grids[0].shape[0])  # rows; the same pixels in every map
        for grid, spec in zip(codes.grids, self.codec.maps, strict=True):
            indices = torch.from_numpy(grid.astype("int64"))[None]
            indices[:, kept * ratio(coarse, spec)[0] :] = -1
            known.append(indices.to(self.codec.device))
        shapes = tuple((1, *grid.shape) for grid in codes.grids)
        params = params or SamplingParams()
        grids = draw(self.prior, shapes, params, label=label, known=tuple(known), report=report)
        return self.codec.decode(replace(codes, grids=tuple(g[0] for g in grids)))

    def _label(self, class_name: str | None) -> int | None:
        """Return the number of a class; raise UsageError if the prior does not know it."""
        classes = self.prior.classes
        if class_name is not None and class_name not in classes:
            known = f"there are: {', '.join(classes)}" if classes else "it knows none"
            name = self.codec.weights.name
            raise UsageError(f"'{name}' knows no class '{class_name}'; {known}")
        return None if class_name is None else 1 + classes.index(class_name)
