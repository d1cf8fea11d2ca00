"""`vqcodec info` and `repack`, which do without torch."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from vqcodec.cli import options
from vqcodec.cli.handlers.base import handler_of
from vqcodec.cli.jobs import STREAM, Job, is_folder, opened, plan, read_stdin
from vqcodec.cli.outcome import Outcome, left_to_do
from vqcodec.errors import UsageError, WeightsError
from vqcodec.files import vqc
from vqcodec.files.codes import SUFFIXES, Codes
from vqcodec.files.header import Header, read_header
from vqcodec.files.reader import Reader
from vqcodec.modality import MODALITIES, NAMES
from vqcodec.weights import Weights, list_weights


def info(
    inputs: Annotated[list[Path], typer.Argument(help="Code files; - for standard input.")],
    as_json: options.Json = False,
) -> None:
    """Explain code files."""
    installed = {w.name: w for w in list_weights()}
    jobs = [Job(source, source) for source in inputs]
    outcome = Outcome(jobs, as_json=as_json)
    for job in jobs:
        with outcome.catching(job):
            data = _read(job.source)
            codes: Codes | Header
            try:
                codes = Codes.from_bytes(data, str(job.source))
            except WeightsError:  # range-coded, by a coding prior that is not there
                codes = read_header(Reader(data))
            facts = _explain(codes, len(data), _coding(data), _of_maps(data), installed)
            facts = {"input": str(job.source), **facts}
            width = max(map(len, facts))
            lines = [f"{k.replace('_', ' '):{width}}  {_plain(v)}" for k, v in facts.items()]
            outcome.done(facts, "\n".join(lines))
    outcome.close()


def _plain(value: Any) -> str:
    """Write a size as 32×32, several of them with commas, and anything else as it is."""
    if value is None:
        return "unknown"
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    if isinstance(value, tuple):
        return "×".join("?" if number is None else str(number) for number in value)
    return str(value)


def _coding(data: bytes) -> str:
    """Say how a readable file holds its indices."""
    if not data.startswith(vqc.MAGIC):
        return "NumPy arrays, deflated"
    if vqc.is_video(data):
        return "groups of frames, range-coded" if vqc.is_coded(data) else "groups of frames, packed"
    return "stream" if vqc.is_stream(data) else "range-coded" if vqc.is_coded(data) else "packed"


def _of_maps(data: bytes) -> dict[str, Any]:
    """Return what the maps of a readable file take where there are several, and which it lacks."""
    if not data.startswith(vqc.MAGIC):
        return {}
    header, sizes = read_header(Reader(data)), vqc.map_bytes(data)
    missing = len(header.maps) - len(sizes) if sizes else 0
    facts: dict[str, Any] = {"condition": header.condition} if header.condition else {}
    if sizes and len(header.maps) > 1:
        facts["map_bytes"] = sizes
    return facts | ({"missing_maps": missing} if missing else {})


def _explain(
    codes: Codes | Header,
    size: int,
    coding: str,
    of_maps: dict[str, Any],
    installed: dict[str, Weights],
) -> dict[str, Any]:
    """Return the facts of a file, of which the indices may be out of reach."""
    weights = installed.get(codes.model)
    if weights is None:
        state = "not installed"
    elif weights.of_codes(codes.codebook_id) is None:
        state = "another codebook of this name is installed"
    elif isinstance(codes, Header):
        state = "installed without the coding prior that is needed"
    else:
        state = "installed"
    shapes = [g.shape for g in codes.grids] if isinstance(codes, Codes) else codes.shapes
    indices = sum(map(math.prod, shapes))
    facts: dict[str, Any] = {
        "modality": NAMES[codes.axes],
        "model": codes.model,
        "codebook_id": codes.codebook_id.hex(),
        "weights": state,
        "axes": " ".join(codes.axes),
        "size": _known(codes.media.size),
        "coded_size": _known(codes.media.coded_size),
        "maps": [_known(shape) for shape in shapes],
        "indices": indices or None,
        "codebook_sizes": codes.codebook_sizes,
        "codes_used": _used(codes) if isinstance(codes, Codes) else None,
    }
    facts |= {"bytes": size, "coding": coding, **of_maps}
    for modality in MODALITIES:
        if modality.axes == codes.axes:
            facts |= handler_of(modality).facts(codes.media, size)
    return facts


def _known(shape: tuple[int, ...]) -> tuple[int | None, ...]:
    """Return a shape: the frames of a video are unknown where none of them can be read."""
    return tuple(number or None for number in shape)


def _used(codes: Codes) -> list[int]:
    import numpy as np

    # np.unique would import masked arrays, which takes as long as all the rest
    return [int(np.count_nonzero(np.bincount(g.ravel()))) for g in codes.grids]


def repack(
    inputs: Annotated[
        list[Path], typer.Argument(help="Code files or folders of them; - for standard input.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File (.npz or .vqc), folder, or - for stdout."),
    ] = None,
    file_format: Annotated[
        str | None, typer.Option("--format", help="npz or vqc, where -o names no suffix.")
    ] = None,
    codebooks: Annotated[
        int | None,
        typer.Option(help="Of speech, keep the codes of so many codebooks, the first ones."),
    ] = None,
    prior: options.Prior = True,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Change the container of codes, or drop codebooks.

    Nothing is coded anew.
    """
    named = output.suffix.lower() if output is not None and not is_folder(output) else ""
    suffix = f".{file_format}" if file_format else named
    if suffix not in SUFFIXES or (named in SUFFIXES and named != suffix):
        raise UsageError("say what to write: -o NAME.npz or -o NAME.vqc, or --format npz or vqc")
    jobs = plan(
        inputs,
        output,
        lambda path, *_: path.with_suffix(suffix),
        lambda p: p.suffix.lower() in set(SUFFIXES) - ({suffix} if codebooks is None else set()),
    )
    outcome = Outcome(jobs, "repacked", as_json=as_json)
    for job in left_to_do(jobs, outcome, force=force, skip=False):
        with outcome.catching(job):
            before = _read(job.source)
            codes = Codes.from_bytes(before, str(job.source))
            if codebooks is not None:
                codes = codes.with_codebooks(codebooks)
            after = codes.to_bytes(suffix, prior=prior)
            with opened(job, force=force) as file:
                file.write(after)
            facts = {"input": str(job.source), "output": str(job.target), "bytes": len(after)}
            facts["input_bytes"] = len(before)
            outcome.done(
                facts, f"{job.source} -> {job.target}: {len(before):,} -> {len(after):,} bytes"
            )
    outcome.close()


def _read(source: Path) -> bytes:
    from vqcodec.files.codes import read_limited

    return read_stdin() if source == STREAM else read_limited(source)
