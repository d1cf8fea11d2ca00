"""Choosing indices by what the decoder makes of them, and by the bits they cost.

The quantizer takes the code nearest to z_e. What counts is the decoded picture, where cells
overlap, and the bits under the coding prior, where each index is also the context of later ones.
So the search minimises (entropy-constrained vector quantization, Chou et al. 1989, with the real
decoder's error in the place of the quantizer's)

    J = sum of squared error + rate_weight * bits

one sparse lattice of cells at a time. From the gradient g of the error and the mean curvature H of
the decoder, a move of a cell from vector z to code e is expected to change J by

    g (e - z) + (e - z) H (e - z) + rate_weight * (change of bits)

where the bits of the cell itself are known for each code, and those of later cells follow from
their gradient. Each cell of the lattice tries its most promising code; all of them are decoded at
once, far enough apart to tell who improved his surroundings, and those that did stay.
"""

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from vqcodec.codec.tiles import Span, tiles
from vqcodec.errors import UsageError
from vqcodec.models.nn.pixels import to_signal
from vqcodec.models.priors.integer import IntegerPrior, from_arrays
from vqcodec.models.vqvae import VQVAE
from vqcodec.weights import Weights, coding_priors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPACING = 4  # cells between those that move at once; their neighbourhoods touch
PROBE, PROBE_SPACING = 0.3, 8  # to measure the curvature: a step, and cells between them

WINDOW = 96  # cells along the side of a tile: gradients take more memory than decoding does


class PictureSearch:
    """A search over the index map of one picture of any size, tile by tile.

    Args:
        model, prior, bf16: see `Search`.
        pixels: (H, W, 3) uint8.
        grid: (h, w), the indices to start from.

    Attributes:
        grid: the indices found so far, uint16.
    """

    def __init__(
        self,
        model: VQVAE,
        prior: IntegerPrior | None,
        pixels: "NDArray[np.uint8]",
        grid: "NDArray[np.uint16]",
        *,
        bf16: bool,
    ) -> None:
        import numpy as np

        self.grid = grid.copy()
        self.device = next(model.parameters()).device
        (spec,) = model.maps
        stride = spec.stride[0]
        height, width = pixels.shape[:2]
        filling = (
            (0, grid.shape[0] * stride - height),
            (0, grid.shape[1] * stride - width),
            (0, 0),
        )
        filled = np.pad(pixels, filling, mode="edge")
        self.tiles: list[tuple[Span, Span, Search]] = []
        for rows, columns in tiles(grid.shape[:2], WINDOW, model.decoder.halo):
            top, left = rows.start * stride, columns.start * stride
            part = filled[top : rows.stop * stride, left : columns.stop * stride]
            x = torch.from_numpy(part.transpose(2, 0, 1)[None].copy()).to(self.device)
            size = (height - top, width - left)
            search = Search(model, prior, to_signal(x), size, bf16=bf16)
            self.tiles.append((rows, columns, search))

    def sweep(self, rate_weight: float) -> None:
        """Give every cell a chance to move; see `Search.sweep`."""
        import numpy as np

        for rows, columns, search in self.tiles:
            window = self.grid[rows.window, columns.window].astype(np.int64)
            found = search.sweep(torch.from_numpy(window)[None].to(self.device), rate_weight)[0]
            inner = found[rows.inner, columns.inner].cpu().numpy()
            self.grid[rows.kept, columns.kept] = inner


class Search:
    """A search over the index maps of some pictures of one size.

    Args:
        model: of one index map; its decoder must have a gradient.
        prior: the coding prior in floating point; None where bits do not matter.
        x: (B, 3, H, W), the pictures in [-1, 1], filled up to whole cells.
        size: (height, width) of what is not filling.
        bf16: whether to decode in bfloat16.
    """

    def __init__(
        self,
        model: VQVAE,
        prior: IntegerPrior | None,
        x: torch.Tensor,
        size: tuple[int, int],
        *,
        bf16: bool,
    ) -> None:
        self.model, self.prior, self.x, self.bf16 = model, prior, x, bf16
        (spec,) = model.maps
        self.stride = spec.stride[0]
        self.weight = torch.zeros_like(x[:1, :1])
        self.weight[..., : size[0], : size[1]] = 127.5**2  # error in 8-bit levels
        grid = (len(x), x.shape[2] // self.stride, x.shape[3] // self.stride)
        self.refused = torch.zeros((*grid, spec.codebook_size), dtype=torch.bool)
        codes = torch.arange(spec.codebook_size, device=x.device)
        self.codebook = model.quantizer.lookup((codes[None],))[0].T  # (K, D)
        self.curvature: torch.Tensor | None = None
        self.order = torch.Generator().manual_seed(0)

    def cost(self, grid: torch.Tensor, rate_weight: float) -> torch.Tensor:
        """Return J of each picture, (B,), for its grid, (B, h, w)."""
        with torch.no_grad():
            cost = self._error(self._lookup(grid))
            if self.prior is not None and rate_weight:
                cost = cost + rate_weight * self._bits(self._scores(self._embed(grid)), grid)
        return cost.flatten(1).sum(1)

    def sweep(self, grid: torch.Tensor, rate_weight: float) -> torch.Tensor:
        """Return a better grid, (B, h, w), after every cell has had its chance to move."""
        if self.curvature is None:
            self.curvature = self._measure_curvature(self._lookup(grid))
        for place in torch.randperm(SPACING**2, generator=self.order).tolist():
            rows, columns = divmod(place, SPACING)
            if rows < grid.shape[1] and columns < grid.shape[2]:
                grid = self._move(grid, rows, columns, rate_weight)
        return grid

    def _move(self, grid: torch.Tensor, row: int, column: int, rate_weight: float) -> torch.Tensor:
        """Try a code for each cell of the lattice from (row, column); keep what lowers J there."""
        at = (slice(None), slice(row, None, SPACING), slice(column, None, SPACING))
        change, cost = self._error_change(grid, at)
        if self.prior is not None and rate_weight:
            dearer, bits = self._bits_change(grid, at)
            change, cost = change + rate_weight * dearer, cost + rate_weight * bits
        old = grid[at]
        change.scatter_(-1, old[..., None], 0.0)  # to stay is always possible
        new = change.masked_fill_(self.refused[at], torch.inf).argmin(-1)
        tried = grid.clone()
        tried[at] = new
        with torch.no_grad():
            after = self._error(self._lookup(tried))
            if self.prior is not None and rate_weight:
                after = after + rate_weight * self._bits(self._scores(self._embed(tried)), tried)
        better = (_around(after - cost)[at] < 0) & (new != old)
        refused = self.refused[at]
        refused |= F.one_hot(new, refused.shape[-1]).bool() & (~better & (new != old))[..., None]
        found = grid.clone()
        found[at] = torch.where(better, new, old)
        return found

    def _error_change(
        self, grid: torch.Tensor, at: tuple[slice, ...]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what each code is expected to change the error by, (B, *, *, K), and the error."""
        z = self._lookup(grid).detach().requires_grad_()
        error = self._error(z)
        (gradient,) = torch.autograd.grad(error.sum(), z)
        g, v = gradient.movedim(1, -1)[at], z.detach().movedim(1, -1)[at]
        assert self.curvature is not None
        bent = v @ self.curvature
        own = (self.codebook @ self.curvature * self.codebook).sum(1)
        change = (g - 2 * bent) @ self.codebook.T + own
        change += ((bent - g) * v).sum(-1, keepdim=True)
        return change, error.detach()

    def _bits_change(
        self, grid: torch.Tensor, at: tuple[slice, ...]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the same for the bits: the cell's own, and to first order those of later cells."""
        assert self.prior is not None
        embedded = self._embed(grid).detach().requires_grad_()
        scores = self._scores(embedded)
        bits = self._bits(scores, grid)
        (gradient,) = torch.autograd.grad(bits.sum(), embedded)
        left, right, up, _ = self.prior.window.halo
        inner = gradient[:, :, up:, left : gradient.shape[3] - right]
        g = inner.movedim(1, -1)[at]
        table = self.prior.embedding.weight
        own = -F.log_softmax(scores.detach(), 1).movedim(1, -1)[at] / math.log(2)
        change = own + g @ table[:-1].T
        return change - change.gather(-1, grid[at][..., None]), bits.detach()

    def _lookup(self, grid: torch.Tensor) -> torch.Tensor:
        return self.model.quantizer.lookup((grid,))

    def _error(self, z: torch.Tensor) -> torch.Tensor:
        """Return the squared error of each cell, (B, h, w), in 8-bit levels."""
        with torch.autocast(z.device.type, torch.bfloat16, enabled=self.bf16):
            decoded = self.model.decoder.reconstruct(z)
        error = (decoded - self.x).square().sum(1, keepdim=True) * self.weight
        return F.avg_pool2d(error, self.stride)[:, 0] * self.stride**2

    def _embed(self, grid: torch.Tensor) -> torch.Tensor:
        assert self.prior is not None
        return self.prior.embed(grid)

    def _scores(self, embedded: torch.Tensor) -> torch.Tensor:
        assert self.prior is not None
        with torch.autocast(embedded.device.type, torch.bfloat16, enabled=self.bf16):
            return self.prior.logits(embedded).float()

    def _bits(self, scores: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(scores, grid, reduction="none") / math.log(2)

    @torch.no_grad()
    def _measure_curvature(self, z: torch.Tensor) -> torch.Tensor:
        """Return J^T J of the decoder for one cell, (D, D), the mean over some cells."""
        start = min(PROBE_SPACING, *z.shape[2:]) // 2
        at = slice(start, None, PROBE_SPACING)
        root = self.weight.sqrt()
        with torch.autocast(z.device.type, torch.bfloat16, enabled=self.bf16):
            middle = self.model.decoder.reconstruct(z)
            moved = []
            for dimension in range(z.shape[1]):
                probe = z.clone()
                probe[:, dimension, at, at] += PROBE
                moved.append((self.model.decoder.reconstruct(probe) - middle) * root / PROBE)
        flat = torch.stack(moved).flatten(1)
        cells = z[:, 0, at, at].numel()
        return flat @ flat.T / cells


def _around(cost: torch.Tensor) -> torch.Tensor:
    """Return the sum of a map, (B, h, w), over the neighbourhood of each cell."""
    side = SPACING + 1
    return F.avg_pool2d(cost[:, None], side, 1, side // 2)[:, 0] * side**2


def float_prior(weights: Weights) -> IntegerPrior:
    """Return the coding prior of weights in floating point, which searches take gradients of.

    Raises:
        UsageError: they have none.
    """
    integers = coding_priors(weights)
    if not integers:
        raise UsageError(f"the weights '{weights.name}' have no coding prior")
    return from_arrays(integers[0].arrays)
