"""What a code of residual codebooks is worth by what those after it make of the rest.

`vqcodec.codec.refinement` chooses likewise when pictures are encoded.
"""

import torch
from torch.nn import functional as F

from vqcodec.coding.latticecoder import OUT
from vqcodec.coding.refining import AHEAD, CANDIDATES, LITTLE, NOTHING
from vqcodec.models.priors.lattice import Coded


class Foresight:
    """Follows the best candidates of each codebook through the next ones.

    Cells that lack next to nothing take code `NOTHING` unasked. Otherwise another code soon says
    about nothing as well, and is the cheap one: after 600 steps of 6 crops of 48 pixels 0.2 % of
    the cells took `NOTHING` of the first codebook, and so 56 %.

    Args:
        z: (B, D, h, w), what codebooks shall say.
        codebooks: (N, K, D).
        usual: (B, N, K), the bits that codes usually take.
        worth: (B, N), of each codebook what a unit of squared distance is worth, in bits.
    """

    def __init__(
        self, z: torch.Tensor, codebooks: torch.Tensor, usual: torch.Tensor, worth: torch.Tensor
    ) -> None:
        self._left, self._books = z.detach().float(), codebooks
        self._usual, self._worth = usual, worth

    def __call__(self, cost: torch.Tensor, coded: list[Coded]) -> torch.Tensor:
        """Return what codes of the next codebook cost beside their bits, (B, K, h, w), in bits.

        Args:
            cost: likewise, by distance alone.
            coded: what was chosen of the codebooks before it.
        """
        number, size = len(coded), len(self._books)
        if number:
            self._left = self._left - self._look(number - 1, coded[-1].indices)
        following = range(number + 1, min(size, number + 1 + AHEAD))
        worth = self._worth[:, number, None, None]
        if following:
            cost = self._followed(cost, number, following, worth)
        quiet = self._left.square().sum(1, keepdim=True) * worth[:, None] <= LITTLE
        silence = torch.full_like(cost[:1, :, :1, :1], OUT)
        silence[:, NOTHING] = 0
        return torch.where(quiet, silence, cost)

    def _followed(
        self, cost: torch.Tensor, number: int, following: range, worth: torch.Tensor
    ) -> torch.Tensor:
        """Return what candidates of a codebook lead to; see `__call__`."""
        ranked = cost + self._usual[:, number, :, None, None]
        candidates = ranked.topk(min(CANDIDATES, cost.shape[1]), 1, largest=False).indices
        found = torch.full_like(cost, OUT)
        for codes in candidates.unbind(1):
            rest = self._left - self._look(number, codes)
            bits = torch.zeros_like(rest[:, 0])
            for later in following:
                length = self._usual[:, later]
                scores = self._distances(rest, later) * worth[:, None] + length[..., None, None]
                best = scores.argmin(1)
                rest = rest - self._look(later, best)
                bits = bits + length.gather(1, best.flatten(1)).view_as(bits)
            whole = bits + rest.square().sum(1) * worth
            found.scatter_(1, codes[:, None], whole[:, None])
        return found

    def _look(self, number: int, indices: torch.Tensor) -> torch.Tensor:
        """Return code vectors, (B, D, h, w), of indices, (B, h, w)."""
        return F.embedding(indices, self._books[number]).movedim(-1, 1)

    def _distances(self, z: torch.Tensor, number: int) -> torch.Tensor:
        """Return the squared distances, (B, K, h, w), to all codes, less |z|^2."""
        book = self._books[number]
        with torch.autocast(z.device.type, enabled=False):
            products = torch.einsum("bdhw,kd->bkhw", z, book)
        return book.square().sum(1)[:, None, None] - 2 * products
