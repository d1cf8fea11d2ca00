"""`vqcodec encode`."""

import io
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
from vqcodec.errors import UsageError, VqcodecError
from vqcodec.files.codes import read_stream, suffix_of

if TYPE_CHECKING:
    from vqcodec.codec import Codec
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
                for job, result in _encode_batch(codec, batch, scale, colour, report):
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


def _encode_batch(
    codec: "Codec",
    batch: Loaded,
    scale: float,
    colour: tuple[int, int, int] | None,
    report: Any,
) -> list[tuple[Job, "tuple[Image, Codes, float] | Exception"]]:
    start = time.perf_counter()
    pictures = {
        job: image.flatten(colour) if colour else image
        for job, image in batch
        if not isinstance(image, Exception)
    }
    images = list(pictures.values())
    if len(images) == 1:
        found = [codec.encode(images[0], scale=scale, report=report)]
    else:
        found = codec.encode_images(images, scale=scale)
    seconds = (time.perf_counter() - start) / max(1, len(images))
    codes = dict(zip(pictures, found, strict=True))
    return [
        (job, image if isinstance(image, Exception) else (pictures[job], codes[job], seconds))
        for job, image in batch
    ]


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
