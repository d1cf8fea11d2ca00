"""How codes, and the samples of a WaveNet, are drawn."""

from dataclasses import dataclass, replace

from vqcodec.errors import UsageError

MAX_TEMPERATURE = 100.0
MIN_OF_SOUND, MAX_OF_SOUND = 0.05, 2.0  # temperatures that a WaveNet draws at


@dataclass(frozen=True)
class SamplingParams:
    """How to draw: the same parameters draw the same, on one machine and build.

    Attributes:
        seed: of the random numbers, 0 or more.
        temperature: above 0; below 1, what is likely becomes likelier.
        top_k: draw among the k likeliest codes only; 0 for all. A WaveNet draws among all.
    """

    seed: int = 0
    temperature: float = 1.0
    top_k: int = 0

    def __post_init__(self) -> None:
        """Raise UsageError for what is out of range."""
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"the seed is {self.seed}, must be from 0 to 2^63 - 1")
        if not 0 < self.temperature <= MAX_TEMPERATURE:
            raise UsageError(
                f"the temperature is {self.temperature}, must be above 0, "
                f"at most {MAX_TEMPERATURE:.0f}"
            )
        if self.top_k < 0:
            raise UsageError(f"top-k is {self.top_k}, must be 0 or more")

    def other(self, number: int) -> "SamplingParams":
        """Return the same but for the seed, another for each number: for parts of one thing."""
        return replace(self, seed=(self.seed + number) % 2**63)

    def check_sound(self) -> None:
        """Raise UsageError unless a WaveNet can draw so."""
        if not MIN_OF_SOUND <= self.temperature <= MAX_OF_SOUND:
            raise UsageError(
                f"the temperature is {self.temperature}, must be {MIN_OF_SOUND} to "
                f"{MAX_OF_SOUND:.0f}"
            )
