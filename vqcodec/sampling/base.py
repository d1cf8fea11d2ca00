"""Index maps drawn from a prior: what sampling of every medium begins with."""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from vqcodec.codec.base import Report
from vqcodec.codec.sampling import SamplingParams
from vqcodec.models.priors.base import Prior

if TYPE_CHECKING:
    from numpy.typing import NDArray

CELLS_AT_ONCE = 32 * 1024  # indices of several maps that are drawn together


def draw(
    prior: Prior,
    shapes: tuple[tuple[int, ...], ...],
    params: SamplingParams,
    *,
    label: int | None = None,
    known: tuple[torch.Tensor, ...] | None = None,
    report: Report | None = None,
) -> "tuple[NDArray[np.uint16], ...]":
    """Draw maps, of shapes (N, h, w), as many at once as there is room for.

    All are of the class `label`, where that is given. Indices of `known` that are not -1 are kept.
    The maps take their random numbers one after the other, so that the first of many are those of
    few.
    """
    number, device = shapes[-1][0], next(prior.parameters()).device
    step = max(1, CELLS_AT_ONCE // math.prod(shapes[-1][1:]))
    generator = torch.Generator().manual_seed(params.seed)
    parts = []
    for first in range(0, number, step):
        count = min(step, number - first)

        def part(done: float, first: int = first, count: int = count) -> None:
            if report:
                report((first + done * count) / number)

        maps = prior.sample(
            tuple((count, *shape[1:]) for shape in shapes),
            None if label is None else torch.full((count,), label, device=device),
            generator=generator,
            temperature=params.temperature,
            top_k=params.top_k,
            known=known,
            report=part,
        )
        parts.append([m.cpu().numpy().astype(np.uint16) for m in maps])
    return tuple(np.concatenate(maps) for maps in zip(*parts, strict=True))
