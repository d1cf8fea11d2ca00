"""`vqcodec encode`."""

import io
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vqcodec.cli import options
from vqcodec.cli.jobs import (
    STREAM,
    Job,
    Outcome,
    is_folder,
    left_to_do,
    opened,
    plan,
    progress_bar,
    read_stdin,
)
from vqcodec.errors import MediaError, UsageError, VqcodecError
from vqcodec.files.codes import read_stream, suffix_of

if TYPE_CHECKING:
    from vqcodec.codec import Codec, Report
    from vqcodec.files.codes import Codes
    from vqcodec.media.image import Image

BATCH_PIXELS = 1 << 20  # pictures are computed together up to this many pixels
HEAVY_PIXELS = 1 << 24  # larger ones are not read ahead, so that only one is in memory
FORMATS = ("npz", "vqc")


def encode(
    inputs: Annotated[
        list[Path], typer.Argument(help="Pictures or folders of them; - for standard input.")
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="File (.npz or .vqc), folder, or - for stdout."),
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option("--format", help="npz (NumPy arrays) or vqc (few bytes). [default: npz]"),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Weights: a name that `vqcodec models` lists, or a folder.")
    ] = "image-f4",
    scale: Annotated[
        float,
        typer.Option(help="Code a picture smaller by this factor, above 0 and at most 1."),
    ] = 1.0,
    quality: Annotated[
        int | None,
        typer.Option(help="1 to 100: less for fewer bytes in a .vqc; 100 leaves the rate alone."),
    ] = None,
    rate_weight: Annotated[
        float | None,
        typer.Option(
            help="Instead of --quality: squared error, in 8-bit levels summed over pixels and "
            "colours, that saving a bit may cost; 0 or more."
        ),
    ] = None,
    target_bytes: Annotated[
        int | None,
        typer.Option(help="Instead of --quality: the .vqc has at most this many bytes."),
    ] = None,
    effort: Annotated[
        int | None,
        typer.Option(
            help="0 to 9: how far to search for better codes than the nearest; each step takes "
            "longer. [default: 0, and 4 where a rate is asked for]"
        ),
    ] = None,
    background: Annotated[
        str | None,
        typer.Option(help="Put transparent pictures on this colour, such as white or #rrggbb."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Decode again and print the PSNR, in dB.")
    ] = False,
    prior: options.Prior = True,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    skip_existing: options.SkipExisting = False,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Turn pictures into code files: image.png becomes image.npz."""
    suffix = _suffix(file_format, output)
    if not 0 < scale <= 1:
        raise UsageError(f"--scale is {scale}, must be above 0 and at most 1")
    wanted = _wanted(quality, rate_weight, target_bytes, effort)
    if target_bytes is not None and (suffix != ".vqc" or not prior or scale != 1):
        raise UsageError("--target-bytes needs a .vqc with a prior, and chooses the scale itself")
    jobs = plan(inputs, output, lambda p, _: p.with_suffix(suffix), _is_picture)
    outcome = Outcome(jobs, as_json=as_json)
    jobs = left_to_do(jobs, outcome, force=force, skip=skip_existing)
    if jobs:
        colour = _colour(background)
        from vqcodec.codec import Codec

        codec = Codec.load(model, device, precision)
        with progress_bar("encoding") as bar:
            count = 0
            for batch in _read_ahead(jobs):
                report = bar if len(jobs) == 1 else None
                for job, result in _encode_batch(codec, batch, scale, colour, wanted, report):
                    count += 1
                    with outcome.catching(job):
                        if isinstance(result, Exception):
                            raise result
                        image, codes, seconds = result
                        data = codes.to_bytes(suffix, prior=prior)
                        with opened(job, force=force) as file:
                            file.write(data)
                        facts = _facts(job, image, codes, len(data), seconds)
                        if verify:
                            facts["psnr"] = _verify(codec, image, codes)
                        outcome.done(facts, _sentence(facts, image))
                    if len(jobs) > 1:
                        bar(count / len(jobs))
    outcome.close()


Loaded = list[tuple[Job, "Image | Exception"]]


def _read_ahead(jobs: list[Job]) -> Iterator[Loaded]:
    """Yield small pictures by the batch, the next one being read while one is in use."""
    from vqcodec.media.image import peek_size

    batches: list[list[Job]] = []
    heavy: list[bool] = []
    room = 0
    for job in jobs:
        height, width = peek_size(job.source) if job.source.is_file() else (0, 0)
        pixels = height * width
        if not batches or pixels > room:
            batches.append([])
            heavy.append(False)
            room = BATCH_PIXELS
        batches[-1].append(job)
        heavy[-1] = heavy[-1] or pixels > HEAVY_PIXELS
        room -= pixels
    with ThreadPoolExecutor(1) as pool:
        ahead = None
        for position, batch in enumerate(batches):
            loaded = ahead.result() if ahead else _load(batch)
            ahead = None
            if position + 1 < len(batches) and not (heavy[position] or heavy[position + 1]):
                ahead = pool.submit(_load, batches[position + 1])
            yield loaded


def _load(batch: list[Job]) -> Loaded:
    return [(job, _open(job)) for job in batch]


def _open(job: Job) -> "Image | Exception":
    from vqcodec.media.image import Image

    try:
        if job.source == STREAM:
            return Image.open(io.BytesIO(read_stdin()), "standard input")
        if job.source.is_fifo():  # decoders seek
            with job.source.open("rb") as pipe:
                return Image.open(io.BytesIO(read_stream(pipe, str(job.source))), str(job.source))
        return Image.open(job.source)
    except (VqcodecError, OSError, MemoryError) as error:
        return error


@dataclass(frozen=True)
class Wanted:
    """What to search for: see the options of the same names."""

    rate_weight: float
    target_bytes: int | None
    effort: int


def _wanted(
    quality: int | None, rate_weight: float | None, target_bytes: int | None, effort: int | None
) -> Wanted:
    rates = [o for o in (quality, rate_weight, target_bytes) if o is not None]
    if len(rates) > 1:
        raise UsageError("--quality, --rate-weight and --target-bytes exclude each other")
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"--quality is {quality}, must be 1 to 100")
    if rate_weight is not None and not 0 <= rate_weight <= 1e9:
        raise UsageError(f"--rate-weight is {rate_weight}, must be 0 or more")
    if target_bytes is not None and target_bytes < 1:
        raise UsageError(f"--target-bytes is {target_bytes}, must be 1 or more")
    if effort is None:
        effort = 4 if rates else 0
    least = 1 if rates else 0
    if not least <= effort <= 9:
        raise UsageError(f"--effort is {effort}, must be {least} to 9")
    if quality is not None:
        from vqcodec.rate import weight_of

        rate_weight = weight_of(quality)
    return Wanted(rate_weight or 0.0, target_bytes, effort)


Encoded = list[tuple[Job, "tuple[Image, Codes, float] | Exception"]]


def _encode_batch(
    codec: "Codec",
    batch: Loaded,
    scale: float,
    colour: tuple[int, int, int] | None,
    wanted: Wanted,
    report: "Report | None",
) -> Encoded:
    """Return picture, codes and seconds of each job, or why there are none."""
    pictures = {
        job: image.flatten(colour) if colour else image
        for job, image in batch
        if not isinstance(image, Exception)
    }
    results: dict[Job, tuple[Image, Codes, float] | Exception] = {
        job: image for job, image in batch if isinstance(image, Exception)
    }
    if wanted.effort or len(pictures) == 1:
        for job, image in pictures.items():
            try:
                start = time.perf_counter()
                codes = _encode_one(codec, image, scale, wanted, report)
                results[job] = image, codes, time.perf_counter() - start
            except MediaError as error:  # the others can still be coded
                results[job] = MediaError(f"{job.source}: {error}")
    else:
        start = time.perf_counter()
        found = codec.encode_images(list(pictures.values()), scale=scale)
        seconds = (time.perf_counter() - start) / max(1, len(pictures))
        for (job, image), codes in zip(pictures.items(), found, strict=True):
            results[job] = image, codes, seconds
    return [(job, results[job]) for job, _ in batch]


def _encode_one(
    codec: "Codec", image: "Image", scale: float, wanted: Wanted, report: "Report | None"
) -> "Codes":
    if wanted.target_bytes is not None:
        from vqcodec.rate import encode_to

        return encode_to(codec, image, wanted.target_bytes, effort=wanted.effort, report=report)
    return codec.encode(
        image, scale=scale, rate_weight=wanted.rate_weight, effort=wanted.effort, report=report
    )


def _facts(job: Job, image: "Image", codes: "Codes", size: int, seconds: float) -> dict[str, Any]:
    height, width = image.size
    facts = {
        "input": str(job.source),
        "output": str(job.target),
        "width": width,
        "height": height,
        "indices": sum(g.size for g in codes.grids),
        "bytes": size,
        "bpp": round(8 * size / (height * width), 4),
        "ratio": round(3 * height * width / size, 2),
        "seconds": round(seconds, 4),
    }
    if job.source.is_file():
        facts["input_bytes"] = job.source.stat().st_size
    if image.notes:
        facts["notes"] = list(image.notes)
    return facts


def _verify(codec: "Codec", image: "Image", codes: "Codes") -> float | None:
    """Return the PSNR of the round trip; None where it is infinite (JSON has no such number)."""
    import math

    from vqcodec.evaluate.metrics import psnr

    value = psnr(image.pixels, codec.decode(codes).pixels)
    return round(value, 3) if math.isfinite(value) else None


def _sentence(facts: dict[str, Any], image: "Image") -> str:
    ratio = f"{facts['ratio']:.3g} times smaller than its pixels"
    if "input_bytes" in facts:
        ratio += f", {facts['input_bytes'] / facts['bytes']:.3g} than its file"
    text = (
        f"{facts['input']} -> {facts['output']}: {facts['width']}×{facts['height']} pixels, "
        f"{facts['indices']:,} indices, {facts['bytes']:,} bytes ({ratio}), {facts['bpp']:.3g} bpp"
    )
    if "psnr" in facts:
        psnr = facts["psnr"]
        text += ", without loss" if psnr is None else f", PSNR {psnr:.2f} dB"
    return "; ".join([text, *image.notes])


def _suffix(file_format: str | None, output: Path | None) -> str:
    """Return ``.npz`` or ``.vqc``, by ``--format``, else by the name of the output."""
    if file_format is not None and file_format not in FORMATS:
        raise UsageError(f"no format '{file_format}'; there are: {', '.join(FORMATS)}")
    suffix = f".{file_format}" if file_format else ".npz"
    if output is None or output == STREAM or is_folder(output) or not output.suffix:
        return suffix
    own = suffix_of(output)
    if file_format and own != suffix:
        raise UsageError(f"{output}: its suffix contradicts --format {file_format}")
    return own


def _colour(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    from vqcodec.media.image import parse_colour

    return parse_colour(text)


def _is_picture(path: Path) -> bool:
    from vqcodec.media.image import picture_suffixes

    return path.suffix.lower() in picture_suffixes()
