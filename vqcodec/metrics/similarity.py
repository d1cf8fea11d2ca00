"""Whose voice it is: embeddings of speakers by Resemblyzer."""

import contextlib
import sys
import types
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vqcodec.voice.frames import RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.floating]
    Embedding = NDArray[np.float32]

PACKAGE = "Resemblyzer"
SHORTEST = RATE // 2  # samples of speech, pauses cut, below which a voice is not told


def similarity(a: "Signal", b: "Signal") -> float | None:
    """Return the cosine of two speakers' embeddings; None where one says too little."""
    one, two = embedding(a), embedding(b)
    return None if one is None or two is None else float((one * two).sum())


def embedding(samples: "Signal") -> "Embedding | None":
    """Return a speaker's unit vector, (256,); None for less than half a second of speech."""
    return _embedding(samples.astype("float32").tobytes())


@lru_cache(maxsize=256)  # an original meets many copies
def _embedding(data: bytes) -> "Embedding | None":
    import numpy as np

    encoder, preprocess = load()
    samples = np.frombuffer(data, np.float32)
    if not samples.any():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what lies below Resemblyzer
        speech = preprocess(samples, RATE)
        if len(speech) < SHORTEST:
            return None
        return np.asarray(encoder.embed_utterance(speech), np.float32)


@lru_cache(maxsize=1)
def load() -> tuple[Any, Any]:
    """Return Resemblyzer's encoder, and its function that cuts pauses.

    Raises:
        ImportError: it is not installed, or does not work with what else is.
    """
    with warnings.catch_warnings(), _package_resources():
        warnings.simplefilter("ignore")
        from resemblyzer import VoiceEncoder, preprocess_wav

        return VoiceEncoder("cpu", verbose=False), preprocess_wav


@contextlib.contextmanager
def _package_resources() -> Any:
    """Lend webrtcvad, which only asks for its own version, a module that setuptools has dropped."""
    name = "pkg_resources"
    try:
        __import__(name)
    except ImportError:
        lent: Any = types.ModuleType(name)
        lent.get_distribution = lambda _: types.SimpleNamespace(version="")
        sys.modules[name] = lent
        try:
            yield
        finally:
            del sys.modules[name]
    else:
        yield
