"""`vqcodec tokenize`."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vqcodec.cli import console, options
from vqcodec.cli.console import progress_bar
from vqcodec.cli.handlers.base import Loading, handler_of
from vqcodec.cli.messages import printable, require
from vqcodec.cli.reports import names
from vqcodec.cli.tokenwork import here, run, there
from vqcodec.errors import OutputError, UsageError
from vqcodec.modality import AUDIO, MODALITIES
from vqcodec.weights import find_weights

if TYPE_CHECKING:
    from vqcodec.tokens.task import Task

RESERVED = ("key", "meta", "indices", "vqc")  # what shards call their own


def tokenize(
    inputs: Annotated[
        list[Path],
        typer.Argument(help="Folders, tars (WebDataset shards too), pictures, recordings, videos."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the token shards.")],
    file_format: Annotated[
        str,
        typer.Option(
            "--format",
            help="webdataset (tars), parquet, or shar (of recordings: a field for Lhotse).",
        ),
    ] = "webdataset",
    model: Annotated[
        str | None,
        typer.Option(
            help="Weights: a name that `vqcodec models` lists, or a folder. "
            f"[default: {options.DEFAULT_WEIGHTS}]"
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1024,
            help="Processes, 1 to 1024. [default: one a core; one on a GPU; with --ray, as many "
            "as there is room for]",
        ),
    ] = None,
    shard_size: Annotated[
        int,
        typer.Option(
            min=1, max=1_000_000, help="Loose files in a shard, 1 to 1000000; a tar is one anyway."
        ),
    ] = 10_000,
    keep: Annotated[
        str,
        typer.Option(help="Copy these other files of each sample, by extension: json,cls,txt."),
    ] = "",
    with_vqc: Annotated[
        bool, typer.Option("--with-vqc", help="Add range-coded bytes of each sample.")
    ] = False,
    max_errors: Annotated[
        int | None,
        typer.Option(min=0, help="End with an error when more samples than these cannot be coded."),
    ] = None,
    verify: Annotated[
        int,
        typer.Option(min=0, max=10_000, help="Decode this many random samples, and measure them."),
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List the shards and what is left; write nothing.")
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            help="Share the work among the nodes of a Ray cluster: auto, which is this machine's, "
            "or HOST:PORT; or local, to start one."
        ),
    ] = None,
    num_cpus: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=1024, help="With --ray: cores to reserve for a shard. [default: 1]"
        ),
    ] = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    engine: options.Engine = "auto",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per shard.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Turn a data set into shards of indices.

    Killed at any moment, the same command goes on, and the same command beside it, on this machine
    or another, shares the work. Samples that cannot be coded are listed in _vqcodec/ in the folder.
    """
    from vqcodec.tokens.inputs import find_modality, find_shards, kinds_of
    from vqcodec.tokens.manifest import check_fresh, check_same, read_settings
    from vqcodec.tokens.settings import choose_settings
    from vqcodec.tokens.task import Task

    options.check_exist(inputs)
    kept = tuple(names(keep))
    _check(inputs, output, file_format, kept)
    if ray is not None:
        require("ray")
        inputs, output = [path.resolve() for path in inputs], output.resolve()  # for all nodes
    elif num_cpus is not None:
        raise UsageError("--num-cpus is for --ray")
    modality = find_modality(inputs, kinds_of(find_weights(model)) if model else MODALITIES)
    loading = Loading(model or modality.weights, device, precision, engine)
    loading.check(modality)
    if file_format == "shar" and (modality is not AUDIO or kept or with_vqc):
        raise UsageError(f"--format shar is for {AUDIO.media}, and holds nothing beside indices")
    found = find_shards(inputs, modality, shard_size)
    if found.passed_over:
        most = ", ".join(f"{n} × {suffix}" for suffix, n in found.passed_over.most_common(5))
        total = found.passed_over.total()
        others = "other file" if total == 1 else "other files"
        console.note(f"vqcodec: passed over {total} {others} ({most})")
    known = read_settings(output)
    settings = choose_settings(
        find_weights(loading.model),
        modality,
        device,
        precision,
        engine,
        known,
        format=file_format,
        shard_size=shard_size,
        keep=kept,
        vqc=with_vqc,
        loose=found.digest,
    )
    if known is None:
        check_fresh(output)
    else:
        check_same(output, known, settings)
    task = Task(found.shards, output, settings, modality, loading.model, device)
    if dry_run:
        _list(task, as_json)
        return
    work = here(task, workers) if ray is None else there(task, ray, num_cpus or 1.0, workers)
    run(task, work, max_errors, as_json)
    if verify:
        _verify(task, verify, as_json)


def _check(inputs: list[Path], output: Path, file_format: str, kept: tuple[str, ...]) -> None:
    """Raise an error for what cannot work, before any work."""
    from vqcodec.tokens.formats import find_format
    from vqcodec.tokens.formats.parquet import SIDES

    find_format(file_format)
    if file_format == "parquet":
        require("pyarrow")
    for extension in kept:
        if re.split("[._]", extension)[0] in (*RESERVED, *SIDES.values()):
            raise UsageError(f"--keep: '{extension}' is what token shards call a part of their own")
    for path in inputs:
        there, mine = path.resolve(), output.resolve()
        if there == mine or there in mine.parents:
            raise UsageError(f"{output}: lies in the input {path}; name a folder outside of it")


def _list(task: "Task", as_json: bool) -> None:
    """Say of each shard whether it is done."""
    left = 0
    for shard in task.shards:
        done = task.is_done(shard)
        left += not done
        if as_json:
            console.say(json.dumps({"shard": shard.name, "done": done}))
        else:
            what = "a tar" if shard.files is None else f"{len(shard.files):,} files"
            console.say(printable(f"{shard.name}: {what}, {'done' if done else 'to do'}"))
    if not as_json:
        console.say(f"{left:,} of {len(task.shards):,} shards are left to do")


def _verify(task: "Task", number: int, as_json: bool) -> None:
    """Decode samples, and print how near they come to their originals."""
    from vqcodec.tokens.verify import draw

    handler = handler_of(task.modality)
    how = task.settings.precision, task.settings.engine
    codec = Loading(task.model, task.device, *how).codec(task.modality)
    values = []
    with progress_bar("verifying", number) as bar:
        for count, (name, data, codes) in enumerate(draw(task, number), 1):
            measure, value = handler.fidelity(codec, data, name, codes)
            values += [] if value is None else [value]
            bar(count)
    if not values:
        raise OutputError(f"{task.output}: holds no sample that could be measured")
    mean, label = sum(values) / len(values), measure.label
    card = codec.weights.held_out.get(label.lower())
    if as_json:
        told = {"verified": len(values), "measure": measure.key, "mean": mean}
        console.say(json.dumps({**told, "card": card}))
        return
    beside = "" if card is None else f" (the model's card: {measure.format(card)})"
    console.say(f"{len(values)} samples decoded: {label} {measure.format(mean)}{beside}")
