"""vqcodec: pictures and speech as small maps of integers, and back.

Example:
    from vqcodec import Codec, Codes, SpeechCodec

    codec = Codec.load("image-f4")
    codes = codec.encode("photo.png")  # or a Pillow image, or an array (H, W, 3) uint8
    codes.indices  # (h, w) uint16, below codec.codebook_sizes[0]
    codes.save("photo.vqc")
    codec.decode(Codes.load("photo.vqc")).save("decoded.png")  # its .pixels are an array

    speech = SpeechCodec.load("speech-64x")
    speech.decode(speech.encode("talk.wav")).save("decoded.wav")
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Audio", "Codec", "Codes", "Image", "ImageCodec", "SpeechCodec", "Video", "VideoCodec"]
__all__ += ["VqcodecError"]

if TYPE_CHECKING:
    from vqcodec.codec.image import Codec, ImageCodec
    from vqcodec.codec.speech import SpeechCodec
    from vqcodec.codec.video import VideoCodec
    from vqcodec.errors import VqcodecError
    from vqcodec.files.codes import Codes
    from vqcodec.media.audio import Audio
    from vqcodec.media.image import Image
    from vqcodec.media.video import Video

_HOMES = {
    "Audio": "vqcodec.media.audio",
    "Codec": "vqcodec.codec.image",
    "Codes": "vqcodec.files.codes",
    "Image": "vqcodec.media.image",
    "ImageCodec": "vqcodec.codec.image",
    "SpeechCodec": "vqcodec.codec.speech",
    "Video": "vqcodec.media.video",
    "VideoCodec": "vqcodec.codec.video",
    "VqcodecError": "vqcodec.errors",
}


def __getattr__(name: str) -> Any:
    """Import public names when they are first used: `vqcodec --help` must not load torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vqcodec' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return [*__all__, "__version__", "__doc__"]
