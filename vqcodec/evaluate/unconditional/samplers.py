"""What unconditional samples of speech can be drawn from."""

from collections.abc import Callable

from vqcodec.codec.sampling import SamplingParams
from vqcodec.codec.speech import SpeechCodec
from vqcodec.evaluate.journal import OURS
from vqcodec.media.audio import Audio
from vqcodec.sampling.speech import CodelessSampler, SpeechSampler
from vqcodec.weights import SAMPLING_PRIOR, WAVENET_ALONE

RECORDING, PRIOR, CODELESS = "recording", "prior", "without-codes"
LABELS = {
    RECORDING: "recordings",
    OURS: "reconstructions",
    PRIOR: "babble of prior and decoder",
    CODELESS: "babble of a WaveNet without codes",
}
Draw = Callable[[float, int], tuple[Audio, str]]  # so many seconds, with this seed


def find_samplers(codec: SpeechCodec) -> tuple[dict[str, Draw], list[str]]:
    """Return what they can be drawn from, and a note for what the weights lack.

    Raises:
        WeightsError: a part of the weights is damaged.
    """
    files = codec.weights.config.get("files") or {}
    found: dict[str, Draw] = {}
    if SAMPLING_PRIOR in files:
        prior = SpeechSampler(codec)
        found[PRIOR] = lambda seconds, seed: prior.sample(seconds, SamplingParams(seed))
    if WAVENET_ALONE in files:
        alone = CodelessSampler(codec)
        found[CODELESS] = lambda seconds, seed: alone.sample(seconds, SamplingParams(seed))
    notes = [
        f"{LABELS[kind]} is left out: the weights '{codec.weights.name}' have no such part"
        for kind in (PRIOR, CODELESS)
        if kind not in found
    ]
    return found, notes
