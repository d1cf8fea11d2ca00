"""Files of graphs, which share tensors with `MODEL`, so that each number lies there once.

In a folder of weights a graph calls a tensor as `MODEL` does, and says where in that file it lies,
as ONNX does of external data; so other programs can open the graph where it is. Here no runtime
reads a file that a graph names: what the graph asks for is put into it before. As metadata it tells
the SHA-256 of all of that, so it takes only the tensors that it was made of.
"""

import hashlib
import json
import os

import safetensors.numpy
from safetensors import SafetensorError

from vqcodec.codec.onnxfile import OUTSIDE, Graph, Initializer
from vqcodec.errors import WeightsError
from vqcodec.weights import (
    DECODER,
    MAX_MODEL_BYTES,
    MODEL,
    VOICE_DECODER,
    Weights,
    incomplete,
    read_verified,
)

KINDS = {"float32": 1, "float16": 10}  # of numbers, as ONNX counts them
SHARED = "shared_sha256"  # of metadata: of the tensors that lie in `MODEL`, one after the other


def strip(graph: bytes, model: bytes) -> bytes:
    """Return a graph without the tensors that a file beside it holds under their names.

    Args:
        graph: with all its tensors.
        model: the content of `MODEL`.
    """
    import onnx

    proto, shared = onnx.load_from_string(graph), hashlib.sha256()
    start = 8 + int.from_bytes(model[:8], "little")
    header = json.loads(model[8:start])
    for tensor in proto.graph.initializer:
        first, end = (start + n for n in header.get(tensor.name, {}).get("data_offsets", (0, 0)))
        if tensor.raw_data and tensor.raw_data == model[first:end]:
            shared.update(tensor.raw_data)
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            place = {"location": MODEL, "offset": str(first), "length": str(end - first)}
            for key, value in place.items():
                tensor.external_data.add(key=key, value=value)
    proto.metadata_props.add(key=SHARED, value=shared.hexdigest())
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def read_graph(weights: Weights, file: str, *, voices: bool = False) -> bytes:
    """Return the content of a graph that may be run, with all its tensors in it.

    Args:
        weights: whose.
        file: of the graph.
        voices: the decoder is to be that of voices: the fast one, with some other tensors.

    Raises:
        WeightsError: a file is damaged, or the graph may not be run, or is of other weights.
    """
    data = read_verified(weights, file)
    try:
        graph = Graph(data)
        numbers = _shared(weights, file, graph)
        if voices and file == DECODER:
            numbers |= _voices(weights, graph.initializers)
        return graph.filled(numbers)
    except ValueError as error:
        raise WeightsError(f"{weights.folder / file}: {error}") from None


def _shared(weights: Weights, file: str, graph: Graph) -> dict[str, bytes]:
    """Return the bytes of the tensors of a graph that lie in `MODEL`."""
    asked = {name: own.external for name, own in graph.initializers.items() if own.external}
    if not asked:
        return {}
    if any(place.get("location") != MODEL for place in asked.values()):
        raise ValueError(OUTSIDE)
    path, found, shared = weights.folder / MODEL, dict[str, bytes](), hashlib.sha256()
    try:
        with path.open("rb") as model:
            left = size = min(model.seek(0, os.SEEK_END), MAX_MODEL_BYTES)
            for name, place in asked.items():
                start, length = (_natural(place.get(key, "")) for key in ("offset", "length"))
                if min(start, length) < 0:
                    raise ValueError("is damaged")
                length = min(length, left)  # or a small graph could become a large one
                left -= length
                model.seek(min(start, size))
                found[name] = model.read(length)
                shared.update(found[name])
    except FileNotFoundError:
        raise incomplete(weights.folder, f"{MODEL}, which {file} needs") from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from None
    if shared.hexdigest() != graph.metadata.get(SHARED, ""):
        raise WeightsError(
            f"{path}: damaged, or not what {file} was made of; install these weights anew, or, if "
            f"they are your own, make their graphs anew: vqcodec export --onnx {weights.folder} "
            "--force"
        )
    return found


def _natural(text: str) -> int:
    """Return a number of bytes; -1 of what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1


def _voices(weights: Weights, tensors: dict[str, Initializer]) -> dict[str, bytes]:
    """Return the bytes of the tensors that voices have instead of some of the fast decoder."""
    path, data = weights.folder / VOICE_DECODER, read_verified(weights, VOICE_DECODER)
    try:
        voices = safetensors.numpy.load(data)
    except (KeyError, SafetensorError):  # or of a type that NumPy has not got
        raise WeightsError(f"{path}: not a safetensors file") from None
    found = {}
    for name, array in voices.items():
        old = tensors.get(f"decoder.{name}")
        if old is None or (old.kind, old.shape) != (KINDS.get(array.dtype.name), array.shape):
            raise WeightsError(
                f"{path}: its tensors are not those of the model in {DECODER}; make that anew "
                f"with: vqcodec export --onnx {weights.name} --force"
            )
        found[f"decoder.{name}"] = array.tobytes()
    return found
