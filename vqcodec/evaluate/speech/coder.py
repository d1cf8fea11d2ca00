"""Our codec, as an evaluation uses it."""

from collections.abc import Callable
from functools import partial

from vqcodec.codec.sampling import SamplingParams
from vqcodec.codec.speech import SpeechCodec
from vqcodec.evaluate.record import OURS
from vqcodec.files.codes import Codes
from vqcodec.media.audio import Audio

Decode = Callable[[Codes], Audio]

CONTAINER = ".vqc"


def decoders_of(codec: SpeechCodec) -> dict[str, Decode]:
    """Return the decoders that weights have by what reports call them, that of `decode` first."""
    decoders: dict[str, Decode] = {OURS: codec.decode}
    if "wavenet" in codec.weights.config:
        decoders[f"{OURS}-wavenet"] = partial(codec.decode, drawing=SamplingParams())
    return decoders


def through_file(codec: SpeechCodec, audio: Audio) -> tuple[int, Codes]:
    """Return the bytes of the compact file of a sound, and the codes that it holds."""
    data = codec.encode(audio).to_bytes(CONTAINER)
    return len(data), Codes.from_bytes(data, "a file in memory")
