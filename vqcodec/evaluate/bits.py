"""What the indices of pictures and sounds cost, in bits, under everything that predicts them."""

import math
from collections import defaultdict
from typing import TYPE_CHECKING

import torch

from vqcodec.codec.base import BaseCodec
from vqcodec.coding.rangecoder import TOTAL
from vqcodec.files.codes import Codes
from vqcodec.files.frames import blocks
from vqcodec.models.pretrained import load_sampling_prior
from vqcodec.weights import SAMPLING_PRIOR, coding_prior

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CODING, SAMPLING = "coding prior", "sampling prior"


class BitMeter:
    """Asks every prior that a codec has what index maps cost.

    Args:
        codec: of one index map.
    """

    def __init__(self, codec: BaseCodec) -> None:
        self.device = codec.engine.device
        self.coding = coding_prior(codec.weights)
        has_sampling = SAMPLING_PRIOR in (codec.weights.config.get("files") or {})
        self.sampling = load_sampling_prior(codec.weights).to(self.device) if has_sampling else None

    def measure(self, codes: Codes) -> dict[str, float]:
        """Return the bits that a whole map costs, block by block as in files, by what predicts it.

        Empty for a codec without priors.
        """
        import numpy as np

        (grid,) = codes.grids
        bits: defaultdict[str, float] = defaultdict(float)
        for place in blocks(grid.shape, codes.axes):
            block = grid[place]
            if self.coding is not None:
                expected = self.coding.frequencies(block)
                own = np.take_along_axis(expected, block[..., None].astype(np.int64), -1)
                bits[CODING] += float(np.log2(TOTAL / own).sum())
            if self.sampling is not None:
                bits[SAMPLING] += self._sampling(block)
        return dict(bits)

    @torch.inference_mode()
    def _sampling(self, block: "NDArray[np.uint16]") -> float:
        assert self.sampling is not None
        indices = torch.from_numpy(block.astype("int64"))[None].to(self.device)
        return -float(self.sampling.log_prob((indices,))) / math.log(2)
