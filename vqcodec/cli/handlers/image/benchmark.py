"""What `vqcodec benchmark` says of pictures."""

import json
from pathlib import Path
from typing import Any

from vqcodec.cli import console
from vqcodec.cli.console import progress_bar
from vqcodec.cli.handlers.image.options import Benchmarking
from vqcodec.cli.messages import require
from vqcodec.cli.outcome import check_there
from vqcodec.cli.reports import circumstances, heading, plural


def benchmark(
    model: str, own: Benchmarking, threads: list[int], rounds: int, force: bool, as_json: bool
) -> None:
    """Measure a model beside other codecs of pictures; arguments are those of the command."""
    kind = _format(own.growth, force)
    if own.picture is not None:
        check_there(own.picture)
    from vqcodec.benchmark.benchmark import measure, start_up, synthetic_picture
    from vqcodec.benchmark.machine import default_threads
    from vqcodec.benchmark.priors import measure_priors
    from vqcodec.media.image import Image

    threads = threads or [default_threads()]
    image = Image.open(own.picture) if own.picture else None
    found: dict[str, Any] = {
        "model": model,
        "picture": str(own.picture) if own.picture else "synthetic",
        **circumstances(),
    }

    def tell(text: str) -> None:
        console.say(text, err=as_json)  # beside JSON, the tables tell how far it is

    tell(heading(found))
    with progress_bar("starting up") as bar:
        found["start_up"] = start_up(model, threads[-1], rounds, bar)
    tell(_start_up(found["start_up"]))
    found["sizes"] = []
    for width, height in [image.size[::-1]] if image else own.shapes():
        one = image or synthetic_picture(height, width)
        with progress_bar(f"{width}×{height}") as bar:
            measured = measure(model, one, threads, rounds, bar)
        found["sizes"] += measured
        tell("\n".join(map(_table, measured)))
    with progress_bar("priors"):
        found["priors"] = measure_priors(model, rounds)
    tell(_priors(found["priors"]))
    if own.growth is not None:
        found["growth"] = _grow(own.growth, kind, force, found, own.steps(), threads[-1])
        tell(_growth_table(found["growth"]))
    if as_json:
        console.say(json.dumps(found))


def _format(plot: Path | None, force: bool) -> str:
    """Return the format of the plot; whatever stands in its way is said before any work."""
    if plot is None:
        return ""
    from vqcodec.figures.canvas import format_of
    from vqcodec.files.atomic import check_absent

    kind = format_of(plot)
    check_absent(plot, force=force)
    require("matplotlib")
    return kind


def _grow(
    plot: Path, kind: str, force: bool, found: dict[str, Any], megapixels: list[float], threads: int
) -> list[dict[str, Any]]:
    from vqcodec.benchmark.growth import draw, grow
    from vqcodec.files.atomic import writing

    with progress_bar("growing") as bar:
        grown = grow(found["model"], megapixels, threads, bar)
    title = f"{found['model']} on {found['machine']['cpu']}, {plural(threads, 'thread')}"
    with writing(plot, force=force) as file:
        draw(grown, title, file, kind)
    return grown


def _start_up(seconds: dict[str, float]) -> str:
    parts = ", ".join(f"{label} {s:.2f} s" for label, s in seconds.items())
    return f"fresh processes, 128×128 pixels: {parts}"


def _table(found: dict[str, Any]) -> str:
    """Return what was measured on one picture with one number of threads."""
    each = "once each" if found["rounds"] == 1 else f"median of {found['rounds']}"
    lines = [
        "",
        f"{found['width']}×{found['height']} pixels, {plural(found['threads'], 'thread')}, {each}",
        f"  {'':16} {'encode':>9} {'MP/s':>7} {'codes/s':>10}"
        f" {'decode':>10} {'MP/s':>7} {'codes/s':>10} {'bytes':>11} {'PSNR':>7}",
    ]
    for label, row in found["coders"].items():
        line = f"  {label:16}"
        for what in ("encode", "decode"):
            speed = row[what]
            codes = speed.get("codes_per_second")
            line += f" {speed['seconds']:7.3f} s {speed['megapixels_per_second']:7.2f}"
            line += f" {codes:10,} " if codes else f" {'-':>10} "
        size = f"{row['bytes']:,}" if row["bytes"] else "-"
        lines.append(f"{line}{size:>11} {row['psnr']:7.2f}")
    for label, ratio in found["ratios"].items():
        lines.append(f"  {label:36} {ratio:8.2f} times")
    if found["bf16_minus_fp32_db"] is not None:
        lines.append(f"  {'PSNR, bf16 - fp32':36} {found['bf16_minus_fp32_db']:8.3f} dB")
    for what, peak in found["peak_mib"].items():
        if peak is not None:
            lines.append(f"  {f'peak memory, {what}':36} {peak:8.0f} MiB")
    return "\n".join(lines)


def _priors(found: dict[str, Any]) -> str:
    lines = []
    for row in found["coding"]:
        shape = "×".join(map(str, row["shape"]))
        lines.append(
            f"  range coding {shape:9} encode {row['encode_seconds']:.3f} s, decode "
            f"{row['decode_seconds']:.3f} s, {row['codes_per_second']:,} codes/s"
        )
    if sampling := found["sampling"]:
        lines.append(
            f"  sampling {sampling['indices']:,} codes: {sampling['cached_seconds']:.2f} s, "
            f"{sampling['ratio']:.0f} times as fast as a pass of the network for each"
        )
    return "\n".join(["", "priors", *(lines or ["  none in these weights"])])


def _growth_table(grown: list[dict[str, Any]]) -> str:
    lines = ["", f"growth, {plural(grown[0]['threads'], 'thread')}, once each"]
    for row in grown:
        line = f"  {row['width']:>6}×{row['height']:<6}"
        for what in ("encode", "decode"):
            peak = row["peak_mib"][what]
            line += f" {what} {row['seconds'][what]:8.2f} s"
            line += "" if peak is None else f" {peak:6.0f} MiB"
        lines.append(line)
    return "\n".join(lines)
