"""Measure weights on a folder of pictures: the figures of the README and of the model card.

    python examples/measure.py FOLDER [--model image-f4] [--known OTHER_FOLDER]

PSNR is the mean over pictures, in dB. Bytes are those of the .vqc file, header included. With
--known, the bits per index given the codes to the left and above are estimated from pairs counted
in the pictures of another folder.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np

from vqcodec import Codec, Image
from vqcodec.evaluate.metrics import conditional_entropy, perplexity, psnr


def pictures(folder: Path) -> list[Path]:
    """Return the picture files below a folder."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".png", ".jpg", ".webp"))


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="image-f4")
    parser.add_argument("--known", type=Path)
    arguments = parser.parse_args()
    codec = Codec.load(arguments.model)
    (codebook_size,) = codec.codebook_sizes
    quality, sizes, pixels, maps = [], [], 0, []
    for path in pictures(arguments.folder):
        image = Image.open(path)
        codes = codec.encode(image)
        quality.append(psnr(image.pixels, codec.decode(codes).pixels))
        sizes.append(len(codes.to_bytes(".vqc")))
        pixels += image.size[0] * image.size[1]
        maps.append(codes.grids[0])
    counts = np.bincount(np.concatenate([m.ravel() for m in maps]), minlength=codebook_size)
    spread = 1.96 * float(np.std(quality, ddof=1)) / math.sqrt(len(quality))
    figures = {
        "pictures": len(quality),
        "psnr": round(float(np.mean(quality)), 3),
        "psnr_95_percent_interval": round(spread, 3),
        "mean_bytes": round(float(np.mean(sizes)), 1),
        "bpp": round(8 * sum(sizes) / pixels, 4),
        "usage": float((counts > 0).mean()),
        "perplexity": round(perplexity(counts), 1),
        "order_0_bits_per_index": round(math.log2(perplexity(counts)), 3),
    }
    if arguments.known:
        known = [codec.encode(Image.open(p)).grids[0] for p in pictures(arguments.known)]
        side = min(min(m.shape) for m in known)
        stacked = np.stack(
            [m[i : i + side, j : j + side] for m in known for i, j in corners(m.shape, side)]
        )
        bits = np.average(
            [conditional_entropy(stacked, m[None], codebook_size) for m in maps],
            weights=[m.size for m in maps],
        )
        figures["bits_per_index_given_neighbours"] = round(float(bits), 3)
    print(json.dumps(figures, indent=2))


def corners(shape: tuple[int, ...], side: int) -> list[tuple[int, int]]:
    """Return the corners of the squares of one side that fit side by side into a map."""
    rows, columns = (range(0, n - side + 1, side) for n in shape)
    return [(i, j) for i in rows for j in columns]


if __name__ == "__main__":
    main()
