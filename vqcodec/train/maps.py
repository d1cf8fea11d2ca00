"""Pictures to the index maps that a prior learns from, encoded once and kept."""

import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vqcodec.codec import Codec
from vqcodec.errors import TrainingError
from vqcodec.files.atomic import writing
from vqcodec.nn.pixels import to_signal
from vqcodec.train.data import Crops

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CACHE = "maps.npz"


@dataclass(frozen=True)
class Maps:
    """Codes of pictures: all that stage two sees of them.

    Attributes:
        train: (N, maps, h, w) uint16.
        held_out: (M, maps, h', w') uint16.
        log_prob: (M,) log p(x | z_q) of the held-out pictures, in nats.
        dimensions: numbers in one held-out picture.
    """

    train: "NDArray[np.uint16]"
    held_out: "NDArray[np.uint16]"
    log_prob: "NDArray[np.float64]"
    dimensions: int


def encode_maps(
    codec: Codec,
    crops: Crops,
    batches: int,
    held_out: "NDArray[np.uint8]",
    report: Callable[[float], None] | None = None,
) -> Maps:
    """Encode crops, and the pictures to measure on.

    Args:
        codec: the encoder.
        crops: training crops.
        batches: how many batches of them.
        held_out: (M, 3, H, W) pictures.
        report: called with the fraction done.
    """
    import numpy as np

    found = []
    with ThreadPoolExecutor(1) as pool:  # cuts the next crops meanwhile
        for number, pixels in enumerate(pool.map(crops.batch, range(batches)), 1):
            found.append(_encode(codec, pixels))
            if report:
                report(number / batches)
    log_prob = [_log_prob(codec, held_out[i : i + 8]) for i in range(0, len(held_out), 8)]
    return Maps(
        np.concatenate(found),
        _encode(codec, held_out),
        np.concatenate(log_prob),
        held_out[0].size,
    )


def save_maps(folder: Path, maps: Maps) -> None:
    """Keep maps in the folder of a run."""
    import numpy as np

    with writing(folder / CACHE, force=True) as file:
        np.savez_compressed(file, allow_pickle=False, **vars(maps))


def load_maps(folder: Path) -> Maps | None:
    """Return the maps that a run's folder holds; None if it holds none.

    Raises:
        TrainingError: the file is damaged.
    """
    import numpy as np

    path = folder / CACHE
    if not path.exists():
        return None
    try:
        with np.load(path) as arrays:
            return Maps(
                arrays["train"], arrays["held_out"], arrays["log_prob"], int(arrays["dimensions"])
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise TrainingError(f"{path}: damaged; delete it, and it will be made again") from None


def _encode(codec: Codec, pixels: "NDArray[np.uint8]") -> "NDArray[np.uint16]":
    """Return the maps, (N, maps, h, w), of pictures, (N, 3, H, W)."""
    import numpy as np

    return np.stack(codec.encode_batch(pixels.transpose(0, 2, 3, 1)), 1)


@torch.inference_mode()
def _log_prob(codec: Codec, pixels: "NDArray[np.uint8]") -> "NDArray[np.float64]":
    """Return log p(x | z_q) in nats, (N,)."""
    x = to_signal(torch.from_numpy(pixels).to(codec.device))
    found: NDArray[np.float64] = codec.model.elbo(x).log_prob.double().cpu().numpy()
    return found
