"""A page to draw on, in pixels from its upper left corner: text, pictures, boxes and bars."""

import os
import textwrap
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vqcodec.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Colour = str | tuple[float, ...]

DPI = 100
INK, GREY, RULE = "#1d1f23", "#5d636e", "#c9ccd2"
TITLE, HEADING, BODY, SMALL = 34, 23, 17, 14  # sizes of type
FORMATS = ("png", "svg", "pdf")


def format_of(path: Path) -> str:
    """Return the format, one of `FORMATS`, that the suffix of a figure's path names."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise UsageError(f"{path}: figures end in .png, .svg or .pdf")
    return kind


class Page:
    """A page of fixed width whose height follows from what is drawn on it."""

    def __init__(self, width: int) -> None:
        """Start an empty page, `width` pixels wide.

        Raises:
            ImportError: matplotlib is not installed.
        """
        import matplotlib

        self.width, self.height = width, 0
        with matplotlib.rc_context():
            matplotlib.rcdefaults()  # whatever the user's own settings are
            from matplotlib.figure import Figure

            self._figure = Figure(dpi=DPI, facecolor="white")
            self._axes = self._figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()

    def text(
        self, x: float, y: float, text: str, size: float = BODY, colour: "Colour" = INK, **how: Any
    ) -> None:
        """Write one line with its upper left corner at (x, y), or as matplotlib's `how` says."""
        how = {"va": "top", **how}
        text = os.fsencode(text).decode(
            errors="backslashreplace"
        )  # names of files need not be text
        text = " ".join(text.split()) if "\n" in text else text
        self._axes.text(x, y, text, size=size * 72 / DPI, color=colour, parse_math=False, **how)
        self._grow(y + size)

    def paragraph(
        self, x: float, y: float, width: float, text: str, size: float = BODY, colour: str = GREY
    ) -> float:
        """Write text in lines of at most `width` pixels; return where the next thing may begin."""
        for line in textwrap.wrap(text, max(8, int(width / (0.54 * size)))):
            self.text(x, y, line, size, colour)
            y += 1.4 * size
        return y

    def heading(self, x: float, y: float, width: float, title: str, caption: str) -> float:
        """Write a title and what there is to see below it; return where that may begin."""
        self.text(x, y, title, HEADING, weight="bold")
        return self.paragraph(x, y + 1.5 * HEADING, width, caption) + 10

    def picture(self, x: float, y: float, pixels: "Pixels", *, frame: bool = True) -> None:
        """Draw pixels, (h, w, 3), as large as they are, in a hairline if wanted."""
        height, width = pixels.shape[:2]
        x, y = round(x), round(y)
        self._axes.imshow(
            pixels,
            extent=(x, x + width, y + height, y),
            interpolation="none",
            aspect="auto",
            zorder=1,
        )
        self.box(x, y, width, height, edge=RULE if frame else "none", line=0.8)

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        *,
        fill: "Colour" = "none",
        edge: "Colour" = "none",
        line: float = 1.5,
    ) -> None:
        """Draw a rectangle with its upper left corner at (x, y)."""
        from matplotlib.patches import Rectangle

        how: dict[str, Any] = {"facecolor": fill, "edgecolor": edge, "linewidth": line}
        self._axes.add_patch(Rectangle((x, y), width, height, zorder=2, **how))
        self._grow(y + height)

    def line(self, x: float, y: float, to_x: float, to_y: float, **how: Any) -> None:
        """Draw a line, as matplotlib's `how` says."""
        self._axes.plot((x, to_x), (y, to_y), **{"color": INK, "linewidth": 1, **how})
        self._grow(max(y, to_y))

    def write(self, file: BinaryIO, kind: str) -> None:
        """Write the page as one of `FORMATS`."""
        margin = 40
        height = self.height + margin
        self._figure.set_size_inches(self.width / DPI, height / DPI)
        self._axes.set_xlim(0, self.width)
        self._axes.set_ylim(height, 0)
        with warnings.catch_warnings():
            # letters of a file name that the font lacks come out as boxes
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            self._figure.savefig(file, format=kind, dpi=DPI)

    def _grow(self, bottom: float) -> None:
        self.height = max(self.height, round(bottom))
