"""Signals of any length from a WaveNet: chunks of one fixed length, drawn side by side.

Each chunk begins earlier than it is heard. The samples before it are drawn from the same random
numbers as the end of the chunk before, so that both come close to the same waveform, and the last
of these are where one fades into the other. What is heard depends on the codes and the seed alone:
not on how many chunks run at once, nor in which pieces the codes arrive.
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import torch

from vqcodec.generation import loop
from vqcodec.generation.batched import BatchedLoop

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vqcodec.decoders.wavenet import WaveNet

    Floats = NDArray[np.float32]

CHUNK = 32000  # samples of a chunk, 2 s
FADE = 256  # samples over which one chunk gives way to the next, 16 ms
MOST_AT_ONCE = 256  # chunks that a GPU draws in step

Report = Callable[[float], None]


class Stream:
    """Draws a signal while its codes arrive; memory does not grow with its length.

    Args:
        decoder: gives the conditioning, and the weights of the loop; on a GPU it draws there.
        cond: (S,), the speaker; None if the decoder knows none.
        seed: of the random numbers, 0 or more.
        channel: each channel of a signal has random numbers of its own.
        temperature: above 0; below 1, likely samples become likelier.
        threads: chunks drawn at once on a CPU.
    """

    def __init__(
        self,
        decoder: "WaveNet",
        cond: torch.Tensor | None = None,
        *,
        seed: int = 0,
        channel: int = 0,
        temperature: float = 1.0,
        threads: int = 1,
    ) -> None:
        self._decoder, self._network = decoder, decoder.network()
        self._cond = None if cond is None else cond[None]
        self._seed, self._channel = seed, channel
        self._temperature, self._threads = temperature, threads
        # All in cells: what is drawn but not heard, and what a chunk's window spans around it.
        self._fade = math.ceil(FADE / decoder.stride)
        self._lead = self._fade + math.ceil(decoder.memory / decoder.stride)
        self._chunk = max(math.ceil(CHUNK / decoder.stride), self._lead)
        self._before = self._lead + decoder.reach
        self._after = decoder.reach + 1  # filters of bands look a few samples ahead
        self._cells: torch.Tensor | None = None
        self._next = 0  # the chunk that the cells begin with
        self._tail: Floats = np.zeros(0, np.float32)  # the end of the last chunk, yet to be faded

    def push(self, z_q: torch.Tensor, report: Report | None = None) -> "Floats":
        """Take code vectors, (D, n), and return the samples that are ready, (m,) in [-1, 1].

        Args:
            z_q: what follows upon earlier ones.
            report: called with the fraction done.
        """
        if not z_q.shape[1]:
            return np.zeros(0, np.float32)
        if self._cells is None:  # before the first cell there are more like it
            self._cells = z_q[:, :1].expand(-1, self._before)
        self._cells = torch.cat([self._cells, z_q], 1)
        number = (self._cells.shape[1] - self._before - self._after) // self._chunk
        return self._draw([self._chunk] * number, report)

    def finish(self, report: Report | None = None) -> "Floats":
        """Return all samples that are left."""
        if self._cells is None:
            return self._tail
        left = self._cells.shape[1] - self._before
        counts = [min(self._chunk, left - i) for i in range(0, left, self._chunk)]
        edge = self._cells[:, -1:].expand(-1, self._chunk + self._after)
        self._cells = torch.cat([self._cells, edge], 1)
        ready = self._draw(counts, report)
        self._cells, tail = None, self._tail
        return np.concatenate([ready, tail])

    def _draw(self, counts: list[int], report: Report | None) -> "Floats":
        """Return chunks of so many cells each, but for what fades into the next."""
        assert self._cells is not None
        ready: list[Floats] = [np.zeros(0, np.float32)]
        fade = self._fade * self._decoder.stride
        for number, signal in enumerate(self._signals(counts), 1):
            if len(self._tail):
                ready.append(_blend(self._tail, signal[:fade]))
            new = signal[fade:]
            ready.append(new[:-fade])
            self._tail = new[-fade:]  # all of it, where the last chunk is that short
            if report:
                report(number / len(counts))
        self._cells = self._cells[:, len(counts) * self._chunk :].clone()
        return np.concatenate(ready)

    def _signals(self, counts: list[int]) -> "Iterator[Floats]":
        """Yield each chunk with the cells that it fades in over before it."""
        decoder = self._decoder
        on_cpu = decoder.device.type == "cpu"
        together = self._threads if on_cpu else MOST_AT_ONCE
        silent = (self._lead - self._fade) * decoder.stride
        with ThreadPoolExecutor(self._threads) as pool:
            for first in range(0, len(counts), together):
                jobs = [
                    (self._conditioning(i, counts[i]), self._uniforms(self._next + i, counts[i]))
                    for i in range(first, min(first + together, len(counts)))
                ]
                many = pool.map(self._one, jobs) if on_cpu else self._batch(jobs)
                for levels, count in zip(many, counts[first:], strict=False):
                    signal = decoder.signal(levels[None])[0, 0].clamp(-1, 1).cpu().numpy()
                    yield signal[silent : silent + (self._fade + count) * decoder.stride]
        self._next += len(counts)

    @torch.inference_mode()
    def _conditioning(self, chunk: int, count: int) -> torch.Tensor:
        """Return (frames, layers, 2R) of a chunk, from a window of one fixed shape."""
        assert self._cells is not None
        decoder = self._decoder
        start = chunk * self._chunk
        window = self._cells[:, start : start + self._before + self._chunk + self._after]
        frames = decoder.conditioning(window[None].to(decoder.device), self._cond)[0]
        per_cell = frames.shape[0] // window.shape[1]
        return frames[per_cell * decoder.reach :][: per_cell * (self._lead + count + 1)]

    def _uniforms(self, chunk: int, count: int) -> "Floats":
        """Return (steps, bands) random numbers; each block of cells has its own."""
        bands = self._network.bands
        steps = self._decoder.stride // bands
        blocks = []
        for block in (chunk, chunk + 1, chunk + 2):
            sequence = np.random.SeedSequence(self._seed, spawn_key=(self._channel, block))
            random = np.random.Generator(np.random.Philox(sequence))
            blocks.append(random.random((self._chunk * steps, bands), np.float32))
        lead = (self._chunk - self._lead) * steps
        return np.concatenate(blocks)[lead:][: (self._lead + count + 1) * steps]

    def _one(self, job: "tuple[torch.Tensor, Floats]") -> torch.Tensor:
        conditioning, uniforms = job
        frames = np.ascontiguousarray(conditioning.numpy())
        return torch.from_numpy(
            loop.generate(self._network, frames, uniforms, self._temperature)[0]
        )

    def _batch(self, jobs: "list[tuple[torch.Tensor, Floats]]") -> list[torch.Tensor]:
        """Draw chunks in step; a shorter one, the last, goes on for nothing."""
        frames, steps = len(jobs[0][0]), len(jobs[0][1])
        device = jobs[0][0].device
        conditioning = torch.zeros(len(jobs), *jobs[0][0].shape, device=device)
        uniforms = torch.zeros(len(jobs), steps, self._network.bands, device=device)
        for row, (one, numbers) in enumerate(jobs):
            conditioning[row, : min(frames, len(one))] = one
            uniforms[row, : len(numbers)] = torch.from_numpy(numbers)
        levels = BatchedLoop(self._network, conditioning, uniforms, self._temperature).run()
        return [levels[row, : len(numbers)] for row, (_, numbers) in enumerate(jobs)]


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
    decoder: "WaveNet",
    z_q: torch.Tensor,
    cond: torch.Tensor | None = None,
    *,
    seed: int = 0,
    channel: int = 0,
    temperature: float = 1.0,
    threads: int = 1,
    report: Report | None = None,
) -> "Floats":
    """Return the signal, (N * stride,) in [-1, 1], of code vectors (D, N); see `Stream`."""
    stream = Stream(
        decoder, cond, seed=seed, channel=channel, temperature=temperature, threads=threads
    )
    return np.concatenate([stream.push(z_q, report), stream.finish(report)])
