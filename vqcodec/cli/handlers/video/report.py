"""What `vqcodec evaluate` and `compare` say of videos."""

from pathlib import Path
from typing import Any

from vqcodec.cli import console
from vqcodec.cli.console import progress_bar
from vqcodec.cli.handlers.video.options import WORLD, Evaluation
from vqcodec.cli.messages import require
from vqcodec.cli.reports import finish, interval, names, plural, print_codes, print_table
from vqcodec.errors import UsageError
from vqcodec.modality import VIDEO

AGAINST = "h264,hevc,av1"


def evaluate(
    data: list[Path],
    output: Path,
    model: str | None,
    against: str | None,
    own: Evaluation,
    *,
    device: str,
    force: bool,
    as_json: bool,
) -> None:
    """Measure a model on videos; arguments are those of the command."""
    require("torch")
    if own.imagine is not None:
        if against:
            raise UsageError("--imagine goes with --model, --force and --json only")
        from vqcodec.evaluate.imagination.study import ImaginationStudy

        with progress_bar("imagining", lines=True) as bar:
            imagined = ImaginationStudy(
                data, output, model=model or WORLD, learn=own.imagine, device=device
            )
            outcome = imagined.run(force=force, progress=bar)
        finish(outcome, output, "videos", _print_imagined, as_json=as_json)
        return
    from vqcodec.evaluate.video.study import VideoStudy

    model, others = model or VIDEO.weights, names(AGAINST if against is None else against)
    with progress_bar("evaluating", lines=True) as bar:
        study = VideoStudy(data, output, model=model, against=others, device=device)
        found = study.run(force=force, progress=bar)
    finish(found, output, "videos", _print_results, as_json=as_json)


def _print_imagined(tree: dict[str, Any], metrics: list[Any]) -> None:
    from vqcodec.evaluate.imagination.study import cards_of, rows_of

    number = tree["evaluation"]["data"]["videos"]
    console.say(
        f"{tree['name']}, {plural(number, 'video')}; PSNR in dB after {tree['given']} frames, "
        "[95 % intervals]"
    )
    print_table(rows_of(tree))
    print_table(cards_of(tree))


def _print_results(tree: dict[str, Any], metrics: list[Any]) -> None:
    more, results = tree["evaluation"], tree["results"]
    shown = [m for m in metrics if m.key in results]
    number = more["data"]["videos"]
    videos = "1 video" if number == 1 else f"{number:,} videos"
    console.say(f"{tree['name']}, {videos}, {more['frames']:,} frames; means, [95 % intervals]")
    heads = [f"{m.label}{' ↓' if m.less_is_better else ''}" for m in shown]
    table = [["", "bytes", "bpp", *heads]]
    values = [
        f"{m.format(results[m.key][0])} {interval(m, more['intervals'][m.key][0])}" for m in shown
    ]
    table.append([tree["name"], f"{results['bytes'][0]:,.0f}", f"{results['bpp'][0]:.3f}", *values])
    for baseline in more["anchors"].values():
        if not baseline["points"]:
            table.append([baseline["name"], "no file as small"])
            continue
        row = [f"{baseline['results'][key][0]:,.{d}f}" for key, d in (("bytes", 0), ("bpp", 3))]
        for m in shown:
            gain = baseline["difference"].get(m.key, [None])[0]
            mean = m.format(baseline["results"][m.key][0]) if m.key in baseline["results"] else ""
            row.append(f"{mean} ({m.format(gain[0], sign=True)})" if gain else mean)
        table.append([f"{baseline['name']} (vqcodec less it)", *row])
    print_table(table)
    print_codes(more["codes"])


def print_videos(found: dict[str, Any]) -> None:
    """Print how one video differs from another."""
    from vqcodec.metrics.video import METRICS

    size = f"{found['frames']:,} frames of {found['width']}×{found['height']} pixels"
    console.say(f"{found['b']} against {found['a']}, {size}")
    for metric in METRICS:
        value = found["metrics"].get(metric.key)
        if value is not None:
            console.say(f"  {metric.label:18} {metric.format(value)}")
    console.say(f"  largest difference {found['max_difference']} of 255")
    console.say(f"  largest difference of times {found['max_seconds']:.4g} s")
