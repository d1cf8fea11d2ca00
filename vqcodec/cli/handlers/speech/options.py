"""Options of commands that are for speech alone."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqcodec.errors import UsageError

if TYPE_CHECKING:
    from vqcodec.codec.sampling import SamplingParams

DECODERS = ("fast", "wavenet")
SECONDS = 10.0  # of what is drawn, by default


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


@dataclass(frozen=True)
class Encoding:
    """How sound is to be encoded."""

    mono: bool = False
    codebooks: int = 1


@dataclass(frozen=True)
class Decoding:
    """How sound is to be decoded."""

    rate: int | None = None
    decoder: str = "fast"
    temperature: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.decoder != "fast":
            self.drawing()  # or an error before any work

    def drawing(self) -> "SamplingParams | None":
        """Return how the WaveNet is to draw it; None for the fast decoder."""
        return drawing_of(self.decoder, self.temperature, self.seed)


@dataclass(frozen=True)
class Sampling:
    """What to draw.

    Attributes:
        seconds: how long; `SECONDS` by default.
        speaker: who speaks; drawn by default.
        decoder: of drawn codes, ``fast`` or ``wavenet``.
        without_codes: draw from the WaveNet without codes instead.
    """

    seconds: float | None = None
    speaker: str | None = None
    decoder: str = "fast"
    without_codes: bool = False


@dataclass(frozen=True)
class Evaluation:
    """What to measure, if not the codec: see the options of the same names."""

    phones: bool = False
    voices: str | None = None
    babble: int | None = None
