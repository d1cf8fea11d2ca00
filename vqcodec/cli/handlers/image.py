"""Pictures for `vqcodec encode`."""

import io
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from vqcodec.cli.jobs import STREAM, Job, Outcome, opened, progress_bar
from vqcodec.errors import MediaError, VqcodecError
from vqcodec.files.codes import read_stream

if TYPE_CHECKING:
    from vqcodec.codec.base import Report
    from vqcodec.codec.image import Codec
    from vqcodec.files.codes import Codes
    from vqcodec.media.image import Image

BATCH_PIXELS = 1 << 20  # pictures are computed together up to this many pixels
HEAVY_PIXELS = 1 << 24  # larger ones are not read ahead, so that only one is in memory


@dataclass(frozen=True)
class Wanted:
    """How pictures are to be encoded, and what to search for: see the options of the same names.

    Attributes:
        suffix: ``.npz`` or ``.vqc``.
        colour: to put transparent pictures on; None leaves them.
    """

    suffix: str
    scale: float
    rate_weight: float
    target_bytes: int | None
    effort: int
    colour: tuple[int, int, int] | None
    verify: bool
    prior: bool
    force: bool


def encode_pictures(
    codec: "Codec", jobs: list[Job], outcome: Outcome, wanted: Wanted, stdin: BinaryIO | None
) -> None:
    """Encode every job; `stdin` is standard input, if it is among them."""
    with progress_bar("encoding") as bar:
        count = 0
        for batch in _read_ahead(jobs, stdin):
            report = bar if len(jobs) == 1 else None
            for job, result in _encode_batch(codec, batch, wanted, report):
                count += 1
                with outcome.catching(job):
                    if isinstance(result, Exception):
                        raise result
                    image, codes, seconds = result
                    data = codes.to_bytes(wanted.suffix, prior=wanted.prior)
                    with opened(job, force=wanted.force) as file:
                        file.write(data)
                    facts = _facts(job, image, codes, len(data), seconds)
                    if wanted.verify:
                        facts["psnr"] = _verify(codec, image, codes)
                    outcome.done(facts, _sentence(facts, image))
                if len(jobs) > 1:
                    bar(count / len(jobs))


Loaded = list[tuple[Job, "Image | Exception"]]


def _read_ahead(jobs: list[Job], stdin: BinaryIO | None) -> Iterator[Loaded]:
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
            loaded = ahead.result() if ahead else _load(batch, stdin)
            ahead = None
            if position + 1 < len(batches) and not (heavy[position] or heavy[position + 1]):
                ahead = pool.submit(_load, batches[position + 1], stdin)
            yield loaded


def _load(batch: list[Job], stdin: BinaryIO | None) -> Loaded:
    return [(job, _open(job, stdin)) for job in batch]


def _open(job: Job, stdin: BinaryIO | None) -> "Image | Exception":
    from vqcodec.media.image import Image

    try:
        if stdin is not None and job.source == STREAM:
            name = "standard input"
            return Image.open(io.BytesIO(read_stream(stdin, name)), name)
        if job.source.is_fifo():  # decoders seek
            with job.source.open("rb") as pipe:
                return Image.open(io.BytesIO(read_stream(pipe, str(job.source))), str(job.source))
        return Image.open(job.source)
    except (VqcodecError, OSError, MemoryError) as error:
        return error


Encoded = list[tuple[Job, "tuple[Image, Codes, float] | Exception"]]


def _encode_batch(
    codec: "Codec",
    batch: Loaded,
    wanted: Wanted,
    report: "Report | None",
) -> Encoded:
    """Return picture, codes and seconds of each job, or why there are none."""
    pictures = {
        job: image.flatten(wanted.colour) if wanted.colour else image
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
                codes = _encode_one(codec, image, wanted, report)
                results[job] = image, codes, time.perf_counter() - start
            except MediaError as error:  # the others can still be coded
                results[job] = MediaError(f"{job.source}: {error}")
    else:
        start = time.perf_counter()
        found = codec.encode_images(list(pictures.values()), scale=wanted.scale)
        seconds = (time.perf_counter() - start) / max(1, len(pictures))
        for (job, image), codes in zip(pictures.items(), found, strict=True):
            results[job] = image, codes, seconds
    return [(job, results[job]) for job, _ in batch]


def _encode_one(codec: "Codec", image: "Image", wanted: Wanted, report: "Report | None") -> "Codes":
    if wanted.target_bytes is not None:
        from vqcodec.codec.rate import encode_to

        return encode_to(codec, image, wanted.target_bytes, effort=wanted.effort, report=report)
    return codec.encode(
        image,
        scale=wanted.scale,
        rate_weight=wanted.rate_weight,
        effort=wanted.effort,
        report=report,
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

    from vqcodec.metrics.basic import psnr

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
