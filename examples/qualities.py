"""Draw a picture as files of several qualities have it, and the previews of their first maps.

    python examples/qualities.py OUT.jpg PICTURE [--crop 256] [--qualities 30 50 70 90]

Above what the whole files decode to, below what their first maps alone do; the original comes last.
The middle of each is shown, and what its file takes is told.
"""

import argparse
from pathlib import Path

import numpy as np

from vqcodec import Codec, Image

GAP = 4


def main() -> None:
    """Write the figure, and print a line for each quality."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--crop", type=int, default=256)
    parser.add_argument("--qualities", type=int, nargs="+", default=[30, 50, 70, 90])
    arguments = parser.parse_args()
    codec, image = Codec.load("image"), Image.open(arguments.picture)
    top, left = ((n - arguments.crop) // 2 for n in image.size)
    part = slice(top, top + arguments.crop), slice(left, left + arguments.crop)

    def column(whole: Image, first: Image) -> np.ndarray:
        gap = np.full((GAP, arguments.crop, 3), 255, np.uint8)
        return np.concatenate([whole.pixels[part], gap, first.pixels[part]])

    columns = []
    for quality in arguments.qualities:
        codes = codec.encode(image, rate_weight=codec.weight_of(quality))
        whole = codec.decode(codes)
        error = np.square(whole.pixels.astype(float) - image.pixels).mean()
        size = len(codec.without_unseen(codes).to_bytes(".vqc"))
        told = f"{8 * size / image.pixels[..., 0].size:.3f} bpp"
        print(f"quality {quality}: {size:,} bytes, {told}, {10 * np.log10(255**2 / error):.2f} dB")
        columns.append(column(whole, codec.decode(codes, levels=1)))
    columns.append(column(image, image))
    gap = np.full((len(columns[0]), GAP, 3), 255, np.uint8)
    page = np.concatenate([piece for one in columns for piece in (one, gap)], axis=1)[:, :-GAP]
    Image(page).save(arguments.out)


if __name__ == "__main__":
    main()
