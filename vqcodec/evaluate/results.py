"""The files of figures in a report.

``results.json`` has the layout of CompressAI's published results (name, description, and lists by
metric, one entry for each point, lowest rate first), so that what reads those reads it too; what
they have no place for is under ``evaluation``. Of sound the rate is ``kbps``, kbit/s.
``anchors/NAME.json`` are the same of the baselines, and ``results.csv`` has one row for each file
that was measured.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vqcodec.errors import FormatError
from vqcodec.evaluate.table import KBPS, RATE
from vqcodec.files.atomic import writing

RESULTS, CSV = "results.json", "results.csv"
BASELINES = "anchors"  # in results and as a folder: the name that reports are read by
MAX_BYTES = 1 << 24


def digest(identities: Iterable[str]) -> str:
    """Return a digest of a data set, from those of its members in any order."""
    return hashlib.sha256("\n".join(sorted(identities)).encode()).hexdigest()[:32]


def write_results(folder: Path, tree: dict[str, Any]) -> None:
    """Write ``results.json`` and ``anchors/*.json``.

    Raises:
        OutputError: a file cannot be written.
    """
    _write(folder / RESULTS, _json(tree))
    for old in (folder / BASELINES).glob("*.json"):
        old.unlink()
    for name, baseline in tree["evaluation"][BASELINES].items():
        if baseline["results"]:
            (folder / BASELINES).mkdir(exist_ok=True)
            published = {key: baseline[key] for key in ("name", "description", "results")}
            _write(folder / BASELINES / f"{name}.json", _json(published))


def write_rows(folder: Path, rows: list[list[Any]]) -> None:
    """Write ``results.csv``; what is None stays empty.

    Raises:
        OutputError: it cannot be written.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    _write(folder / CSV, text.getvalue())


def read_results(path: Path) -> dict[str, Any]:
    """Read a report: its folder, its ``results.json``, or a result that CompressAI published.

    Raises:
        FormatError: it is missing, or something else.
    """
    file = path / RESULTS if path.is_dir() else path
    try:
        if file.stat().st_size > MAX_BYTES:
            raise FormatError(f"{file}: larger than any report")
        tree = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FormatError(f"{path}: holds no {RESULTS}, so it is no report") from None
    except OSError as error:
        raise FormatError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise FormatError(f"{file}: not valid JSON") from None
    curve = tree.get("results") if isinstance(tree, dict) else None
    if not isinstance(curve, dict) or not _is_curve(curve):
        raise FormatError(f"{file}: holds no results of a codec")
    return dict(tree)


def rate_of(curve: dict[str, Any]) -> str:
    """Return the key of a curve's rate: that of sound, or else that of pictures."""
    return KBPS if KBPS in curve else RATE


def _is_curve(curve: dict[str, Any]) -> bool:
    """Return whether this is a list of positive rates, one of sound, and others of that length."""
    rates = curve.get(rate_of(curve))
    return (
        isinstance(rates, list)
        and (KBPS not in curve or len(rates) == 1)
        and all(isinstance(v, list) and len(v) == len(rates) for v in curve.values())
        and all(isinstance(x, int | float) for v in curve.values() for x in v)
        and all(rate > 0 for rate in rates)
    )


def _json(tree: dict[str, Any]) -> str:
    return json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _write(path: Path, text: str) -> None:
    with writing(path, force=True) as file:
        file.write(text.encode())
