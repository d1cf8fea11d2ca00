"""`vqcodec info`, `repack` and `models`: none of them loads torch."""

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from vqcodec.cli import options
from vqcodec.cli.jobs import STREAM, Job, Outcome, is_folder, left_to_do, opened, plan, read_stdin
from vqcodec.errors import UsageError, WeightsError
from vqcodec.files import vqc
from vqcodec.files.codes import SUFFIXES, Codes
from vqcodec.files.contents import MODALITIES, AudioInfo, ImageInfo
from vqcodec.files.header import Header, read_header
from vqcodec.files.reader import Reader
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
            facts = _explain(codes, len(data), _coding(data), installed)
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
    return "×".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _coding(data: bytes) -> str:
    """Say how a readable file holds its indices."""
    if not data.startswith(vqc.MAGIC):
        return "NumPy arrays, deflated"
    return "stream" if vqc.is_stream(data) else "range-coded" if vqc.is_coded(data) else "packed"


def _explain(
    codes: Codes | Header, size: int, coding: str, installed: dict[str, Weights]
) -> dict[str, Any]:
    """Return the facts of a file, of which the indices may be out of reach."""
    weights = installed.get(codes.model)
    if weights is None:
        state = "not installed"
    elif weights.codebook_id != codes.codebook_id:
        state = "another codebook of this name is installed"
    elif isinstance(codes, Header):
        state = "installed without the coding prior that is needed"
    else:
        state = "installed"
    shapes = [g.shape for g in codes.grids] if isinstance(codes, Codes) else codes.shapes
    facts: dict[str, Any] = {
        "modality": MODALITIES[codes.axes],
        "model": codes.model,
        "codebook_id": codes.codebook_id.hex(),
        "weights": state,
        "axes": " ".join(codes.axes),
        "size": codes.media.size,
        "coded_size": codes.media.coded_size,
        "maps": shapes,
        "indices": sum(map(math.prod, shapes)),
        "codebook_sizes": codes.codebook_sizes,
        "codes_used": _used(codes) if isinstance(codes, Codes) else None,
    }
    media = codes.media
    if isinstance(media, ImageInfo):
        facts["transparency"] = "kept" if media.alpha is not None else "none"
    facts |= {"bytes": size, "coding": coding}
    if isinstance(media, ImageInfo):
        height, width = media.size
        facts["bpp"] = round(8 * size / (height * width), 4)
        facts["ratio"] = round(3 * height * width / size, 2)
    if isinstance(media, AudioInfo):
        facts |= _explain_sound(media, size)
    return facts


def _explain_sound(media: AudioInfo, size: int) -> dict[str, Any]:
    facts: dict[str, Any] = {"sample_rate": media.sample_rate, "level": media.level}
    facts["speaker"] = f"{len(media.speaker)} numbers" if media.speaker else "none"
    if media.sample_rate:
        duration = media.size[1] / media.sample_rate
        facts |= {"duration": round(duration, 4), "bits_per_second": round(8 * size / duration, 1)}
    return facts


def _used(codes: Codes) -> list[int]:
    import numpy as np

    return [int(np.unique(g).size) for g in codes.grids]


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
    prior: options.Prior = True,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Change the container (.npz, .vqc) without touching the indices."""
    named = output.suffix.lower() if output is not None and not is_folder(output) else ""
    suffix = f".{file_format}" if file_format else named
    if suffix not in SUFFIXES or (named in SUFFIXES and named != suffix):
        raise UsageError("say what to write: -o NAME.npz or -o NAME.vqc, or --format npz or vqc")
    jobs = plan(
        inputs,
        output,
        lambda path, *_: path.with_suffix(suffix),
        lambda path: path.suffix.lower() in SUFFIXES and path.suffix.lower() != suffix,
    )
    outcome = Outcome(jobs, as_json=as_json)
    for job in left_to_do(jobs, outcome, force=force, skip=False):
        with outcome.catching(job):
            before = _read(job.source)
            after = Codes.from_bytes(before, str(job.source)).to_bytes(suffix, prior=prior)
            with opened(job, force=force) as file:
                file.write(after)
            facts = {"input": str(job.source), "output": str(job.target), "bytes": len(after)}
            outcome.done(
                facts, f"{job.source} -> {job.target}: {len(before):,} -> {len(after):,} bytes"
            )
    outcome.close()


def models(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per set of weights.")
    ] = False,
) -> None:
    """List the weights that are installed."""
    damaged: list[str] = []
    for weights in list_weights(damaged):
        held_out, sizes = weights.held_out, weights.codebook_sizes
        facts = {
            "name": weights.name,
            "modality": weights.modality,
            **({"codebook_size": sizes[0]} if len(sizes) == 1 else {"codebook_sizes": sizes}),
            "codebook_id": weights.codebook_id.hex(),
            "held_out": held_out,
            "folder": str(weights.folder),
        }
        quality = f", {held_out['psnr']:.2f} dB on held-out pictures" if "psnr" in held_out else ""
        if "stoi" in held_out:
            quality = f", STOI {held_out['stoi']:.3f} on held-out speech"
        sentence = (
            f"{weights.name}: {weights.modality}, K = {', '.join(map(str, sizes))}{quality} "
            f"({weights.folder})"
        )
        typer.echo(json.dumps(facts) if as_json else sentence)
    for problem in damaged:
        typer.echo(f"vqcodec: left out: {problem}", err=True)


def _read(source: Path) -> bytes:
    from vqcodec.files.codes import read_limited

    return read_stdin() if source == STREAM else read_limited(source)
