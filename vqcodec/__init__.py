"""vqcodec: pictures and speech as small maps of integers, and back."""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Audio", "Codec", "Codes", "Image", "SpeechCodec", "VqcodecError"]

if TYPE_CHECKING:
    from vqcodec.codec.image import Codec
    from vqcodec.codec.speech import SpeechCodec
    from vqcodec.errors import VqcodecError
    from vqcodec.files.codes import Codes
    from vqcodec.media.audio import Audio
    from vqcodec.media.image import Image

_HOMES = {
    "Audio": "vqcodec.media.audio",
    "Codec": "vqcodec.codec.image",
    "Codes": "vqcodec.files.codes",
    "Image": "vqcodec.media.image",
    "SpeechCodec": "vqcodec.codec.speech",
    "VqcodecError": "vqcodec.errors",
}


def __getattr__(name: str) -> Any:
    """Import public names when they are first used: `vqcodec --help` must not load torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vqcodec' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
