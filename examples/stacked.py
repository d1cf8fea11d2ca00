"""Draw pictures, what a codec makes of them, and what is drawn from the few codes of its codes.

    python examples/stacked.py OUT.png PICTURE... [--model stacked-frames] [--seeds 4]

A column for each picture: itself, what the first codec decodes, and then the same codes of the
stacked model decoded with several seeds. What the rows share the codes tell; the rest is invented.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from vqcodec import Codec, Image
from vqcodec.codec.sampling import SamplingParams

GAP = 4
COLOURS = 256  # of the file: a palette takes a third of the bytes


def main() -> None:
    """Write the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--model", default="stacked-frames")
    parser.add_argument("--seeds", type=int, default=4)
    arguments = parser.parse_args()
    codec = Codec.load(arguments.model)
    first = Codec.load(codec.weights.config["model"]["on"]["name"])
    columns = []
    for path in arguments.pictures:
        image = Image.open(path)
        codes = codec.encode(image)
        drawn = [codec.decode(codes, params=SamplingParams(s)) for s in range(arguments.seeds)]
        rows = [image, first.decode(first.encode(image)), *drawn]
        gap = np.full((GAP, image.size[1], 3), 255, np.uint8)
        columns.append(np.concatenate([part for row in rows for part in (row.pixels, gap)]))
    gap = np.full((len(columns[0]), GAP, 3), 255, np.uint8)
    page = np.concatenate([part for column in columns for part in (column, gap)], axis=1)
    page = page[:-GAP, :-GAP]
    Pillow.fromarray(page).quantize(COLOURS).save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
