"""What a measurement was made on, so that it can be told from others."""

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

import vqcodec


def machine() -> dict[str, Any]:
    """Return processor, cores that may be used, instructions for arithmetic, memory, system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    units = {
        "AMX": torch.cpu._is_amx_tile_supported(),
        "AVX512-BF16": torch.cpu._is_avx512_bf16_supported(),
    }
    return {
        "cpu": _cpu(),
        "cores": cores,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "bfloat16_units": [name for name, present in units.items() if present],
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "memory_gib": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def default_threads() -> int:
    """Return how many threads torch uses unless told otherwise."""
    return torch.get_num_threads()


def versions() -> dict[str, str | None]:
    """Return the versions of what does the work."""
    import numpy as np
    import PIL
    from PIL import features

    return {
        "vqcodec": vqcodec.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "libjpeg_turbo": features.version("libjpeg_turbo"),
        "libwebp": features.version("webp"),
        "libavif": features.version("avif"),
    }


def commit() -> str | None:
    """Return the commit of the checkout that this code runs from, with -dirty; None without one."""
    root = Path(vqcodec.__file__).parents[1]
    if not (root / ".git").exists():  # installed: whatever repository lies around it is another's
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip() or None


def _cpu() -> str:
    if sys.platform == "linux":
        try:
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
        except OSError:
            pass
    return platform.processor() or platform.machine()


def _memory() -> float | None:
    try:
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30), 1)
    except (AttributeError, OSError, ValueError):  # not every system tells
        return None
