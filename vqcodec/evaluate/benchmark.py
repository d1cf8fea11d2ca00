"""Speed, measured in one run and interleaved, so that the machine's moods hit all alike."""

import io
import platform
import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

import vqcodec
from vqcodec.codec import Codec
from vqcodec.media.image import Image
from vqcodec.nn.pixels import to_pixels
from vqcodec.pretrained import load_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PLAIN = "plain network, encode + decode"
OURS = "vqcodec, encode + decode"


def synthetic_picture(height: int, width: int, seed: int = 0) -> Image:
    """Return a picture with the spectrum of photographs: amplitude falling as 1 / frequency."""
    import numpy as np

    rng = np.random.default_rng(seed)
    fy = np.fft.fftfreq(height)[:, None]
    fx = np.fft.rfftfreq(width)[None]
    amplitude = 1 / np.maximum(np.hypot(fy, fx), 1 / max(height, width))
    grey = rng.standard_normal((height, width, 1))
    noise = 0.8 * grey + 0.2 * rng.standard_normal((height, width, 3))
    spectrum = np.fft.rfft2(noise, axes=(0, 1)) * amplitude[..., None]
    pixels = np.fft.irfft2(spectrum, (height, width), axes=(0, 1))
    pixels = 128 + 50 * (pixels - pixels.mean()) / pixels.std()
    return Image(pixels.clip(0, 255).astype(np.uint8))


def measure(name: str, image: Image, rounds: int) -> dict[str, Any]:
    """Time the codec, its plain network and two image formats on one picture.

    Args:
        name: weights, a name or a folder.
        image: the picture.
        rounds: measurements of each, taken in turn after one that is not counted.

    Returns:
        What was measured on what, ready for JSON: median seconds, megapixels per second, and
        ratios of medians.
    """
    codec = Codec.load(name)
    plain = load_model(codec.weights)
    picture = image.to_pillow()
    codes = codec.encode(image)
    tasks: dict[str, Callable[[], object]] = {
        PLAIN: lambda: _plain_round_trip(plain, image.pixels),
        OURS: lambda: codec.decode(codec.encode(image)),
        "vqcodec, encode": lambda: codec.encode(image),
        "vqcodec, decode": lambda: codec.decode(codes),
        "AVIF encode (Pillow, speed 4)": lambda: picture.save(io.BytesIO(), "AVIF", speed=4),
        "WebP encode (Pillow, method 6)": lambda: picture.save(io.BytesIO(), "WEBP", method=6),
    }
    seconds: dict[str, list[float]] = {label: [] for label in tasks}
    for turn in range(rounds + 1):
        for label, task in tasks.items():
            start = time.perf_counter()
            task()
            if turn:
                seconds[label].append(time.perf_counter() - start)
    median = {label: statistics.median(s) for label, s in seconds.items()}
    megapixels = image.size[0] * image.size[1] / 1e6
    encode = median["vqcodec, encode"]
    return {
        "vqcodec": vqcodec.__version__,
        "torch": torch.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "capability": torch.backends.cpu.get_cpu_capability(),
        "device": codec.device.type,
        "precision": codec.precision,
        "threads": torch.get_num_threads(),
        "width": image.size[1],
        "height": image.size[0],
        "rounds": rounds,
        "seconds": {label: round(s, 4) for label, s in median.items()},
        "megapixels_per_second": {label: round(megapixels / s, 3) for label, s in median.items()},
        "ratios": {
            "round trip, plain network / vqcodec": round(median[PLAIN] / median[OURS], 2),
            "encode, AVIF / vqcodec": round(median["AVIF encode (Pillow, speed 4)"] / encode, 2),
            "encode, WebP / vqcodec": round(median["WebP encode (Pillow, method 6)"] / encode, 2),
        },
    }


def _plain_round_trip(model: Any, pixels: "NDArray[np.uint8]") -> torch.Tensor:
    """Run the network as a notebook would: float32, contiguous, whole, with autograd's records."""
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous().float().div(127.5).sub(1)
    x.requires_grad_()
    return to_pixels(model.decode(model.encode(x)))
