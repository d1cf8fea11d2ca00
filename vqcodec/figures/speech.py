"""A figure that explains VQ-VAE on speech: a sound, its codes over time, and what comes back."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqcodec.codec.speech import SpeechCodec
from vqcodec.figures.canvas import GREY, INK, SMALL, TITLE, Page
from vqcodec.figures.codebook import code_colours, principal_parts
from vqcodec.figures.coded import Coded
from vqcodec.figures.image import GAP, INNER, MARGIN, WIDTH, draw_usage
from vqcodec.figures.spectrogram import loudness, spectrogram, waveform
from vqcodec.media.audio import Audio
from vqcodec.metrics.spectra import log_mel_distance
from vqcodec.voice.frames import RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vqcodec.files.codes import Codes

    Signal = NDArray[np.float32]
    Pixels = NDArray[np.uint8]

SECONDS = 8  # of a sound that are drawn at most, its beginning
CLOSE = 24  # indices of the close-up
WAVE, SPECTRUM, STRIP, TRACK = 110, 240, 26, 170  # heights of the panels
LINE = (46, 84, 150)


@dataclass(frozen=True)
class CodedSound(Coded):
    """A sound that went through a codec.

    Of its codes there is the first map.

    Attributes:
        decoded: the beginning of what the codes decode to, (T,) at 16 kHz, its first channel.
        original: the same of the sound itself; None where only a code file is there.
    """

    decoded: "Signal"
    original: "Signal | None" = None

    @classmethod
    def of(cls, codec: SpeechCodec, name: str, codes: "Codes", sound: Audio | None) -> "CodedSound":
        """Decode the beginning of codes, of `sound` where it is there."""
        import numpy as np

        parts, total = [], 0
        for block in codec.decoded(codes, sample_rate=RATE):
            parts.append(block[0])
            total += block.shape[1]
            if total >= SECONDS * RATE:
                break
        decoded = np.concatenate(parts)[: SECONDS * RATE]
        codes = codes.first(1)
        if sound is None:
            return cls(name, codes, decoded)
        beginning = sound.samples[:1, : (SECONDS + 1) * sound.sample_rate]
        heard = Audio(beginning, sound.sample_rate).resample(RATE).samples[0]
        return cls(name, codes, decoded, heard[: len(decoded)])

    @property
    def seconds(self) -> float:
        """How long the whole sound lasts."""
        return self.codes.audio.size[1] / self.codes.audio.sample_rate

    def summary(self) -> str:
        """Return length, codes and quality as a sentence."""
        text = f"{self.seconds:.2f} s, {self.usage()}"
        if self.original is None or not self.original.any():
            return text
        return f"{text}, log-mel distance {log_mel_distance(self.original, self.decoded):.2f} dB"


def draw_sound(codec: SpeechCodec, coded: CodedSound) -> Page:
    """Draw a sound, its codes, what comes back, a close-up of the codes, and their use."""
    page = Page(WIDTH)
    y = _title(page, codec, coded)
    heard = coded.decoded if coded.original is None else coded.original
    top, loudest = max(float(abs(heard).max()), 1e-3), loudness(heard)
    if coded.original is not None:
        text = (
            f"For every {codec.stride} samples, and with an ear on what surrounds them, the "
            f"encoder computes a vector. Below the wave its spectrogram, 0 to 8 kHz."
        )
        y = page.heading(MARGIN, y, INNER, "The sound", text)
        y = _sound(page, y, coded.original, top, loudest) + GAP
    colours = code_colours(codec.code_vectors())
    y = _track(page, y, codec, coded, colours) + GAP
    text = "The decoder makes this of the indices, and of what the file tells of the speaker."
    if coded.original is not None and coded.original.any():
        apart = log_mel_distance(coded.original, coded.decoded)
        text += f" Its mel spectrogram is {apart:.2f} dB off, on average."
    y = page.heading(MARGIN, y, INNER, "Decoded", text)
    y = _sound(page, y, coded.decoded, top, loudest) + GAP
    y = _close_up(page, y, codec, coded, colours, top) + GAP
    said = f"The sound has {coded.codes.grids[0].size:,} indices."
    draw_usage(page, MARGIN, y, INNER, colours, coded.counts[0], said)
    return page


def _title(page: Page, codec: SpeechCodec, coded: CodedSound) -> float:
    title = "What VQ-VAE hears in" if coded.original is None else "How VQ-VAE codes"
    page.text(MARGIN, MARGIN, f"{title} {coded.title}", TITLE, weight="bold")
    channels, number = coded.codes.grids[0].shape
    bits = math.ceil(math.log2(coded.codes.codebook_sizes[0]))
    rate = coded.codes.audio.sample_rate
    text = (
        f"{coded.seconds:.2f} s at {rate:,} Hz{f', {channels} channels,' if channels > 1 else ''} "
        f"become {channels * number:,} indices of {bits} bits: packed, "
        f"{RATE / codec.stride * bits * channels / 1000:.2f} kbit/s; 16-bit samples at 16 kHz take "
        f"{256 * channels}. Weights: {codec.weights.name}."
    )
    if coded.seconds > SECONDS:
        text += f" The first {SECONDS} s are drawn."
    if channels > 1:
        text += " The first channel is drawn."
    return page.paragraph(MARGIN, MARGIN + 1.5 * TITLE, INNER, text) + 20


def _sound(page: Page, y: float, samples: "Signal", top: float, loudest: float) -> float:
    """Draw wave and spectrogram, seconds below; return where the next thing may begin."""
    page.picture(MARGIN, y, waveform(samples, (WAVE, INNER), LINE, top))
    y += WAVE + 6
    page.picture(MARGIN, y, spectrogram(samples, (SPECTRUM, INNER), loudest))
    return _seconds(page, y + SPECTRUM, len(samples) / RATE)


def _seconds(page: Page, y: float, seconds: float) -> float:
    step = next(s for s in (0.05, 0.1, 0.25, 0.5, 1.0) if seconds / s <= 20 or s == 1.0)
    for i in range(math.floor(seconds / step) + 1):
        x = MARGIN + INNER * i * step / seconds
        page.line(x, y, x, y + 5, color=GREY)
        page.text(x, y + 7, f"{i * step:g} s", SMALL, GREY, ha="center" if i else "left")
    return y + 8 + SMALL


def _track(page: Page, y: float, codec: SpeechCodec, coded: CodedSound, colours: "Pixels") -> float:
    """Draw the indices over time: as colours, and as heights in the order of the colours."""
    import numpy as np

    size = len(colours)
    text = (
        f"Each vector is replaced by the nearest of {size:,} in the codebook; its index is all "
        "that is kept. Codes that lie near each other have like colours, and like heights below."
    )
    y = page.heading(MARGIN, y, INNER, "Its code track", text)
    seconds = len(coded.decoded) / RATE
    cells = np.arange(INNER) * len(coded.decoded) // INNER // codec.stride
    track = coded.codes.grids[0][0]
    indices = track[np.minimum(cells, len(track) - 1)]
    page.picture(MARGIN, y, np.repeat(colours[indices][None], STRIP, axis=0), frame=False)
    y += STRIP + 6
    place = np.argsort(np.argsort(principal_parts(codec.code_vectors())[:, 0], kind="stable"))
    level = ((TRACK - 5) * (1 - place[indices] / max(size - 1, 1))).round() + 2
    marks = np.abs(np.arange(TRACK)[:, None] - level) <= 2
    page.picture(MARGIN, y, np.where(marks[..., None], colours[indices], np.uint8(255)))
    return _seconds(page, y + TRACK, seconds)


def _close_up(
    page: Page, y: float, codec: SpeechCodec, coded: CodedSound, colours: "Pixels", top: float
) -> float:
    """Draw the loudest stretch of a few indices, in figures, between both waves."""
    import numpy as np

    number = min(CLOSE, len(coded.decoded) // codec.stride)
    if not number:
        return y
    heard = coded.decoded if coded.original is None else coded.original
    cells = heard[: len(heard) // codec.stride * codec.stride].reshape(-1, codec.stride)
    energy = np.convolve(np.square(cells).sum(1), np.ones(number), "valid")
    first = int(energy.argmax())
    window = slice(first * codec.stride, (first + number) * codec.stride)
    text = (
        f"{1000 * number * codec.stride / RATE:.0f} ms from {first * codec.stride / RATE:.2f} s "
        "on: the wave, the index of each stretch, and the wave that the decoder makes of them."
    )
    y = page.heading(MARGIN, y, INNER, "Close up", text)
    if coded.original is not None:
        page.picture(MARGIN, y, waveform(coded.original[window], (WAVE, INNER), LINE, top))
        y += WAVE + 4
    side = INNER / number
    for i, index in enumerate(coded.codes.grids[0][0, first : first + number].tolist()):
        red, green, blue = colours[index] / 255
        page.box(MARGIN + i * side, y, side, STRIP + 8, fill=(red, green, blue), edge="white")
        ink = "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.5 else INK
        middle = (MARGIN + (i + 0.5) * side, y + STRIP / 2 + 4)
        page.text(*middle, str(index), SMALL, ink, ha="center", va="center_baseline")
    y += STRIP + 12
    page.picture(MARGIN, y, waveform(coded.decoded[window], (WAVE, INNER), LINE, top))
    return y + WAVE
