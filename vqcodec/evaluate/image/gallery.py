"""Pictures to look at: the worst and the best, beside what every codec makes of them."""

import base64
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from vqcodec.codec.image import ImageCodec
from vqcodec.data.sources import Source
from vqcodec.evaluate.image.baselines import Baseline, Setting
from vqcodec.evaluate.image.points import Point, open_picture
from vqcodec.evaluate.journal import OURS, Measured, Record
from vqcodec.evaluate.table import Table
from vqcodec.figures.codebook import CodebookChart
from vqcodec.media.image import Image
from vqcodec.metrics.image import PSNR

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

EACH_END = 12  # pictures: so many of the worst, and of the best
SIDE = 256  # pixels; of larger pictures the middle is shown


def choose(table: Table) -> dict[str, str]:
    """Return the names of the worst and best pictures by our PSNR, each with its rank in words."""
    import numpy as np

    names, total = table.names, len(table.names)
    order = np.argsort(table.column(OURS, PSNR.key)[:, -1], kind="stable").tolist()
    if total <= 2 * EACH_END:
        return {names[i]: f"{rank} of {total}" for rank, i in enumerate(order, 1)}
    worst = {names[i]: f"worst {rank}" for rank, i in enumerate(order[:EACH_END], 1)}
    best = {names[i]: f"best {rank}" for rank, i in enumerate(order[::-1][:EACH_END], 1)}
    return worst | dict(reversed(best.items()))


def build(
    chosen: dict[str, str],
    records: Iterable[Record],
    sources: dict[str, Source],
    codec: ImageCodec,
    points: tuple[Point, ...],
    baselines: list[Baseline],
) -> list[dict[str, Any]]:
    """Return what a page needs to show the chosen pictures, worst first.

    They are coded anew at the settings that were measured; nothing of 10,000 pictures was kept.

    Returns:
        For each picture its ``name``, ``rank``, ``quality``, size and ``layers``: ``codec``,
        ``label``, ``source`` (a data URI) and, of reconstructions, ``bytes``, ``setting`` and
        ``values``.
    """
    found = {r.name: r for r in records if r.name in chosen}
    colours = CodebookChart.of(codec, len(codec.maps) - 1).colours
    return [
        {
            "name": name,
            "rank": rank,
            "quality": _quality(found[name]),
            "height": found[name].shape[0],
            "width": found[name].shape[1],
            "layers": _layers(
                found[name], open_picture(sources[name], name), codec, points, baselines, colours
            ),
        }
        for name, rank in chosen.items()
    ]


def _layers(
    record: Record,
    image: Image,
    codec: ImageCodec,
    points: tuple[Point, ...],
    baselines: list[Baseline],
    colours: "Pixels",
) -> list[dict[str, Any]]:
    last = len(points) - 1
    codes = points[last].encode(codec, image)
    window = _middle(image.size, codec.stride)
    cells = tuple(  # of a map that may be that of a smaller picture
        slice(s.start * cells // pixels, -(-s.stop * cells // pixels))
        for s, cells, pixels in zip(window, codes.grids[-1].shape, image.size, strict=True)
    )
    original, indices = image.pixels[window], codes.grids[-1][cells]
    layers: list[dict[str, Any]] = [
        {"codec": "original", "label": "original", "source": data_uri(original)},
        {"codec": "codes", "label": "code map", "source": data_uri(colours[indices])},
    ]
    shown = [(OURS, OURS, codec.decode(codes))]
    for baseline in baselines:
        measured = record.find(baseline.name, last)
        if measured is not None:
            setting = Setting(int(measured.setting["quality"]), measured.setting["scale"])
            shown.append((baseline.name, baseline.label, baseline.decode(image, setting)))
    for name, label, picture in shown:
        measured = record.find(name, last)
        assert measured is not None
        layers.append(
            {
                "codec": name,
                "label": label,
                "source": data_uri(picture.pixels[window]),
                "bytes": measured.bytes,
                "setting": _in_words(measured),
                "values": measured.values,
            }
        )
    return layers


def _quality(record: Record) -> str:
    """Return our PSNR at the last point in words."""
    measured = [m for m in record.measured if m.codec == OURS][-1]
    value = measured.values[PSNR.key]
    return "" if value is None else PSNR.format(value)


def _in_words(measured: Measured) -> str:
    """Return how a file was made."""
    setting = measured.setting
    words = f"quality {setting['quality']}" if "quality" in setting else ""
    if setting.get("scale", 1) != 1:
        words += f" at {setting['scale']}×"
    if not words and "target_bytes" in setting:
        return f"at most {setting['target_bytes']} bytes"
    return words.strip() or "full size"


def _middle(size: tuple[int, int], stride: int) -> tuple[slice, slice]:
    """Return the rows and columns to show, beginning on the grid of codes."""
    starts = [max(0, n - SIDE) // 2 // stride * stride for n in size]
    rows, columns = (slice(s, min(s + SIDE, n)) for s, n in zip(starts, size, strict=True))
    return rows, columns


def data_uri(pixels: "Pixels", *, lossless: bool = True) -> str:
    """Return a picture, (H, W, 3), as a data URI."""
    file = io.BytesIO()
    Image(pixels).to_pillow().save(file, "WEBP", lossless=lossless)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
