"""Maps drawn coarse to fine (VQ-VAE-2, arXiv:1906.00446, algorithm 2) from a coding prior.

A lattice prior says how likely every code of a map is given all maps before it: what files are
coded with can be drawn from as well, in the same few passes. The first map may have a prior of its
own that sees further.
"""

import math
from collections.abc import Callable

import torch

from vqcodec.files import joint
from vqcodec.models.priors.base import Prior, Tensors
from vqcodec.models.priors.lattice import LatticePrior, Walk
from vqcodec.models.priors.pixelcnn import Draw


class CoarseToFine(Prior):
    """p(first map) times p(each further map | all maps before it).

    Args:
        first: the prior of the first map; None where the lattice draws that, too.
        lattice: a prior of all maps.
        condition: the class of statistics that maps are drawn by, of those that it knows.
        finer: by how much the temperature of the further maps is lower.
    """

    def __init__(
        self,
        first: Prior | None,
        lattice: LatticePrior,
        condition: int = 0,
        finer: float = 1.0,
    ) -> None:
        super().__init__()
        self.first, self.lattice = first, lattice
        self.condition, self.finer = condition, finer
        self.codebook_sizes = lattice.codebook_sizes
        self.classes = first.classes if first is not None else ()

    @torch.inference_mode()
    def sample(
        self,
        shapes: tuple[tuple[int, ...], ...],
        cond: torch.Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
        top_k: int = 0,
        known: Tensors | None = None,
        report: Callable[[float], None] | None = None,
    ) -> Tensors:
        """Draw maps, (B, h, w) each; see `Prior.sample`.

        The first map is the one that its prior draws alone with the same generator. The others are
        drawn in blocks, as files have them, which know nothing of each other.
        """
        generator = generator or torch.default_generator
        device = next(self.lattice.parameters()).device
        uniform = [u.to(device) for u in _numbers(shapes, generator)]
        maps = [torch.full(shape, -1, device=device) for shape in shapes]
        for grid, given in zip(maps, known or (), strict=False):
            grid.copy_(given)
        if self.first is not None:
            (maps[0],) = self.first.sample(
                shapes[:1],
                cond,
                generator=generator,
                temperature=temperature,
                top_k=top_k,
                known=(maps[0],),
                report=report,
            )
        condition = torch.full(shapes[0][:1], self.condition, device=device)
        blocks = joint.blocks([shape[1:] for shape in shapes])
        for done, places in enumerate(blocks, 1):
            walk = Walk(self.lattice, condition)
            for number, place in enumerate(places):
                draw = Draw(temperature * (self.finer if number else 1), top_k)
                grid, own = maps[number][:, *place], uniform[number][:, *place]
                if number or self.first is None:
                    grid.copy_(walk.draw(own, draw, known=grid.clone()))
                else:
                    walk.know(grid)
            if report and self.first is None:
                report(done / len(blocks))
        return tuple(maps)

    def log_prob(self, indices: Tensors, cond: torch.Tensor | None = None) -> torch.Tensor:
        """Return log p(indices) in nats, (B,), at a temperature of 1."""
        condition = torch.full_like(indices[0][:, 0, 0], self.condition)
        own = [grid.flatten(1).sum(1) * -math.log(2) for grid in self.lattice(indices, condition)]
        if self.first is not None:
            own[0] = self.first.log_prob(indices[:1], cond)
        return torch.stack(own).sum(0)


def _numbers(shapes: tuple[tuple[int, ...], ...], generator: torch.Generator) -> list[torch.Tensor]:
    """Return a number in [0, 1) for each cell of each map, and each map's from a seed of its own.

    The generator is left as it is: what it draws next is as if there were one map.
    """
    fork = torch.Generator()
    fork.set_state(generator.get_state())
    seeds = torch.randint(1 << 62, (len(shapes),), generator=fork).tolist()
    return [
        torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        for shape, seed in zip(shapes, seeds, strict=True)
    ]
