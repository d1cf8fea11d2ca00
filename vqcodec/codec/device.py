"""Which engine, device and precision to compute with: by hardware and size, never by timing."""

import functools
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from vqcodec.errors import UsageError, WeightsError
from vqcodec.weights import DECODER, ENCODER, Weights

if TYPE_CHECKING:
    import torch

ENGINES = ("auto", "onnx", "torch")
DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16")
LARGE = 4 << 20  # bytes of files: with less, torch would not make up for its start


def choose_engine(
    weights: Weights, name: str, device: str, precision: str, work: int | None
) -> str:
    """Return the engine, ``onnx`` or ``torch``, that `name` stands for.

    ONNX Runtime computes on the CPU in float32, what weights with graphs can; there it is as fast
    as torch or faster. So ``auto`` takes it, unless the work is large, or of unknown size, and
    torch has what is faster: a GPU, or a CPU whose AMX multiplies bfloat16.

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
    _check(device, precision)
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
        faster = (device == "auto" and _may_have_cuda()) or (precision == "auto" and _has_amx())
        return "torch" if faster else "onnx"
    return "onnx"


def choose_device(name: str) -> "torch.device":
    """Return the device that `name` (``auto``, ``cpu``, ``cuda``) stands for."""
    import torch

    _check(name, "auto")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device is available; leave out --device, or use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def choose_bf16(name: str, device: "torch.device | str") -> bool:
    """Return whether `name` (``auto``, ``fp32``, ``bf16``) means bfloat16 on `device`."""
    import torch

    _check("auto", name)
    if name != "auto":
        return name == "bf16"
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # AMX multiplies bfloat16 several times faster than float32, AVX512-BF16 twice as fast; without
    # either it is far slower.
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def _check(device: str, precision: str) -> None:
    """Raise UsageError for names that there are not."""
    if device not in DEVICES:
        raise UsageError(f"no device '{device}'; there are: {', '.join(DEVICES)}")
    if precision not in PRECISIONS:
        raise UsageError(f"no precision '{precision}'; there are: {', '.join(PRECISIONS)}")


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
def _has_amx() -> bool:
    """Return whether Linux says that the CPU has AMX; where nobody says, it is as if not."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return "amx_tile" in flags.split()
