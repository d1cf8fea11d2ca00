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


@dataclass(frozen=True)
class Way:
    """A way that weights have from a recording to a copy.

    Attributes:
        label: what reports call it, beside the name of the weights.
        codebooks: how many it goes by.
        decode: makes sound of the codes.
    """

    label: str
    codebooks: int
    decode: Callable[[Codes], Audio]


def ways_of(codec: SpeechCodec) -> dict[str, Way]:
    """Return the ways that weights have by what results call them, that of the commands first."""
    found = {OURS: Way("", 1, codec.decode)}
    for number in range(2, len(codec.weights.codebook_ids) + 1):
        found[f"{OURS}-{number}"] = Way(f"{number} codebooks", number, codec.decode)
    if "wavenet" in codec.weights.config:
        drawn = partial(codec.decode, drawing=SamplingParams())
        found[f"{OURS}-wavenet"] = Way("wavenet decoder", 1, drawn)
    return found


def copies(
    codec: SpeechCodec, baselines: list[SpeechBaseline], samples: "Signal"
) -> tuple[list[Copy], Codes]:
    """Return the copies of a recording, (T,) at 16 kHz, ours first, and our codes."""
    made, ours = [], {}
    for name, way in ways_of(codec).items():
        codes = codec.with_codebooks(way.codebooks).encode(Audio(samples[None], RATE))
        size = len(codes.to_bytes(CONTAINER))  # written and not read again: packing loses nothing
        made.append(Copy(name, size, align(samples, way.decode(codes).samples[0])))
        ours[name] = codes
    for baseline in baselines:
        coded = baseline.encode(samples)
        made.append(Copy(baseline.name, coded.bytes, align(samples, coded.samples)))
    return made, ours[OURS]
