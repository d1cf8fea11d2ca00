"""New speech from a codec's sampling prior: babble, for the codes know sounds and no words."""

from pathlib import Path

import numpy as np

from vqcodec.errors import UsageError
from vqcodec.files.codes import Codes
from vqcodec.files.contents import MediaInfo
from vqcodec.media.audio import Audio
from vqcodec.pretrained import load_sampling_prior
from vqcodec.sampler import Report, Settings, draw
from vqcodec.speech import SpeechCodec
from vqcodec.streaming import SAMPLE_RATE
from vqcodec.voices import find_voice, voices_of

LEAST, MOST = 0.1, 3600.0  # seconds that are drawn


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

    @classmethod
    def load(
        cls, name: str | Path, device: str = "auto", precision: str = "auto"
    ) -> "SpeechSampler":
        """Load weights by name or path; see `SpeechCodec.load`."""
        return cls(SpeechCodec.load(name, device, precision))

    def sample(
        self,
        seconds: float,
        settings: Settings | None = None,
        *,
        speaker: str | None = None,
        report: Report | None = None,
    ) -> tuple[Audio, str]:
        """Return new speech at 16 kHz, and the name of who speaks.

        Args:
            seconds: how long, `LEAST` to `MOST`.
            settings: how to draw.
            speaker: a name that the weights know; drawn among theirs by default.
            report: called with the fraction done.

        Raises:
            UsageError: a length out of range, or no such speaker.
            WeightsError: the weights name no speakers.
        """
        if not LEAST <= seconds <= MOST:
            raise UsageError(f"{seconds} seconds; must be {LEAST} to {MOST:.0f}")
        settings = settings or Settings()
        weights = self.codec.weights
        if speaker is None:
            names = list(voices_of(weights))
            speaker = names[int(np.random.default_rng(settings.seed).integers(len(names)))]
        voice = find_voice(weights, speaker)
        size = (1, max(1, round(seconds * SAMPLE_RATE)))
        cells = -(-size[1] // self.codec.stride)
        (grids,) = draw(self.prior, (1, 1, cells), settings, report=report)
        media = MediaInfo(size, size, sample_rate=SAMPLE_RATE, speaker=voice.vector)
        sizes, identity = self.codec.codebook_sizes, weights.codebook_id
        codes = Codes((grids[0],), sizes, "ct", weights.name, identity, media)
        return self.codec.decode(codes), speaker
