"""Sound that a WaveNet draws, window by window; see `vqcodec.codec.streaming.Renderer`."""

from typing import TYPE_CHECKING

import numpy as np
import torch

from vqcodec.codec.engine_torch import TorchEngine
from vqcodec.codec.sampling import SamplingParams
from vqcodec.models.generation.chunks import Chunks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]
    Indices = NDArray[np.uint16]


class WaveNetRenderer:
    """The WaveNet of some weights, drawing sample by sample.

    Args:
        engine: whose codes, and whose WaveNet.
        cond: (S,) speaker vector, or None.
        drawing: how to draw.
        threads: windows drawn at once on a CPU; by default as many as torch uses.

    Raises:
        WeightsError: the weights have no WaveNet.
    """

    def __init__(
        self,
        engine: TorchEngine,
        cond: "Samples | None",
        drawing: SamplingParams,
        threads: int | None = None,
    ) -> None:
        drawing.check_sound()
        self._engine = engine
        self._chunks = Chunks(
            engine.wavenet,
            None if cond is None else torch.from_numpy(cond),
            seed=drawing.seed,
            temperature=drawing.temperature,
            threads=threads or torch.get_num_threads(),
        )
        self.window, self.halo = self._chunks.window, self._chunks.halo
        self.together = self._chunks.together

    @torch.inference_mode()
    def __call__(self, windows: "Indices", first: int) -> "Samples":
        """Return the sound of windows; see `Renderer`. Of codebooks it knows the first one."""
        engine, codes = self._engine, windows[:, 0]
        grid = torch.from_numpy(codes.astype(np.int64)).to(engine.device).flatten(0, 1)
        z_q = engine.model.quantizer.lookup((grid,))
        return self._chunks(z_q.view(*codes.shape[:2], *z_q.shape[1:]), first)
