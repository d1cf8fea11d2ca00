"""What our decoders and other codecs make of a recording."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from vqcodec.codec.sampling import SamplingParams
from vqcodec.codec.speech import SpeechCodec
from vqcodec.evaluate.journal import OURS
from vqcodec.evaluate.speech.baselines import SpeechBaseline
from vqcodec.files.codes import Codes
from vqcodec.media.audio import Audio
from vqcodec.metrics.alignment import align
from vqcodec.voice.frames import RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.float32]

CONTAINER = ".vqc"


@dataclass(frozen=True)
class Copy:
    """What a codec makes of a recording.

    Attributes:
        codec: its name in the report.
        bytes: of the file; of other codecs, of the packets.
        samples: (T,), aligned with the recording and as long.
    """

    codec: str
    bytes: int
    samples: "Signal"


def decoders_of(codec: SpeechCodec) -> dict[str, Callable[[Codes], Audio]]:
    """Return the decoders that weights have by what reports call them, that of `decode` first."""
    decoders: dict[str, Callable[[Codes], Audio]] = {OURS: codec.decode}
    if "wavenet" in codec.weights.config:
        decoders[f"{OURS}-wavenet"] = partial(codec.decode, drawing=SamplingParams())
    return decoders


def copies(
    codec: SpeechCodec, baselines: list[SpeechBaseline], samples: "Signal"
) -> tuple[list[Copy], Codes]:
    """Return the copies of a recording, (T,) at 16 kHz, ours first, and our codes."""
    codes = codec.encode(Audio(samples[None], RATE))
    size = len(codes.to_bytes(CONTAINER))  # written and not read again: packing loses nothing
    made = []
    for name, decode in decoders_of(codec).items():
        made.append(Copy(name, size, align(samples, decode(codes).samples[0])))
    for baseline in baselines:
        coded = baseline.encode(samples)
        made.append(Copy(baseline.name, coded.bytes, align(samples, coded.samples)))
    return made, codes
