"""The network of `vqcodec.models.refiner` on NumPy arrays, with ONNX Runtime or torch."""

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from vqcodec.codec.engine import Engine
from vqcodec.codec.image import WINDOW
from vqcodec.codec.tiles import in_cells, tiles
from vqcodec.weights import REFINER, Weights, table_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Pixels = NDArray[np.uint8]


class Refine(Protocol):
    """Puts into pictures what vectors say of their errors."""

    def __call__(self, pixels: "Pixels", z_q: "Floats") -> "Pixels":
        """Return pictures, (N, H, W, 3), like `pixels`; the vectors are (N, h, w, D)."""


def put(refine: Refine, pixels: "Pixels", z_q: "Floats", step: int, halo: int) -> "Pixels":
    """Return a picture with what vectors say that it lacks, tile by tile.

    Args:
        refine: the network.
        pixels: (H, W, 3).
        z_q: (h, w, D), of cells that cover it.
        step: pixels to a cell along each axis.
        halo: cells beyond its own that the network looks at, per side.
    """
    (height, width), (rows, columns) = pixels.shape[:2], z_q.shape[:2]
    around = ((0, rows * step - height), (0, columns * step - width), (0, 0))
    whole = np.pad(pixels, around, mode="edge")
    found = np.empty_like(whole)
    for tile in tiles((rows, columns), WINDOW, halo):
        down, across = in_cells(tile, (step, step))
        part = whole[None, down.window, across.window]
        window = refine(part, z_q[None, tile[0].window, tile[1].window])
        found[down.kept, across.kept] = window[0, down.inner, across.inner]
    return found[:height, :width]


def open_refiner(weights: Weights, engine: Engine) -> Refine:
    """Return the network of weights, computed as an engine computes.

    Where the engine is that of ONNX Runtime and the weights have no graph, it is torch.
    """
    if engine.name == "onnx" and REFINER in table_of(weights.config, "files"):
        return OnnxRefine(weights)
    return TorchRefine(weights, engine)


class OnnxRefine:
    """By the graph of the weights."""

    def __init__(self, weights: Weights) -> None:
        from vqcodec.codec.onnxgraphs import Graphs

        self._graphs = Graphs(weights)

    def __call__(self, pixels: "Pixels", z_q: "Floats") -> "Pixels":
        """See `Refine`."""
        given: dict[str, NDArray[Any]] = {"pixels": pixels, "z_q": z_q}
        return self._graphs.run(REFINER, given, [pixels.shape], np.uint8)[0]


class TorchRefine:
    """By torch, where an engine of torch would."""

    def __init__(self, weights: Weights, engine: Engine) -> None:
        import torch

        from vqcodec.models.pretrained import load_refiner

        self._device, self._bf16 = torch.device(engine.device_type), engine.bf16
        network = load_refiner(weights).to(self._device)
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def __call__(self, pixels: "Pixels", z_q: "Floats") -> "Pixels":
        """See `Refine`."""
        import torch

        from vqcodec.models.nn.pixels import to_pixels, to_signal

        autocast = torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16)
        with torch.inference_mode(), autocast:
            x = to_signal(torch.from_numpy(pixels).to(self._device).movedim(-1, 1))
            vectors = torch.from_numpy(z_q).to(self._device).movedim(-1, 1)
            y = to_pixels(self._network(x, vectors)).movedim(1, -1).contiguous()
        found: Pixels = y.cpu().numpy()
        return found
