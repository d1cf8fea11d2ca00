"""A Gaussian of full covariance over all values of a picture: what a model must beat at least."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

HELD_BACK = 10  # of so many pictures, one chooses how much is added to the covariance
RIDGES = tuple(10.0**power for power in range(-1, 4))  # in squares of a grey level


@dataclass(frozen=True)
class Gaussian:
    """N(mean, covariance) of grey levels with noise in [0, 1) added, in the axes of the covariance.

    Attributes:
        mean: (D,).
        axes: (D, D), an axis a column.
        variances: (D,), along them.
    """

    mean: "Values"
    axes: "Values"
    variances: "Values"

    @classmethod
    def fit(cls, pixels: "NDArray[np.uint8]", *, mirrored: bool = True) -> "Gaussian":
        """Return the Gaussian of pictures, (N, 3, H, W) or (N, D).

        Few pictures say too little of so many values: a multiple of the identity is added to the
        covariance, the one that is best for every tenth picture, fitted without those.

        Args:
            pixels: the pictures.
            mirrored: take each mirrored too; not of (N, D).
        """
        import numpy as np

        kept = np.arange(len(pixels)) % HELD_BACK != HELD_BACK - 1
        ridge = RIDGES[0]
        if not kept.all():
            part = cls._of(pixels[kept], mirrored)
            bits = [part._plus(own).bits_per_dim(pixels[~kept]).mean() for own in RIDGES]
            ridge = RIDGES[int(np.argmin(bits))]
        return cls._of(pixels, mirrored)._plus(ridge)

    @classmethod
    def _of(cls, pixels: "NDArray[np.uint8]", mirrored: bool) -> "Gaussian":
        import numpy as np

        if mirrored:
            pixels = np.concatenate([pixels, pixels[..., ::-1]])
        x = pixels.reshape(len(pixels), -1).astype(np.float64) + 0.5
        mean = x.mean(0)
        variances, axes = np.linalg.eigh((x - mean).T @ (x - mean) / len(x))
        return cls(mean, axes, variances.clip(min=0) + 1 / 12)  # and that of the noise

    def _plus(self, ridge: float) -> "Gaussian":
        return Gaussian(self.mean, self.axes, self.variances + ridge)

    def bits_per_dim(self, pixels: "NDArray[np.uint8]") -> "Values":
        """Return the bound on -log2 p of each picture, (N,), per value.

        Of the noise the mean is taken, in closed form: E[-log N(x + u)] of u even in [0, 1), which
        bounds the negative logarithm of the density's integral over the bin.
        """
        import numpy as np

        x = pixels.reshape(len(pixels), -1).astype(np.float64) + 0.5 - self.mean
        along = (x @ self.axes) ** 2 + 1 / 12
        nats = 0.5 * (np.log(2 * math.pi * self.variances) + along / self.variances).sum(1)
        found: Values = nats / (x.shape[1] * math.log(2))
        return found
