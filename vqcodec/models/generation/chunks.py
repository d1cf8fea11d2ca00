"""Signals of any length from a WaveNet: chunks of one fixed length, drawn side by side.

Each chunk begins earlier and ends later than it is heard. Two neighbours draw what they share from
the same random numbers, so that the later one, as it forgets that it began from silence, comes to
the same waveform; over a short stretch one fades into the other. What is heard depends on the codes
and the seed alone, and not on how many chunks run at once.
"""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch.nn import functional as F

from vqcodec.models.generation.batched import BatchedLoop
from vqcodec.models.generation.network import Network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

CHUNK = 32000  # samples of a chunk, 2 s
WARM_UP = 2048  # samples, or more, that a chunk draws before it is heard
FADE = 256  # samples over which one chunk gives way to the next, 16 ms
AT_ONCE = 256  # chunks that a GPU draws in step


class Autoregressive(Protocol):
    """A decoder that draws sample after sample.

    Attributes:
        stride: samples per cell.
        halo: how many cells beyond its own the conditioning of a cell depends on, per side.
        memory: samples that a sample depends on.
    """

    stride: int
    halo: int
    memory: int

    @property
    def device(self) -> torch.device:
        """Where its weights are."""

    def network(self) -> Network:
        """Return the weights of the loop."""

    def conditioning(self, z_q: torch.Tensor, cond: torch.Tensor | None) -> torch.Tensor:
        """Return (B, frames, layers, 2R) of code vectors, (B, D, cells), and speakers, (B, S)."""

    def signal(self, levels: torch.Tensor) -> torch.Tensor:
        """Return samples, (B, 1, T), of levels, (B, steps, bands)."""


class Chunks:
    """Draws the chunks of one signal, in their order, several at a time.

    Args:
        decoder: gives the conditioning, and the weights of the loop; on a GPU it draws there.
        cond: (S,), the speaker; None if the decoder knows none.
        seed: of the random numbers, 0 or more.
        temperature: above 0; below 1, likely samples become likelier.
        threads: chunks drawn at once on a CPU.
        length: samples of a chunk, or a few more; `CHUNK` by default.

    Attributes:
        window: cells of a chunk.
        halo: cells on either side that must be known too.
        together: chunks that are best drawn at once.
    """

    def __init__(
        self,
        decoder: Autoregressive,
        cond: torch.Tensor | None = None,
        *,
        seed: int = 0,
        temperature: float = 1.0,
        threads: int = 1,
        length: int | None = None,
    ) -> None:
        self._decoder, self._network = decoder, decoder.network()
        self._cond = None if cond is None else cond[None].to(decoder.device)
        self._seed, self._temperature, self._threads = seed, temperature, threads
        stride = decoder.stride
        self._fade = math.ceil(FADE / stride)
        self._after = self._fade + 1  # filters of bands look a few samples ahead
        self._before = max(math.ceil(max(decoder.memory, WARM_UP) / stride), self._after)
        self.window = max(math.ceil((length or CHUNK) / stride), self._before)
        self.halo = decoder.halo + self._before
        self.together = threads if decoder.device.type == "cpu" else AT_ONCE
        self._tails: list[Floats] = []  # how each channel's last chunk goes on

    def __call__(self, z_q: torch.Tensor, first: int) -> "Floats":
        """Return samples in [-1, 1], (N, channels, window * stride), of N consecutive chunks.

        Args:
            z_q: (N, channels, D, halo + window + halo), code vectors around each.
            first: the number of the first one, from 0 at the start of the signal.
        """
        jobs = [
            (self._conditioning(cells), self._uniforms(channel, first + i))
            for i, chunk in enumerate(z_q)
            for channel, cells in enumerate(chunk)
        ]
        draw = self._one_by_one if self._decoder.device.type == "cpu" else self._in_step
        signals = np.stack([self._signal(levels) for levels in draw(jobs)])
        size, fade = (n * self._decoder.stride for n in (self.window, self._fade))
        chunks: Floats = signals.reshape(*z_q.shape[:2], -1)[..., : size + fade]
        for number, chunk in enumerate(chunks, first):
            if number:
                for signal, tail in zip(chunk, self._tails, strict=True):
                    signal[:fade] = _blend(tail, signal[:fade])
            self._tails = list(chunk[:, size:].copy())
        return chunks[..., :size]

    @torch.inference_mode()
    def _conditioning(self, cells: torch.Tensor) -> torch.Tensor:
        """Return (frames, layers, 2R) of all cells to draw, from those and `decoder.halo` more."""
        frames = self._decoder.conditioning(cells[None].to(self._decoder.device), self._cond)[0]
        per_cell = len(frames) // cells.shape[1]
        drawn = self._before + self.window + self._after
        return frames[per_cell * self._decoder.halo :][: per_cell * drawn]

    def _uniforms(self, channel: int, chunk: int) -> "Floats":
        """Return (steps, bands) random numbers: those of the chunk, and of its neighbours."""
        bands = self._network.bands
        steps = self._decoder.stride // bands
        blocks = []
        for block in (chunk, chunk + 1, chunk + 2):
            sequence = np.random.SeedSequence(self._seed, spawn_key=(channel, block))
            random = np.random.Generator(np.random.Philox(sequence))
            blocks.append(random.random((self.window * steps, bands), np.float32))
        start = (self.window - self._before) * steps
        end = (2 * self.window + self._after) * steps
        return np.concatenate(blocks)[start:end]

    def _one_by_one(self, jobs: "list[tuple[torch.Tensor, Floats]]") -> list[torch.Tensor]:
        """Draw each chunk by itself, in several threads."""
        from vqcodec.models.generation import loop  # numba takes a while to load

        def draw(job: "tuple[torch.Tensor, Floats]") -> torch.Tensor:
            conditioning, uniforms = np.ascontiguousarray(job[0].numpy()), job[1]
            levels, _ = loop.generate(self._network, conditioning, uniforms, self._temperature)
            return torch.from_numpy(levels)

        with ThreadPoolExecutor(self._threads) as pool:
            return list(pool.map(draw, jobs))

    def _in_step(self, jobs: "list[tuple[torch.Tensor, Floats]]") -> list[torch.Tensor]:
        """Draw all chunks at once."""
        conditioning = torch.stack([job[0] for job in jobs])
        uniforms = torch.from_numpy(np.stack([job[1] for job in jobs])).to(conditioning.device)
        return list(BatchedLoop(self._network, conditioning, uniforms, self._temperature).run())

    @torch.inference_mode()
    def _signal(self, levels: torch.Tensor) -> "Floats":
        """Return the samples that levels, (steps, bands), stand for, from where they are heard."""
        signal = self._decoder.signal(levels[None])[0, 0].clamp(-1, 1)
        heard: Floats = signal.cpu().numpy()[self._before * self._decoder.stride :]
        return heard


def _blend(old: "Floats", new: "Floats") -> "Floats":
    """Return a signal that fades from one to another, no quieter than they are.

    The power of a sum depends on how alike they are, which is measured.
    """
    weight = np.linspace(0, 1, len(old) + 2, dtype=np.float32)[1:-1]
    powers = np.dot(old, old) * np.dot(new, new)
    likeness = np.clip(np.dot(old, new) / np.sqrt(max(powers, 1e-20)), 0, 1)
    power = 1 - 2 * weight * (1 - weight) * (1 - likeness)
    mixed = (old + weight * (new - old)) / np.sqrt(power)
    blended: Floats = mixed.clip(-1, 1).astype(np.float32)
    return blended


def generate(
    decoder: Autoregressive,
    z_q: torch.Tensor,
    cond: torch.Tensor | None = None,
    *,
    seed: int = 0,
    temperature: float = 1.0,
    threads: int = 1,
    length: int | None = None,
    report: Callable[[float], None] | None = None,
) -> "Floats":
    """Return the signal, (N * stride,) in [-1, 1], of code vectors (D, N); see `Chunks`.

    Beyond the ends, the first and the last vector go on; `report` is called with the fraction done.
    """
    chunks = Chunks(
        decoder, cond, seed=seed, temperature=temperature, threads=threads, length=length
    )
    cells = z_q.shape[1]
    number = math.ceil(cells / chunks.window)
    parts: list[Floats] = [np.zeros(0, np.float32)]
    if cells:
        missing = number * chunks.window - cells
        z_q = F.pad(z_q[None], (chunks.halo, chunks.halo + missing), mode="replicate")[0]
    windows = z_q.unfold(1, 2 * chunks.halo + chunks.window, chunks.window) if cells else z_q
    for first in range(0, number, chunks.together):
        several = windows[:, first : first + chunks.together].transpose(0, 1)
        parts.append(chunks(several[:, None], first).flatten())
        if report:
            report(min(1.0, (first + chunks.together) / number))
    return np.concatenate(parts)[: cells * decoder.stride]
