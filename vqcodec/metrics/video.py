"""Measures of quality for videos: means over frames, and what flickers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqcodec.metrics.image import BEST_PSNR
from vqcodec.metrics.measure import Measure, installed, versions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

STILL = 2  # levels of 255 by which a pixel of a colour may change and still count as standing still


@dataclass(frozen=True)
class VideoMetric(Measure):
    """A measure of two videos of one size.

    Attributes:
        compute: the function of two (T, H, W, 3) uint8 arrays, the original first; None where it
            is not defined.
        package: what must be installed for it, if anything.
        less_is_better: of a distance or an error.
    """

    compute: "Callable[[Pixels, Pixels], float | None]"
    package: str = ""
    less_is_better: bool = False

    def source(self) -> str:
        """Return what computes it here, with its version; nothing where it is not installed."""
        return versions((self.package,) if self.package else ())

    def measure(self, original: "Pixels", other: "Pixels") -> float | None:
        """Return the measure."""
        value = self.compute(original, other)
        return None if value is None else round(float(value), 6)


def frame_psnr(a: "Pixels", b: "Pixels") -> float:
    """Return the mean over frames of the PSNR of their RGB values, in dB; 100 where all agree."""
    import numpy as np

    errors = [float(np.square(x.astype(np.float32) - y).mean()) for x, y in zip(a, b, strict=True)]
    values = [10 * np.log10(255**2 / e) if e else BEST_PSNR for e in errors]
    return float(np.mean(np.minimum(values, BEST_PSNR)))


def flicker(original: "Pixels", other: "Pixels") -> float | None:
    """Return the mean change of `other` from frame to frame where the original stands still.

    In levels of 255; the original's own change there is at most `STILL`. None where nothing stands
    still.
    """
    import numpy as np

    total = count = 0
    for t in range(1, len(original)):
        moved = np.abs(original[t].astype(np.int16) - original[t - 1])
        still = moved.max(-1) <= STILL
        total += int(np.abs(other[t].astype(np.int16) - other[t - 1])[still].sum())
        count += 3 * int(still.sum())
    return total / count if count else None


def _ssim(a: "Pixels", b: "Pixels") -> float | None:
    """Return the mean SSIM of frames: Gaussian window of 11 pixels, on RGB."""
    import torch
    from pytorch_msssim import ssim

    if min(a.shape[1:3]) < 11:
        return None
    values = []
    with torch.inference_mode():
        for pair in zip(a, b, strict=True):
            x, y = (torch.from_numpy(p.copy()).permute(2, 0, 1)[None].float() for p in pair)
            values.append(float(ssim(x, y, data_range=255)))
    return sum(values) / len(values)


PSNR = VideoMetric("psnr-rgb", "PSNR", "dB", 2, frame_psnr)
SSIM = VideoMetric("ssim-rgb", "SSIM", "", 4, _ssim, package="pytorch-msssim")
FLICKER = VideoMetric("flicker", "flicker", "levels", 2, flicker, less_is_better=True)
METRICS = (PSNR, SSIM, FLICKER)


def find_metrics() -> tuple[list[VideoMetric], list[str]]:
    """Return the measures that can be computed here, and a note for each that cannot."""
    return installed(METRICS, "evaluate")
