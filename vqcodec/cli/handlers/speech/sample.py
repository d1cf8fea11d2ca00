"""`vqcodec sample` of speech."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqcodec.cli.console import Move
from vqcodec.cli.handlers.base import Loading
from vqcodec.cli.handlers.speech.options import SECONDS, Sampling, drawing_of
from vqcodec.cli.handlers.speech.sound import Rendering, suffix_of, write_sound
from vqcodec.cli.jobs import Job
from vqcodec.cli.outcome import Facts
from vqcodec.errors import UsageError
from vqcodec.modality import AUDIO
from vqcodec.voice.named import find_voice
from vqcodec.weights import find_weights

if TYPE_CHECKING:
    from vqcodec.codec.sampling import SamplingParams
    from vqcodec.codec.speech import SpeechCodec
    from vqcodec.media.audio import Audio


@dataclass(frozen=True)
class Unconditional:
    """What is to be drawn, and how."""

    own: Sampling
    params: "SamplingParams"

    def __post_init__(self) -> None:
        if self.own.without_codes and (self.params.top_k or self.own.decoder != "fast"):
            raise UsageError("--without-codes draws no codes: it goes without --top-k, --decoder")

    @property
    def source(self) -> str:
        """What it is drawn from, in words."""
        return "a WaveNet without codes" if self.own.without_codes else "the prior"

    def label(self, who: str) -> str:
        """Return what the file says of itself."""
        origin = f" of {self.source}," if self.own.without_codes else ""
        return f"synthetic: babble{origin} drawn by vqcodec in the voice of {who}"

    def draw(self, codec: "SpeechCodec", report: Callable[[float], None]) -> "tuple[Audio, str]":
        """Return the sound, and the name of who speaks."""
        from vqcodec.sampling.speech import CodelessSampler, SpeechSampler

        seconds = SECONDS if self.own.seconds is None else self.own.seconds
        if self.own.without_codes:
            return CodelessSampler(codec).sample(
                seconds, self.params, speaker=self.own.speaker, report=report
            )
        drawing = drawing_of(
            self.own.decoder, None, self.params.seed if self.own.decoder != "fast" else None
        )
        return SpeechSampler(codec).sample(
            seconds, self.params, speaker=self.own.speaker, drawing=drawing, report=report
        )


def sample_speech(
    loading: Loading, job: Job, own: Sampling, draw: "SamplingParams", force: bool
) -> Callable[[Move], Facts]:
    """Return what draws speech that nobody said; see `Handler.sample`."""
    wanted = Unconditional(own, draw)
    suffix_of(job, Rendering(AUDIO.suffix, None, None, force))
    if own.speaker is not None:
        find_voice(find_weights(loading.model), own.speaker)

    def sample(bar: Move) -> Facts:
        audio, who = wanted.draw(loading.codec(AUDIO), bar)
        label = wanted.label(who)
        how = Rendering(AUDIO.suffix, None, None, force, label)
        form = audio.size[0], audio.sample_rate
        write_sound(job, [audio.samples], form, audio.size[1], how)
        facts = {"output": str(job.target), "duration": round(audio.seconds, 4), "speaker": who}
        return {**facts, "seed": draw.seed, "comment": label}, (
            f"{job.target}: {audio.seconds:.2f} s of babble (drawn from {wanted.source}; it has no "
            f"words and nobody said it), seed {draw.seed}, {label}"
        )

    return sample
