"""Speech, as the command line sees it."""

import io
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vqcodec.cli.console import Move
from vqcodec.cli.handlers.base import Container, Handler, Loading
from vqcodec.cli.handlers.speech.options import Decoding, Encoding, Evaluation, Sampling
from vqcodec.cli.handlers.speech.sound import Rendering, decode_sound, encode_sound
from vqcodec.cli.jobs import STREAM, Job
from vqcodec.cli.outcome import Facts, Work
from vqcodec.modality import AUDIO

if TYPE_CHECKING:
    from vqcodec.codec.sampling import SamplingParams
    from vqcodec.codec.speech import SpeechCodec
    from vqcodec.data.sources import Source
    from vqcodec.figures.canvas import Page
    from vqcodec.files.codes import Codes
    from vqcodec.files.contents import AudioInfo
    from vqcodec.files.stream import StreamFrames
    from vqcodec.media.audio import Audio
    from vqcodec.metrics.measure import Measure


class SpeechHandler(Handler):
    """Sound that speech is heard in."""

    modality, unit = AUDIO, "seconds"
    encoding, decoding, sampling, evaluation = Encoding, Decoding, Sampling, Evaluation

    def encode_jobs(
        self,
        loading: Loading,
        jobs: list[Job],
        own: Encoding,
        container: Container,
        stdin: BinaryIO | None,
        bar: Move | None,
    ) -> Iterator[tuple[Job, Work]]:
        """Encode sound, from standard input to standard output as it comes."""
        codec = loading.codec(AUDIO).with_codebooks(own.codebooks)
        for job in jobs:
            yield job, partial(encode_sound, codec, job, own, container, stdin, bar)

    def decode_job(
        self,
        codec: "SpeechCodec",
        job: Job,
        source: "Codes | StreamFrames",
        own: Decoding,
        suffix: str | None,
        force: bool,
        bar: Move | None,
    ) -> Facts:
        """Decode one sound."""
        suffix = suffix if job.target == STREAM else job.target.suffix
        how = Rendering(suffix or AUDIO.suffix, own.rate, own.drawing(), force)
        return decode_sound(codec, job, source, how, bar)

    def check_suffix(self, suffix: str, name: str) -> None:
        """Raise UsageError if no such sound can be written."""
        from vqcodec.media.soundformats import check_suffix

        check_suffix(suffix, name)

    def facts(self, media: "AudioInfo", size: int) -> dict[str, Any]:
        """Return what is known of the sound, and the rate."""
        facts: dict[str, Any] = {"sample_rate": media.sample_rate, "level": media.level}
        facts["speaker"] = f"{len(media.speaker)} numbers" if media.speaker else "none"
        if media.sample_rate:
            duration = media.size[1] / media.sample_rate
            facts["duration"] = round(duration, 4)
            facts["bits_per_second"] = round(8 * size / duration, 1)
        return facts

    def rate(self, bits: float) -> str:
        """Return bits a second."""
        from vqcodec.voice.frames import RATE

        return f"{bits * RATE / 1000:.3g} kbit/s"

    def read(self, data: bytes, name: str) -> "Audio":
        """Return the sound of a file."""
        from vqcodec.media.audio import Audio

        return Audio.open(io.BytesIO(data), name)

    def code(self, codec: "SpeechCodec", source: "Source") -> "Codes":
        """Return the codes of a recording, block by block."""
        from vqcodec.media.soundfiles import open_sound

        with open_sound(io.BytesIO(source.read()), source.name) as sound:
            return codec.encode_blocks(sound.blocks(), sound.channels, sound.sample_rate)

    def amount(self, codes: "Codes") -> float:
        """Return seconds."""
        return codes.media.size[1] / codes.audio.sample_rate

    def fidelity(
        self, codec: "SpeechCodec", data: bytes, name: str, codes: "Codes"
    ) -> "tuple[Measure, float | None]":
        """Return the STOI, or a distance of mel spectrograms where that is not installed."""
        from vqcodec.metrics.speech import MEL, STOI, find_metrics
        from vqcodec.voice.frames import RATE

        original, decoded = (
            sound.mix().resample(RATE).samples[0]
            for sound in (self.read(data, name), codec.decode(codes))
        )
        metric = find_metrics((STOI, MEL))[0][0]
        return metric, metric.measure(original, decoded)

    def draw(
        self, codec: "SpeechCodec", name: str, codes: "Codes", media: "Audio | None", bar: Move
    ) -> tuple["Page", str]:
        """Draw a recording, its codes and what they become."""
        from vqcodec.figures.speech import CodedSound, draw_sound

        coded = CodedSound.of(codec, name, codes, media)
        return draw_sound(codec, coded), coded.summary()

    def draw_model(self, codec: "SpeechCodec", counts: Any, files: int) -> "Page":
        """Draw a codebook of speech."""
        from vqcodec.figures.speechcodebook import draw_model

        return draw_model(codec, counts, files)

    def sample(
        self,
        loading: Loading,
        job: Job,
        own: Sampling,
        draw: "SamplingParams",
        force: bool,
    ) -> Callable[[Move], Facts]:
        """Draw speech that nobody said and that says nothing."""
        from vqcodec.cli.handlers.speech.sample import sample_speech

        return sample_speech(loading, job, own, draw, force)

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
        """Measure a model on recordings."""
        from vqcodec.cli.handlers.speech.report import evaluate

        evaluate(data, output, model, against, own, device=device, force=force, as_json=as_json)

    def benchmark(
        self, model: str, own: Any, threads: list[int], rounds: int, force: bool, as_json: bool
    ) -> None:
        """Measure the speed of a model, beside a plain WaveNet."""
        from vqcodec.cli.handlers.speech.benchmark import benchmark

        benchmark(model, threads, rounds, as_json)
