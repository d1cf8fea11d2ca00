"""Synthetic clips that tests share."""

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow


def frames(number: int = 8, height: int = 24, width: int = 32) -> NDArray[np.uint8]:
    """A pattern that moves, (T, H, W, 3)."""
    rows, columns = np.mgrid[:height, :width]
    made = []
    for t in range(number):
        planes = (128 + 100 * np.sin((columns + 2 * t) / 9), 4 * rows + t, columns * 3 + 5 * t)
        made.append(np.stack(planes, -1).clip(0, 255).astype(np.uint8))
    return np.stack(made)


def clip(
    pictures: NDArray[np.uint8],
    times: Sequence[int] | None = None,
    tick: Fraction = Fraction(1, 25),
    container: str = "matroska",
    codec: str = "ffv1",
    pix_fmt: str = "bgr0",
    sound: int = 0,
    **options: str,
) -> bytes:
    """Return a file that PyAV makes of frames; `sound` seconds of a tone go with them."""
    av: Any = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options) as output:
        stream = output.add_stream(codec)
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt, stream.time_base, stream.codec_context.time_base = pix_fmt, tick, tick
        track = output.add_stream("aac", rate=16_000, layout="mono") if sound else None
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=pix_fmt)
            frame.pts, frame.time_base = times[number] if times else number, tick
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if track:
            tone = 0.3 * np.sin(np.arange(16_000 * sound, dtype=np.float32) / 9)[None]
            frame = av.AudioFrame.from_ndarray(tone, "fltp", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, 0, Fraction(1, 16_000)
            output.mux(track.encode(frame))
            output.mux(track.encode(None))
    return file.getvalue()


def read(data: bytes) -> tuple[NDArray[np.uint8], list[Fraction]]:
    """Return frames and their times, in seconds, as PyAV reads them."""
    av: Any = pytest.importorskip("av")
    with av.open(io.BytesIO(data)) as container:
        found = list(container.decode(video=0))
        start = found[0].pts * found[0].time_base
        pixels = np.stack([f.to_ndarray(format="rgb24") for f in found])
        return pixels, [f.pts * f.time_base - start for f in found]


def animation(pictures: NDArray[np.uint8], durations: list[int], kind: str) -> bytes:
    """Return an animated picture of Pillow's; `durations` are in milliseconds."""
    file = io.BytesIO()
    first, *rest = (Pillow.fromarray(p) for p in pictures)
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    first.save(file, kind, save_all=True, append_images=rest, duration=durations, **options)
    return file.getvalue()
