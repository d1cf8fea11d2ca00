"""Draw how a walk went on, and how it is imagined to go on if other actions are taken.

    python examples/imagine.py OUT.png CLIP [--start FRAME] [--seed 1] [--model video-frames]

First the six frames that are given, then the ten that came, then rows of ten that are imagined,
each by one action. Needs pip install 'vqcodec[video]', unless CLIP is an animated picture.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vqcodec.codec.sampling import SamplingParams
from vqcodec.media.video import Video, open_video
from vqcodec.sampling.video import VideoSampler

GIVEN, IMAGINED, GAP, LABEL = 6, 10, 2, 14  # frames; pixels
ROWS = {"all forward": "forward", "turn right": "turn_right", "move left": "move_left"}
COLOURS = 200  # of the palette, which keeps the picture small

Pixels = NDArray[np.uint8]


def main() -> None:
    """Write the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default="video-frames")
    arguments = parser.parse_args()
    with open_video(arguments.clip) as reader:
        pixels = Video.of(reader).pixels[arguments.start :][: GIVEN + IMAGINED]
    sampler = VideoSampler.load(arguments.model)
    given = pixels[:GIVEN]
    rows: list[tuple[str, Iterable[Pixels]]] = [
        ("six frames are given", given),
        ("how it went on", pixels[GIVEN:]),
    ]
    for label, action in ROWS.items():
        draw = SamplingParams(seed=arguments.seed)
        rows.append((f"imagined: {label}", sampler.imagine(given, [action] * IMAGINED, draw)))
    height, width = given.shape[1:3]
    canvas = Image.new(
        "RGB", ((width + GAP) * IMAGINED - GAP, (height + LABEL) * len(rows)), "white"
    )
    pen = ImageDraw.Draw(canvas)
    for row, (label, frames) in enumerate(rows):
        top = row * (height + LABEL)
        pen.text((0, top), label, "black")
        for column, frame in enumerate(frames):
            canvas.paste(Image.fromarray(frame), (column * (width + GAP), top + LABEL - 1))
    canvas.quantize(COLOURS, dither=Image.Dither.NONE).save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
