"""Speed, measured in one run and interleaved, so that the machine's moods hit all alike."""

import math
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vqcodec.benchmark.coders import AVIF, PLAIN, WEBP, Coder, coders, kind_of, ours, quick_formats
from vqcodec.benchmark.process import round_trip, run_python
from vqcodec.codec.base import Report
from vqcodec.codec.image import ImageCodec
from vqcodec.media.image import Image
from vqcodec.metrics.basic import psnr

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

LARGE = 2_000_000  # pixels from which on a picture is coded once, and by quick coders only

Pair = tuple[float, float]  # seconds to encode, seconds to decode


def synthetic_picture(height: int, width: int, seed: int = 0) -> Image:
    """Return a picture with the spectrum of photographs: amplitude falling as 1 / frequency.

    Beyond 1024 pixels it repeats itself, without seams, so that any size is quickly made.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    high, wide = min(height, 1024), min(width, 1024)
    fy = np.fft.fftfreq(high)[:, None]
    fx = np.fft.rfftfreq(wide)[None]
    amplitude = 1 / np.maximum(np.hypot(fy, fx), 1 / max(high, wide))
    grey = rng.standard_normal((high, wide, 1))
    noise = 0.8 * grey + 0.2 * rng.standard_normal((high, wide, 3))
    spectrum = np.fft.rfft2(noise, axes=(0, 1)) * amplitude[..., None]
    pixels = np.fft.irfft2(spectrum, (high, wide), axes=(0, 1))
    pixels = 128 + 50 * (pixels - pixels.mean()) / pixels.std()
    tile = pixels.clip(0, 255).astype(np.uint8)
    tiled = np.tile(tile, (-(-height // high), -(-width // wide), 1))
    return Image(np.ascontiguousarray(tiled[:height, :width]))


def measure(
    name: str, image: Image, threads: list[int], rounds: int, report: Report = lambda done: None
) -> list[dict[str, Any]]:
    """Time the codec, its plain network and image formats on one picture, taking turns.

    A picture of `LARGE` pixels or more is coded once: by the command line in a process of its own,
    and by the formats that do it in seconds.

    Args:
        name: weights, a name or a folder.
        image: the picture; its transparency is left out.
        threads: numbers of threads to measure with.
        rounds: measurements of each, in turn, after one that is not counted.
        report: called with the fraction done.

    Returns:
        For each number of threads what was found, ready for JSON.
    """
    image = Image(image.pixels)
    codec = ImageCodec.load(name)
    large = image.size[0] * image.size[1] >= LARGE
    rounds = 1 if large else rounds
    every = {n: quick_formats(image) if large else coders(codec, image, n) for n in threads}
    medians, results = _take_turns(every, image.pixels, rounds, not large, report)
    trips = {n: round_trip(codec.weights.folder, image, n) for n in (threads if large else [])}
    for n, trip in trips.items():
        label = ours(kind_of(codec))
        medians[n] = {label: (trip.encode, trip.decode), **medians[n]}
        results[label] = _result(trip.size, image.pixels, trip.pixels)
    # memory hardly depends on threads, so one more trip will do
    one = None if large else round_trip(codec.weights.folder, image, threads[-1])
    report(1.0)
    found = []
    for n in threads:
        trip = one or trips[n]
        speeds = {label: _speeds(codec, image, label, pair) for label, pair in medians[n].items()}
        found.append(
            {
                "width": image.size[1],
                "height": image.size[0],
                "threads": n,
                "rounds": rounds,
                "coders": {label: {**results[label], **speeds[label]} for label in speeds},
                "ratios": _ratios(medians[n], kind_of(codec)),
                # other sums are other draws: of a decoder that draws, this would be chance
                "bf16_minus_fp32_db": None if codec.engine.draws else _difference(results),
                "peak_mib": {"encode": trip.encode_peak, "decode": trip.decode_peak},
            }
        )
    return found


def _take_turns(
    every: dict[int, dict[str, Coder]],
    pixels: "Pixels",
    rounds: int,
    warm_up: bool,
    report: Report,
) -> tuple[dict[int, dict[str, Pair]], dict[str, dict[str, Any]]]:
    """Return median times by threads and coder, and bytes and PSNR by coder."""
    took: dict[int, dict[str, list[Pair]]] = {n: {label: [] for label in every[n]} for n in every}
    results: dict[str, dict[str, Any]] = {}
    before = torch.get_num_threads()
    try:
        for turn in range(rounds + warm_up):
            for n, named in every.items():
                torch.set_num_threads(n)
                for label, coder in named.items():
                    pair, coded, after = _timed(coder)
                    if turn >= warm_up:
                        took[n][label].append(pair)
                    if label not in results:
                        results[label] = _result(coder.size(coded), pixels, after)
            report((turn + 1) / (rounds + warm_up + 1))
    finally:
        torch.set_num_threads(before)
    medians = {n: {label: _medians(p) for label, p in took[n].items()} for n in every}
    return medians, results


def start_up(
    name: str, threads: int, rounds: int, report: Report = lambda done: None
) -> dict[str, float]:
    """Return median seconds of commands in fresh processes, taking turns, by their name."""
    weights = str(ImageCodec.load(name).weights.folder.resolve())
    commands = {
        "vqcodec --help": ("-m", "vqcodec", "--help"),
        "import torch": ("-c", "import torch"),
        "vqcodec encode": ("-m", "vqcodec", "encode", "a.png", "--force", "--model", weights),
    }
    seconds: dict[str, list[float]] = {label: [] for label in commands}
    with tempfile.TemporaryDirectory(prefix="vqcodec-") as folder:
        synthetic_picture(128, 128).save(Path(folder) / "a.png")
        for turn in range(rounds):
            for label, arguments in commands.items():
                ran = run_python(*arguments, threads=threads, folder=Path(folder))
                seconds[label].append(ran.seconds)
            report((turn + 1) / rounds)
    return {label: round(statistics.median(s), 3) for label, s in seconds.items()}


def _timed(coder: Coder) -> tuple[Pair, Any, "Pixels"]:
    start = time.perf_counter()
    coded = coder.encode()
    middle = time.perf_counter()
    pixels = coder.decode(coded)
    return (middle - start, time.perf_counter() - middle), coded, pixels


def _medians(took: list[Pair]) -> Pair:
    encode, decode = zip(*took, strict=True)
    return statistics.median(encode), statistics.median(decode)


def _result(size: int | None, before: "Pixels", after: "Pixels") -> dict[str, Any]:
    return {"bytes": size, "psnr": round(psnr(before, after), 3)}


def _speeds(codec: ImageCodec, image: Image, label: str, pair: Pair) -> dict[str, dict[str, float]]:
    height, width = image.size
    codes = sum(math.prod(spec.shape(image.size)) for spec in codec.maps)
    found = {}
    for what, seconds in zip(("encode", "decode"), pair, strict=True):
        found[what] = {
            "seconds": round(seconds, 7),
            "megapixels_per_second": round(height * width / seconds / 1e6, 3),
        }
        if label == PLAIN or label in map(ours, ("onnx", "bf16", "fp32")):
            found[what]["codes_per_second"] = round(codes / seconds)
    return found


def _ratios(medians: dict[str, Pair], kind: str) -> dict[str, float]:
    """Return how many times as long as the codec others take, where they were measured."""
    encode, decode = medians[ours(kind)]
    found = {}
    for label, name in ((AVIF, "AVIF"), (WEBP, "WebP")):
        if label in medians:
            found[f"encode, {name} / vqcodec"] = medians[label][0] / encode
    if PLAIN in medians:
        found["round trip, plain network / vqcodec"] = sum(medians[PLAIN]) / (encode + decode)
    if ours("fp32") in medians and kind != "fp32":
        found[f"round trip, fp32 / {kind}"] = sum(medians[ours("fp32")]) / (encode + decode)
    return {label: round(ratio, 2) for label, ratio in found.items()}


def _difference(results: dict[str, dict[str, Any]]) -> float | None:
    """Return PSNR with bfloat16 less that with float32, in dB; None unless both were measured."""
    pair = [results.get(ours(kind)) for kind in ("bf16", "fp32")]
    if pair[0] is None or pair[1] is None:
        return None
    return round(pair[0]["psnr"] - pair[1]["psnr"], 3)
