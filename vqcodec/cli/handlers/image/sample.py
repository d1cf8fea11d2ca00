"""Pictures for `vqcodec sample`, side by side in one."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from vqcodec.cli.console import Move
from vqcodec.cli.handlers.base import Loading
from vqcodec.cli.handlers.image.options import Sampling
from vqcodec.cli.jobs import STREAM, Job, opened
from vqcodec.cli.outcome import Facts
from vqcodec.modality import IMAGE

if TYPE_CHECKING:
    from vqcodec.codec.sampling import SamplingParams
    from vqcodec.media.image import Image

GAP = 2  # pixels between the pictures of a grid


def sample_pictures(
    loading: Loading, job: Job, own: Sampling, draw: "SamplingParams", force: bool
) -> Callable[[Move], Facts]:
    """Return what draws pictures; see `Handler.sample`."""
    from vqcodec.media.image import check_size, format_of_suffix

    name = str(job.target)
    number = 16 if own.number is None else own.number
    width, height = own.shape()
    columns, rows = _layout(number)
    check_size(rows * (height + GAP), columns * (width + GAP), name)
    kind = format_of_suffix(IMAGE.suffix if job.target == STREAM else job.target.suffix, name)

    def sample(bar: Move) -> Facts:
        from vqcodec.sampling.image import Sampler

        sampler = Sampler(loading.codec(IMAGE))
        pictures = sampler.sample(
            number, (height, width), draw, class_name=own.class_name, report=bar
        )
        with opened(job, force=force) as file:
            _side_by_side(pictures).write(file, kind, name)
        facts = {"output": name, "number": number, "width": width, "height": height}
        sentence = f"{name}: {number} of {width}×{height} pixels, seed {draw.seed}"
        if own.class_name is not None:
            facts["class"], sentence = own.class_name, f"{sentence}, class {own.class_name}"
        return {**facts, "seed": draw.seed}, sentence

    return sample


def _layout(number: int) -> tuple[int, int]:
    """Return about as many rows as columns: (columns, rows)."""
    columns = math.ceil(math.sqrt(number))
    return columns, math.ceil(number / columns)


def _side_by_side(pictures: "list[Image]") -> "Image":
    """Lay pictures of one size out in rows."""
    import numpy as np

    from vqcodec.media.image import Image

    columns, rows = _layout(len(pictures))
    height, width = pictures[0].size
    shape = (rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3)
    pixels = np.full(shape, 255, np.uint8)
    for i, picture in enumerate(pictures):
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        pixels[top : top + height, left : left + width] = picture.pixels
    return Image(pixels)
