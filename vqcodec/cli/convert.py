"""`vqcodec convert-voice` and `vqcodec speakers`."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from vqcodec.cli import console, options
from vqcodec.cli.consent import require_consent
from vqcodec.cli.console import Move
from vqcodec.cli.handlers.base import Codecs
from vqcodec.cli.handlers.speech.convert import CodedSource, convert_sound
from vqcodec.cli.handlers.speech.options import drawing_of
from vqcodec.cli.handlers.speech.sound import Rendering, decode_sound, sentence
from vqcodec.cli.jobs import STREAM, Job, bytes_of, plan, stdin
from vqcodec.cli.outcome import Facts, Outcome, each, left_to_do, work_off
from vqcodec.errors import FormatError, UsageError, WeightsError
from vqcodec.files.codes import SUFFIXES, Codes, read_stream
from vqcodec.media.soundfiles import peek
from vqcodec.media.soundformats import holds_sound, is_sound, sound_suffixes
from vqcodec.modality import AUDIO
from vqcodec.voice.named import (
    NAME,
    best_weights,
    default_weights,
    find_voice,
    synthetic,
    voices_of,
)
from vqcodec.weights import find_weights

if TYPE_CHECKING:
    from vqcodec.codec.convert import Target
    from vqcodec.codec.speech import SpeechCodec
    from vqcodec.media.soundformats import Samples


def convert_voice(
    inputs: Annotated[
        list[Path],
        typer.Argument(help="Sounds, code files, folders of them; - for standard input."),
    ],
    speaker: Annotated[
        str | None, typer.Option(help="Who shall speak: a name that `vqcodec speakers` lists.")
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(
            help="Instead of --speaker: a recording of whoever shall speak, who must agree to it."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Sound (format by suffix), folder, or - for stdout. "
            "[default: in.NAME.wav beside in.wav]",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Weights that convert, a name or a folder. [default: speech-64x-residual; with "
            "--decoder wavenet speech-64x; of code files whose weights alone name the speaker, "
            "those]"
        ),
    ] = None,
    decoder: options.SpeechDecoder = "fast",
    temperature: options.DrawingTemperature = None,
    seed: options.DrawingSeed = None,
    consent: Annotated[
        bool,
        typer.Option(
            "--i-have-consent",
            help="With --like: whose voice it is agrees. Needed once, remembered for this user.",
        ),
    ] = False,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    engine: options.Engine = "auto",
    skip_existing: options.SkipExisting = False,
    force: options.Force = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Let another speaker say what is heard.

    The codes of speech are decoded with another voice. What is written carries a comment that
    says it is synthetic.
    """
    if (speaker is None) == (like is None):
        raise UsageError("name who shall speak: either --speaker NAME or --like RECORDING")
    drawing = drawing_of(decoder, temperature, seed)
    if speaker is not None and not NAME.fullmatch(speaker):
        raise UsageError(f"no speaker has a name like '{speaker}'; vqcodec speakers lists all")
    who = like.stem if like is not None else str(speaker)
    jobs = plan(
        inputs, output, lambda p, *_: p.with_name(f"{p.stem}.{who}{AUDIO.suffix}"), _is_input
    )
    if like is not None:
        require_consent(consent)
    wanted = _Wanted(who, _reference(like))
    sounds = any(job.source != STREAM and holds_sound(job.source) for job in jobs)
    if like is None and (model or sounds):
        best = default_weights(drawing=drawing is not None)
        find_voice(find_weights(model or best), who)  # or an error before any work
    codecs = Codecs(model, device, precision, engine, bytes_of(jobs))
    outcome = Outcome(jobs, "converted", as_json=as_json)
    jobs = left_to_do(jobs, outcome, force=force, skip=skip_existing)
    how = Rendering(AUDIO.suffix, None, drawing, force, synthetic(who))
    converting = _Converting(codecs, model is None, wanted, how)

    work_off("converting", len(jobs), each(jobs, converting.run), outcome)
    outcome.close()


def speakers(
    model: Annotated[
        str | None,
        typer.Option(
            help="Weights, a name or a folder. [default: those that convert-voice would take]"
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object per speaker.")
    ] = False,
) -> None:
    """List the speakers that weights can speak as."""
    weights = find_weights(model or default_weights())
    for voice in voices_of(weights).values():
        facts = {key: getattr(voice, key) for key in ("name", "gender", "corpus", "licence")}
        facts |= {"minutes": voice.minutes, "pitch": voice.pitch, "consent": voice.consent}
        facts["model"] = weights.name
        console.say(
            json.dumps(facts)
            if as_json
            else f"{voice.name}: {voice.gender}, {voice.corpus} ({voice.licence}), "
            f"{voice.minutes:.1f} minutes heard"
            + (f", {voice.pitch:.0f} Hz" if voice.pitch else "")
            + f"; {voice.consent}"
        )


@dataclass(frozen=True)
class _Wanted:
    """Who shall speak: by name, or as in the pieces of a recording."""

    who: str
    reference: "list[Samples] | None"
    found: "dict[str, Target]" = field(default_factory=dict)  # by weights

    def known_to(self, codec: "SpeechCodec") -> "Target":
        """Return what a codec needs to know of them."""
        from vqcodec.codec.convert import heard, named

        name = codec.weights.name
        if name not in self.found:
            self.found[name] = (
                named(codec, self.who) if self.reference is None else heard(codec, self.reference)
            )
        return self.found[name]


@dataclass(frozen=True)
class _Converting:
    """Converts jobs, with the weights that do it best unless the user told others."""

    codecs: Codecs
    best: bool
    wanted: _Wanted
    how: Rendering

    def run(self, job: Job, bar: Move | None) -> Facts:
        """Convert one file; return the facts about it, and a sentence."""
        source: Path | BinaryIO = job.source
        if job.source == STREAM:
            head, source = peek(stdin())
            spoken = is_sound(head, "")
        else:
            spoken = holds_sound(job.source)
        if spoken:
            facts = self._sound(job, source, bar)
        else:
            facts = self._codes(job, source, bar)
        facts |= {"speaker": self.wanted.who, "comment": self.how.comment}
        said = f"{sentence(facts)}, by way of {facts['model']}, {self.how.comment}"
        return facts, "; ".join([said, *facts.get("notes", ())])

    def _sound(self, job: Job, source: Path | BinaryIO, bar: Move | None) -> dict[str, Any]:
        drawing = self.how.drawing is not None
        codec = self.codecs.get(AUDIO, default_weights(drawing=drawing))
        facts = convert_sound(codec, job, source, self.wanted.known_to(codec), self.how, bar)
        return facts | {"model": codec.weights.name}

    def _codes(self, job: Job, source: Path | BinaryIO, bar: Move | None) -> dict[str, Any]:
        if isinstance(source, Path):
            name, codes = str(source), Codes.load(source)
        else:
            name = "standard input"
            codes = Codes.from_bytes(read_stream(source, name), name)
        try:
            if codes.axes != AUDIO.axes:
                raise FormatError("holds no speech, so there is no voice to convert")
            own = self.codecs.get(AUDIO, codes.model)
            codec = self.codecs.get(AUDIO, self._best() or codes.model)
            target = self.wanted.known_to(codec)
            if codec is not own or target.needs_sound:
                coded = CodedSource(codes, own)
                facts = convert_sound(codec, job, coded, target, self.how, bar)
            else:
                media = replace(codes.audio, speaker=target.vector)
                facts, _ = decode_sound(codec, job, replace(codes, media=media), self.how, bar)
        except (FormatError, WeightsError) as error:
            raise type(error)(f"{name}: {error}") from None
        return facts | {"model": codec.weights.name}

    def _best(self) -> str | None:
        if not self.best:
            return None
        who = None if self.wanted.reference is not None else self.wanted.who
        return best_weights(who, drawing=self.how.drawing is not None)


def _reference(like: Path | None) -> "list[Samples] | None":
    if like is None:
        return None
    from vqcodec.voice.reference import read_reference

    return read_reference(like)


def _is_input(path: Path) -> bool:
    return path.suffix.lower() in sound_suffixes() | set(SUFFIXES)
