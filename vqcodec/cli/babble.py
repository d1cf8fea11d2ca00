"""`vqcodec sample` of speech."""

from pathlib import Path

from vqcodec.cli.decode import SOUND
from vqcodec.cli.jobs import Job, Outcome, left_to_do, progress_bar
from vqcodec.cli.sounds import Rendering, suffix_of, write_sound
from vqcodec.voices import find_voice
from vqcodec.weights import find_weights

SECONDS = 10.0


def sample_speech(
    output: Path,
    loading: tuple[str, str, str],
    seconds: float | None,
    speaker: str | None,
    how: tuple[float, int, int],
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Draw speech that nobody said and that says nothing.

    Args:
        output: the sound to write, or ``-``.
        loading: model, device, precision.
        seconds: how long; `SECONDS` by default.
        speaker: who speaks; drawn by default.
        how: temperature, top-k, seed.
        force: overwrite.
        as_json: print an object.
    """

    def wanted(label: str) -> Rendering:
        return Rendering(SOUND, None, None, force, label)

    jobs = [Job(output, output)]
    suffix_of(jobs[0], wanted(""))  # or an error before any work
    if speaker is not None:
        find_voice(find_weights(loading[0]), speaker)
    outcome = Outcome(jobs, as_json=as_json)
    for job in left_to_do(jobs, outcome, force=force, skip=False):
        from vqcodec.sampler import Settings
        from vqcodec.speechsampler import SpeechSampler

        temperature, top_k, seed = how
        settings = Settings(seed, temperature, top_k)
        sampler = SpeechSampler.load(*loading)
        with outcome.catching(job):
            with progress_bar("sampling") as bar:
                audio, who = sampler.sample(
                    SECONDS if seconds is None else seconds, settings, speaker=speaker, report=bar
                )
            label = f"synthetic: babble drawn by vqcodec in the voice of {who}"
            form = audio.size[0], audio.sample_rate
            write_sound(job, [audio.samples], form, audio.size[1], wanted(label))
            facts = {"output": str(output), "duration": round(audio.seconds, 4), "speaker": who}
            outcome.done(
                {**facts, "seed": seed, "comment": label},
                f"{output}: {audio.seconds:.2f} s of babble (drawn from the prior; it has no words "
                f"and nobody said it), seed {seed}, {label}",
            )
    outcome.close()
