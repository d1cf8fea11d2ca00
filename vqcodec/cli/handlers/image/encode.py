"""Pictures to code files, small ones by the batch."""

import io
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from vqcodec.cli import console
from vqcodec.cli.console import Move, rounded
from vqcodec.cli.handlers.base import Container
from vqcodec.cli.handlers.image.options import Encoding
from vqcodec.cli.jobs import STREAM, Job, opened
from vqcodec.cli.outcome import Facts, Work
from vqcodec.errors import MediaError, VqcodecError
from vqcodec.files.codes import read_stream

if TYPE_CHECKING:
    from vqcodec.codec.image import ImageCodec
    from vqcodec.files.codes import Codes
    from vqcodec.media.image import Image

BATCH_PIXELS = 1 << 20  # pictures are computed together up to this many pixels
HEAVY_PIXELS = 1 << 24  # larger ones are not read ahead, so that only one is in memory


def encode_pictures(
    codec: "ImageCodec",
    jobs: list[Job],
    own: Encoding,
    container: Container,
    stdin: BinaryIO | None,
    bar: Move | None,
) -> Iterator[tuple[Job, Work]]:
    """Yield each job with what is left to do; see `Handler.encode_jobs`."""
    for batch in _read_ahead(jobs, stdin):
        for job, result in _encode_batch(codec, batch, own, bar):
            yield job, partial(_finish, codec, job, result, own, container)


def _finish(
    codec: "ImageCodec",
    job: Job,
    result: "tuple[Image, Codes, float] | Exception",
    own: Encoding,
    container: Container,
) -> Facts:
    """Write the file of a picture that was encoded."""
    if isinstance(result, Exception):
        raise result
    image, codes, seconds = result
    if container.suffix == ".vqc":  # arrays are for those who look at codes
        codes = codec.without_unseen(codes)
    data = codes.to_bytes(container.suffix, prior=container.prior)
    with opened(job, force=container.force) as file:
        file.write(data)
    facts = _facts(job, image, codes, len(data), seconds)
    if own.verify:
        facts["psnr"] = _verify(codec, image, codes)
    return facts, _sentence(facts, image)


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
    codec: "ImageCodec",
    batch: Loaded,
    own: Encoding,
    bar: Move | None,
) -> Encoded:
    """Return picture, codes and seconds of each job, or why there are none."""
    colour = own.colour()
    pictures = {
        job: image.flatten(colour) if colour else image
        for job, image in batch
        if not isinstance(image, Exception)
    }
    results: dict[Job, tuple[Image, Codes, float] | Exception] = {
        job: image for job, image in batch if isinstance(image, Exception)
    }
    if own.rated or own.effort or len(pictures) == 1:
        for job, image in pictures.items():
            try:
                start = time.perf_counter()
                codes = _encode_one(codec, image, own, bar)
                results[job] = image, codes, time.perf_counter() - start
            except MediaError as error:  # the others can still be coded
                results[job] = MediaError(f"{job.source}: {error}")
    else:
        start = time.perf_counter()
        found = codec.encode_images(list(pictures.values()), scale=own.scale)
        seconds = (time.perf_counter() - start) / max(1, len(pictures))
        for (job, image), codes in zip(pictures.items(), found, strict=True):
            results[job] = image, codes, seconds
    return [(job, results[job]) for job, _ in batch]


LONG = 20.0  # seconds of a search that are worth a word before


def _announcing(bar: Move | None) -> Move:
    """Return what moves a bar, and says how long a search takes as soon as that can be told."""
    start, told = time.perf_counter(), False

    def move(done: float) -> None:
        nonlocal told
        seconds = (time.perf_counter() - start) / max(done, 1e-3)
        if not told and seconds > LONG:
            console.note(f"vqcodec: the search takes up to about {console.duration(seconds)}")
        told = True
        if bar:
            bar(done)

    return move


def _encode_one(codec: "ImageCodec", image: "Image", own: Encoding, bar: Move | None) -> "Codes":
    effort = codec.effort_for(own.rated) if own.effort is None else own.effort
    report = _announcing(bar) if effort else bar
    if own.target_bytes is not None:
        from vqcodec.codec.rate import encode_to

        return encode_to(codec, image, own.target_bytes, effort=effort, report=report)
    weight = own.rate_weight
    if own.quality is not None:
        weight = codec.weight_of(own.quality)
    return codec.encode(image, scale=own.scale, rate_weight=weight, effort=effort, report=report)


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


def _verify(codec: "ImageCodec", image: "Image", codes: "Codes") -> float | None:
    """Return the PSNR of the round trip; None where it is infinite (JSON has no such number)."""
    import math

    from vqcodec.metrics.basic import psnr

    value = psnr(image.pixels, codec.decode(codes).pixels)
    return round(value, 3) if math.isfinite(value) else None


def _sentence(facts: dict[str, Any], image: "Image") -> str:
    ratio = f"{rounded(facts['ratio'])} times smaller than its pixels"
    if "input_bytes" in facts:
        ratio += f", {rounded(facts['input_bytes'] / facts['bytes'])} than its file"
    text = (
        f"{facts['input']} -> {facts['output']}: {facts['width']}×{facts['height']} pixels, "
        f"{facts['indices']:,} indices, {facts['bytes']:,} bytes ({ratio}), {facts['bpp']:.3g} bpp"
    )
    if "psnr" in facts:
        psnr = facts["psnr"]
        text += ", without loss" if psnr is None else f", PSNR {psnr:.2f} dB"
    return "; ".join([text, *image.notes])
