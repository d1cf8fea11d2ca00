"""Speech to indices and back, as it comes: what files are coded with, and streams alike.

Sound and indices are computed in windows of one fixed shape that overlap by the network's halo, so
that neither the length of a recording nor how it arrives has any influence. Before and behind a
recording the encoder hears silence, and the decoder sees the first and the last index go on.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol

import numpy as np

from vqcodec.errors import FormatError, MediaError
from vqcodec.files.contents import AudioInfo
from vqcodec.media.resample import Resampler, resampled_length
from vqcodec.media.soundformats import check_format
from vqcodec.voice.frames import HEAD, RATE
from vqcodec.voice.level import gain_for

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vqcodec.codec.engine import Engine

    Samples = NDArray[np.float32]
    Indices = NDArray[np.uint16]

ROWS = 8  # channels that the encoder takes at once


class Renderer(Protocol):
    """A decoder that makes sound of windows of indices.

    Attributes:
        window: cells of a window whose sound is kept.
        halo: cells on either side of them that it needs to see.
        together: windows that it works on best at once.
    """

    window: int
    halo: int
    together: int

    def __call__(self, windows: "Indices", first: int) -> "Samples":
        """Return the sound, (N, channels, window * stride), of N consecutive windows.

        Args:
            windows: (N, codebooks, channels, halo + window + halo).
            first: the number of the first one, from 0 at the start of the recording.
        """


class SpeechEncoder:
    """Takes sound and gives indices; `SpeechCodec.encoder` makes one for each recording.

    Args:
        engine: runs the networks, whose maps are all on one grid.
        channels: of the sound.
        sample_rate: of the sound, in Hz.
        codebooks: how many maps to give, the first ones.

    Attributes:
        media: what the indices are made from: None until the head of the recording has been
            measured, of its full size after `finish`.
    """

    def __init__(
        self, engine: "Engine", channels: int, sample_rate: int, codebooks: int = 1
    ) -> None:
        check_format(channels, sample_rate, "the sound")
        self.media: AudioInfo | None = None
        self._engine, self._codebooks = engine, codebooks
        self._rates = channels, sample_rate
        self._resampler = Resampler(channels, sample_rate, RATE)
        self._taken = self._done = 0  # samples, cells
        (self._stride,) = engine.maps[0].stride
        self._window = -(-RATE // self._stride)  # cells: about a second
        self._margin = engine.encoder_halo
        self._buffer = np.zeros((channels, 0), np.float32)

    def feed(self, block: "Samples") -> "Indices":
        """Return the indices that are ready after a block, (channels, m).

        They are (codebooks, channels, n).
        """
        self._taken += block.shape[1]
        return self._advance(self._resampler.feed(block))

    def run(self, blocks: "Iterable[Samples]") -> "Iterator[Indices]":
        """Yield the indices of a whole recording; see `feed`: an item for each block or so."""
        for block in blocks:
            yield self.feed(block)
        yield self.finish()

    def finish(self) -> "Indices":
        """Return the indices that are left.

        Raises:
            MediaError: no sample was ever fed.
        """
        if not self._taken:
            raise MediaError("the sound holds no samples")
        channels, rate = self._rates
        length = resampled_length(self._taken, rate, RATE)
        indices = self._advance(self._resampler.finish(length), length)
        assert self.media is not None
        self.media = dataclasses.replace(
            self.media, size=(channels, self._taken), coded_size=(channels, length)
        )
        return indices

    def _advance(self, samples: "Samples", length: int | None = None) -> "Indices":
        """Code as many windows as are complete, or all that are needed for `length` samples."""
        if self.media is not None:
            samples = self._level(samples)
        self._buffer = np.concatenate([self._buffer, samples], axis=1)
        if self.media is None:
            if length is None and self._buffer.shape[1] < HEAD:
                return self._no_indices()
            self._measure()
        stride = self._stride
        step, around = self._window * stride, 2 * self._margin * stride
        number = (self._buffer.shape[1] - around) // step
        rest = None
        if length is not None:
            rest = -(-length // stride) - self._done
            number = -(-rest // self._window)
            known = self._buffer[:, : self._margin * stride + length - self._done * stride]
            missing = number * step + around - known.shape[1]
            self._buffer = np.pad(known, ((0, 0), (0, missing)))
        parts = [self._no_indices()]
        for start in range(0, number * step, step):
            parts.append(self._encode(self._buffer[:, start : start + step + around]))
        self._buffer = self._buffer[:, max(0, number) * step :]
        indices = np.concatenate(parts, axis=2)[..., :rest]
        self._done += indices.shape[2]
        return indices

    def _no_indices(self) -> "Indices":
        return np.zeros((self._codebooks, self._rates[0], 0), np.uint16)

    def _measure(self) -> None:
        """Find level and speaker, and apply the level to what is there."""
        channels, rate = self._rates
        head = self._buffer[:, :HEAD]
        self.media = AudioInfo((channels, 0), (channels, 0), sample_rate=rate, level=gain_for(head))
        self._buffer = self._level(self._buffer)
        speaker = self._engine.measure_speaker(self._buffer[:, :HEAD].mean(0))
        self.media = dataclasses.replace(self.media, speaker=speaker)
        self._buffer = np.pad(self._buffer, ((0, 0), (self._margin * self._stride, 0)))

    def _level(self, samples: "Samples") -> "Samples":
        assert self.media is not None
        return np.clip(samples * np.float32(10 ** (self.media.level / 20)), -1, 1)

    def _encode(self, window: "Samples") -> "Indices":
        inner = slice(self._margin, self._margin + self._window)
        found = [
            np.stack(self._engine.encode(window[i : i + ROWS])[: self._codebooks])[..., inner]
            for i in range(0, len(window), ROWS)
        ]
        return np.concatenate(found, axis=1)


class SpeechDecoder:
    """Takes indices and gives sound; `SpeechCodec.decoder` makes one for each recording.

    Args:
        render: the decoder.
        codebooks: how many maps there are.
        stride: samples of an index.
        media: what is known of the sound.
        sample_rate: of what comes out, in Hz; the original's by default.
    """

    def __init__(
        self,
        render: Renderer,
        codebooks: int,
        stride: int,
        media: AudioInfo,
        sample_rate: int | None = None,
    ) -> None:
        self._render, self._stride, self._media = render, stride, media
        self.sample_rate = sample_rate or media.sample_rate
        channels = media.size[0]
        self._resampler = Resampler(channels, RATE, self.sample_rate)
        self._gain = np.float32(10 ** (-media.level / 20))
        self._buffer = np.zeros((codebooks, channels, 0), np.uint16)
        self._windows = 0  # that were rendered

    @property
    def step(self) -> int:
        """How many indices of a channel are best fed at a time."""
        return self._render.window * self._render.together

    def feed(self, indices: "Indices") -> "Samples":
        """Return the samples, (channels, m), that are ready after indices.

        These are (codebooks, channels, n).
        """
        halo, window = self._render.halo, self._render.window
        self._append(indices)
        # The last window waits for the end, which may lie inside it.
        number = (self._buffer.shape[2] - 2 * halo - 1) // window
        number -= number % self._render.together
        return np.clip(self._resampler.feed(self._advance(max(0, number))), -1, 1)

    def finish(self, media: AudioInfo) -> "Samples":
        """Return the samples that are left of a recording of the sizes that `media` tells.

        Raises:
            FormatError: its sizes are not those of the indices.
        """
        check_sizes(media)
        halo, window = self._render.halo, self._render.window
        cells = self._buffer.shape[2] - halo
        length = media.coded_size[1] - self._windows * window * self._stride
        if cells < 1 or cells != -(-length // self._stride):
            raise FormatError("the number of indices is not that of the samples")
        number = -(-cells // window)
        missing = number * window - cells + halo
        self._buffer = np.pad(self._buffer, ((0, 0), (0, 0), (0, missing)), mode="edge")
        samples = self._resampler.feed(self._advance(number)[:, :length])
        total = media.size[1]
        if self.sample_rate != media.sample_rate:
            total = resampled_length(total, media.sample_rate, self.sample_rate)
        return np.concatenate([samples, self._resampler.finish(total)], axis=1).clip(-1, 1)

    def _append(self, indices: "Indices") -> None:
        if not self._windows and not self._buffer.size and indices.size:
            around = (0, 0), (0, 0), (self._render.halo, 0)
            indices = np.pad(indices, around, mode="edge")
        self._buffer = np.concatenate([self._buffer, indices], axis=2)

    def _advance(self, number: int) -> "Samples":
        """Render the next `number` windows."""
        halo, window = self._render.halo, self._render.window
        parts = [np.zeros((self._buffer.shape[1], 0), np.float32)]
        for first in range(0, number, self._render.together):
            several = range(first, min(number, first + self._render.together))
            cut = [self._buffer[..., i * window : (i + 1) * window + 2 * halo] for i in several]
            parts += list(self._render(np.stack(cut), self._windows + first) * self._gain)
        self._buffer = self._buffer[..., number * window :]
        self._windows += number
        return np.concatenate(parts, axis=1)


def check_sizes(media: AudioInfo) -> None:
    """Raise FormatError unless the sizes in `media` are those of one sound at two rates."""
    (channels, samples), (coded_channels, coded) = media.size, media.coded_size
    fits = coded == resampled_length(samples, media.sample_rate, RATE)
    if not fits or channels != coded_channels:
        raise FormatError(f"{samples:,} samples cannot have been coded as {coded:,}")


class FastRenderer:
    """The model's own decoder, on windows of about two seconds.

    Args:
        engine: whose decoder.
        cond: (S,) speaker vector, or None.
    """

    together = 1

    def __init__(self, engine: "Engine", cond: "Samples | None") -> None:
        self._engine, self._cond = engine, cond
        (self._stride,) = engine.maps[0].stride
        self.window = -(-2 * RATE // self._stride)
        self.halo = engine.decoder_halo

    def __call__(self, windows: "Indices", first: int) -> "Samples":
        """Return the sound of windows; see `Renderer`."""
        stride = self._stride
        inner = slice(self.halo * stride, (self.halo + self.window) * stride)
        return np.stack([self._rows(window)[:, inner] for window in windows])

    def _rows(self, indices: "Indices") -> "Samples":
        rows = [indices[:, i : i + ROWS] for i in range(0, indices.shape[1], ROWS)]
        return np.concatenate([self._engine.decode(tuple(r), self._cond) for r in rows])
