"""What the command line asks of each kind of media."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from vqcodec.cli.console import Move
from vqcodec.cli.jobs import Job
from vqcodec.cli.outcome import Facts, Work
from vqcodec.errors import UsageError
from vqcodec.modality import MODALITIES, Modality, by_axes, load
from vqcodec.weights import find_weights

if TYPE_CHECKING:
    from vqcodec.codec.base import BaseCodec
    from vqcodec.codec.sampling import SamplingParams
    from vqcodec.data.sources import Source
    from vqcodec.figures.canvas import Page
    from vqcodec.files.codes import Codes
    from vqcodec.metrics.measure import Measure


@dataclass(frozen=True)
class NoOptions:
    """A command has no options that are for one kind of media alone."""


@dataclass(frozen=True)
class Container:
    """How code files are written.

    Attributes:
        suffix: ``.npz`` or ``.vqc``.
        named: whether the user asked for it.
        prior: see `Codes.to_bytes`.
        force: overwrite.
    """

    suffix: str
    named: bool
    prior: bool
    force: bool


@dataclass(frozen=True)
class Loading:
    """With which weights, and where they compute: see the options of the same names."""

    model: str
    device: str
    precision: str
    engine: str = "auto"
    work: int | None = None  # bytes of the files to code

    def check(self, modality: Modality) -> None:
        """Raise WeightsError unless there are such weights for this kind of media."""
        find_weights(self.model).check(modality)

    def codec(self, modality: Modality) -> Any:
        """Load them."""
        return load(modality.codec).load(
            self.model, self.device, self.precision, self.engine, self.work
        )


class Codecs:
    """Codecs, each loaded once: by the name that a file tells, unless the user told another."""

    def __init__(
        self,
        model: str | None,
        device: str,
        precision: str,
        engine: str = "auto",
        work: int | None = 0,
    ) -> None:
        if model is not None:
            find_weights(model)  # or an error before any work
        self._model, self._settings = model, (device, precision, engine, work)
        self._found: dict[tuple[Modality, str], Any] = {}

    def get(self, modality: Modality, named: str) -> Any:
        """Return the codec for a file that names these weights."""
        key = modality, self._model or named
        if key not in self._found:
            kind: type[BaseCodec] = load(modality.codec)
            loading = kind.load if self._model else kind.load_named
            self._found[key] = loading(key[1], *self._settings)
        return self._found[key]


class Handler(ABC):
    """One kind of media, as the command line sees it.

    The options of a command that are for this kind alone are dataclasses, whose fields bear the
    options' names and defaults and which check what they are given.
    """

    modality: ClassVar[Modality]
    unit: ClassVar[str]  # of `amount`
    encoding: ClassVar[type] = NoOptions
    decoding: ClassVar[type] = NoOptions
    sampling: ClassVar[type] = NoOptions
    evaluation: ClassVar[type] = NoOptions
    benchmarking: ClassVar[type] = NoOptions

    def weights_for(self, own: Any) -> str:
        """Return the weights to encode with, by its own options, where nobody names any."""
        return self.modality.weights

    @abstractmethod
    def encode_jobs(
        self,
        loading: Loading,
        jobs: list[Job],
        own: Any,
        container: Container,
        stdin: BinaryIO | None,
        bar: Move | None,
    ) -> Iterator[tuple[Job, Work]]:
        """Yield each job, with the work that is left to do for it.

        Args:
            loading: of the codec.
            jobs: media files to code files.
            own: an `encoding`.
            container: how to write.
            stdin: standard input, if it is among the jobs.
            bar: moved along, where there is one job.
        """

    @abstractmethod
    def decode_job(
        self,
        codec: Any,
        job: Job,
        source: Any,
        own: Any,
        suffix: str | None,
        force: bool,
        bar: Move | None,
    ) -> Facts:
        """Decode one file.

        Args:
            codec: with what.
            job: from where to where.
            source: `Codes`, or `StreamFrames`.
            own: a `decoding`.
            suffix: of the format to write where the output has no name.
            force: overwrite.
            bar: moved along.
        """

    @abstractmethod
    def check_suffix(self, suffix: str, name: str) -> None:
        """Raise UsageError if no such format can be written."""

    @abstractmethod
    def facts(self, media: Any, size: int) -> dict[str, Any]:
        """Return what `vqcodec info` tells of such media alone, in a code file of `size` bytes."""

    @abstractmethod
    def rate(self, bits: float) -> str:
        """Say how much codes take that have so many bits for each pixel, or sample."""

    @abstractmethod
    def read(self, data: bytes, name: str) -> Any:
        """Return the media that a file holds."""

    def code(self, codec: Any, source: "Source") -> "Codes":
        """Return the codes of a file, however long."""
        codes: Codes = codec.encode(self.read(source.read(), source.name))
        return codes

    @abstractmethod
    def amount(self, codes: "Codes") -> float:
        """Return how much media codes stand for, in `unit`."""

    @abstractmethod
    def fidelity(
        self, codec: Any, data: bytes, name: str, codes: "Codes"
    ) -> "tuple[Measure, float | None]":
        """Return how near to a file what its codes decode to comes, and by which measure.

        Where `Weights.held_out` tells the same, it is under the measure's label, in lower case.
        """

    @abstractmethod
    def draw(
        self, codec: Any, name: str, codes: "Codes", media: Any, bar: Move
    ) -> tuple["Page", str]:
        """Return the figure of `vqcodec inspect` of a file, and what it says in words.

        Args:
            codec: with what the codes were made.
            name: of the file.
            codes: what it became, or held.
            media: what it held; None if that were codes.
            bar: moved along.
        """

    @abstractmethod
    def draw_model(self, codec: Any, counts: Any, files: int) -> "Page":
        """Draw a model, and how often each code occurs in some files: (K,) of each map, or none."""

    @abstractmethod
    def sample(
        self, loading: Loading, job: Job, own: Any, draw: "SamplingParams", force: bool
    ) -> Callable[[Move], Facts]:
        """Check what is asked of `vqcodec sample`, and return what does it.

        Args:
            loading: of the codec.
            job: what to write.
            own: a `sampling`.
            draw: how.
            force: overwrite.
        """

    @abstractmethod
    def evaluate(
        self,
        data: list[Path],
        output: Path,
        model: str | None,
        against: str | None,
        own: Any,
        *,
        device: str,
        force: bool,
        as_json: bool,
    ) -> None:
        """Measure a model; `own` is an `evaluation`, the rest those options of the command."""

    @abstractmethod
    def benchmark(
        self, model: str, own: Any, threads: list[int], rounds: int, force: bool, as_json: bool
    ) -> None:
        """Measure speed; `own` is a `benchmarking`, no `threads` stand for all cores."""


def handler_of(modality: Modality) -> Handler:
    """Return the handler of a kind of media."""
    handler: Handler = load(modality.handler)()
    return handler


def handlers() -> list[Handler]:
    """Return all handlers."""
    return [handler_of(modality) for modality in MODALITIES]


def handler_of_axes(axes: str) -> Handler:
    """Return the handler of codes; raise FormatError if no codec makes such codes."""
    return handler_of(by_axes(axes))


def check_suffix(suffix: str, name: str) -> None:
    """Raise UsageError if nothing can be written in a format of this suffix."""
    problems = []
    for handler in handlers():
        try:
            handler.check_suffix(suffix, name)
        except UsageError as error:
            problems.append(error)
        else:
            return
    raise problems[0]


def deal(
    options: dict[str, Any],
    takers: dict[Modality, type],
    present: Iterable[Modality],
    noun: Callable[[Modality], str],
    but: str,
) -> dict[Modality, Any]:
    """Deal options out to the kinds of media that take them.

    Args:
        options: by name.
        takers: the dataclass of each kind's own options.
        present: the kinds that there is work for.
        noun: what messages call a kind.
        but: what messages say there is instead.

    Returns:
        The options of each kind that is present.

    Raises:
        UsageError: an option is given that no kind which is present takes.
    """
    present = list(present)
    takes = {modality: {f.name for f in fields(takers[modality])} for modality in MODALITIES}
    taken = set().union(*(takes[modality] for modality in present))
    for modality in MODALITIES:
        foreign = [
            field
            for field in fields(takers[modality])
            if field.name not in taken and options[field.name] != field.default
        ]
        if foreign:
            flags = [f.metadata.get("flag") or "--" + f.name.replace("_", "-") for f in foreign]
            *most, last = flags
            names = f"{', '.join(most)} and {last} are" if most else f"{last} is"
            known = (m for m in MODALITIES if takes[m].issuperset(f.name for f in foreign))
            raise UsageError(f"{names} for {' and '.join(map(noun, known))}, and {but}")
    return {
        modality: takers[modality](**{f.name: options[f.name] for f in fields(takers[modality])})
        for modality in present
    }


def asked_for(options: dict[str, Any], takers: dict[Modality, type]) -> list[Modality]:
    """Return the kinds of media that take an option which is given; the arguments as of `deal`."""
    return [
        modality
        for modality, taker in takers.items()
        if any(options[field.name] != field.default for field in fields(taker))
    ]
