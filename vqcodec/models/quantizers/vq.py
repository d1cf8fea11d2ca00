"""Vector quantization with one codebook (arXiv:1711.00937v2, section 3)."""

import math
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn import functional as F

from vqcodec.config import check_range
from vqcodec.models.quantizers.base import Choose, Codebook, Quantized, Quantizer, Tensors

NORMS = ("none", "layer")
UPDATES = ("ema", "gradient")


@dataclass(frozen=True, kw_only=True)
class Learning:
    """How codebooks learn, one or several.

    Attributes:
        update: ``ema`` (appendix A.1) or ``gradient`` (second term of equation 3).
        decay: gamma of the moving averages, per batch; with 1 codes stand still.
        commitment_cost: beta of equation 3.
        norm: ``layer`` subtracts the mean of each z_e and divides by its standard deviation before
            the comparison, which keeps the scale of encoder and codebook together.
        dead_below: a code is restarted when its share is below this fraction of the mean share.
        entropy_weight: of the term that asks for even use of the codes, `_unevenness`; 0 for none.
    """

    update: str = "ema"
    decay: float = 0.99
    commitment_cost: float = 0.25
    norm: str = "none"
    dead_below: float = 0.1
    entropy_weight: float = 0.0

    def __post_init__(self) -> None:
        """Check all ranges: configs come with weights, and weights from anywhere."""
        check_range("decay", self.decay, 0, 1)
        check_range("commitment_cost", self.commitment_cost, 0, 1000)
        check_range("dead_below", self.dead_below, 0, 1)
        check_range("entropy_weight", self.entropy_weight, 0, 1000)
        if self.update not in UPDATES:
            raise ValueError(f"update must be one of {', '.join(UPDATES)}")
        if self.norm not in NORMS:
            raise ValueError(f"norm must be one of {', '.join(NORMS)}")


@dataclass(frozen=True)
class Config(Learning):
    """Settings of `VectorQuantizer`.

    Attributes:
        codebook_size: K, number of codes.
        dim: D, numbers per code vector.
    """

    codebook_size: int
    dim: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("codebook_size", self.codebook_size, 2, 65536)
        check_range("dim", self.dim, 1, 1024)

    @property
    def min_parameters(self) -> int:
        """Numbers in the codebook."""
        return self.codebook_size * self.dim

    def build(self) -> "VectorQuantizer":
        """Make the quantizer with a random codebook."""
        return VectorQuantizer(self)


class VectorQuantizer(Quantizer):
    """Nearest neighbour in a codebook of K vectors, with a straight-through gradient.

    Quantizers of several maps are made of it, one for each; see `composite`.

    Equation 3's second and third term, as means over elements:
    ``|sg(z_e) - e|^2 + beta * |z_e - sg(e)|^2``. With ``ema`` the second term is replaced by moving
    averages of how often each code is chosen (`counts`) and of the sum of what chose it (`sums`);
    over several processes both are summed first, so that all hold the same codebook.
    """

    levels = (0,)
    codebook: torch.Tensor  # (K, D), a parameter with `gradient`, a buffer with `ema`
    counts: torch.Tensor  # (K,), moving average of latents per batch
    sums: torch.Tensor  # (K, D)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        codebook = torch.randn(config.codebook_size, config.dim)
        if config.update == "gradient":
            self.codebook = nn.Parameter(codebook)
        else:
            self.register_buffer("codebook", codebook)
        self.register_buffer("counts", torch.ones(config.codebook_size))
        self.register_buffer("sums", codebook.clone())

    @property
    def codebooks(self) -> tuple[Codebook, ...]:
        """Its own codebook alone."""
        return (self,)

    def forward(
        self, features: Tensors, *, soft: bool = False, choose: Choose | None = None
    ) -> Quantized:
        """Quantize one z_e, (B, D, *grid); in training mode, update the moving averages."""
        (z_e,) = features
        z = z_e.float().movedim(1, -1)  # (B, *grid, D)
        if self.config.norm == "layer":
            z = F.layer_norm(z, (self.config.dim,))
        latents = z.detach().reshape(-1, self.config.dim)
        if choose is None:
            flat = self.nearest(latents)
        else:
            flat = choose(self.distances(latents).view(*z.shape[:-1], -1).movedim(-1, 1)).flatten()
        indices = (flat.view(z.shape[:-1]),)
        z_q = self.lookup(indices).movedim(1, -1)
        if not self.training:
            return Quantized(z_q.movedim(-1, 1), indices, z.new_zeros(()), (latents,))
        errors = (z - z_q.detach()).square().flatten(1).sum(1)
        loss = self.config.commitment_cost * errors.sum() / z.numel()
        if self.config.update == "gradient":
            loss = loss + F.mse_loss(z_q, z.detach())
        # as large as the distances to all codes, with their gradients: made only where it is used
        assignment = self.assignment(z) if soft or self.config.entropy_weight else None
        if assignment is not None and self.config.entropy_weight:
            loss = loss + self.config.entropy_weight * self._unevenness(assignment)
        self._update(latents, flat)
        # z + (z_q - z) would round; this adds an exact zero that carries the gradient.
        z_q = z_q.detach() + (z - z.detach())
        assignments = () if assignment is None else (assignment,)
        return Quantized(z_q.movedim(-1, 1), indices, loss, (latents,), assignments, (errors,))

    def nearest(self, latents: torch.Tensor) -> torch.Tensor:
        """Return the index, (N,) int64, of the code nearest to each of latents, (N, D)."""
        codebook = self.codebook.detach().float()
        # |z - e|^2 less |z|^2, which all codes share; never in reduced precision
        with torch.autocast(latents.device.type, enabled=False):
            distance = codebook.square().sum(1) - 2 * latents @ codebook.T
        return distance.argmin(1)

    def distances(self, latents: torch.Tensor) -> torch.Tensor:
        """Return |z - e|^2 of latents, (N, D), and every code: (N, K)."""
        codebook = self.codebook.detach().float()
        with torch.autocast(latents.device.type, enabled=False):
            products = latents @ codebook.T
        size = latents.square().sum(1, keepdim=True)
        return (size + codebook.square().sum(1) - 2 * products).clamp(min=0)

    def assignment(self, z: torch.Tensor) -> torch.Tensor:
        """Return how much z, (..., D) as `forward` compares it, belongs to each code: (N, K).

        A softmax of -|z - e|^2 over their mean at the nearest codes; it has a gradient.
        """
        codebook = self.codebook.detach().float().clone()  # moved before the gradient is taken
        with torch.autocast(z.device.type, enabled=False):
            flat = z.float().reshape(-1, self.config.dim)
            distance = torch.cdist(flat, codebook, compute_mode="use_mm_for_euclid_dist").square()
            width = distance.detach().amin(1).mean().clamp(min=1e-6)
            return torch.softmax(-distance / width, 1)

    def _unevenness(self, assignment: torch.Tensor) -> torch.Tensor:
        """Return log K - H(p) in nats, p being the batch's mean assignment, from (N, K).

        Its gradient moves a vector that lies between codes towards the rarer one and leaves alone
        those that lie on a code.
        """
        p = assignment.mean(0)  # may be zero: where the vectors lie on codes, others are far away
        return math.log(self.config.codebook_size) + (p * p.clamp(min=1e-12).log()).sum()

    def lookup(self, indices: Tensors) -> torch.Tensor:
        """Return z_q, (B, D, *grid), of ((B, *grid),) indices."""
        (grid,) = indices
        return F.embedding(grid, self.codebook).movedim(-1, 1)

    @torch.no_grad()
    def _update(self, latents: torch.Tensor, flat: torch.Tensor) -> None:
        if self.config.decay == 1:
            return
        counts = torch.bincount(flat, minlength=self.config.codebook_size).to(latents.dtype)
        sums = torch.zeros_like(self.sums).index_add_(0, flat, latents)
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(counts)
            distributed.all_reduce(sums)
        self.counts.lerp_(counts, 1 - self.config.decay)
        if self.config.update == "ema" and self.config.decay < 1:  # of 1, codes stand still
            self.sums.lerp_(sums, 1 - self.config.decay)
            self.codebook.copy_(self.sums / self.counts.clamp(min=1e-5)[:, None])

    @torch.no_grad()
    def initialize(self, latents: torch.Tensor, seed: int) -> None:
        """Run k-means (ten rounds) on latents, (N, D), the same in all processes.

        The moving averages start as if these clusters had been seen at equal rates, so that the
        first update does not undo the initialisation.
        """
        generator = torch.Generator().manual_seed(seed)
        size = self.config.codebook_size
        codebook = latents[_choose(len(latents), size, generator)].clone()
        for _ in range(10):
            self.codebook.copy_(codebook)
            flat = self.nearest(latents)
            counts = torch.bincount(flat, minlength=size).to(latents.dtype)
            sums = torch.zeros_like(codebook).index_add_(0, flat, latents)
            spare = latents[_choose(len(latents), size, generator)]
            codebook = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], spare)
        self.codebook.copy_(codebook)
        self.counts.fill_(len(latents) / size)
        self.sums.copy_(codebook * self.counts[:, None])

    @torch.no_grad()
    def restart(self, latents: torch.Tensor, seed: int) -> int:
        """Move codes whose share is below `dead_below` of the mean onto latents, (N, D).

        Their moving averages restart at the mean share; otherwise the next update would pull the
        code back to where it died.
        """
        mean = self.counts.mean()
        dead = self.counts < self.config.dead_below * mean
        number = int(dead.sum())
        if number:
            generator = torch.Generator().manual_seed(seed)
            fresh = latents[_choose(len(latents), number, generator)]
            self.codebook[dead] = fresh
            self.counts[dead] = mean
            self.sums[dead] = fresh * mean
        return number


def _choose(total: int, number: int, generator: torch.Generator) -> torch.Tensor:
    """Return `number` positions out of `total`, without repeats as long as there are enough."""
    if number <= total:
        return torch.randperm(total, generator=generator)[:number]
    return torch.randint(total, (number,), generator=generator)
