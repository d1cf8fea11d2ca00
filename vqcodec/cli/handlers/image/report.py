"""What `vqcodec evaluate` and `compare` say of pictures."""

from pathlib import Path
from typing import Any

from vqcodec.cli import console
from vqcodec.cli.console import progress_bar
from vqcodec.cli.handlers.image.options import Evaluation
from vqcodec.cli.reports import Rows, finish, interval, names, print_codes, print_table

AGAINST = "jpeg,webp,avif,jxl"


def evaluate(
    data: list[Path],
    output: Path,
    model: str,
    against: str | None,
    own: Evaluation,
    *,
    device: str,
    force: bool,
    as_json: bool,
) -> None:
    """Measure a model on pictures; arguments are those of the command."""
    from vqcodec.evaluate.image.points import points_of
    from vqcodec.evaluate.image.study import ImageStudy

    others = names(AGAINST if against is None else against)
    points = points_of(own.qualities(), own.targets(), own.effort)
    with progress_bar("evaluating", lines=True) as bar:
        study = ImageStudy(data, output, model=model, against=others, points=points, device=device)
        found = study.run(force=force, progress=bar)
    finish(found, output, "pictures", _print_results, as_json=as_json)


def _print_results(tree: dict[str, Any], metrics: list[Any]) -> None:
    more, results = tree["evaluation"], tree["results"]
    shown = [m for m in metrics if m.key in results]
    number = more["data"]["pictures"]
    pictures = "1 picture" if number == 1 else f"{number:,} pictures"
    console.say(f"{tree['name']}, {pictures}; means, [95 % intervals]")
    table = [["", "", "bytes", "bpp", *(m.label for m in shown)]]
    for p, point in enumerate(more["points"]):
        values = [
            f"{m.format(results[m.key][p])} {interval(m, more['intervals'][m.key][p])}"
            for m in shown
        ]
        name = tree["name"] if p == 0 else ""
        rate = [f"{results['bytes'][p]:,.0f}", f"{results['bpp'][p]:.3f}"]
        table.append([name, point, *rate, *values])
    for baseline in more["anchors"].values():
        table += _baseline_rows(baseline, more, shown)
    print_table(table)
    print_codes(more["codes"])


def _baseline_rows(baseline: dict[str, Any], more: dict[str, Any], metrics: list[Any]) -> Rows:
    """Return the lines of another codec: its means, and vqcodec less it."""
    rows = []
    for p, point in enumerate(more["points"]):
        name = baseline["name"] if p == 0 else ""
        if p in baseline["points"]:
            i = baseline["points"].index(p)
            rate = [
                f"{baseline['results']['bytes'][i]:,.0f}",
                f"{baseline['results']['bpp'][i]:.3f}",
            ]
            means = [m.format(baseline["results"][m.key][i]) for m in metrics]
        else:
            rate = ["", ""]
            means = ["" for _ in metrics]
        gains = [baseline["difference"][m.key][p] for m in metrics]
        cells = [
            f"{mean} ({m.format(gain[0], sign=True)})".strip() if gain else mean
            for m, mean, gain in zip(metrics, means, gains, strict=True)
        ]
        lacking = baseline["fits"][p] < more["data"]["pictures"]
        fits = f", {baseline['fits'][p]:,} fit" if lacking else ""
        rows.append([name, f"≤ {point}{fits}", *rate, *cells])
    rate = baseline["bd"].get(metrics[0].key, {}).get("rate")
    rows[0].append("BD-rate not comparable" if rate is None else f"BD-rate {rate:+.1f} %")
    return rows


def print_pictures(found: dict[str, Any]) -> None:
    """Print how one picture differs from another."""
    from vqcodec.metrics.image import METRICS

    console.say(f"{found['b']} against {found['a']}, {found['width']}×{found['height']} pixels")
    for metric in METRICS:
        value = found["metrics"].get(metric.key)
        if value is not None:
            console.say(f"  {metric.label:18} {metric.format(value)}")
    console.say(f"  largest difference {found['max_difference']} of 255")


def print_reports(found: dict[str, Any]) -> None:
    """Print how one report of pictures differs from another."""
    from vqcodec.metrics.image import METRICS

    for metric in METRICS:
        delta = found["bd"].get(metric.key)
        if delta is None:
            continue
        if delta["rate"] is None or delta["quality"] is None:
            console.say(f"  {metric.label}: the curves are not comparable, they hardly overlap")
        else:
            quality = metric.format(delta["quality"], sign=True)
            console.say(f"  {metric.label}: BD-rate {delta['rate']:+.2f} %, BD-quality {quality}")
    for point, differences in (found["points"] or {}).items():
        console.say(f"  {point}: {differences['bytes'][0]:+,.1f} bytes a picture")
        for metric in METRICS:
            if triple := differences.get(metric.key):
                mean, *ends = triple
                gain = metric.format(mean, sign=True)
                console.say(f"    {metric.label:12} {gain} {interval(metric, ends, sign=True)}")
