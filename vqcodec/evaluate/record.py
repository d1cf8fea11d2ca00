"""What was measured on one input, as it lies in a line of the journal."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from vqcodec.files.codes import Codes

OURS = "vqcodec"  # beside the names of the codecs that it is compared with


@dataclass(frozen=True)
class Measured:
    """One file that a codec made of an input.

    Attributes:
        codec: `OURS`, or the name of another.
        point: number of the rate-distortion point: all codecs had at most our bytes there. Sound
            has one, where every codec has the rate that it was made for.
        bytes: size of the file.
        setting: how it was made, such as its scale and quality.
        values: quality by a metric's key; None where the metric is not defined for the input.
    """

    codec: str
    point: int
    bytes: int
    setting: dict[str, float]
    values: dict[str, float | None]


@dataclass(frozen=True)
class Record:
    """One input and what became of it.

    Attributes:
        name: unique within the evaluation.
        identity: a digest of its content, so that reports of the same data know each other.
        input_bytes: size of its file.
        shape: height and width in pixels; of sound, milliseconds.
        usage: how often each code was used, at the point of highest rate.
        bits: what all indices cost there, by what predicts them, see `vqcodec.evaluate.bits`.
        measured: one entry for each codec and point, where the codec has a file that fits.
    """

    name: str
    identity: str
    input_bytes: int
    shape: tuple[int, ...]
    usage: dict[int, int]
    bits: dict[str, float]
    measured: tuple[Measured, ...]

    @property
    def units(self) -> int:
        """What its rate is counted in: pixels; milliseconds, since bits in one are kbit/s."""
        return math.prod(self.shape)

    def find(self, codec: str, point: int) -> Measured | None:
        """Return what a codec did at a point."""
        return next((m for m in self.measured if (m.codec, m.point) == (codec, point)), None)

    def to_json(self) -> dict[str, Any]:
        """Return the record in types of JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> "Record":
        """Reverse `to_json`; raises KeyError, TypeError or ValueError on anything else."""
        return cls(
            name=str(tree["name"]),
            identity=str(tree["identity"]),
            input_bytes=int(tree["input_bytes"]),
            shape=tuple(map(int, tree["shape"])),
            usage={int(code): int(count) for code, count in tree["usage"].items()},
            bits={str(name): float(bits) for name, bits in tree["bits"].items()},
            measured=tuple(Measured(**m) for m in tree["measured"]),
        )


def count_used(codes: Codes) -> dict[int, int]:
    """Return how often each code of the finest map occurs, of those that do."""
    import numpy as np

    used, counts = np.unique(codes.grids[-1], return_counts=True)
    return dict(zip(used.tolist(), counts.tolist(), strict=True))
