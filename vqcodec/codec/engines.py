"""Which engine to compute with: by what is asked for, hardware and size, never by timing."""

import functools
import sys
from importlib.util import find_spec
from pathlib import Path

from vqcodec.codec.device import check_names
from vqcodec.codec.engine import Engine
from vqcodec.errors import UsageError, WeightsError
from vqcodec.weights import DECODER, ENCODER, Weights

ENGINES = ("auto", "onnx", "torch")
LARGE = 4 << 20  # bytes of files: with less, torch would not make up for its start


def open_engine(
    weights: Weights, name: str, device: str, precision: str, work: int | None, *, pixels: bool
) -> Engine:
    """Return an engine with the model of `weights`.

    Args:
        weights: what to load.
        name: ``onnx``, ``torch`` or ``auto``; see `choose_engine`, also for the rest.
        device: where to compute.
        precision: what in.
        work: bytes of the files that there are to code, None where nobody knows.
        pixels: its signals are pictures, not sounds.
    """
    if choose_engine(weights, name, device, precision, work) == "onnx":
        from vqcodec.codec.engine_onnx import OnnxEngine

        return OnnxEngine(weights, pixels=pixels)
    from vqcodec.codec.engine_torch import TorchEngine

    return TorchEngine(weights, device, precision, pixels=pixels)


def choose_engine(
    weights: Weights, name: str, device: str, precision: str, work: int | None
) -> str:
    """Return the engine, ``onnx`` or ``torch``, that `name` stands for.

    ONNX Runtime computes on the CPU in float32, for weights that have graphs; it starts seconds
    before torch, and is about as fast then. So ``auto`` takes it, unless the work is large, or of
    unknown size, and torch has what is faster: a GPU, or a CPU that multiplies bfloat16.

    Args:
        weights: of the model.
        name: ``auto``, ``onnx`` or ``torch``.
        device: as for `choose_device`.
        precision: as for `choose_bf16`.
        work: bytes of the files that there are to code, None where nobody knows.

    Raises:
        UsageError: an unknown name, or a device or precision that ONNX Runtime has not got.
        WeightsError: `name` is ``onnx``, and the weights have no graphs.
    """
    if name not in ENGINES:
        raise UsageError(f"no engine '{name}'; there are: {', '.join(ENGINES)}")
    check_names(device, precision)
    files = weights.config.get("files")
    graphs = isinstance(files, dict) and ENCODER in files and DECODER in files
    elsewhere = device == "cuda" or precision == "bf16"
    if name == "onnx":
        if elsewhere:
            raise UsageError("the engine onnx computes on the CPU in fp32, and torch elsewhere")
        if find_spec("onnxruntime") is None:
            raise UsageError("the engine onnx needs onnxruntime: pip install onnxruntime")
        if not graphs:
            raise WeightsError(
                f"{weights.folder}: has no ONNX graphs; add them with: vqcodec export --onnx "
                f"{weights.name}"
            )
        return name
    if name == "torch" or elsewhere or not graphs or find_spec("onnxruntime") is None:
        return "torch"
    if (work is None or work >= LARGE) and find_spec("torch") is not None:
        faster = (device == "auto" and _may_have_cuda()) or (precision == "auto" and _has_bf16())
        return "torch" if faster else "onnx"
    return "onnx"


@functools.cache
def _may_have_cuda() -> bool:
    """Return whether there is a driver for CUDA: what torch would say, but without torch."""
    import ctypes

    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


@functools.cache
def _has_bf16() -> bool:
    """Return whether Linux says that the CPU multiplies bfloat16; if nobody says, it does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not {"amx_tile", "avx512_bf16"}.isdisjoint(flags.split())
