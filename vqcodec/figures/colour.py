"""sRGB to Oklab and back: a space in which equal distances look about equal.

Björn Ottosson, "A perceptual color space for image processing", 2020.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TO_CONES = (
    (0.4122214708, 0.5363325363, 0.0514459929),
    (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)
TO_LAB = (
    (0.2104542553, 0.7936177850, -0.0040720468),
    (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)


def to_oklab(rgb: "NDArray[np.uint8]") -> "NDArray[np.float64]":
    """Return lightness (0 to 1), green to red and blue to yellow, (..., 3), of sRGB, (..., 3)."""
    import numpy as np

    x = rgb / 255
    linear = np.where(x > 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92)
    lab: NDArray[np.float64] = np.cbrt(linear @ np.transpose(TO_CONES)) @ np.transpose(TO_LAB)
    return lab


def from_oklab(lab: "NDArray[np.float64]") -> "NDArray[np.uint8]":
    """Return sRGB, (..., 3), of Oklab, (..., 3); colours that no screen has are clipped."""
    import numpy as np

    cones = (lab @ np.linalg.inv(np.transpose(TO_LAB))) ** 3
    linear = np.clip(cones @ np.linalg.inv(np.transpose(TO_CONES)), 0, 1)
    x = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    rgb: NDArray[np.uint8] = (255 * x).round().astype(np.uint8)
    return rgb
