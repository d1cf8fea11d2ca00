"""What the command line says of reports of every kind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from vqcodec.cli import console

Rows = list[list[str]]


def names(text: str) -> list[str]:
    """Return names that commas separate."""
    return [name.strip() for name in text.split(",") if name.strip()]


def finish(
    found: Any,
    folder: Path,
    what: str,
    show: Callable[[dict[str, Any], Any], None],
    *,
    as_json: bool,
) -> None:
    """Print the outcome of an evaluation, and end with exit status 1 where inputs were left out.

    Args:
        found: the outcome.
        folder: of the report.
        what: the inputs are, and what the tree of results calls their number.
        show: prints a tree of results.
        as_json: whether to print that instead.
    """
    for note in found.tree["evaluation"]["notes"]:
        console.note(f"note: {note}")
    if as_json:
        console.say(json.dumps(found.tree))
    else:
        show(found.tree, found.metrics)
        console.say(f"{folder / 'report.html'}")
    end(found.left_out, found.tree["evaluation"]["data"][what])


def end(left_out: list[str], measured: int) -> None:
    """Say which inputs were left out, and end with exit status 1 if any was."""
    for sentence in left_out:
        console.say(f"vqcodec: error: {' '.join(sentence.splitlines())}", err=True)
    if left_out:
        total = len(left_out) + measured
        console.say(f"vqcodec: {len(left_out)} of {total} inputs failed", err=True)
        raise typer.Exit(1)


def interval(metric: Any, ends: list[float], sign: bool = False) -> str:
    """Return an interval of a metric."""
    low, high = (f"{end:{'+' if sign else ''}.{metric.digits}f}" for end in ends)
    return f"[{low}, {high}]"


def print_codes(codes: dict[str, Any]) -> None:
    """Say how codes are used."""
    for own in codes.get("maps", [codes]):
        console.say(
            f"codes: {100 * own['usage']:.1f} % of {own['codebook_size']} used, perplexity "
            f"{own['perplexity']:.1f}"
        )
    rate, maps = codes.get("indices_per_second"), codes.get("maps", [])  # a rate of sound
    console.say(
        "bits an index" + (", and a second" if rate else "") + (", and by map" if maps else "")
    )
    rows = []
    for name, bits in codes["bits_per_index"].items():
        each = [own["bits_per_index"].get(name) for own in maps]
        by_map = [f"{own:.3f}" for own in each if own is not None]
        rows.append(["", name, f"{bits:.3f}", *([f"{bits * rate:,.0f}"] if rate else []), *by_map])
    print_table(rows)


def print_table(rows: Rows) -> None:
    """Print rows in aligned columns."""
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    for row in rows:
        console.say("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=False)).rstrip())


def circumstances() -> dict[str, Any]:
    """Return on what machine, and with what, speed is measured."""
    from vqcodec.benchmark.machine import commit, machine, versions

    return {"machine": machine(), "versions": versions(), "commit": commit()}


def plural(number: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def heading(found: dict[str, Any]) -> str:
    """Say in words what `circumstances` tells, and of which model."""
    machine, versions = found["machine"], found["versions"]
    units = " with ".join([machine["capability"], *machine["bfloat16_units"][:1]])
    return (
        f"{machine['cpu']}, {plural(machine['cores'], 'core')}, {units}, {machine['system']}\n"
        f"vqcodec {versions['vqcodec']} ({found['commit'] or 'no checkout'}), "
        f"torch {versions['torch']}, Pillow {versions['pillow']}, weights {found['model']}"
    )
