"""Choosing indices by what the decoder makes of them, and by the bits they cost.

The quantizer takes the code nearest to z_e. What counts is the decoded picture, where cells
overlap, and the bits under the coding prior, where each index is also the context of later ones.
So the search minimises (entropy-constrained vector quantization, Chou et al. 1989, with the real
decoder's error in the place of the quantizer's)

    J = sum of squared error + rate_weight * bits

one sparse lattice of cells at a time. From the gradient g of the error and the curvature H of the
decoder, a move of a cell from vector z to code e is expected to change J by

    g (e - z) + s (e - z) H (e - z) + rate_weight * (change of bits)

where the bits of the cell itself are known for each code, and those of later cells follow from
their gradient. Each cell of the lattice tries its most promising code; all of them are decoded at
once, far enough apart to tell who improved his surroundings, and those that did stay.

H is a mean, and the decoder bends more in one place than in another: each trial, good or bad, tells
the factor s there, and its neighbours expect the like. And each decoding serves twice: as the test
of one lattice and for the gradients of the next. Around cells that go back to what they were, what
was known before the trial holds again.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from vqcodec.codec.tiles import Span, tiles
from vqcodec.codingpriors import coding_priors
from vqcodec.errors import UsageError
from vqcodec.models.nn.pixels import to_signal
from vqcodec.models.priors.causal import floating
from vqcodec.models.priors.integer import IntegerPrior
from vqcodec.models.vqvae import VQVAE
from vqcodec.weights import Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPACING = 3  # cells between those that move at once; their neighbourhoods touch
PROBE, PROBE_SPACING = 0.3, 8  # to measure the curvature: a step, and cells between them
MIN_FACTOR, MAX_FACTOR = 0.2, 8.0  # of the curvature of one place
NEWEST = 0.5  # the share of the last trial in it
LEVELS = 127.5  # to one unit of a picture in [-1, 1]
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

    def expect(self, added: "NDArray[np.float32]") -> None:
        """Search from now on for what is best when so much is added to it after decoding.

        Args:
            added: (H, W, 3), in 8-bit levels.
        """
        whole = torch.from_numpy(added).movedim(-1, 0)[None].to(self.device)
        for rows, columns, search in self.tiles:
            stride = search.stride
            down, across = (slice(s.start * stride, s.stop * stride) for s in (rows, columns))
            search.expect(whole[..., down, across])

    def sweep(self, rate_weight: float) -> None:
        """Give every cell a chance to move; see `Search.sweep`."""
        import numpy as np

        curvature: torch.Tensor | None = None  # of the decoder, much the same for all tiles
        for rows, columns, search in self.tiles:
            search.curvature = curvature if search.curvature is None else search.curvature
            window = self.grid[rows.window, columns.window].astype(np.int64)
            found = search.sweep(torch.from_numpy(window)[None].to(self.device), rate_weight)[0]
            inner = found[rows.inner, columns.inner].cpu().numpy()
            self.grid[rows.kept, columns.kept] = inner
            curvature = search.curvature


@dataclass(frozen=True)
class Seen:
    """What is known of a grid where it is decoded.

    Attributes:
        error: (B, h, w), squared, of each cell.
        slope: (B, h, w, D), the gradient of all of it.
        bits: (B, h, w), under the prior; None without one, as the rest.
        later: (B, h, w, E), the gradient of all bits with what the prior embeds of each cell.
        scores: (B, h, w, K), the prior's logits.
    """

    error: torch.Tensor
    slope: torch.Tensor
    bits: torch.Tensor | None = None
    later: torch.Tensor | None = None
    scores: torch.Tensor | None = None

    def cost(self, rate_weight: float) -> torch.Tensor:
        """Return J of each cell, (B, h, w)."""
        return self.error if self.bits is None else self.error + rate_weight * self.bits

    def where(self, cells: torch.Tensor, other: "Seen") -> "Seen":
        """Return this for some cells, (B, h, w), what is known of another grid for the rest."""

        def pick(own: torch.Tensor | None, theirs: torch.Tensor | None) -> torch.Tensor | None:
            if own is None or theirs is None:
                return None
            return torch.where(cells if own.ndim == 3 else cells[..., None], own, theirs)

        error, slope = pick(self.error, other.error), pick(self.slope, other.slope)
        assert error is not None and slope is not None
        rest = (
            (self.bits, other.bits),
            (self.later, other.later),
            (self.scores, other.scores),
        )
        return Seen(error, slope, *(pick(*pair) for pair in rest))


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
        self.model, self.prior, self.bf16 = model, prior, bf16
        self.original = self.x = x
        (spec,) = model.maps
        self.stride = spec.stride[0]
        self.weight = torch.zeros_like(x[:1, :1])
        self.weight[..., : size[0], : size[1]] = LEVELS**2  # error in 8-bit levels
        grid = (len(x), x.shape[2] // self.stride, x.shape[3] // self.stride)
        self.refused = torch.zeros((*grid, spec.codebook_size), dtype=torch.bool)
        codes = torch.arange(spec.codebook_size, device=x.device)
        self.codebook = model.quantizer.lookup((codes[None],))[0].T  # (K, D)
        self.curvature: torch.Tensor | None = None
        self.rate_weight = 0.0  # of the last sweep
        self.factor = torch.zeros(grid, device=x.device)  # of it in each place, its logarithm
        self.trials = torch.zeros(grid, device=x.device)  # 1 where one has told it
        self.order = torch.Generator().manual_seed(0)

    def expect(self, added: torch.Tensor) -> None:
        """See `PictureSearch.expect`; (B, 3, H, W), without the filling."""
        down, right = (n - had for n, had in zip(self.x.shape[2:], added.shape[2:], strict=True))
        self.x = self.original - F.pad(added, (0, right, 0, down)) / LEVELS
        self.refused.zero_()  # it was, for another picture

    def cost(self, grid: torch.Tensor, rate_weight: float) -> torch.Tensor:
        """Return J of each picture, (B,), for its grid, (B, h, w)."""
        return self._see(grid, rate_weight).cost(rate_weight).flatten(1).sum(1)

    def sweep(self, grid: torch.Tensor, rate_weight: float) -> torch.Tensor:
        """Return a better grid, (B, h, w), after every cell has had its chance to move."""
        if self.curvature is None:
            self.curvature = self._measure_curvature(self._lookup(grid))
        if rate_weight != self.rate_weight:  # what was refused before may be worth it now
            self.refused.zero_()
            self.rate_weight = rate_weight
        seen = self._see(grid, rate_weight)
        for place in torch.randperm(SPACING**2, generator=self.order).tolist():
            row, column = divmod(place, SPACING)
            if row < grid.shape[1] and column < grid.shape[2]:
                grid, seen = self._move(grid, seen, (row, column), rate_weight)
        return grid

    def _see(self, grid: torch.Tensor, rate_weight: float) -> Seen:
        """Return what a grid, (B, h, w), costs and how that would change."""
        z = self._lookup(grid).detach().requires_grad_()
        error = self._error(z)
        (slope,) = torch.autograd.grad(error.sum(), z)
        error, slope = error.detach(), slope.movedim(1, -1)
        if self.prior is None or not rate_weight:
            return Seen(error, slope)
        embedded = self.prior.embed(grid).detach().requires_grad_()
        with torch.autocast(embedded.device.type, torch.bfloat16, enabled=self.bf16):
            scores = self.prior.logits(embedded).float()
        bits = F.cross_entropy(scores, grid, reduction="none") / math.log(2)
        (gradient,) = torch.autograd.grad(bits.sum(), embedded)
        left, right, up, _ = self.prior.window.halo
        later = gradient[:, :, up:, left : gradient.shape[3] - right].movedim(1, -1)
        return Seen(error, slope, bits.detach(), later, scores.detach().movedim(1, -1))

    def _move(
        self, grid: torch.Tensor, seen: Seen, place: tuple[int, int], rate_weight: float
    ) -> tuple[torch.Tensor, Seen]:
        """Try a code for each cell of the lattice from a place; keep what lowers J there."""
        row, column = place
        at = (slice(None), slice(row, None, SPACING), slice(column, None, SPACING))
        linear, bent = self._error_change(grid, seen, at)
        change = linear + self._factor()[at][..., None] * bent
        if seen.bits is not None:
            change += rate_weight * self._bits_change(grid, seen, at)
        old = grid[at]
        change.scatter_(-1, old[..., None], 0.0)  # to stay is always possible
        new = change.masked_fill_(self.refused[at], torch.inf).argmin(-1)
        tried = grid.clone()
        tried[at] = new
        after = self._see(tried, rate_weight)
        moved = new != old
        better = (_around(after.cost(rate_weight) - seen.cost(rate_weight))[at] < 0) & moved
        self._learn(at, new, moved, _around(after.error - seen.error)[at], linear, bent)
        refused = self.refused[at]
        refused |= F.one_hot(new, refused.shape[-1]).bool() & (~better & moved)[..., None]
        found = grid.clone()
        found[at] = torch.where(better, new, old)
        return found, after.where(_surroundings(better, place, grid.shape[1:]), seen)

    def _error_change(
        self, grid: torch.Tensor, seen: Seen, at: tuple[slice, ...]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what each code is expected to change the error by, (B, *, *, K).

        By the gradient, and by the curvature as it is on the mean.
        """
        g, v = seen.slope[at], self._lookup(grid).movedim(1, -1)[at]
        assert self.curvature is not None
        linear = g @ self.codebook.T - (g * v).sum(-1, keepdim=True)
        turned = v @ self.curvature
        own = (self.codebook @ self.curvature * self.codebook).sum(1)
        bent = own - 2 * turned @ self.codebook.T + (turned * v).sum(-1, keepdim=True)
        return linear, bent.clamp(min=0)

    def _bits_change(self, grid: torch.Tensor, seen: Seen, at: tuple[slice, ...]) -> torch.Tensor:
        """Return the same for the bits: the cell's own, and to first order those of later cells."""
        assert self.prior is not None and seen.scores is not None and seen.later is not None
        own = -F.log_softmax(seen.scores[at], -1) / math.log(2)
        change = own + seen.later[at] @ self.prior.embedding.weight[:-1].T
        return change - change.gather(-1, grid[at][..., None])

    def _factor(self) -> torch.Tensor:
        """Return by how much the curvature of each place, (B, h, w), is expected to be larger."""
        near = torch.ones(3, 3, device=self.x.device)
        near[1, 1] = 2  # its own trials
        sums = torch.stack([self.factor * self.trials, self.trials], 1)
        total, number = F.conv2d(sums, near.expand(2, 1, 3, 3), padding=1, groups=2).unbind(1)
        return (total / (number + 1)).exp()

    def _learn(
        self,
        at: tuple[slice, ...],
        new: torch.Tensor,
        moved: torch.Tensor,
        change: torch.Tensor,
        linear: torch.Tensor,
        bent: torch.Tensor,
    ) -> None:
        """Take from what trials changed the error by how strongly the decoder bends there."""
        expected, curved = (part.gather(-1, new[..., None])[..., 0] for part in (linear, bent))
        factor = (change - expected) / curved.clamp(min=1e-6)
        found = factor.clamp(MIN_FACTOR, MAX_FACTOR).log()
        known = self.factor[at].lerp(found, NEWEST)
        found = torch.where(self.trials[at] > 0, known, found)
        self.factor[at] = torch.where(moved, found, self.factor[at])
        self.trials[at] = torch.where(moved, 1.0, self.trials[at])

    def _lookup(self, grid: torch.Tensor) -> torch.Tensor:
        return self.model.quantizer.lookup((grid,))

    def _error(self, z: torch.Tensor) -> torch.Tensor:
        """Return the squared error of each cell, (B, h, w), in 8-bit levels."""
        with torch.autocast(z.device.type, torch.bfloat16, enabled=self.bf16):
            decoded = self.model.decoder.reconstruct(z)
        error = (decoded - self.x).square().sum(1, keepdim=True) * self.weight
        return F.avg_pool2d(error, self.stride)[:, 0] * self.stride**2

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
    return F.avg_pool2d(cost[:, None], SPACING, 1, SPACING // 2)[:, 0] * SPACING**2


def _surroundings(chosen: torch.Tensor, place: tuple[int, int], size: torch.Size) -> torch.Tensor:
    """Return the cells, (B, h, w), nearest to those chosen of the lattice from a place."""
    found = chosen
    for axis, (start, length) in enumerate(zip(place, size, strict=True), 1):
        near = (torch.arange(length, device=chosen.device) - start + SPACING // 2) // SPACING
        found = found.index_select(axis, near.clamp(0, chosen.shape[axis] - 1))
    return found


def float_prior(weights: Weights) -> IntegerPrior:
    """Return the coding prior of weights in floating point, which searches take gradients of.

    Raises:
        UsageError: they have none.
    """
    integers = coding_priors(weights)
    if not integers:
        raise UsageError(f"the weights '{weights.name}' have no coding prior")
    return floating(integers[0].arrays)
