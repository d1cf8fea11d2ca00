"""What the command line says of reports of every kind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

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
        typer.echo(f"note: {note}", err=True)
    if as_json:
        typer.echo(json.dumps(found.tree))
    else:
        show(found.tree, found.metrics)
        typer.echo(f"{folder / 'report.html'}")
    end(found, found.tree["evaluation"]["data"][what])


def end(found: Any, measured: int) -> None:
    """Say which inputs were left out, and end with exit status 1 if any was."""
    for sentence in found.left_out:
        typer.echo(f"vqcodec: error: {' '.join(sentence.splitlines())}", err=True)
    if found.left_out:
        total = len(found.left_out) + measured
        typer.echo(f"vqcodec: {len(found.left_out)} of {total} inputs failed", err=True)
        raise typer.Exit(1)


def interval(metric: Any, ends: list[float], sign: bool = False) -> str:
    """Return an interval of a metric."""
    low, high = (f"{end:{'+' if sign else ''}.{metric.digits}f}" for end in ends)
    return f"[{low}, {high}]"


def print_codes(codes: dict[str, Any]) -> None:
    """Say how codes are used."""
    for own in codes.get("maps", [codes]):
        typer.echo(
            f"codes: {100 * own['usage']:.1f} % of {own['codebook_size']} used, perplexity "
            f"{own['perplexity']:.1f}"
        )
    rate = codes.get("indices_per_second")  # of sound
    typer.echo("bits an index" + (", and a second" if rate else ""))
    rows = []
    for name, bits in codes["bits_per_index"].items():
        rows.append(["", name, f"{bits:.3f}", *([f"{bits * rate:,.0f}"] if rate else [])])
    print_table(rows)


def print_table(rows: Rows) -> None:
    """Print rows in aligned columns."""
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    for row in rows:
        typer.echo("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=False)).rstrip())
