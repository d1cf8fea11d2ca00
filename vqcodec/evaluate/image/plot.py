"""Rate-distortion curves as a figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqcodec.evaluate.results import BASELINES
from vqcodec.evaluate.table import RATE
from vqcodec.files.atomic import writing
from vqcodec.metrics.image import Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PNG, SVG = "rd.png", "rd.svg"
OURS_COLOUR = "#0b6e4f"
COLOURS = {"jpeg": "#c1666b", "webp": "#d4a017", "avif": "#4357ad", "jxl": "#7b4b94"}


def draw(folder: Path, tree: dict[str, Any], metrics: Sequence[Metric]) -> None:
    """Write the curves of a results tree, one panel for each metric, as PNG and SVG.

    Bars are 95 % intervals over pictures. Needs matplotlib.

    Raises:
        ImportError: it is not installed.
        OutputError: a file cannot be written.
    """
    for name in (PNG, SVG):  # an old one must not stand for what cannot be drawn now
        (folder / name).unlink(missing_ok=True)
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [m for m in metrics if m.key in tree["results"]]
    figure = Figure(figsize=(4.6 * len(shown), 3.9), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, metric in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        _panel(axes, tree, metric)
    # the same figures give the same file
    with matplotlib.rc_context({"svg.hashsalt": "vqcodec", "svg.fonttype": "path"}):
        for name in (PNG, SVG):
            with writing(folder / name, force=True) as file:
                kind = name.split(".")[-1]
                metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {}
                figure.savefig(file, format=kind, dpi=160, metadata=metadata)


def _panel(axes: "Axes", tree: dict[str, Any], metric: Metric) -> None:
    curves = [(tree["name"], OURS_COLOUR, tree["evaluation"], tree["results"])]
    for name, baseline in tree["evaluation"][BASELINES].items():
        label = baseline["name"]
        rate = baseline["bd"].get(metric.key, {}).get("rate")
        if rate is not None:
            label += f" (BD-rate {rate:+.1f} %)"
        curves.append((label, COLOURS[name], baseline, baseline["results"]))
    for label, colour, summary, results in curves:
        if metric.key not in results:
            continue
        x, y, bars = results[RATE], results[metric.key], summary["intervals"][metric.key]
        errors = [
            [max(0.0, middle - low) for middle, (low, _) in zip(y, bars, strict=True)],
            [max(0.0, high - middle) for middle, (_, high) in zip(y, bars, strict=True)],
        ]
        axes.errorbar(
            x, y, errors, color=colour, label=label, marker="o", markersize=4, capsize=2, lw=1.4
        )
    axes.set_xlabel("bits per pixel, whole files")
    axes.set_ylabel(f"{metric.label} [{metric.unit}]" if metric.unit else metric.label)
    axes.grid(True, color="#dddddd", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
