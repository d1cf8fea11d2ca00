"""The graph of the decoder of voices: that of the fast decoder, with other numbers in it."""

from collections.abc import Iterator

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from vqcodec.errors import WeightsError
from vqcodec.weights import DECODER, MODEL, VOICE_DECODER, Weights, read_verified


def voice_graph(weights: Weights, graph: bytes) -> bytes:
    """Return the graph of the fast decoder with the numbers of the decoder of voices.

    What makes graphs names tensors as it likes, and turns matrices; so they are found by what they
    hold.

    Args:
        weights: that have both decoders.
        graph: the content of `DECODER`.

    Raises:
        WeightsError: a file is damaged, or the graph is not of these weights.
    """
    try:
        fast, voices = (
            safetensors.numpy.load(read_verified(weights, file)) for file in (MODEL, VOICE_DECODER)
        )
        for name, new in voices.items():
            old = fast[f"decoder.{name}"]
            if old.shape != new.shape:
                raise KeyError(name)
            pair = next((p for p in _stored(old, new) if graph.count(p[0]) == 1), None)
            if pair is None:
                raise WeightsError(f"{weights.folder / DECODER}: a graph of other weights")
            graph = graph.replace(*pair)
    except (KeyError, SafetensorError):
        raise WeightsError(
            f"{weights.folder / VOICE_DECODER}: its tensors are not those of the model"
        ) from None
    return graph


def _stored(old: "np.ndarray", new: "np.ndarray") -> Iterator[tuple[bytes, bytes]]:
    """Yield what may lie in a graph for two tensors: halves or floats, as they are or turned."""
    for kind in (np.float16, np.float32):
        for turned in (False, True):
            a, b = ((x.T if turned else x).astype(kind).tobytes() for x in (old, new))
            yield a, b
