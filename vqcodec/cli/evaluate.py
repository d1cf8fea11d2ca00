"""`vqcodec evaluate` and `vqcodec compare`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from vqcodec.cli.data import SPEECH, default_model
from vqcodec.cli.handlers import speechreport as speech
from vqcodec.cli.jobs import progress_bar
from vqcodec.cli.reports import Rows, finish, interval, names, print_codes, print_table
from vqcodec.errors import UsageError
from vqcodec.weights import find_weights


def evaluate(
    data: Annotated[
        list[Path],
        typer.Argument(help="Pictures or recordings, folders (recursive), or uncompressed tars."),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="Folder of the report; an interrupted one goes on."),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="Weights, a name or a folder. [default: image-f4; speech-64x where the data holds "
            "recordings and no pictures]"
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Codecs to compare with, separated by commas; '' for none. [default: "
            "jpeg,webp,avif,jxl; of speech opus-6k,codec2-2400,codec2-700c]"
        ),
    ] = None,
    quality: Annotated[
        str, typer.Option(help="Measure at these qualities, such as 100,80,60; each 1 to 100.")
    ] = "",
    target_bytes: Annotated[
        str, typer.Option(help="Measure at files of at most these sizes, such as 700,600.")
    ] = "",
    phones: Annotated[
        bool,
        typer.Option(
            "--phones",
            help="Measure what codes tell of phones, on speech whose phones.csv marks them.",
        ),
    ] = False,
    voices: Annotated[
        str | None,
        typer.Option(
            help="Convert the recordings to these speakers, names that `vqcodec speakers` lists, "
            "with commas, and measure that. Folders tell who speaks (DATA/SPEAKER/x.flac), or a "
            "manifest.csv, or the layout of LibriSpeech, VCTK, LJSpeech or CMU ARCTIC. The named "
            "speakers must be among them: that tells what they sound like. Files of one text, or "
            "where it is not known of one name, are the same sentence."
        ),
    ] = None,
    babble: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            help="Draw as much babble as there is of each of the first recordings, this many, 1 to "
            "100, up to 10 s of each, and measure how like speech both are.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Start over where the folder holds a report.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results.json.")] = False,
) -> None:
    """Measure a model on pictures or speech, beside other codecs; write a report.

    Into the folder go report.html, results.json, results.csv and, of pictures, plots.
    """
    qualities = _numbers("--quality", quality, 100)
    targets = _numbers("--target-bytes", target_bytes, 1 << 30)
    if qualities and targets:
        raise UsageError("--quality and --target-bytes exclude each other")
    if voices is not None:
        if phones or babble or qualities or targets or against:
            raise UsageError("--voices goes with --model, --force and --json only")
        speech.evaluate_voices(data, output, model, voices, force=force, as_json=as_json)
        return
    if babble is not None:
        if phones or qualities or targets or against:
            raise UsageError("--babble goes with --model, --force and --json only")
        speech.evaluate_babble(data, output, model or SPEECH, babble, force=force, as_json=as_json)
        return
    model = model or (SPEECH if phones else default_model(data))
    if find_weights(model).modality == "audio":
        if qualities or targets:
            raise UsageError(f"--quality and --target-bytes are for pictures; {model} codes speech")
        if phones:
            speech.evaluate_phones(data, output, model, force=force, as_json=as_json)
        else:
            speech.evaluate(data, output, model, against, force=force, as_json=as_json)
        return
    if phones:
        raise UsageError(f"--phones is for speech; {model} codes pictures")
    from vqcodec.evaluate.image.points import points_of
    from vqcodec.evaluate.image.study import ImageStudy

    others = names("jpeg,webp,avif,jxl" if against is None else against)
    points = points_of(qualities, targets)
    with progress_bar("evaluating", lines=True) as bar:
        study = ImageStudy(data, output, model=model, against=others, points=points)
        found = study.run(force=force, progress=bar)
    finish(found, output, "pictures", _print_results, as_json=as_json)


def _numbers(option: str, text: str, most: int) -> list[int]:
    """Read whole numbers from 1 to `most`, separated by commas."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(p.isdecimal() and 1 <= int(p) <= most for p in parts):
        raise UsageError(f"{option} is '{text}', must be numbers from 1 to {most:,}, with commas")
    return [int(p) for p in parts]


def compare(
    a: Annotated[Path, typer.Argument(help="A picture, or a report (folder or results.json).")],
    b: Annotated[Path, typer.Argument(help="Another of the same kind.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare two pictures, or two reports: how B differs from A."""
    from vqcodec.evaluate.compare import compare as measure

    found = measure(a, b)
    if as_json:
        typer.echo(json.dumps(found))
        return
    for note in found["notes"]:
        typer.echo(f"note: {note}", err=True)
    if "points" in found:
        typer.echo(f"{found['b']} ({found['names'][1]}) against {found['a']} ({found['names'][0]})")
        (_print_reports if found["bd"] else speech.print_reports)(found)
    else:
        _print_pictures(found)


def _print_results(tree: dict[str, Any], metrics: list[Any]) -> None:
    more, results = tree["evaluation"], tree["results"]
    shown = [m for m in metrics if m.key in results]
    typer.echo(f"{tree['name']}, {more['data']['pictures']:,} pictures; means, [95 % intervals]")
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


def _print_pictures(found: dict[str, Any]) -> None:
    from vqcodec.metrics.image import METRICS

    typer.echo(f"{found['b']} against {found['a']}, {found['width']}×{found['height']} pixels")
    for metric in METRICS:
        value = found["metrics"].get(metric.key)
        if value is not None:
            typer.echo(f"  {metric.label:18} {metric.format(value)}")
    typer.echo(f"  largest difference {found['max_difference']} of 255")


def _print_reports(found: dict[str, Any]) -> None:
    from vqcodec.metrics.image import METRICS

    for metric in METRICS:
        delta = found["bd"].get(metric.key)
        if delta is None:
            continue
        if delta["rate"] is None or delta["quality"] is None:
            typer.echo(f"  {metric.label}: the curves are not comparable, they hardly overlap")
        else:
            quality = metric.format(delta["quality"], sign=True)
            typer.echo(f"  {metric.label}: BD-rate {delta['rate']:+.2f} %, BD-quality {quality}")
    for point, differences in (found["points"] or {}).items():
        typer.echo(f"  {point}: {differences['bytes'][0]:+,.1f} bytes a picture")
        for metric in METRICS:
            if triple := differences.get(metric.key):
                mean, *ends = triple
                gain = metric.format(mean, sign=True)
                typer.echo(f"    {metric.label:12} {gain} {interval(metric, ends, sign=True)}")
