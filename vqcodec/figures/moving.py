"""The figure that explains a video of which frames are made of the frames before them."""

import math
from typing import TYPE_CHECKING

from vqcodec.codec.moving import MovingCodec
from vqcodec.figures import panels
from vqcodec.figures.canvas import BODY, GREY, SMALL, TITLE, Page
from vqcodec.figures.image import GAP, INNER, MARGIN, WIDTH
from vqcodec.figures.video import EVENLY, CodedVideo, enlarged, spread_out, strip
from vqcodec.files.contents import seconds_of
from vqcodec.files.moving import FIRST, VECTORS
from vqcodec.media.image import Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Floats = NDArray[np.float64]

PIXEL = 4  # a vector counts quarters of a pixel
LOUDER = 2  # what codes add is drawn so much stronger
WHEEL = 76  # pixels of the wheel that tells what colours mean
BARS = 220  # pixels of the tallest bar
BLANK = 236
# of the first frame of a group, of vectors, of each codebook
STILL, VECTOR = (155, 160, 170), (40, 96, 160)
LIGHT, DARK = (249, 142, 9), (120, 30, 60)


def draw_moving(codec: MovingCodec, coded: CodedVideo) -> tuple[Page, str]:
    """Draw what frames were made of, vectors, what codes add, and what all that costs.

    Returns:
        The page, and a sentence on what is on it.
    """
    page, bits = Page(WIDTH), codec.bits(coded.codes)
    y = _title(page, codec, coded, bits)
    chosen = spread_out(coded.codes.media.size[0])
    height, width = coded.decoded.pixels.shape[1:3]
    size = panels.fit(height, width, (INNER - 8 * 7) // 8, 400)
    moved, added = _made(codec, coded, chosen, size)
    if coded.original is not None:
        frames = [panels.shown(Image(coded.original.pixels[t]), size) for t in chosen]
        y = strip(page, y, "Frames", EVENLY, frames, chosen)
    y = _vectors(page, y, codec, coded, bits, chosen, size)
    text = "The frame before, as it was decoded, its blocks moved: what a frame begins with."
    y = strip(page, y, "The frame before, moved", text, moved, chosen)
    text = (
        f"What {_number(len(codec.refinement.codebooks))} maps of codes say that it lacks, and the "
        f"network makes of it; {LOUDER} times as strong, and grey where they say nothing."
    )
    y = strip(page, y, "What codes add", text, added, chosen)
    frames = [panels.shown(Image(coded.decoded.pixels[t]), size) for t in chosen]
    quality = f" PSNR {coded.psnr:.2f} dB." if math.isfinite(coded.psnr) else ""
    y = strip(page, y, "Decoded", f"Both together.{quality}", frames, chosen)
    y = _over_time(page, y, bits)
    _table(page, y, coded, bits)
    return page, _summary(coded, bits)


def per_index(coded: CodedVideo, bits: "Floats") -> "tuple[Floats, Floats]":
    """Return the bits per index of each map: of first frames, and of those that follow.

    NaN where they do not have it.
    """
    import numpy as np

    cells = np.array([math.prod(grid.shape[1:]) for grid in coded.codes.grids])
    first = bits[:, FIRST] > 0
    with np.errstate(invalid="ignore"):
        still, other = (bits[s].sum(0) / (s.sum() * cells) for s in (first, ~first))
    still[:VECTORS] = other[FIRST] = np.nan
    return still, other


def _summary(coded: CodedVideo, bits: "Floats") -> str:
    """Return size, what codes cost and quality as a sentence."""
    import numpy as np

    frames, height, width = coded.codes.media.size
    still, other = per_index(coded, bits)
    text = (
        f"{frames:,} frames of {width}×{height} pixels, {bits.sum() / 8 / frames:,.0f} bytes each; "
    )
    text += f"bits per index: first frames {_listed(still[FIRST:])}"
    if not np.isnan(other).all():
        rest = _listed(other[FIRST + 1 :])
        text += f"; vectors {_listed(other[:VECTORS])}; codes of further frames {rest}"
    return text + (f"; PSNR {coded.psnr:.2f} dB" if math.isfinite(coded.psnr) else "")


def _listed(values: "Floats") -> str:
    return " + ".join(f"{value:.2f}" for value in values)


def _number(number: int) -> str:
    words = ("", "one", "two", "three", "four", "five", "six", "seven", "eight")
    return words[number] if number < len(words) else str(number)


def _title(page: Page, codec: MovingCodec, coded: CodedVideo, bits: "Floats") -> float:
    page.text(MARGIN, MARGIN, f"How VQ-VAE codes {coded.title}", TITLE, weight="bold")
    media, first = coded.codes.video, bits[:, FIRST] > 0
    frames, height, width = media.size
    rows, columns = coded.codes.grids[0].shape[1:]
    text = (
        f"{frames:,} frames of {width}×{height} pixels, {seconds_of(media):.2f} s. "
        f"{int(first.sum()):,} of them are pictures of {codec.base.weights.name}, "
        f"{bits[first].sum() / 8 / first.sum():,.0f} bytes each. Each other one is told by "
        f"{columns}×{rows} vectors and {_number(len(codec.refinement.codebooks))} maps of codes"
    )
    if not first.all():
        text += f", {bits[~first].sum() / 8 / (~first).sum():,.0f} bytes"
    text += f" instead of {3 * height * width:,}. Weights: {codec.weights.name}."
    return page.paragraph(MARGIN, MARGIN + 1.5 * TITLE, INNER, text) + 20


def _made(
    codec: MovingCodec, coded: CodedVideo, chosen: list[int], size: tuple[int, int]
) -> "tuple[list[Pixels], list[Pixels]]":
    """Return moved pictures, and what codes add to them, of some frames."""
    import numpy as np

    moved: list[Pixels] = []
    added: list[Pixels] = []
    for number, (before, frame) in enumerate(codec.made(coded.codes)):
        if number in chosen:
            alone = before is frame
            change = LOUDER * (frame.astype(np.int16) - before) + 128
            for strip_of, pixels in ((moved, before), (added, change.clip(0, 255))):
                shown = panels.shown(Image(pixels.astype(np.uint8)), size)
                strip_of.append(np.full_like(shown, BLANK) if alone else shown)
    return moved, added


def _vectors(
    page: Page,
    y: float,
    codec: MovingCodec,
    coded: CodedVideo,
    bits: "Floats",
    chosen: list[int],
    size: tuple[int, int],
) -> float:
    """Draw where blocks moved, in colours, and a wheel that tells what these mean."""
    import numpy as np

    rows, columns = (grid[chosen] for grid in coded.codes.grids[:VECTORS])
    steps = -codec.vectors(rows, columns) / PIXEL  # from where they were
    most = max(1.0, float(np.hypot(steps[..., 0], steps[..., 1]).max()))
    text = (
        "Where each block moved since the frame before: the direction is the hue, as on the wheel, "
        f"whose edge is {most:.1f} pixels; white stands still. First frames have no vectors."
    )
    side = np.linspace(-most, most, WHEEL)
    wheel = np.stack(np.meshgrid(side, side, indexing="ij"), -1)
    page.picture(WIDTH - MARGIN - WHEEL, y - 20, motion_colours(wheel, most), frame=False)
    pictures = [enlarged(motion_colours(own, most), size) for own in steps]
    blank = np.full_like(pictures[0], BLANK)
    alone = bits[chosen, FIRST] > 0
    pictures = [blank if one else own for one, own in zip(alone, pictures, strict=True)]
    return strip(page, y, "Vectors", text, pictures, chosen)


def motion_colours(steps: "Floats", most: float) -> "Pixels":
    """Return steps down and across, (h, w, 2), as colours, those longer than `most` white.

    The hue tells the direction, and the saturation the length.
    """
    import numpy as np
    from matplotlib.colors import hsv_to_rgb

    down, across = steps[..., 0], steps[..., 1]
    length = np.hypot(down, across)
    hue = np.arctan2(down, across) / (2 * np.pi) % 1.0
    # short steps are told apart as well
    strength = np.where(length <= most, length / most, 0) ** 0.5
    colours = hsv_to_rgb(np.stack([hue, strength, np.ones_like(hue)], -1))
    found: Pixels = (255 * colours).round().astype(np.uint8)
    return found


def _parts(bits: "Floats") -> "tuple[Floats, Pixels]":
    """Return the bits of each frame, (T, parts), that belong together, and their colours."""
    import numpy as np

    first = (bits[:, FIRST] > 0)[:, None]
    alone = np.where(first, bits.sum(1, keepdims=True), 0)
    vectors = bits[:, :VECTORS].sum(1, keepdims=True)
    codes = np.where(first, 0, bits[:, FIRST + 1 :])
    shades = panels.palette((DARK, LIGHT), codes.shape[1])
    colours = np.concatenate([[STILL, VECTOR], shades]).astype(np.uint8)
    return np.concatenate([alone, vectors, codes], 1), colours


def _over_time(page: Page, y: float, bits: "Floats") -> float:
    """Draw a bar for each frame, of what its maps cost."""
    import numpy as np

    parts, colours = _parts(bits)
    most = parts.sum(1).max()
    text = (
        "A bar for each frame, one behind the other; the colours are those of the table below. The "
        f"tallest one is {most / 8:,.0f} bytes."
    )
    y = page.heading(MARGIN, y, INNER, "What frames cost", text)
    ends = np.cumsum(parts, 1) / most * BARS
    frame = np.arange(INNER) * len(bits) // INNER
    level = np.arange(BARS)[::-1, None]  # from below
    which = (level[..., None] >= ends[frame]).sum(-1)  # of the parts lie below
    shown = np.concatenate([colours, np.full((1, 3), 255, np.uint8)])[which]
    page.picture(MARGIN, y, shown)
    return y + BARS + GAP


def _table(page: Page, y: float, coded: CodedVideo, bits: "Floats") -> None:
    """Write what each map costs."""
    parts, colours = _parts(bits)
    still, other = per_index(coded, bits)
    lengths = coded.codes.codebook_sizes
    y = page.heading(MARGIN, y, INNER, "Bits per index", "Under the coding prior, on average.")
    shares = parts.sum(0) / parts.sum()
    names = ["First frames, map by map", "Vectors: rows, and columns"]
    names += [f"Codebook {number + 1} of what is lacking" for number in range(parts.shape[1] - 2)]
    values = [_listed(still[FIRST:]), _listed(other[:VECTORS])]
    values += [f"{value:.2f}" for value in other[FIRST + 1 :]]
    packed = [" + ".join(f"{math.log2(k):.4g}" for k in lengths[FIRST:])]
    packed += [" + ".join(f"{math.log2(k):.4g}" for k in lengths[:VECTORS])]
    packed += [f"{math.log2(k):.4g}" for k in lengths[FIRST + 1 :]]
    where = (MARGIN + 30, MARGIN + 420, MARGIN + 820, MARGIN + 1180)
    for x, title in zip(where, ("", "bits per index", "packed", "share of bytes"), strict=True):
        page.text(x, y, title, SMALL, GREY)
    for row, colour in enumerate(colours):
        y += 1.6 * BODY
        page.box(MARGIN, y, 18, 18, fill=tuple(c / 255 for c in colour))
        cells = (names[row], values[row], packed[row], f"{100 * shares[row]:.1f} %")
        for x, text in zip(where, cells, strict=True):
            page.text(x, y, text)
