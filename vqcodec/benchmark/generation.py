"""Speed of a speech codec: encoding, its fast decoder, and samples drawn from its WaveNet."""

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vqcodec.codec.base import Report
from vqcodec.codec.speech import SpeechCodec
from vqcodec.media.audio import Audio
from vqcodec.models.decoders.wavenet import WaveNet
from vqcodec.models.generation.chunks import CHUNK, generate
from vqcodec.voice.frames import RATE
from vqcodec.weights import WAVENET

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

SECONDS = 10  # of sound, to encode and to decode with the fast decoder


def synthetic_speech(seconds: float, seed: int = 0) -> Audio:
    """Return noise at 16 kHz that is mostly low, in syllables."""
    size = round(seconds * RATE)
    noise = np.random.default_rng(seed).standard_normal(size)
    spectrum = np.fft.rfft(noise) / (1 + np.fft.rfftfreq(size, 1 / RATE) / 500)
    syllables = np.sin(2 * np.pi * 2 * np.arange(size) / RATE) ** 2
    samples = np.fft.irfft(spectrum, size) * syllables
    return Audio((0.5 * samples / np.abs(samples).max()).astype(np.float32)[None], RATE)


def measure_speech(
    name: str, threads: list[int], rounds: int, report: Report = lambda done: None
) -> list[dict[str, Any]]:
    """Time a codec of speech on synthetic sound.

    Args:
        name: weights, a name or a folder.
        threads: numbers of threads to measure with.
        rounds: measurements of each, after one that is not counted.
        report: called with the fraction done.

    Returns:
        For each number of threads, ready for JSON: ``encode`` and ``decode``, seconds of sound per
        second, and ``wavenet``, what `generation_speed` finds, or None without one.
    """
    codec = SpeechCodec.load(name)
    audio = synthetic_speech(SECONDS)
    codes = codec.encode(audio)
    drawn = WAVENET in (codec.weights.config.get("files") or {})
    wavenet = codec.torch_engine.wavenet if drawn else None
    found = []
    before = torch.get_num_threads()
    try:
        for done, number in enumerate(threads):
            torch.set_num_threads(number)
            encode = _median(lambda: codec.encode(audio), rounds)
            decode = _median(lambda: codec.decode(codes), rounds)
            row: dict[str, Any] = {
                "threads": number,
                "rounds": rounds,
                "encode": round(SECONDS / encode, 2),
                "decode": round(SECONDS / decode, 2),
                "wavenet": None if wavenet is None else generation_speed(wavenet, number, rounds),
            }
            found.append(row)
            report((done + 1) / len(threads))
    finally:
        torch.set_num_threads(before)
    return found


def generation_speed(decoder: WaveNet, threads: int, rounds: int) -> dict[str, float]:
    """Time cached generation against the plain way: the whole network for every step.

    A pass over all that a step depends on takes as long for the first step as for the last, so the
    plain way is timed for `rounds` passes and multiplied.

    Args:
        decoder: what to draw from.
        threads: chunks drawn at once; there are as many chunks.
        rounds: measurements of each, after one that is not counted.
    """
    config = decoder.config
    cells = threads * -(-CHUNK // decoder.stride)
    random = torch.Generator().manual_seed(0)
    z_q = torch.randn(1, config.dim, cells, generator=random).to(decoder.device)
    cond = torch.zeros(1, config.cond_dim, device=decoder.device) if config.cond_dim else None
    speaker = None if cond is None else cond[0]
    cached = _median(lambda: generate(decoder, z_q[0], speaker, threads=threads), rounds)
    around = -(-decoder.memory // decoder.stride) + 2 * decoder.halo
    shape = (1, around * decoder.stride // config.bands, config.bands)
    levels = torch.randint(256, shape, generator=random).to(decoder.device)
    near = z_q[:, :, torch.arange(around) % cells]
    with torch.inference_mode():
        naive = _median(lambda: decoder(levels, levels, near, cond), rounds) / config.bands
    rate = cells * decoder.stride / cached
    return {
        "samples_per_second": round(rate),
        "real_time": round(rate / RATE, 3),
        "naive_samples_per_second": round(1 / naive, 2),
        "naive_real_time": round(1 / naive / RATE, 6),
        "ratio": round(rate * naive, 1),
    }


def _median(work: Callable[[], object], rounds: int) -> float:
    """Return the median of the seconds that `work` takes, after a first time."""
    took = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return statistics.median(took[1:])
