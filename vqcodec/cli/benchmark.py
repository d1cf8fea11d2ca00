"""`vqcodec benchmark`."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from vqcodec.cli import options
from vqcodec.cli.jobs import progress_bar
from vqcodec.errors import UsageError

SIZES = "128x128,768x512,6000x4000"
MOST_PIXELS = 100_000_000
N = TypeVar("N", int, float)


def benchmark(
    picture: Annotated[
        Path | None, typer.Argument(help="Picture to code instead of synthetic ones.")
    ] = None,
    model: Annotated[str, typer.Option(help="Weights, a name or a folder.")] = "image-f4",
    sizes: Annotated[
        str | None,
        typer.Option(help=f"Synthetic pictures, WIDTHxHEIGHT in pixels. [default: {SIZES}]"),
    ] = None,
    threads: Annotated[
        str | None,
        typer.Option(help="Numbers of threads, 1 to 1024, such as 1,2. [default: all cores]"),
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, max=100, help="Measurements of each, 1 to 100.")
    ] = 3,
    growth: Annotated[
        Path | None,
        typer.Option(help="Plot (.png, .svg or .pdf) of how time and memory grow; takes minutes."),
    ] = None,
    megapixels: Annotated[
        str, typer.Option(help="Sizes for --growth, in megapixels, above 0 to 100.")
    ] = "0.1,1,10,100",
    force: options.Force = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, and tables on stderr.")
    ] = False,
) -> None:
    """Compare speed and memory with the plain network, JPEG, WebP and AVIF, in one run.

    Of codecs of speech: how many times faster than real time each part is, and the WaveNet beside
    a plain one that computes anew for every sample all that it depends on.
    """
    wanted = _sizes(sizes or SIZES)
    if picture is not None and sizes is not None:
        raise UsageError("--sizes is for synthetic pictures; leave it out, or the picture")
    numbers = _numbers("--threads", threads, int, 1, 1024) if threads is not None else []
    steps = _numbers("--megapixels", megapixels, float, 1e-6, MOST_PIXELS / 1e6)
    kind = _format(growth, force)
    from vqcodec.weights import find_weights

    if find_weights(model).modality == "audio":
        if picture is not None or sizes is not None or growth is not None:
            raise UsageError(f"{model} codes speech: pictures and their sizes do not apply")
        _speech(model, numbers, rounds, as_json)
        return
    from vqcodec.benchmark.benchmark import measure, start_up, synthetic_picture
    from vqcodec.benchmark.machine import default_threads
    from vqcodec.benchmark.priors import measure_priors
    from vqcodec.media.image import Image

    numbers = numbers or [default_threads()]
    image = Image.open(picture) if picture else None
    found: dict[str, Any] = {
        "model": model,
        "picture": str(picture) if picture else "synthetic",
        **_circumstances(),
    }

    def say(text: str) -> None:
        typer.echo(text, err=as_json)  # beside JSON, the tables tell how far it is

    say(_heading(found))
    with progress_bar("starting up") as bar:
        found["start_up"] = start_up(model, numbers[-1], rounds, bar)
    say(_start_up(found["start_up"]))
    found["sizes"] = []
    for width, height in [image.size[::-1]] if image else wanted:
        one = image or synthetic_picture(height, width)
        with progress_bar(f"{width}×{height}") as bar:
            measured = measure(model, one, numbers, rounds, bar)
        found["sizes"] += measured
        say("\n".join(map(_table, measured)))
    with progress_bar("priors"):
        found["priors"] = measure_priors(model, rounds)
    say(_priors(found["priors"]))
    if growth is not None:
        found["growth"] = _grow(growth, kind, force, found, steps, numbers[-1])
        say(_growth_table(found["growth"]))
    if as_json:
        typer.echo(json.dumps(found))


def _speech(model: str, numbers: list[int], rounds: int, as_json: bool) -> None:
    from vqcodec.benchmark.generation import measure_speech
    from vqcodec.benchmark.machine import default_threads

    found: dict[str, Any] = {"model": model, **_circumstances()}
    typer.echo(_heading(found), err=as_json)
    with progress_bar("speech") as bar:
        found["speech"] = measure_speech(model, numbers or [default_threads()], rounds, bar)
    typer.echo("\n".join(map(_speech_table, found["speech"])), err=as_json)
    if as_json:
        typer.echo(json.dumps(found))


def _circumstances() -> dict[str, Any]:
    from vqcodec.benchmark.machine import commit, machine, versions

    return {"machine": machine(), "versions": versions(), "commit": commit()}


def _speech_table(found: dict[str, Any]) -> str:
    lines = [
        "",
        f"speech, {_plural(found['threads'], 'thread')}, median of {found['rounds']}",
        f"  encode         {found['encode']:10.1f} times real time",
        f"  decode, fast   {found['decode']:10.1f} times real time",
    ]
    if (drawn := found["wavenet"]) is None:
        return "\n".join([*lines, "  no WaveNet in these weights"])
    return "\n".join(
        [
            *lines,
            f"  WaveNet        {drawn['real_time']:10.2f} times real time, "
            f"{drawn['samples_per_second']:,} samples/s",
            f"  plain WaveNet  {drawn['naive_real_time']:10.4f} times real time, "
            f"{drawn['naive_samples_per_second']:,.1f} samples/s",
            f"  {'WaveNet / plain WaveNet':36} {drawn['ratio']:8,.0f} times",
        ]
    )


def _sizes(text: str) -> list[tuple[int, int]]:
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,6})[x×](\d{1,6})", part.strip())
        width, height = map(int, match.groups()) if match else (0, 0)
        if not 0 < width * height <= MOST_PIXELS:
            raise UsageError(f"--sizes: '{part}' is no size such as 768x512, of at most 100 MP")
        found.append((width, height))
    return found


def _numbers(option: str, text: str, kind: Callable[[str], N], low: N, high: N) -> list[N]:
    found = []
    for part in text.split(","):
        try:
            number = kind(part)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise UsageError(f"{option}: '{part}' is no number from {low:g} to {high:g}")
        found.append(number)
    return found


def _format(plot: Path | None, force: bool) -> str:
    """Return the format of the plot; whatever stands in its way is said before any work."""
    if plot is None:
        return ""
    from vqcodec.figures.canvas import format_of
    from vqcodec.files.atomic import check_absent

    kind = format_of(plot)
    check_absent(plot, force=force)
    import matplotlib  # noqa: F401

    return kind


def _grow(
    plot: Path, kind: str, force: bool, found: dict[str, Any], megapixels: list[float], threads: int
) -> list[dict[str, Any]]:
    from vqcodec.benchmark.growth import draw, grow
    from vqcodec.files.atomic import writing

    with progress_bar("growing") as bar:
        grown = grow(found["model"], megapixels, threads, bar)
    title = f"{found['model']} on {found['machine']['cpu']}, {_plural(threads, 'thread')}"
    with writing(plot, force=force) as file:
        draw(grown, title, file, kind)
    return grown


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _heading(found: dict[str, Any]) -> str:
    machine, versions = found["machine"], found["versions"]
    units = " with ".join([machine["capability"], *machine["bfloat16_units"][:1]])
    return (
        f"{machine['cpu']}, {_plural(machine['cores'], 'core')}, {units}, {machine['system']}\n"
        f"vqcodec {versions['vqcodec']} ({found['commit'] or 'no checkout'}), "
        f"torch {versions['torch']}, Pillow {versions['pillow']}, weights {found['model']}"
    )


def _start_up(seconds: dict[str, float]) -> str:
    parts = ", ".join(f"{label} {s:.2f} s" for label, s in seconds.items())
    return f"fresh processes, 128×128 pixels: {parts}"


def _table(found: dict[str, Any]) -> str:
    """Return what was measured on one picture with one number of threads."""
    each = "once each" if found["rounds"] == 1 else f"median of {found['rounds']}"
    lines = [
        "",
        f"{found['width']}×{found['height']} pixels, {_plural(found['threads'], 'thread')}, {each}",
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
    lines = ["", f"growth, {_plural(grown[0]['threads'], 'thread')}, once each"]
    for row in grown:
        line = f"  {row['width']:>6}×{row['height']:<6}"
        for what in ("encode", "decode"):
            peak = row["peak_mib"][what]
            line += f" {what} {row['seconds'][what]:8.2f} s"
            line += "" if peak is None else f" {peak:6.0f} MiB"
        lines.append(line)
    return "\n".join(lines)
