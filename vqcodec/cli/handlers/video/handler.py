"""Videos, as the command line sees them."""

import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vqcodec.cli.console import Move
from vqcodec.cli.handlers.base import Container, Handler, Loading
from vqcodec.cli.handlers.video.options import Benchmarking, Encoding, Evaluation, Sampling
from vqcodec.cli.jobs import Job
from vqcodec.cli.outcome import Facts, Work
from vqcodec.modality import VIDEO, load

if TYPE_CHECKING:
    from vqcodec.codec.sampling import SamplingParams
    from vqcodec.codec.video import VideoCodec
    from vqcodec.figures.canvas import Page
    from vqcodec.files.codes import Codes
    from vqcodec.files.contents import VideoInfo
    from vqcodec.files.videoframes import VideoFrames
    from vqcodec.media.video import Video
    from vqcodec.metrics.measure import Measure

MEMORY = 1 << 30  # bytes of pictures of a video that is looked at whole


class VideoHandler(Handler):
    """Videos, coded frame by frame."""

    modality, unit = VIDEO, "frames"
    encoding, sampling = Encoding, Sampling
    evaluation, benchmarking = Evaluation, Benchmarking

    def weights_for(self, own: Encoding) -> str:
        """Return those made for all rates where one is asked for."""
        return VIDEO.rated if own.rated else VIDEO.weights

    def encode_jobs(
        self,
        loading: Loading,
        jobs: list[Job],
        own: Encoding,
        container: Container,
        stdin: BinaryIO | None,
        bar: Move | None,
    ) -> Iterator[tuple[Job, Work]]:
        """Encode videos, some frames at a time; between pipes as they come."""
        from vqcodec.cli.handlers.video.encode import encode_video

        codec = loading.codec(VIDEO)
        for job in jobs:
            yield job, partial(encode_video, loading, codec, job, own, container, stdin, bar)

    def decode_job(
        self,
        codec: "VideoCodec",
        job: Job,
        source: "Codes | VideoFrames",
        own: Any,
        suffix: str | None,
        force: bool,
        bar: Move | None,
    ) -> Facts:
        """Decode one video, some frames at a time."""
        from vqcodec.cli.handlers.video.decode import decode_video

        return decode_video(codec, job, source, suffix, force, bar)

    def check_suffix(self, suffix: str, name: str) -> None:
        """Raise UsageError if no such video can be written."""
        from vqcodec.media.videowriter import check_suffix

        check_suffix(suffix, name)

    def facts(self, media: "VideoInfo", size: int) -> dict[str, Any]:
        """Return frame rate, length and rate."""
        if not media.size[0] or media.frame_rate == (0, 1):
            return {}
        from vqcodec.files.contents import seconds_of

        frames, height, width = media.size
        duration = seconds_of(media)
        rate = f"{frames / duration:.6g}{' on average' if media.durations else ''}"
        return {
            "frames_per_second": rate,
            "duration": round(duration, 4),
            "bits_per_second": round(8 * size / duration, 1),
            "bpp": round(8 * size / (frames * height * width), 4),
            "ratio": round(3 * frames * height * width / size, 2),
        }

    def rate(self, bits: float) -> str:
        """Return bits a pixel."""
        return f"{bits:.3g} bpp"

    def read(self, data: bytes, name: str) -> "Video":
        """Return the video of a file."""
        from vqcodec.media.video import Video, open_video

        with open_video(io.BytesIO(data), name) as reader:
            return Video.of(reader, MEMORY)

    def amount(self, codes: "Codes") -> float:
        """Return frames."""
        return codes.media.size[0]

    def fidelity(
        self, codec: "VideoCodec", data: bytes, name: str, codes: "Codes"
    ) -> "tuple[Measure, float | None]":
        """Return the mean PSNR of the frames."""
        from vqcodec.metrics.image import PSNR

        pairs = zip(self.read(data, name).pixels, codec.decoded(codes), strict=True)
        values = [PSNR.measure(frame, decoded.pixels) or 0.0 for frame, decoded in pairs]
        return PSNR, sum(values) / len(values)

    def draw(
        self, codec: "VideoCodec", name: str, codes: "Codes", media: "Video | None", bar: Move
    ) -> tuple["Page", str]:
        """Draw frames of a video, their codes, and what changes from one to the next."""
        from vqcodec.figures.video import CodedVideo

        coded = CodedVideo(name, codes, codec.decode(codes, report=bar), media)
        drawn: tuple[Page, str] = load(codec.figure)(codec, coded)
        return drawn

    def draw_model(self, codec: "VideoCodec", counts: Any, files: int) -> "Page":
        """Draw a codebook of frames."""
        from vqcodec.figures.image import draw_model

        pictures = codec.pictures  # vectors, where there are maps of them, are no codes of pictures
        return draw_model(pictures, counts[-len(pictures.maps) :], files)

    def sample(
        self, loading: Loading, job: Job, own: Sampling, draw: "SamplingParams", force: bool
    ) -> Callable[[Move], Facts]:
        """Draw frames that follow none."""
        from vqcodec.cli.handlers.video.imagine import sample_video

        return sample_video(loading, job, own, draw, force)

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
        """Measure a model on videos, or what it imagines."""
        from vqcodec.cli.handlers.video.report import evaluate

        evaluate(data, output, model, against, own, device=device, force=force, as_json=as_json)

    def benchmark(
        self,
        model: str,
        own: Benchmarking,
        threads: list[int],
        rounds: int,
        force: bool,
        as_json: bool,
    ) -> None:
        """Measure the speed of a model on frames."""
        from vqcodec.cli.handlers.video.benchmark import benchmark

        benchmark(model, own.picture, threads, rounds, as_json)
