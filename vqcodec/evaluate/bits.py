"""What the indices of pictures cost, in bits, under everything that predicts them."""

import math
from collections import defaultdict
from typing import TYPE_CHECKING

import torch

from vqcodec.codec import Codec
from vqcodec.coding.rangecoder import TOTAL
from vqcodec.evaluate.mixing import ContextMixing
from vqcodec.files.codes import Codes
from vqcodec.pretrained import load_sampling_prior
from vqcodec.weights import SAMPLING_PRIOR, coding_prior

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 256  # cells of a block; larger maps are predicted block by block, as in files
MIXING, CODING, MIXED, SAMPLING = (
    "adaptive mixing",
    "coding prior",
    "coding prior, mixed",
    "sampling prior",
)


class BitMeter:
    """Asks every prior that a codec has, and adaptive context mixing, what index maps cost.

    Args:
        codec: of one index map.
    """

    def __init__(self, codec: Codec) -> None:
        import numpy as np

        (size,) = codec.codebook_sizes
        self.codebook: NDArray[np.float32] = np.frombuffer(
            codec.model.quantizer.codebook_bytes(), "<f4"
        ).reshape(size, -1)
        self.device = codec.device
        self.coding = coding_prior(codec.weights)
        has_sampling = SAMPLING_PRIOR in (codec.weights.config.get("files") or {})
        self.sampling = load_sampling_prior(codec.weights).to(self.device) if has_sampling else None

    def measure(self, codes: Codes) -> dict[str, float]:
        """Return the bits that the whole map of a picture costs, by what predicts it.

        Mixing begins anew with each picture and learns as it goes.
        """
        import numpy as np

        (grid,) = codes.grids
        alone = ContextMixing(self.codebook)
        beside = ContextMixing(self.codebook, prior=True)
        bits: defaultdict[str, float] = defaultdict(float)
        for block in _blocks(grid):
            bits[MIXING] += float(alone.bits(block).sum())
            if self.coding is not None:
                expected = self.coding.frequencies(block)
                own = np.take_along_axis(expected, block[..., None].astype(np.int64), -1)
                bits[CODING] += float(np.log2(TOTAL / own).sum())
                bits[MIXED] += float(beside.bits(block, expected).sum())
            if self.sampling is not None:
                bits[SAMPLING] += self._sampling(block)
        return dict(bits)

    @torch.inference_mode()
    def _sampling(self, block: "NDArray[np.uint16]") -> float:
        assert self.sampling is not None
        indices = torch.from_numpy(block.astype("int64"))[None].to(self.device)
        return -float(self.sampling.log_prob((indices,))) / math.log(2)


def _blocks(grid: "NDArray[np.uint16]") -> "list[NDArray[np.uint16]]":
    height, width = grid.shape
    return [
        grid[top : top + SIDE, left : left + SIDE]
        for top in range(0, height, SIDE)
        for left in range(0, width, SIDE)
    ]
