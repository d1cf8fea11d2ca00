"""The pictures of a figure as arrays of the size that they are drawn at."""

from typing import TYPE_CHECKING

from vqcodec.figures.codebook import CodebookChart
from vqcodec.maps import MapSpec
from vqcodec.media.image import Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vqcodec.files.codes import Codes

    Pixels = NDArray[np.uint8]

THINNEST = 24  # narrower pictures are stretched, so that there is something to see
ERROR_TOP = 40  # levels of 255 that are drawn brightest
ERROR_COLOURS = ((0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 190))


def fit(height: int, width: int, room: int, tallest: int) -> tuple[int, int]:
    """Return the (height, width) to draw a picture at: whole multiples where it is enlarged."""
    scale = min(room / width, tallest / height)
    if scale >= 2:
        scale = min(int(scale), 128)
    elif 1 < scale < 1.2:
        scale = 1
    drawn = (max(THINNEST, round(height * scale)), max(THINNEST, round(width * scale)))
    return min(drawn[0], tallest), min(drawn[1], room)


def shown(image: Image, size: tuple[int, int]) -> "Pixels":
    """Return a picture at (height, width), its transparent parts on a checkerboard."""
    import numpy as np
    from PIL import Image as Pillow

    height, width = size
    enlarged = height >= 2 * image.size[0]
    how = Pillow.Resampling.NEAREST if enlarged else Pillow.Resampling.LANCZOS
    picture = image.to_pillow().resize((width, height), how)
    if image.alpha is None:
        return np.asarray(picture)
    y, x = np.mgrid[:height, :width] // 12
    board = np.where((x + y) % 2, 255, 215).astype(np.uint8)
    below = Pillow.fromarray(board).convert("RGB")
    below.paste(picture, mask=picture.getchannel("A"))
    return np.asarray(below)


def busiest(colours: "Pixels", side: int) -> tuple[slice, slice]:
    """Return rows and columns of the square of at most `side` cells that varies most.

    Args:
        colours: (h, w, 3), a map in false colours.
        side: of the square, in cells.
    """
    import numpy as np

    height, width = colours.shape[:2]
    change = np.zeros((height, width))
    for axis in (0, 1):
        steps = np.abs(np.diff(colours.astype(np.int16), axis=axis)).sum(-1)
        change += np.insert(steps, 0, 0, axis)
    lengths = min(side, height), min(side, width)
    for axis, length in enumerate(lengths):  # sums over every square
        total = np.insert(change.cumsum(axis), 0, 0, axis)
        ends = np.arange(length, total.shape[axis])
        change = total.take(ends, axis) - total.take(ends - length, axis)
    top, left = np.unravel_index(change.argmax(), change.shape)
    return slice(int(top), int(top) + lengths[0]), slice(int(left), int(left) + lengths[1])


def cut(image: Image, box: tuple[float, float, float, float], size: tuple[int, int]) -> "Pixels":
    """Return part of a picture, enlarged so that the whole box would be (height, width).

    Args:
        image: the picture; transparency is not drawn.
        box: left, top, right and bottom in fractions of it; beyond 1 there is nothing.
        size: of the box as drawn.
    """
    import numpy as np
    from PIL import Image as Pillow

    left, top, right, bottom = box
    inside = (left, top, min(right, 1), min(bottom, 1))
    height = round(size[0] * (inside[3] - top) / (bottom - top))
    width = round(size[1] * (inside[2] - left) / (right - left))
    high, wide = image.size
    crop = (inside[0] * wide, inside[1] * high, inside[2] * wide, inside[3] * high)
    picture = Pillow.fromarray(image.pixels)
    return np.asarray(picture.resize((width, height), Pillow.Resampling.NEAREST, crop))


def code_map(
    codebook: CodebookChart, codes: "Codes", level: int, spec: MapSpec, size: tuple[int, int]
) -> "Pixels":
    """Return a map in false colours at (height, width), over what it covers of the picture.

    Args:
        codebook: of the map.
        codes: of the picture.
        level: which map, 0 being the coarsest.
        spec: of the map.
        size: to draw it at.
    """
    import numpy as np
    from PIL import Image as Pillow

    height, width = np.array(codes.media.coded_size) / np.array(spec.stride)  # in cells
    how = Pillow.Resampling.BOX if size[0] < height else Pillow.Resampling.NEAREST
    picture = Pillow.fromarray(codebook.colours[codes.grids[level]])
    return np.asarray(picture.resize((size[1], size[0]), how, box=(0, 0, width, height)))


def error_map(a: Image, b: Image, size: tuple[int, int]) -> "Pixels":
    """Return the mean absolute difference over colours at (height, width), as colours."""
    import numpy as np
    from PIL import Image as Pillow

    error = np.empty(a.size, np.uint8)
    for row, row_a, row_b in zip(error, a.pixels, b.pixels, strict=True):
        row[:] = np.abs(row_a.astype(np.int16) - row_b).mean(1).round()
    how = Pillow.Resampling.NEAREST if size[0] >= 2 * a.size[0] else Pillow.Resampling.BOX
    drawn = np.asarray(Pillow.fromarray(error).resize((size[1], size[0]), how))
    return error_palette()[np.minimum(drawn, ERROR_TOP)]


def error_palette() -> "Pixels":
    """Return the colours, (ERROR_TOP + 1, 3), of errors of 0 to ERROR_TOP levels."""
    return palette(ERROR_COLOURS, ERROR_TOP + 1)


def palette(colours: tuple[tuple[int, int, int], ...], number: int) -> "Pixels":
    """Return a number of colours, (number, 3), evenly between those given."""
    import numpy as np

    anchors = np.linspace(0, number - 1, len(colours))
    columns = [np.interp(np.arange(number), anchors, c) for c in np.transpose(colours)]
    return np.stack(columns, 1).round().astype(np.uint8)


def tiles(codebook: CodebookChart, order: "NDArray[np.intp]", columns: int, side: int) -> "Pixels":
    """Return what codes decode to, as tiles of `side` pixels framed in their false colours.

    Args:
        codebook: the codes.
        order: (n,) which of them, in reading order.
        columns: tiles in a row.
        side: of a tile with its gap, in pixels.
    """
    import numpy as np

    stride = codebook.patches.shape[1]
    gap, frame = side // 16, side // 10
    inner = max(1, side - gap - 2 * frame)
    at = np.arange(inner) * stride // inner  # nearest neighbour, to any size
    rows = -(-len(order) // columns)
    sheet = np.full((rows, columns, side, side, 3), 255, np.uint8)
    flat = sheet.reshape(-1, side, side, 3)[: len(order)]
    flat[:, : side - gap, : side - gap] = codebook.colours[order][:, None, None]
    window = slice(frame, frame + inner)
    flat[:, window, window] = codebook.patches[order][:, at][:, :, at]
    return np.ascontiguousarray(sheet.swapaxes(1, 2)).reshape(rows * side, columns * side, 3)


def bars(colours: "Pixels", counts: "NDArray[np.intp]", size: tuple[int, int]) -> "Pixels":
    """Return a histogram at (height, width): codes that occur, most frequent first.

    Args:
        colours: of the codes, (K, 3).
        counts: how often each occurs, (K,).
        size: of the picture.
    """
    import numpy as np

    height, width = size
    order = np.argsort(-counts, kind="stable")
    rank = np.arange(width) * int((counts > 0).sum()) // width
    tall = np.ceil(counts[order] / counts.max() * height)[rank]
    inside = np.arange(height)[::-1, None] < tall
    return np.where(inside[..., None], colours[order][rank], 236).astype(np.uint8)
