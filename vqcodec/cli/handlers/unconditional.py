"""`vqcodec sample` of speech."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vqcodec.cli.decode import SOUND, drawing_of
from vqcodec.cli.handlers.speech import Rendering, suffix_of, write_sound
from vqcodec.cli.jobs import Job, Outcome, left_to_do, progress_bar
from vqcodec.errors import UsageError
from vqcodec.voice.named import find_voice
from vqcodec.weights import find_weights

if TYPE_CHECKING:
    from vqcodec.codec.speech import SpeechCodec
    from vqcodec.media.audio import Audio

SECONDS = 10.0


@dataclass(frozen=True)
class Unconditional:
    """What is to be drawn, as the options of the same names say.

    Attributes:
        seconds: how long; `SECONDS` by default.
        speaker: who speaks; drawn by default.
        decoder: of drawn codes, ``fast`` or ``wavenet``.
        without_codes: draw from the WaveNet without codes instead.
        temperature: above 0; below 1, the likely becomes likelier.
        top_k: draw among so many codes; 0 for all.
        seed: of the random numbers.
    """

    seconds: float | None
    speaker: str | None
    decoder: str
    without_codes: bool
    temperature: float
    top_k: int
    seed: int

    def __post_init__(self) -> None:
        if self.without_codes and (self.top_k or self.decoder != "fast"):
            raise UsageError("--without-codes draws no codes: it goes without --top-k, --decoder")

    @property
    def source(self) -> str:
        """What it is drawn from, in words."""
        return "a WaveNet without codes" if self.without_codes else "the prior"

    def label(self, who: str) -> str:
        """Return what the file says of itself."""
        origin = f" of {self.source}," if self.without_codes else ""
        return f"synthetic: babble{origin} drawn by vqcodec in the voice of {who}"

    def draw(self, codec: "SpeechCodec", report: Callable[[float], None]) -> "tuple[Audio, str]":
        """Return the sound, and the name of who speaks."""
        from vqcodec.codec.sampling import SamplingParams
        from vqcodec.sampling.speech import CodelessSampler, SpeechSampler

        seconds = SECONDS if self.seconds is None else self.seconds
        if self.without_codes:
            alone = SamplingParams(self.seed, self.temperature)
            return CodelessSampler(codec).sample(
                seconds, alone, speaker=self.speaker, report=report
            )
        params = SamplingParams(self.seed, self.temperature, self.top_k)
        drawing = drawing_of(self.decoder, None, self.seed if self.decoder != "fast" else None)
        return SpeechSampler(codec).sample(
            seconds, params, speaker=self.speaker, drawing=drawing, report=report
        )


def sample_speech(
    output: Path,
    loading: tuple[str, str, str],
    wanted: Unconditional,
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Draw speech that nobody said and that says nothing.

    Args:
        output: the sound to write, or ``-``.
        loading: model, device, precision.
        wanted: what to draw.
        force: overwrite.
        as_json: print an object.
    """

    def rendering(label: str) -> Rendering:
        return Rendering(SOUND, None, None, force, label)

    jobs = [Job(output, output)]
    suffix_of(jobs[0], rendering(""))  # or an error before any work
    if wanted.speaker is not None:
        find_voice(find_weights(loading[0]), wanted.speaker)
    outcome = Outcome(jobs, as_json=as_json)
    for job in left_to_do(jobs, outcome, force=force, skip=False):
        from vqcodec.codec.speech import SpeechCodec

        codec = SpeechCodec.load(*loading)
        with outcome.catching(job):
            with progress_bar("sampling") as bar:
                audio, who = wanted.draw(codec, bar)
            label = wanted.label(who)
            form = audio.size[0], audio.sample_rate
            write_sound(job, [audio.samples], form, audio.size[1], rendering(label))
            facts = {"output": str(output), "duration": round(audio.seconds, 4), "speaker": who}
            outcome.done(
                {**facts, "seed": wanted.seed, "comment": label},
                f"{output}: {audio.seconds:.2f} s of babble (drawn from {wanted.source}; it has no "
                f"words and nobody said it), seed {wanted.seed}, {label}",
            )
    outcome.close()
