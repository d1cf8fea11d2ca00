"""New pictures from a codec's sampling prior, and new ends to pictures that are there."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vqcodec.codec.image import Codec
from vqcodec.errors import UsageError
from vqcodec.media.image import Image, check_size
from vqcodec.models.pretrained import load_sampling_prior
from vqcodec.models.priors.base import Prior

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CELLS_AT_ONCE = 32 * 1024  # of several pictures that are drawn together

Report = Callable[[float], None]


@dataclass(frozen=True)
class Settings:
    """How codes are drawn; the same settings give the same codes, on one machine and build.

    Attributes:
        seed: of the random numbers, 0 or more.
        temperature: above 0; below 1, likely codes become likelier.
        top_k: draw among the k likeliest codes only; 0 for all.
    """

    seed: int = 0
    temperature: float = 1.0
    top_k: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"the seed is {self.seed}, must be from 0 to 2^63 - 1")
        if not 0 < self.temperature <= 100:
            raise UsageError(f"the temperature is {self.temperature}, must be above 0, at most 100")
        if self.top_k < 0:
            raise UsageError(f"top-k is {self.top_k}, must be 0 or more")


class Sampler:
    """Draws index maps from a prior and decodes them.

    Args:
        codec: decodes; its weights must come with a sampling prior.

    Raises:
        WeightsError: they do not.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        self.prior = load_sampling_prior(codec.weights).to(codec.device)

    @classmethod
    def load(cls, name: str | Path, device: str = "auto", precision: str = "auto") -> "Sampler":
        """Load weights by name or path; see `Codec.load`."""
        return cls(Codec.load(name, device, precision))

    def sample(
        self,
        number: int,
        size: tuple[int, int],
        settings: Settings | None = None,
        *,
        report: Report | None = None,
    ) -> list[Image]:
        """Return `number` new pictures of size (height, width)."""
        check_size(*size, "the new picture")
        height, width = (-(-n // self.codec.stride) for n in size)
        grids = draw(self.prior, (number, height, width), settings or Settings(), report=report)
        pixels = self.codec.decode_batch(grids)
        return [Image(p[: size[0], : size[1]]) for p in pixels]

    def complete(
        self,
        image: Image,
        keep: float = 0.5,
        settings: Settings | None = None,
        *,
        report: Report | None = None,
    ) -> Image:
        """Return a picture whose codes are those of `image` at the top, and drawn below.

        Args:
            image: what to complete.
            keep: the share of rows, from the top, whose codes are kept; 0 to 1.
            settings: how to draw.
            report: called with the fraction done.
        """
        if not 0 <= keep <= 1:
            raise UsageError(f"the share to keep is {keep}, must be from 0 to 1")
        codes = self.codec.encode(image)
        known = []
        for grid in codes.grids:
            indices = torch.from_numpy(grid.astype("int64"))[None]
            indices[:, round(keep * grid.shape[0]) :] = -1
            known.append(indices.to(self.codec.device))
        shape = (1, *codes.grids[0].shape)
        settings = settings or Settings()
        grids = draw(self.prior, shape, settings, known=tuple(known), report=report)
        return self.codec.decode(replace(codes, grids=tuple(g[0] for g in grids)))


def draw(
    prior: Prior,
    shape: tuple[int, ...],
    settings: Settings,
    *,
    known: tuple[torch.Tensor, ...] | None = None,
    report: Report | None = None,
) -> "tuple[NDArray[np.uint16], ...]":
    """Draw maps, (N, h, w) each, as many at once as there is room for.

    Indices of `known` that are not -1 are kept. The maps take their random numbers one after the
    other, so that the first of many are those of few.
    """
    import numpy as np

    number, height, width = shape
    step = max(1, CELLS_AT_ONCE // (height * width))
    generator = torch.Generator().manual_seed(settings.seed)
    parts = []
    for first in range(0, number, step):
        count = min(step, number - first)

        def part(done: float, first: int = first, count: int = count) -> None:
            if report:
                report((first + done * count) / number)

        maps = prior.sample(
            ((count, height, width),) * len(prior.codebook_sizes),
            generator=generator,
            temperature=settings.temperature,
            top_k=settings.top_k,
            known=known,
            report=part,
        )
        parts.append([m.cpu().numpy().astype(np.uint16) for m in maps])
    return tuple(np.concatenate(maps) for maps in zip(*parts, strict=True))
