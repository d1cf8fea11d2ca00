"""Pictures, as the command line sees them."""

import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vqcodec.cli.console import Move
from vqcodec.cli.handlers.base import Container, Handler, Loading
from vqcodec.cli.handlers.image.encode import encode_pictures
from vqcodec.cli.handlers.image.options import (
    Benchmarking,
    Decoding,
    Encoding,
    Evaluation,
    Sampling,
)
from vqcodec.cli.jobs import STREAM, Job, opened
from vqcodec.cli.outcome import Facts, Work
from vqcodec.modality import IMAGE

if TYPE_CHECKING:
    from vqcodec.codec.image import ImageCodec
    from vqcodec.codec.sampling import SamplingParams
    from vqcodec.figures.canvas import Page
    from vqcodec.files.codes import Codes
    from vqcodec.files.contents import ImageInfo
    from vqcodec.media.image import Image
    from vqcodec.metrics.measure import Measure


class ImageHandler(Handler):
    """Pictures."""

    modality, unit = IMAGE, "megapixels"
    encoding, decoding, sampling = Encoding, Decoding, Sampling
    evaluation, benchmarking = Evaluation, Benchmarking

    def weights_for(self, own: Encoding) -> str:
        """Return those made for all rates where one is asked for."""
        return IMAGE.rated if own.rated else IMAGE.weights

    def encode_jobs(
        self,
        loading: Loading,
        jobs: list[Job],
        own: Encoding,
        container: Container,
        stdin: BinaryIO | None,
        bar: Move | None,
    ) -> Iterator[tuple[Job, Work]]:
        """Encode pictures; small ones are computed together."""
        own.check(container)
        return encode_pictures(loading.codec(IMAGE), jobs, own, container, stdin, bar)

    def decode_job(
        self,
        codec: "ImageCodec",
        job: Job,
        source: "Codes",
        own: Decoding,
        suffix: str | None,
        force: bool,
        bar: Move | None,
    ) -> Facts:
        """Decode one picture."""
        from vqcodec.media.image import format_of_suffix

        suffix = suffix if job.target == STREAM else job.target.suffix
        kind = format_of_suffix(suffix or IMAGE.suffix, str(job.target))
        start = time.perf_counter()
        image = codec.decode(source, params=own.drawing(), report=bar)
        seconds = time.perf_counter() - start
        with opened(job, force=force) as file:
            image.write(file, kind, str(job.target))
        height, width = image.size
        facts = {
            "input": str(job.source),
            "output": str(job.target),
            "width": width,
            "height": height,
            "seconds": round(seconds, 4),
        }
        if len(codec.maps) > 1:
            facts["levels"] = len(source.grids)
        return facts, f"{job.source} -> {job.target}: {width}×{height} pixels"

    def check_suffix(self, suffix: str, name: str) -> None:
        """Raise UsageError if Pillow writes no such pictures."""
        from vqcodec.media.image import format_of_suffix

        format_of_suffix(suffix, name)

    def facts(self, media: "ImageInfo", size: int) -> dict[str, Any]:
        """Return transparency, tint and rate."""
        height, width = media.size
        tint = "none"
        if media.tint is not None:
            down, across = media.tint.smooth.shape
            tint = f"{across}×{down} blocks, {media.tint.smooth.mean():.0%} of them smooth"
        return {
            "transparency": "kept" if media.alpha is not None else "none",
            "tint": tint,
            "bpp": round(8 * size / (height * width), 4),
            "ratio": round(3 * height * width / size, 2),
        }

    def rate(self, bits: float) -> str:
        """Return bits a pixel."""
        return f"{bits:.3g} bpp"

    def read(self, data: bytes, name: str) -> "Image":
        """Return the picture of a file."""
        from vqcodec.media.image import Image

        return Image.open(io.BytesIO(data), name)

    def amount(self, codes: "Codes") -> float:
        """Return megapixels."""
        height, width = codes.media.size
        return height * width / 1e6

    def fidelity(
        self, codec: "ImageCodec", data: bytes, name: str, codes: "Codes"
    ) -> "tuple[Measure, float | None]":
        """Return the PSNR."""
        from vqcodec.metrics.image import PSNR

        original = self.read(data, name)
        return PSNR, PSNR.measure(original.pixels, codec.decode(codes).pixels)

    def draw(
        self, codec: "ImageCodec", name: str, codes: "Codes", media: "Image | None", bar: Move
    ) -> tuple["Page", str]:
        """Draw a picture, its codes and what they become."""
        from vqcodec.figures.image import CodedPicture, draw_picture

        previews = [codec.decode(codes, levels=n) for n in range(1, len(codes.grids))]
        coded = CodedPicture(name, codes, codec.decode(codes, report=bar), media, previews)
        return draw_picture(codec, coded), coded.summary()

    def draw_model(self, codec: "ImageCodec", counts: Any, files: int) -> "Page":
        """Draw a codebook of pictures."""
        from vqcodec.figures.image import draw_model

        return draw_model(codec, counts, files)

    def sample(
        self,
        loading: Loading,
        job: Job,
        own: Sampling,
        draw: "SamplingParams",
        force: bool,
    ) -> Callable[[Move], Facts]:
        """Draw new pictures, side by side in one."""
        from vqcodec.cli.handlers.image.sample import sample_pictures

        return sample_pictures(loading, job, own, draw, force)

    def evaluate(
        self,
        data: list[Path],
        output: Path,
        model: str | None,
        against: str | None,
        own: Evaluation,
        *,
        device: str,
        force: bool,
        as_json: bool,
    ) -> None:
        """Measure a model on pictures."""
        from vqcodec.cli.handlers.image.bound import evaluate_bound
        from vqcodec.cli.handlers.image.report import evaluate

        (evaluate_bound if own.bound else evaluate)(
            data,
            output,
            model or IMAGE.weights,
            against,
            own,
            device=device,
            force=force,
            as_json=as_json,
        )

    def benchmark(
        self,
        model: str,
        own: Benchmarking,
        threads: list[int],
        rounds: int,
        force: bool,
        as_json: bool,
    ) -> None:
        """Measure the speed of a model beside other codecs of pictures."""
        from vqcodec.cli.handlers.image.benchmark import benchmark

        benchmark(model, own, threads, rounds, force, as_json)
