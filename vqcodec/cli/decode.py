"""`vqcodec decode`."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from vqcodec.cli import options
from vqcodec.cli.jobs import STREAM, Job, Outcome, left_to_do, opened, plan, progress_bar, stdin
from vqcodec.errors import FormatError, UsageError, WeightsError
from vqcodec.files.codes import SUFFIXES, Codes, axes_of, read_stream
from vqcodec.files.stream import StreamFrames
from vqcodec.files.vqc import is_stream
from vqcodec.media.image import format_of_suffix
from vqcodec.media.soundfiles import peek
from vqcodec.media.soundformats import KINDS

if TYPE_CHECKING:
    from vqcodec.codec.image import Codec
    from vqcodec.codec.sampling import SamplingParams
    from vqcodec.codec.speech import SpeechCodec

DECODERS = ("fast", "wavenet")
PICTURE, SOUND = ".png", ".wav"  # what is written where nothing else is said


def decode(
    inputs: Annotated[
        list[Path], typer.Argument(help="Code files or folders of them; - for standard input.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Picture or sound (format by suffix), folder, or - for stdout."
        ),
    ] = None,
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Suffix of pictures or sounds where -o names none. [default: png, wav]",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Weights, a name or a folder. [default: those that the file names]"),
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option(
            help="Samples of sound a second, 1000 to 768000. [default: as many as the original had]"
        ),
    ] = None,
    decoder: options.SpeechDecoder = "fast",
    temperature: options.DrawingTemperature = None,
    seed: options.DrawingSeed = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    skip_existing: options.SkipExisting = False,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Turn code files into pictures and sound: image.npz becomes image.decoded.png.

    A stream of sound from standard input is decoded as it comes.
    """
    suffix = _suffix(file_format)
    drawing = drawing_of(decoder, temperature, seed)

    def name(path: Path, to_folder: bool, source: Path) -> Path:
        own = suffix or (SOUND if axes_of(source) == "ct" else PICTURE)
        return path.with_suffix(own if to_folder else f".decoded{own}")

    jobs = plan(inputs, output, name, lambda path: path.suffix.lower() in SUFFIXES)
    outcome = Outcome(jobs, as_json=as_json)
    jobs = left_to_do(jobs, outcome, force=force, skip=skip_existing)
    decoding = _Decoding(Loaded(model, device, precision), suffix, rate, drawing, force)
    with progress_bar("decoding") as bar:
        for count, job in enumerate(jobs, 1):
            with outcome.catching(job):
                outcome.done(*decoding.run(job, bar if len(jobs) == 1 else None))
            if len(jobs) > 1:
                bar(count / len(jobs))
    outcome.close()


Facts = tuple[dict[str, Any], str]  # and a sentence of them
AnyCodec = TypeVar("AnyCodec", "Codec", "SpeechCodec")


class Loaded:
    """Codecs, each loaded once: by the name that a file tells, unless the user told another."""

    def __init__(self, model: str | None, device: str, precision: str) -> None:
        self._model, self._settings = model, (device, precision)
        self._found: dict[tuple[type, str], Any] = {}

    def get(self, kind: type[AnyCodec], named: str) -> AnyCodec:
        """Return the codec for a file that names these weights."""
        key = kind, self._model or named
        if key not in self._found:
            load = kind.load if self._model else kind.load_named
            self._found[key] = load(key[1], *self._settings)
        codec: AnyCodec = self._found[key]
        return codec


@dataclass(frozen=True)
class _Decoding:
    """Decodes jobs, as the options of the same names say."""

    loaded: Loaded
    suffix: str | None
    rate: int | None
    drawing: "SamplingParams | None"
    force: bool

    def run(self, job: Job, bar: Callable[..., None] | None) -> Facts:
        """Decode one file."""
        named = job.target != STREAM and job.target.suffix.lower() not in KINDS
        if named:  # it can only become a picture, and a format unknown is an error at once
            format_of_suffix(job.target.suffix, str(job.target))
        source = _read(job.source)
        try:
            if isinstance(source, StreamFrames):
                return self._sound(job, source, source.header.model, bar)
            if source.axes == "ct":
                return self._sound(job, source, source.model, bar)
            return self._picture(job, source, bar)
        except (FormatError, WeightsError) as error:
            name = "standard input" if job.source == STREAM else job.source
            raise type(error)(f"{name}: {error}") from None

    def _sound(
        self, job: Job, source: Codes | StreamFrames, model: str, bar: Callable[..., None] | None
    ) -> Facts:
        from vqcodec.cli.handlers.speech import Rendering, decode_sound
        from vqcodec.codec.speech import SpeechCodec

        codec = self.loaded.get(SpeechCodec, model)
        suffix = self.suffix if job.target == STREAM else job.target.suffix
        how = Rendering(suffix or SOUND, self.rate, self.drawing, self.force)
        return decode_sound(codec, job, source, how, bar)

    def _picture(self, job: Job, codes: Codes, bar: Callable[..., None] | None) -> Facts:
        from vqcodec.codec.image import Codec

        if self.rate is not None or self.drawing is not None:
            raise UsageError(f"{job.source}: holds a picture; --rate and --decoder are for sound")
        suffix = self.suffix if job.target == STREAM else job.target.suffix
        kind = format_of_suffix(suffix or PICTURE, str(job.target))
        codec = self.loaded.get(Codec, codes.model)
        start = time.perf_counter()
        image = codec.decode(codes, report=bar)
        seconds = time.perf_counter() - start
        with opened(job, force=self.force) as file:
            image.write(file, kind, str(job.target))
        height, width = image.size
        facts = {
            "input": str(job.source),
            "output": str(job.target),
            "width": width,
            "height": height,
            "seconds": round(seconds, 4),
        }
        return facts, f"{job.source} -> {job.target}: {width}×{height} pixels"


def _suffix(file_format: str | None) -> str | None:
    """Return the suffix that ``--format`` means; an unknown one is an error before any work."""
    if file_format is None:
        return None
    suffix = f".{file_format.removeprefix('.').lower()}"
    if suffix not in KINDS:
        format_of_suffix(suffix, "--format")
    return suffix


def drawing_of(
    decoder: str, temperature: float | None, seed: int | None
) -> "SamplingParams | None":
    """Return how the WaveNet is to draw, or None for the fast decoder."""
    if decoder not in DECODERS:
        raise UsageError(f"no decoder '{decoder}'; there are: {', '.join(DECODERS)}")
    if decoder == "fast":
        if temperature is not None or seed is not None:
            raise UsageError("--temperature and --seed need --decoder wavenet")
        return None
    from vqcodec.codec.sampling import SamplingParams

    drawing = SamplingParams(seed or 0, 1.0 if temperature is None else temperature)
    drawing.check_sound()
    return drawing


def _read(source: Path) -> Codes | StreamFrames:
    """Read codes, or the start of a stream of them from standard input."""
    if source != STREAM:
        return Codes.load(source)
    name = "standard input"
    head, file = peek(stdin())
    try:
        if is_stream(head):
            return StreamFrames.open(file)
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from None
    return Codes.from_bytes(read_stream(file, name), name)
