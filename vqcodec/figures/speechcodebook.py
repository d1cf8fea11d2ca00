"""A figure of a model of speech: its codes as spectra, and how often they occur."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vqcodec.codec.speech import SpeechCodec
from vqcodec.figures.canvas import TITLE, Page
from vqcodec.figures.codebook import CodebookChart, code_colours
from vqcodec.figures.image import (
    GAP,
    INNER,
    MARGIN,
    WIDTH,
    draw_neighbours,
    draw_sheet,
    draw_usage,
)
from vqcodec.figures.speech import LINE
from vqcodec.metrics.spectra import DYNAMIC_RANGE, decibels
from vqcodec.voice.frames import RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

BATCH = 64  # codes decoded at a time
SIDE = 48  # pixels of a spectrum


def draw_model(
    codec: SpeechCodec, counts: "Sequence[NDArray[np.intp]]" = (), recordings: int = 0
) -> Page:
    """Draw the codebook of a model.

    Args:
        codec: the model.
        counts: how often each code occurs in a set of recordings, (K,) of each map; none without.
        recordings: how many those were.
    """
    vectors = codec.code_vectors()
    codebook = CodebookChart(vectors, draw_spectra(spectra(codec)), code_colours(vectors))
    page = Page(WIDTH)
    size, dim = vectors.shape
    page.text(MARGIN, MARGIN, f"The codebook of {codec.weights.name}", TITLE, weight="bold")
    text = (
        f"{size:,} codes, each a vector of {dim} numbers that training has found. One of them "
        f"stands for {1000 * codec.stride / RATE:g} ms, so a second becomes "
        f"{RATE / codec.stride:g} indices of {math.log2(size):.4g} bits."
    )
    y = page.paragraph(MARGIN, MARGIN + 1.5 * TITLE, INNER, text) + 20
    text = (
        "What the decoder makes of one code only, again and again, in a voice that is in the "
        f"middle of all: the spectrum of that tone, 0 to 8 kHz (mel scale) from left to right "
        f"and {DYNAMIC_RANGE:.0f} dB in height, for each of {size:,} codes, framed in the code's "
        "colour in the track. Codes that lie near each other have been put side by side."
    )
    y = draw_sheet(page, y, codebook, text) + GAP
    y = draw_neighbours(page, y, codebook) + GAP
    for own in counts:
        said = f"{recordings:,} recordings hold {int(own.sum()):,} indices."
        draw_usage(page, MARGIN, y, INNER, codebook.colours, own, said)
    return page


def spectra(codec: SpeechCodec) -> "NDArray[np.float64]":
    """Return the spectrum of each code, (K, stride // 2 - 1), in dB of a sine at full scale.

    A code that is repeated decodes to a tone whose period is the stride: its harmonics, below
    8 kHz, are all that there is.
    """
    import numpy as np

    (size,) = codec.codebook_sizes
    engine = codec.engine
    cond, halo = engine.condition(bytes(engine.speaker_size)), engine.decoder_halo
    middle = slice(halo * codec.stride, (halo + 1) * codec.stride)
    periods = []
    for start in range(0, size, BATCH):
        codes = np.arange(start, min(start + BATCH, size), dtype=np.uint16)
        rows = np.repeat(codes[:, None], 2 * halo + 1, axis=1)
        periods.append(engine.decode((rows,), cond)[:, middle])
    amplitudes = np.abs(np.fft.rfft(np.concatenate(periods))) * 2 / codec.stride
    return decibels(np.square(amplitudes[:, 1 : codec.stride // 2]))


def draw_spectra(levels: "NDArray[np.float64]") -> "Pixels":
    """Return the spectra of `spectra`, (K, n), as pictures, (K, SIDE, SIDE, 3), on one scale."""
    import numpy as np

    top = math.log10(1 + RATE / 2 / 700)  # of the mel scale, but for a factor
    frequencies = 700 * (10 ** (top * (np.arange(SIDE) + 0.5) / SIDE) - 1)
    harmonics = (frequencies / (RATE / 2) * (levels.shape[1] + 1)).round().astype(int)
    at = harmonics.clip(1, levels.shape[1]) - 1
    height = ((levels[:, at] - levels.max()) / DYNAMIC_RANGE + 1).clip(0, 1) * SIDE
    inside = np.arange(SIDE)[::-1, None] < height[:, None, :].round()
    return np.where(inside[..., None], np.array(LINE, np.uint8), np.uint8(255))
