"""Figures that explain VQ-VAE: one of a picture and its codes, one of a model's codebook."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from vqcodec.codec.image import ImageCodec
from vqcodec.figures import panels
from vqcodec.figures.canvas import BODY, GREY, INK, SMALL, TITLE, Page
from vqcodec.figures.codebook import CodebookChart
from vqcodec.figures.coded import Coded, indices
from vqcodec.media.image import Image
from vqcodec.metrics.basic import perplexity, psnr

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Box = tuple[float, float, float, float]

WIDTH, MARGIN, GAP = 1720, 50, 40
INNER = WIDTH - 2 * MARGIN
HALF = (INNER - GAP) // 2
TALLEST = 1000  # pixels of a page that a picture may take
LOST = "What is lost"
PAINTED = (
    "What the decoder makes of a map that holds one code only: one square of it, for each of {:,} "
    "codes, framed in the code's colour in the map."
)
DRAWN = (
    "All {:,} codes, each in its colour in the map. What this decoder would draw from one code "
    "alone is nearly all chance, so it is not shown."
)
NEAR = " Codes that lie near each other have been put side by side."
CLOSE = 6  # cells along a side of the close-up


@dataclass(frozen=True)
class CodedPicture(Coded):
    """A picture that went through a codec.

    Attributes:
        decoded: what the codes decode to.
        original: the picture itself; None where only a code file is there.
        previews: what the coarsest map alone decodes to, the two coarsest, and so on, but all.
    """

    decoded: Image
    original: Image | None = None
    previews: Sequence[Image] = ()

    @cached_property
    def psnr(self) -> float:
        """Of the decoded picture, in dB; infinite if nothing was lost, or without an original."""
        return psnr(self.original.pixels, self.decoded.pixels) if self.original else math.inf

    def box(self, cells: tuple[slice, slice], stride: int) -> Box:
        """Return left, top, right and bottom of part of a map, in fractions of the picture.

        The last cells may reach beyond it, above 1.
        """
        height, width = self.codes.media.coded_size
        rows, columns = cells
        edges = (columns.start / width, rows.start / height, columns.stop / width)
        left, top, right, bottom = (stride * e for e in (*edges, rows.stop / height))
        return left, top, right, bottom

    def summary(self) -> str:
        """Return size, codes and quality as a sentence."""
        height, width = self.codes.media.size
        text = f"{width}×{height} pixels, {self.usage()}"
        if self.original is None:
            return text
        return text + (f", PSNR {self.psnr:.2f} dB" if math.isfinite(self.psnr) else ", no loss")


def draw_picture(codec: ImageCodec, coded: CodedPicture) -> Page:
    """Draw a picture, its code maps, what comes back, what is lost, and the codes."""
    codebooks = [CodebookChart.of(codec, level) for level in range(len(coded.codes.grids))]
    page, finest = Page(WIDTH), codebooks[-1]
    close = panels.busiest(finest.colours[coded.grid], CLOSE)
    box = coded.box(close, codec.maps[len(codebooks) - 1].stride[0])
    y = _pictures(page, _title(page, codec, coded), codec, codebooks, coded, box)
    said = [f"The map holds {indices(grid.size)}." for grid in coded.codes.grids]
    y = max(
        _close_up(page, MARGIN, y, finest, coded, close, box),
        draw_usage(page, MARGIN + HALF + GAP, y, HALF, finest.colours, coded.counts[-1], said[-1]),
    )
    for book, counts, text in list(zip(codebooks, coded.counts, said, strict=True))[-2::-1]:
        y = draw_usage(page, MARGIN, y + GAP, INNER, book.colours, counts, f"Coarser: {text}")
    for book in reversed(codebooks):
        y = draw_sheet(page, y + GAP, book, about_sheet(codec, book))
    return page


def draw_model(
    codec: ImageCodec, counts: "Sequence[NDArray[np.intp]]" = (), pictures: int = 0
) -> Page:
    """Draw the codebooks of a model.

    Args:
        codec: the model.
        counts: how often each code occurs in a set of pictures, (K,) of each map; none without one.
        pictures: how many those were.
    """
    page = Page(WIDTH)
    page.text(MARGIN, MARGIN, f"The codebook of {codec.weights.name}", TITLE, weight="bold")
    y = MARGIN + 1.5 * TITLE
    for level, spec in enumerate(codec.maps):
        codebook = CodebookChart.of(codec, level)
        size, dim = codebook.vectors.shape
        square = "×".join(map(str, reversed(spec.stride)))
        text = (
            f"{size:,} codes, each a vector of {dim} numbers that training has found. One of them "
            f"stands for {square} pixels, so a picture becomes one index of "
            f"{math.log2(size):.4g} bits for each such square."
        )
        y = page.paragraph(MARGIN, y, INNER, text) + 20
        y = draw_sheet(page, y, codebook, about_sheet(codec, codebook)) + GAP
        y = draw_neighbours(page, y, codebook) + GAP
        if counts:
            said = f"{pictures:,} pictures hold {indices(int(counts[level].sum()))}."
            y = draw_usage(page, MARGIN, y, INNER, codebook.colours, counts[level], said) + GAP
    return page


def about_sheet(codec: ImageCodec, codebook: CodebookChart) -> str:
    """Return what to say of a sheet of codes."""
    return (DRAWN if codec.engine.draws else PAINTED).format(len(codebook.vectors)) + NEAR


def _title(page: Page, codec: ImageCodec, coded: CodedPicture) -> float:
    title = "How VQ-VAE codes" if coded.original else "What VQ-VAE sees in"
    page.text(MARGIN, MARGIN, f"{title} {coded.title}", TITLE, weight="bold")
    height, width = coded.codes.media.size
    maps, packed = [], 0
    for grid, size in zip(coded.codes.grids, coded.codes.codebook_sizes, strict=True):
        bits, (rows, columns) = math.ceil(math.log2(size)), grid.shape
        maps.append(f"{columns}×{rows} = {indices(grid.size)} of {bits} bits")
        packed += math.ceil(grid.size * bits / 8)
    scaled = coded.codes.media.coded_size != coded.codes.media.size
    shrunk = "×".join(map(str, reversed(coded.codes.media.coded_size)))
    text = (
        f"{width}×{height} pixels{f', shrunk to {shrunk},' if scaled else ''} become "
        f"{' and '.join(maps)}. Packed, they take "
        f"{packed:,} bytes; the pixels take {3 * height * width:,}. Weights: {codec.weights.name}."
    )
    return page.paragraph(MARGIN, MARGIN + 1.5 * TITLE, INNER, text) + 20


class _Panel(NamedTuple):
    title: str
    caption: str
    pixels: "NDArray[np.uint8]"


def _pictures(
    page: Page,
    y: float,
    codec: ImageCodec,
    codebooks: list[CodebookChart],
    coded: CodedPicture,
    box: Box,
) -> float:
    """Draw the picture, its maps and the rest in as many columns as its shape asks for."""
    height, width = coded.decoded.size
    aspect = width / height
    columns = 1 if aspect > 2.6 else 4 if aspect < 0.5 and coded.original else 2
    room = (INNER - GAP * (columns - 1)) // columns
    size = panels.fit(height, width, room, room if columns == 2 else TALLEST)
    every = _drawn(codec, codebooks, coded, size)
    places = range(MARGIN, WIDTH, room + GAP)
    for start in range(0, len(every), columns):
        row = list(zip(places, every[start : start + columns], strict=False))
        top = max(page.heading(x, y, room, panel.title, panel.caption) for x, panel in row)
        for x, panel in row:
            page.picture(x, top, panel.pixels)
            if panel.title == LOST:
                _error_scale(page, x, top + size[0] + 8)
            else:
                _frame(page, x, top, box, size)
        y = top + size[0] + GAP + 10
    return y


def _drawn(
    codec: ImageCodec, codebooks: list[CodebookChart], coded: CodedPicture, size: tuple[int, int]
) -> list[_Panel]:
    """Return what there is to see of a picture, at (height, width), in the order of coding."""
    dim = codebooks[-1].vectors.shape[1]
    transparent = coded.codes.image.alpha is not None
    kept = " Transparency is kept beside the indices, without loss." if transparent else ""
    code_maps = [
        _Panel(
            "Its code map",
            f"Each vector is replaced by the nearest of {len(book.vectors):,} in the codebook. Its "
            "index is all that is kept. Codes that lie near each other have like colours here.",
            panels.code_map(book, coded.codes, level, codec.maps[level], size),
        )
        for level, book in enumerate(codebooks)
    ]
    how = "draws this, by chance (seed 0)," if codec.engine.draws else "paints this"
    decoded = _Panel(
        "Decoded",
        f"The decoder {how} from the indices alone.{kept}",
        panels.shown(coded.decoded, size),
    )
    previews = [_preview(coded, n, size) for n in range(1, 1 + len(coded.previews))]
    if coded.original is None:
        return [*code_maps, *previews, decoded]
    picture = _Panel(
        "The picture",
        f"For every square of {codec.stride}×{codec.stride} pixels, and with an eye on what "
        f"surrounds it, the encoder computes a vector of {dim} numbers.",
        panels.shown(coded.original, size),
    )
    quality = f"PSNR {coded.psnr:.2f} dB." if math.isfinite(coded.psnr) else "No difference."
    lost = _Panel(
        LOST,
        f"{quality} Drawn is the mean difference of the three colours, in levels of 255.",
        panels.error_map(coded.original, coded.decoded, size),
    )
    return [picture, *code_maps, *previews, decoded, lost]


def _preview(coded: CodedPicture, number: int, size: tuple[int, int]) -> _Panel:
    """Return the panel of what so many maps, the coarsest ones, decode to."""
    grids, image = coded.codes.grids, coded.previews[number - 1]
    share = sum(g.size for g in grids[:number]) / sum(g.size for g in grids)
    quality = f" PSNR {psnr(coded.original.pixels, image.pixels):.2f} dB." if coded.original else ""
    which = "the coarsest map" if number == 1 else f"the {number} coarsest maps"
    return _Panel(
        f"From {which} alone",
        f"What the decoder paints from {100 * share:.3g} % of the indices.{quality}",
        panels.shown(image, size),
    )


def _error_scale(page: Page, x: float, y: float) -> None:
    strip = panels.error_palette()[None].repeat(12, 0).repeat(5, 1)
    page.text(x, y, "0", SMALL, GREY)
    page.picture(x + 16, y + 2, strip)
    page.text(x + 24 + strip.shape[1], y, f"{panels.ERROR_TOP} and more", SMALL, GREY)


def _frame(page: Page, x: float, y: float, box: Box, size: tuple[int, int]) -> None:
    """Mark a box, in fractions, of a picture drawn at (x, y) with (height, width) `size`."""
    left, top, right, bottom = (min(edge, 1) for edge in box)
    place = (x + left * size[1], y + top * size[0])
    extent = ((right - left) * size[1], (bottom - top) * size[0])
    for colour, line in (("black", 2.6), ("white", 1.2)):
        page.box(*place, *extent, edge=colour, line=line)


def _close_up(
    page: Page,
    x: float,
    y: float,
    codebook: CodebookChart,
    coded: CodedPicture,
    cells: tuple[slice, slice],
    box: Box,
) -> float:
    """Draw squares of the picture, their indices in figures, and what they decode to."""
    import numpy as np

    text = "The squares in the frame, the index of each, and what the decoder makes of these."
    if coded.original is None:
        text = "The indices in the frame, and what the decoder makes of them."
    y = page.heading(x, y, HALF, "Close up", text)
    gap = 22
    cell = (HALF - 2 * gap) // 3 // CLOSE
    part = coded.grid[cells]
    height, width = part.shape[0] * cell, part.shape[1] * cell
    if coded.original is not None:
        page.picture(x, y, panels.cut(coded.original, box, (height, width)))
        page.text(x + width + gap / 2, y + height / 2, "→", BODY, ha="center", va="center")
        x += width + gap
    figures = len(str(len(codebook.vectors) - 1))
    for (i, j), index in np.ndenumerate(part):
        red, green, blue = codebook.colours[index] / 255
        left, top = x + j * cell, y + i * cell
        page.box(left, top, cell, cell, fill=(red, green, blue))
        dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
        page.text(
            left + cell / 2,
            top + cell / 2,
            str(index),
            cell / (0.62 * figures + 0.4),
            "white" if dark else INK,
            ha="center",
            va="center_baseline",
        )
    page.text(x + width + gap / 2, y + height / 2, "→", BODY, ha="center", va="center")
    x += width + gap
    page.picture(x, y, panels.cut(coded.decoded, box, (height, width)))
    return y + height


def draw_usage(
    page: Page,
    x: float,
    y: float,
    width: int,
    colours: "NDArray[np.uint8]",
    counts: "NDArray[np.intp]",
    said: str,
) -> float:
    """Draw how often each code occurs, in the order of that."""
    size, used, total = len(counts), int((counts > 0).sum()), int(counts.sum())
    varied = perplexity(counts)
    text = (
        f"{said} {used:,} of the {size:,} codes occur. They are as varied as {varied:,.0f} codes "
        f"used equally often, their perplexity: {math.log2(varied):.3g} bits an index. Dashed: "
        f"all {size:,} used alike."
    )
    y = page.heading(x, y, width, "Codes in use, the most frequent first", text)
    height = 240
    page.picture(x, y, panels.bars(colours, counts, (height, width)))
    alike = y + height * (1 - total / size / counts.max())
    page.line(x, alike, x + width, alike, linestyle="--", zorder=3)
    share = f"highest: {100 * counts.max() / total:.3g} % of indices"
    page.text(x + width - 8, y + 6, share, SMALL, GREY, ha="right")
    page.text(x, y + height + 6, "1", SMALL, GREY)
    page.text(x + width, y + height + 6, f"{used:,}", SMALL, GREY, ha="right")
    return y + height + 6 + SMALL


def draw_sheet(page: Page, y: float, codebook: CodebookChart, text: str) -> float:
    """Draw every code once, below a text that says how."""
    size = len(codebook.vectors)
    columns = min(size, math.ceil(math.sqrt(2 * size)))
    side = min(100, INNER // columns)
    y = page.heading(MARGIN, y, INNER, "The codebook", text)
    sheet = panels.tiles(codebook, codebook.arranged(columns), columns, side)
    page.picture(MARGIN, y, sheet, frame=False)
    return y + sheet.shape[0]


def draw_neighbours(page: Page, y: float, codebook: CodebookChart) -> float:
    """Draw some codes and their nearest ones, in two columns."""
    import numpy as np

    size = len(codebook.vectors)
    rows, side, gap = 6, 64, 20
    number = min(size - 1, (HALF - side - 2 * gap) // (side + gap // 2))
    rng = np.random.default_rng(0)
    a, b = rng.integers(size, size=(2, 10_000))
    apart = np.linalg.norm(codebook.vectors[a] - codebook.vectors[b], axis=1)[a != b].mean()
    text = (
        "Left, some codes with their indices; right of each, those nearest to it, with the "
        f"Euclidean distance of the vectors. Two codes drawn at random are {apart:.2f} apart."
    )
    y = page.heading(MARGIN, y, INNER, "Neighbours in the codebook", text)
    spread = codebook.arranged(1)
    chosen = spread[np.linspace(0, size - 1, min(size, 2 * rows) + 2).round().astype(int)[1:-1]]
    for position, code in enumerate(chosen):
        x = MARGIN + (position % 2) * (HALF + GAP)
        top = y + position // 2 * (side + 2 * SMALL + 14)
        near, distances = codebook.nearest(int(code), number)
        labels = [f"{code}", *(f"{i}: {d:.2f}" for i, d in zip(near, distances, strict=True))]
        for place, (shown, label) in enumerate(zip([code, *near], labels, strict=True)):
            left = x + place * (side + gap // 2) + (2 * gap if place else 0)
            page.picture(left, top, panels.tiles(codebook, np.array([shown]), 1, side), frame=False)
            page.text(left + side / 2, top + side, label, 0.85 * SMALL, GREY, ha="center")
    return page.height
