"""Measures of quality for pictures, those that are installed."""

import contextlib
import io
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vqcodec.errors import MediaError
from vqcodec.media.image import Image
from vqcodec.metrics.basic import psnr
from vqcodec.metrics.measure import Measure, installed, versions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

BEST_PSNR = 100.0  # dB; equal pictures count as this, so that means stay finite
# SSIMULACRA2 holds 500 bytes a pixel while it is computed, and MS-SSIM half as many
MAX_PIXELS = 1 << 22
LARGE_PIXELS = 1 << 20  # above this, one pair of pictures at a time
TOOL = "ssimulacra2"  # libjxl's program

_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Metric(Measure):
    """A measure of two pictures of one size; more is better. Keys are CompressAI's, if it has one.

    Attributes:
        compute: the function of two (H, W, 3) uint8 arrays, the original first.
        package: what must be installed for it, if anything.
        tool: a program that is used instead where it is on the PATH, if any.
        smallest: the shortest side in pixels that it is defined for.
        largest: the most pixels that it is computed for.
    """

    compute: "Callable[[Pixels, Pixels], float]"
    package: str = ""
    tool: str = ""
    smallest: int = 1
    largest: int = MAX_PIXELS

    def source(self) -> str:
        """Return what computes it here, with its version; nothing where it is not installed."""
        if self.tool and shutil.which(self.tool):
            return f"{self.tool} on the PATH"
        return versions((self.package,) if self.package else ())

    def measure(self, original: "Pixels", other: "Pixels") -> float | None:
        """Return the measure, None for pictures too small or too large for it."""
        height, width = original.shape[:2]
        if min(height, width) < self.smallest or height * width > self.largest:
            return None
        large = height * width > LARGE_PIXELS and self is not PSNR
        with _ONE_AT_A_TIME if large else contextlib.nullcontext():
            return round(float(self.compute(original, other)), 6)


def find_metrics() -> tuple[list[Metric], list[str]]:
    """Return the measures that can be computed here, and a note for each that cannot."""
    return installed(METRICS, "evaluate")


def _capped_psnr(a: "Pixels", b: "Pixels") -> float:
    return min(psnr(a, b), BEST_PSNR)


def _ms_ssim(a: "Pixels", b: "Pixels") -> float:
    import torch
    from pytorch_msssim import ms_ssim

    with torch.inference_mode():
        x, y = (torch.from_numpy(p.copy()).permute(2, 0, 1)[None].float() for p in (a, b))
        return float(ms_ssim(x, y, data_range=255))


def _ssimulacra2(a: "Pixels", b: "Pixels") -> float:
    if tool := shutil.which(TOOL):
        return _by_tool(tool, a, b)
    from ssimulacra2 import compute_ssimulacra2

    files = [io.BytesIO(), io.BytesIO()]
    for file, pixels in zip(files, (a, b), strict=True):
        Image(pixels).write(file, "BMP", "a bitmap in memory")
        file.seek(0)
    return float(compute_ssimulacra2(*files))


def _by_tool(tool: str, a: "Pixels", b: "Pixels") -> float:
    """Run libjxl's program, which compares two files and prints a number."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("a.png", "b.png")]
        for file, pixels in zip(files, (a, b), strict=True):
            Image(pixels).save(file)
        done = subprocess.run([tool, *files], capture_output=True, text=True, check=False)
    try:
        return float(done.stdout.split()[0])
    except (IndexError, ValueError):
        reason = (done.stderr.strip().splitlines() or ["it printed no number"])[-1]
        raise MediaError(f"{tool}: failed ({reason})") from None


PSNR = Metric("psnr-rgb", "PSNR", "dB", 2, _capped_psnr, largest=1 << 40)
# five scales, each half the last, and a window of 11 pixels on the smallest
MS_SSIM = Metric("ms-ssim-rgb", "MS-SSIM", "", 4, _ms_ssim, package="pytorch-msssim", smallest=161)
SSIMULACRA2 = Metric(
    "ssimulacra2", "SSIMULACRA2", "", 2, _ssimulacra2, package="ssimulacra2", tool=TOOL, smallest=8
)
METRICS = (PSNR, MS_SSIM, SSIMULACRA2)
