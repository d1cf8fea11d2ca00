"""How time and memory grow with the size of a picture."""

import math
from typing import Any, BinaryIO

from vqcodec.benchmark.benchmark import synthetic_picture
from vqcodec.benchmark.process import round_trip
from vqcodec.codec.base import Report
from vqcodec.codec.image import ImageCodec


def grow(
    name: str, megapixels: list[float], threads: int, report: Report = lambda done: None
) -> list[dict[str, Any]]:
    """Code pictures of several sizes, each once, by the command line in processes of its own.

    Args:
        name: weights, a name or a folder.
        megapixels: sizes, in millions of pixels; pictures are 3:2.
        threads: number of threads.
        report: called with the fraction done.

    Returns:
        For each size the seconds to encode and to decode, start-up and files left out, and the
        most memory in use, everything included, in MiB.
    """
    folder = ImageCodec.load(name).weights.folder
    found = []
    for size in megapixels:
        height = max(1, round(math.sqrt(size * 1e6 / 1.5)))
        width = max(1, round(1.5 * height))
        trip = round_trip(folder, synthetic_picture(height, width), threads)
        found.append(
            {
                "width": width,
                "height": height,
                "threads": threads,
                "seconds": {"encode": trip.encode, "decode": trip.decode},
                "peak_mib": {"encode": trip.encode_peak, "decode": trip.decode_peak},
            }
        )
        report(sum(megapixels[: len(found)]) / sum(megapixels))
    return found


def draw(found: list[dict[str, Any]], title: str, file: BinaryIO, kind: str) -> None:
    """Plot what `grow` found: seconds and memory over megapixels.

    Args:
        found: what `grow` returned.
        title: a line about the machine.
        file: where to write.
        kind: ``png``, ``svg`` or ``pdf``.

    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), dpi=150, layout="constrained")
    figure.suptitle(title, fontsize=10)
    sizes = [f["width"] * f["height"] / 1e6 for f in found]
    units = {"seconds": "seconds, start-up left out", "peak_mib": "peak memory, MiB"}
    for axes, (key, label) in zip(figure.subplots(1, 2), units.items(), strict=True):
        for what, colour in (("encode", "#0b6e99"), ("decode", "#d9730d")):
            values = [f[key][what] for f in found]
            if None not in values:
                axes.plot(sizes, values, "o-", color=colour, label=what)
        axes.set(xscale="log", xlabel="megapixels", ylabel=label)
        if key == "seconds":
            line = [found[-1][key]["encode"] * s / sizes[-1] for s in sizes]
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.plot(sizes, line, ":", color="grey", label="in proportion to pixels")
            axes.legend(frameon=False)
        else:
            axes.set_ylim(bottom=0)
        axes.set_xticks(sizes, [f"{round(s, 2):g}" for s in sizes])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    figure.savefig(file, format=kind)
