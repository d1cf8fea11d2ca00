"""How many frames of video a second are coded."""

import statistics
import time
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from vqcodec.benchmark.benchmark import synthetic_picture
from vqcodec.codec.video import VideoCodec
from vqcodec.media.video import Video, open_video

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRAMES = 32
SIZES = ((96, 96), (256, 144), (640, 360))  # width and height


def synthetic_frames(height: int, width: int) -> "NDArray[np.uint8]":
    """Return frames, (T, H, W, 3), across which a picture moves, two pixels at a time."""
    pixels = synthetic_picture(height, width).pixels
    return np.stack([np.roll(pixels, 2 * t, 1) for t in range(FRAMES)])


def first_frames(path: Path) -> "NDArray[np.uint8]":
    """Return the first frames of a video, (T, H, W, 3)."""
    with open_video(path) as reader:
        reader.pictures = islice(reader.pictures, FRAMES)
        return Video.of(reader).pixels


def measure(name: str, frames: "NDArray[np.uint8]", threads: int, rounds: int) -> dict[str, float]:
    """Return how many frames a second are encoded and decoded, without files.

    Args:
        name: weights, a name or a folder.
        frames: (T, H, W, 3).
        threads: to compute with.
        rounds: of which the median counts, after one that does not.
    """
    codec = VideoCodec.load(name)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    seconds: dict[str, list[float]] = {"encode": [], "decode": []}
    try:
        for turn in range(rounds + 1):
            start = time.perf_counter()
            codes = codec.encode(frames, rate=Fraction(25))
            middle = time.perf_counter()
            codec.decode(codes)
            if turn:
                seconds["encode"].append(middle - start)
                seconds["decode"].append(time.perf_counter() - middle)
    finally:
        torch.set_num_threads(before)
    return {key: round(len(frames) / statistics.median(own), 2) for key, own in seconds.items()}
