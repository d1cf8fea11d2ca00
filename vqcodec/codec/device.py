"""Which device and precision to compute with: by what the hardware can do, never by timing."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vqcodec.errors import UsageError

if TYPE_CHECKING:
    import torch

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "fp32", "bf16")


def choose_device(name: str) -> "torch.device":
    """Return the device that `name` (``auto``, ``cpu``, ``cuda``) stands for."""
    import torch

    check_names(name, "auto")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device is available; leave out --device, or use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def choose_bf16(name: str, device: "torch.device | str") -> bool:
    """Return whether `name` (``auto``, ``fp32``, ``bf16``) means bfloat16 on `device`."""
    import torch

    check_names("auto", name)
    if name != "auto":
        return name == "bf16"
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # AMX multiplies bfloat16 several times faster than float32, AVX512-BF16 twice as fast; without
    # either it is far slower.
    return bool(torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def check_names(device: str, precision: str) -> None:
    """Raise UsageError for names that there are not."""
    if device not in DEVICES:
        raise UsageError(f"no device '{device}'; there are: {', '.join(DEVICES)}")
    if precision not in PRECISIONS:
        raise UsageError(f"no precision '{precision}'; there are: {', '.join(PRECISIONS)}")


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let any engine compute on one core: sums come out the same, however many cores there are."""
    torch, told = sys.modules.get("torch"), os.environ.get("OMP_NUM_THREADS")
    before = torch.get_num_threads() if torch else 0
    os.environ["OMP_NUM_THREADS"] = "1"
    if torch:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        if told is not None:
            os.environ["OMP_NUM_THREADS"] = told
        if torch:
            torch.set_num_threads(before)
