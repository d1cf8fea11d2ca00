"""The figure that explains the codes of a video: frames, code maps over time, what changes."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from vqcodec.codec.video import VideoCodec
from vqcodec.figures import panels
from vqcodec.figures.canvas import GREY, SMALL, TITLE, Page
from vqcodec.figures.codebook import CodebookChart
from vqcodec.figures.coded import Coded
from vqcodec.figures.image import (
    GAP,
    INNER,
    MARGIN,
    WIDTH,
    about_sheet,
    draw_sheet,
    draw_usage,
)
from vqcodec.files.contents import seconds_of, ticks_a_second
from vqcodec.media.image import Image
from vqcodec.media.video import Video
from vqcodec.metrics.video import frame_psnr

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

SHOWN = 8  # frames side by side
SMALL_GAP = 8
ROOM = (INNER - SMALL_GAP * (SHOWN - 1)) // SHOWN  # for each
EVENLY = "Evenly spread over the video."
ROW = 16  # pixels that a row of the map over time is drawn high, at most
CHANGED, SAME = (188, 55, 84), (238, 239, 241)


@dataclass(frozen=True)
class CodedVideo(Coded):
    """A video that went through a codec.

    Attributes:
        decoded: what the codes decode to.
        original: the video itself; None where only a code file is there.
    """

    decoded: Video
    original: Video | None = None

    @cached_property
    def kept(self) -> "NDArray[np.float64]":
        """Share of the indices that are those of the frame before, (T - 1,)."""
        kept: NDArray[np.float64] = (self.grid[1:] == self.grid[:-1]).mean((1, 2))
        return kept

    @cached_property
    def psnr(self) -> float:
        """Mean over frames, in dB; infinite without an original."""
        if self.original is None:
            return math.inf
        return frame_psnr(self.original.pixels, self.decoded.pixels)

    def summary(self) -> str:
        """Return size, codes and quality as a sentence."""
        frames, height, width = self.codes.media.size
        text = f"{frames:,} frames of {width}×{height} pixels, {self.usage()}"
        if len(self.kept):
            text += f", {100 * self.kept.mean():.1f} % as in the frame before"
        return text + (f", PSNR {self.psnr:.2f} dB" if math.isfinite(self.psnr) else "")


def draw_video(codec: VideoCodec, coded: CodedVideo) -> tuple[Page, str]:
    """Draw frames of a video, their maps, what comes back, and how codes change over time.

    Returns:
        The page, and a sentence on what is on it.
    """
    page = Page(WIDTH)
    book = CodebookChart.of(codec.pictures, len(codec.pictures.maps) - 1)
    y = _title(page, codec, coded)
    chosen = spread_out(coded.codes.media.size[0])
    height, width = coded.decoded.pixels.shape[1:3]
    size = panels.fit(height, width, ROOM, 2 * ROOM)
    if coded.original is not None:
        frames = [panels.shown(Image(coded.original.pixels[t]), size) for t in chosen]
        y = strip(page, y, "Frames", EVENLY, frames, chosen)
    maps = [_map(book, coded.grid[t], size) for t in chosen]
    text = "An index for each cell; codes that lie near each other have like colours."
    y = strip(page, y, "Their code maps", text, maps, chosen)
    changed = [_changed(coded.grid, t, size) for t in chosen]
    text = "Cells whose index is not that of the frame before."
    y = strip(page, y, "What changes", text, changed, chosen)
    frames = [panels.shown(Image(coded.decoded.pixels[t]), size) for t in chosen]
    quality = f" PSNR {coded.psnr:.2f} dB." if math.isfinite(coded.psnr) else ""
    text = f"What the decoder paints from each map.{quality}"
    y = strip(page, y, "Decoded", text, frames, chosen)
    y = _over_time(page, y, book, coded)
    said = f"The maps hold {coded.grid.size:,} indices."
    y = draw_usage(page, MARGIN, y, INNER, book.colours, coded.counts[-1], said) + GAP
    draw_sheet(page, y, book, about_sheet(codec.pictures, book))
    return page, coded.summary()


def spread_out(frames: int) -> list[int]:
    """Return the numbers of the frames that are shown."""
    import numpy as np

    chosen: list[int] = np.linspace(0, frames - 1, min(SHOWN, frames)).round().astype(int).tolist()
    return sorted(set(chosen))


def _title(page: Page, codec: VideoCodec, coded: CodedVideo) -> float:
    page.text(MARGIN, MARGIN, f"How VQ-VAE codes {coded.title}", TITLE, weight="bold")
    media = coded.codes.video
    frames, height, width = media.size
    _, rows, columns = coded.grid.shape
    bits = math.ceil(math.log2(coded.codes.codebook_sizes[-1]))
    text = (
        f"{frames:,} frames of {width}×{height} pixels, {seconds_of(media):.2f} s, become "
        f"{columns}×{rows} indices of {bits} bits each: {math.ceil(rows * columns * bits / 8):,} "
        f"bytes a frame instead of {3 * height * width:,}. Weights: {codec.weights.name}."
    )
    return page.paragraph(MARGIN, MARGIN + 1.5 * TITLE, INNER, text) + 20


def strip(
    page: Page,
    y: float,
    title: str,
    text: str,
    pictures: "list[Pixels]",
    numbers: list[int],
) -> float:
    """Draw pictures side by side, with their numbers below."""
    y = page.heading(MARGIN, y, INNER, title, text)
    for place, (pixels, number) in enumerate(zip(pictures, numbers, strict=True)):
        x = MARGIN + place * (ROOM + SMALL_GAP)
        page.picture(x, y, pixels)
        page.text(x, y + pixels.shape[0] + 2, f"{number + 1}", SMALL, GREY)
    return y + pictures[0].shape[0] + SMALL + GAP


def enlarged(cells: "Pixels", size: tuple[int, int]) -> "Pixels":
    """Return cells, (h, w, 3), at (height, width)."""
    import numpy as np
    from PIL import Image as Pillow

    how = Pillow.Resampling.NEAREST if size[0] >= cells.shape[0] else Pillow.Resampling.BOX
    return np.asarray(Pillow.fromarray(cells).resize((size[1], size[0]), how))


def _map(book: CodebookChart, grid: "NDArray[np.uint16]", size: tuple[int, int]) -> "Pixels":
    return enlarged(book.colours[grid], size)


def _changed(grid: "NDArray[np.uint16]", t: int, size: tuple[int, int]) -> "Pixels":
    import numpy as np

    differs = np.ones(grid.shape[1:], bool) if t == 0 else grid[t] != grid[t - 1]
    colours = np.array([SAME, CHANGED], np.uint8)
    return enlarged(colours[differs.astype(np.intp)], size)


def _over_time(page: Page, y: float, book: CodebookChart, coded: CodedVideo) -> float:
    """Draw the middle row of all maps, frame below frame, and how many indices stay."""
    import numpy as np

    frames, rows, _ = coded.grid.shape
    text = (
        "The middle row of the maps, one frame below the other: what stands still draws upright "
        "lines, what moves slanted ones. At the right, how many of a frame's indices are those of "
        "the frame before."
    )
    y = page.heading(MARGIN, y, INNER, "Codes over time", text)
    height = min(600, max(48, frames * ROW))
    half = (INNER - GAP) // 2
    slices = book.colours[coded.grid[:, rows // 2]]
    page.picture(MARGIN, y, enlarged(slices, (height, half)))
    x = MARGIN + half + GAP
    page.box(x, y, half, height, edge=GREY, line=0.8)
    if len(coded.kept):
        step = height / frames
        for t, share in enumerate(coded.kept.tolist(), 1):
            colour = tuple(c / 255 for c in CHANGED)
            page.box(x, y + t * step, half * share, max(0.5, step - 0.5), fill=colour)
        mean = f"mean {100 * float(np.mean(coded.kept)):.1f} %"
        page.text(x + half, y + height + 2, mean, SMALL, GREY, ha="right")
    rate = ticks_a_second(coded.codes.video)
    page.text(MARGIN, y + height + 2, f"{float(rate):.6g} ticks a second", SMALL, GREY)
    return y + height + SMALL + GAP
