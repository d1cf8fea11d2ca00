"""What `vqcodec evaluate --bound` says."""

from pathlib import Path
from typing import Any

from vqcodec.cli import console
from vqcodec.cli.console import progress_bar
from vqcodec.cli.handlers.image.options import Evaluation
from vqcodec.cli.reports import end, names, print_table


def evaluate_bound(
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
    """Measure bounds of models on pictures; arguments are those of the command."""
    import json

    from vqcodec.evaluate.bound.study import RESULTS, BoundStudy

    study = BoundStudy(
        data,
        output,
        models=[model, *names(against or "")],
        gaussian=own.gaussian,
        device=device,
        force=force,
    )
    with progress_bar("evaluating", lines=True) as bar:
        tree = study.run(bar)
    if as_json:
        console.say(json.dumps(tree))
    else:
        print_bounds(tree)
        console.say(f"{output / RESULTS}")
    end(tree["left_out"], tree["pictures"])


def print_bounds(tree: dict[str, Any]) -> None:
    """Print the table, a row for each model."""
    side = tree["side"]
    console.say(f"{tree['pictures']:,} pictures of {side}×{side}; means ± standard errors")
    rows = [["", "bits/dim", "less the first", "tighter", "", "rate", "distortion", "gap", "used"]]
    for row in tree["models"]:
        rows.append(
            [
                row["name"],
                told(row["bound"], 3),
                told(row["less"], 4, sign=True) if row is not tree["models"][0] else "",
                told(row.get("tighter"), 3),
                row.get("how", ""),
                *(told(row.get(key), 1) for key in ("rate", "distortion", "gap")),
                f"{100 * row['used']:.0f} %" if "used" in row else "",
            ]
        )
    print_table(rows)
    console.say("rate, distortion and gap (with another picture's latents) in bits a picture")


def told(estimate: list[float] | None, digits: int, sign: bool = False) -> str:
    """Return a mean and its standard error; nothing if there is none."""
    if estimate is None:
        return ""
    mean, error = estimate
    return f"{mean:{'+' if sign else ''}.{digits}f} ± {error:.{digits}f}"
