"""What the indices of pictures and sounds cost, in bits, under everything that predicts them."""

import math
from typing import TYPE_CHECKING

import torch

from vqcodec.codec.base import BaseCodec
from vqcodec.codingpriors import coding_priors, lattice_prior
from vqcodec.evaluate.journal import Bits
from vqcodec.files import joint
from vqcodec.files.codes import Codes
from vqcodec.files.frames import blocks
from vqcodec.models.pretrained import load_sampling_prior
from vqcodec.weights import SAMPLING_PRIOR

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CODING, SAMPLING = "coding prior", "sampling prior"


class BitMeter:
    """Asks every prior that a codec has what index maps cost."""

    def __init__(self, codec: BaseCodec) -> None:
        self.device = codec.device
        self.coding = coding_priors(codec.weights)
        self.lattice = lattice_prior(codec.weights)
        weights, kind = codec.weights, codec.modality.name
        has_sampling = SAMPLING_PRIOR in (weights.config.get("files") or {})
        self.sampling = None
        if has_sampling and weights.draws == kind:  # one of single pictures knows no videos
            self.sampling = load_sampling_prior(weights, kind).to(self.device)

    def measure(self, codes: Codes) -> Bits:
        """Return the bits that whole maps cost, block by block as in files, by what predicts them.

        Under a coding prior each map; several maps are shown to a sampling prior all at once and
        whole. Empty for a codec without priors.
        """
        bits: Bits = {}
        each = [0.0] * len(self.coding)
        for number, prior in enumerate(self.coding):  # there may be none
            *before, grid = codes.grids[number - len(prior.coarser) : number + 1]
            for place in blocks(grid.shape, codes.axes):
                told = [_each(other[place]) for other in before]
                each[number] += float(prior.bits(_each(grid[place]), told).sum())
        if each:
            bits[CODING] = tuple(each)
        if self.lattice is not None and joint.fits(self.lattice, [g.shape for g in codes.grids]):
            bits[CODING] = joint.bits(codes.grids, self.lattice, codes.condition)
        if self.sampling is not None:
            parts = [codes.grids]
            if len(codes.grids) == 1:
                parts = [(codes.grids[0][p],) for p in blocks(codes.grids[0].shape, codes.axes)]
            bits[SAMPLING] = (sum(map(self._sampling, parts)),)
        return bits

    @torch.inference_mode()
    def _sampling(self, grids: "tuple[NDArray[np.uint16], ...]") -> float:
        assert self.sampling is not None
        indices = tuple(torch.from_numpy(g.astype("int64"))[None].to(self.device) for g in grids)
        return -float(self.sampling.log_prob(indices)) / math.log(2)


def _each(grid: "NDArray[np.uint16]") -> "list[NDArray[np.uint16]]":
    """Return the maps, of two axes each, of which there may be one for each frame."""
    return list(grid.reshape(-1, *grid.shape[-2:]))
