"""What `vqcodec benchmark --tokenize` says."""

import json
from pathlib import Path
from typing import Any

from vqcodec.cli import console
from vqcodec.cli.console import progress_bar
from vqcodec.cli.handlers.base import handler_of
from vqcodec.cli.options import check_exist
from vqcodec.cli.reports import circumstances, heading
from vqcodec.modality import Modality
from vqcodec.weights import find_weights

SHARDS = 8  # that loose files are cut into at least, so that processes can share them
MANY = 1000  # workers that are thought of


def benchmark_tokens(
    data: Path, model: str, modality: Modality, workers: list[int], as_json: bool
) -> None:
    """Measure what a data set takes; arguments are those of the command."""
    check_exist([data])
    from vqcodec.benchmark.tokens import measure
    from vqcodec.tokens.inputs import find_shards
    from vqcodec.tokens.settings import choose_settings
    from vqcodec.tokens.task import Task

    found = find_shards([data], modality, 10_000)
    if loose := sum(len(shard.files or ()) for shard in found.shards):
        found = find_shards([data], modality, max(1, min(10_000, loose // SHARDS)))
    told: dict[str, Any] = {
        "format": "webdataset",
        "shard_size": 10_000,
        "keep": (),
        "vqc": False,
        "loose": "",
    }
    settings = choose_settings(find_weights(model), modality, "auto", "auto", "auto", **told)
    task = Task(found.shards, Path(), settings, modality, model, "auto")
    handler = handler_of(modality)
    with progress_bar("tokenising"):
        one = measure(task, handler.read, handler.amount, workers)
    facts = {"model": model, "data": str(data), "engine": settings.engine}
    facts |= {"precision": settings.precision, **circumstances(), **one}
    if as_json:
        console.say(json.dumps(facts))
    else:
        console.say("\n".join([heading(facts), *_table(facts, modality, handler.unit)]))


def _table(facts: dict[str, Any], modality: Modality, unit: str) -> list[str]:
    """Return what was measured, in lines."""
    number, amount, total = facts["samples"], facts["amount"], sum(facts["seconds"].values())
    lines = [
        f"{facts['data']}, {facts['engine']} in {facts['precision']}, one core",
        f"  {'':12} {'seconds':>9} {'share':>7} {f'{modality.file}s/s':>14} {f'{unit}/s':>14}",
    ]
    for stage, seconds in [*facts["seconds"].items(), ("all", total)]:
        each = f"{number / seconds:14,.1f} {amount / seconds:14,.3f}"
        lines.append(f"  {stage:12} {seconds:9.3f} {seconds / total:7.1%} {each}")
    for workers, rate in facts["workers"].items():
        lines.append(f"  {f'{workers} at once':12} {'':17} {rate:14,.1f}")
    needed = facts["read_mb_per_second"] * MANY
    lines.append(f"  {MANY:,} workers would read {needed:,.0f} MB/s")
    return lines
