"""Speech as pictures: spectrograms and waveforms, as arrays of the size that they are drawn at."""

from typing import TYPE_CHECKING

from vqcodec.figures.panels import palette
from vqcodec.metrics.spectra import DYNAMIC_RANGE, decibels, power

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.floating]
    Pixels = NDArray[np.uint8]

COLOURS = ((6, 6, 20), (60, 20, 110), (160, 50, 110), (240, 120, 60), (255, 240, 180))


def spectrogram(samples: "Signal", size: tuple[int, int], loudest: float | None = None) -> "Pixels":
    """Return a spectrogram at (height, width): time to the right, 0 to 8 kHz upwards.

    Args:
        samples: (T,) at 16 kHz.
        size: of the picture.
        loudest: dB that are drawn brightest; the loudest of these samples by default. What is
            `DYNAMIC_RANGE` below is black.
    """
    import numpy as np
    from PIL import Image as Pillow

    levels = decibels(power(samples, max(1, min(160, len(samples) // size[1]))))
    top = levels.max() if loudest is None else loudest
    shade = ((levels - top) / DYNAMIC_RANGE + 1).clip(0, 1)
    flipped = Pillow.fromarray((255 * shade.T[::-1]).round().astype(np.uint8))
    drawn = flipped.resize((size[1], size[0]), Pillow.Resampling.BILINEAR)
    return palette(COLOURS, 256)[np.asarray(drawn)]


def loudness(samples: "Signal") -> float:
    """Return the level of the loudest part of a spectrogram, in dB."""
    return float(decibels(power(samples)).max())


def waveform(
    samples: "Signal", size: tuple[int, int], colour: tuple[int, int, int], top: float
) -> "Pixels":
    """Return the outline of a signal at (height, width): lowest to highest sample of each column.

    Args:
        samples: (T,).
        size: of the picture.
        colour: to draw with, on white.
        top: the sample value at the upper edge.
    """
    import numpy as np

    height, width = size
    edges = np.linspace(0, len(samples) - 1, width + 1)
    between = np.interp(edges, np.arange(len(samples)), samples)  # so that the line has no gaps
    inner = np.ceil(edges).astype(int)  # samples from inner[i] to inner[i + 1] are in column i
    low, high = (how(between[:-1], between[1:]) for how in (np.minimum, np.maximum))
    full = inner[1:] > inner[:-1]
    for how, ends in ((np.minimum, low), (np.maximum, high)):
        ends[full] = how(ends, how.reduceat(samples, inner[:-1]))[full]
    rows = np.arange(height)[:, None]
    scale = (height - 1) / 2
    first = np.round(scale * (1 - (high / top).clip(-1, 1)))
    last = np.round(scale * (1 - (low / top).clip(-1, 1)))
    inside = (rows >= first) & (rows <= last)
    return np.where(inside[..., None], np.array(colour, np.uint8), np.uint8(255))
