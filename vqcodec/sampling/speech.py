"""Unconditional samples of speech: neither codes nor a WaveNet without codes know any words."""

import numpy as np
import torch

from vqcodec.codec.base import Report
from vqcodec.codec.sampling import SamplingParams
from vqcodec.codec.speech import SpeechCodec
from vqcodec.errors import UsageError
from vqcodec.files.codes import Codes
from vqcodec.files.contents import AudioInfo
from vqcodec.media.audio import Audio
from vqcodec.modality import AUDIO
from vqcodec.models.generation.chunks import generate
from vqcodec.models.pretrained import load_sampling_prior, load_wavenet_alone
from vqcodec.sampling.base import draw
from vqcodec.voice.frames import RATE
from vqcodec.voice.named import Voice, find_voice, voices_of

MIN, MAX = 0.1, 3600.0  # seconds that are drawn
# Samples that a WaveNet without codes draws in one go, 10 s: where no codes lead two chunks to the
# same waveform, there is a seam between them.
UNBROKEN = 10 * RATE


class SpeechSampler:
    """Draws indices from a prior, as a map of one row, and decodes them.

    Args:
        codec: decodes; its weights must come with a sampling prior.

    Raises:
        WeightsError: they do not.
    """

    def __init__(self, codec: SpeechCodec) -> None:
        self.codec = codec
        self.prior = load_sampling_prior(codec.weights).to(codec.device)

    def sample(
        self,
        seconds: float,
        params: SamplingParams | None = None,
        *,
        speaker: str | None = None,
        drawing: SamplingParams | None = None,
        report: Report | None = None,
    ) -> tuple[Audio, str]:
        """Return new speech at 16 kHz, and the name of who speaks.

        Args:
            seconds: how long, `MIN` to `MAX`.
            params: how to draw.
            speaker: a name that the weights know; drawn among theirs by default.
            drawing: how the weights' WaveNet decodes; by default the fast decoder does.
            report: called with the fraction done.

        Raises:
            UsageError: a length out of range, or no such speaker.
            WeightsError: the weights name no speakers, or there is no WaveNet.
        """
        params = params or SamplingParams()
        size = (1, _samples(seconds))
        weights = self.codec.weights
        voice = _voice(self.codec, speaker, params.seed)
        media = AudioInfo(size, size, sample_rate=RATE, speaker=voice.vector)
        self.codec.decoder(media, drawing=drawing)  # or an error before any work
        shapes = tuple((1, *spec.shape(size)) for spec in self.codec.maps)
        grids = tuple(g[0] for g in draw(self.prior, shapes, params, report=report))
        sizes, identity = self.codec.codebook_sizes, weights.codebook_id
        codes = Codes(grids, sizes, AUDIO.axes, weights.name, identity, media)
        return self.codec.decode(codes, drawing=drawing), voice.name


class CodelessSampler:
    """Draws from a WaveNet that hears no codes, only who speaks (arXiv:1711.00937v2, section 4.3).

    Args:
        codec: whose weights must come with such a WaveNet.

    Raises:
        WeightsError: they do not.
    """

    def __init__(self, codec: SpeechCodec) -> None:
        self.codec = codec
        self.wavenet = load_wavenet_alone(codec.weights).to(codec.device)

    def sample(
        self,
        seconds: float,
        drawing: SamplingParams | None = None,
        *,
        speaker: str | None = None,
        report: Report | None = None,
    ) -> tuple[Audio, str]:
        """Return new sound at 16 kHz, and the name of who speaks; see `SpeechSampler.sample`."""
        drawing = drawing or SamplingParams()
        drawing.check_sound()
        samples = _samples(seconds)
        voice = _voice(self.codec, speaker, drawing.seed)
        cells = -(-samples // self.codec.stride)
        cond = self.codec.engine.condition(voice.vector)
        sound = generate(
            self.wavenet,
            torch.zeros(self.wavenet.config.dim, cells),  # of which it hears only how many
            None if cond is None else torch.from_numpy(cond),
            seed=drawing.seed,
            temperature=drawing.temperature,
            threads=torch.get_num_threads(),
            length=UNBROKEN,
            report=report,
        )
        return Audio(sound[None, :samples], RATE), voice.name


def _samples(seconds: float) -> int:
    """Return how many samples that is; raise UsageError for a length out of range."""
    if not MIN <= seconds <= MAX:
        raise UsageError(f"{seconds} seconds; must be {MIN} to {MAX:.0f}")
    return max(1, round(seconds * RATE))


def _voice(codec: SpeechCodec, speaker: str | None, seed: int) -> Voice:
    """Return the speaker of this name, or one that the seed draws."""
    weights = codec.weights
    if speaker is None:
        names = list(voices_of(weights))
        speaker = names[int(np.random.default_rng(seed).integers(len(names)))]
    return find_voice(weights, speaker)
