"""Draw pictures, their code maps and their reconstructions below each other.

    python examples/figure.py OUT.png PICTURE... [--model image-f4]

A code's colour in the map is the mean colour of what it decodes to on its own.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vqcodec import Codec, Image

GAP = 6


def palette(codec: Codec) -> NDArray[np.uint8]:
    """Return one colour per code, (K, 3): the middle of a map filled with it, decoded."""
    (codebook_size,) = codec.codebook_sizes
    maps = np.arange(codebook_size, dtype=np.uint16)[:, None, None].repeat(9, 1).repeat(9, 2)
    middle = codec.decode_batch((maps,))[:, 16:20, 16:20]
    colours: NDArray[np.uint8] = middle.mean((1, 2)).round().astype(np.uint8)
    return colours


def main() -> None:
    """Write the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--model", default="image-f4")
    arguments = parser.parse_args()
    codec = Codec.load(arguments.model)
    colours = palette(codec)
    columns = []
    for path in arguments.pictures:
        image = Image.open(path)
        codes = codec.encode(image)
        code_map = colours[codes.grids[0]].repeat(4, 0).repeat(4, 1)
        height, width = image.size
        rows = [image.pixels, code_map[:height, :width], codec.decode(codes).pixels]
        gap = np.full((GAP, width, 3), 255, np.uint8)
        columns.append(np.concatenate([rows[0], gap, rows[1], gap, rows[2]]))
    gap = np.full((len(columns[0]), GAP, 3), 255, np.uint8)
    parts = [part for column in columns for part in (column, gap)][:-1]
    Image(np.concatenate(parts, axis=1)).save(arguments.out, force=True)


if __name__ == "__main__":
    main()
