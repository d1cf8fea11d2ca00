"""What refines the pictures of a finished codec, while it is trained.

The first codec stands still: it turns pictures into one index map and back. What its decoded
pictures lack is coded beside them, see `vqcodec.models.refinement`.
"""

from functools import partial

import torch

from vqcodec.coding.refining import NOTHING
from vqcodec.config import Tree, parse
from vqcodec.errors import UsageError
from vqcodec.maps import Maps, MapSpec
from vqcodec.models.nn.pixels import to_pixels
from vqcodec.models.priors.lattice import LatticePrior
from vqcodec.models.quantizers.residual import ResidualQuantizer
from vqcodec.models.rated import LEVELS, RateTraining
from vqcodec.models.refinement import GAIN, Refinement, as_new, build_parts
from vqcodec.models.refiner import Config as RefinerConfig
from vqcodec.models.refiner import Refiner
from vqcodec.models.terms import LossTerms
from vqcodec.models.vqvae import VQVAE, build, for_maps
from vqcodec.weights import codebook_id, reference


class Refining(Refinement):
    """A first codec, and what is learned beyond it: the prior's first map is known.

    Attributes:
        first: the finished codec.
    """

    def __init__(
        self,
        first: VQVAE,
        network: Refiner,
        quantizer: ResidualQuantizer,
        prior: LatticePrior,
        rates: RateTraining,
    ) -> None:
        super().__init__(network, quantizer, prior, rates)
        self.first = first.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Refining":
        """Leave the first codec as it is: in training, it would go on to learn its codebook."""
        super().train(mode)
        self.first.eval()
        return self

    @property
    def maps(self) -> Maps:
        """What is known of each index map."""
        (first,) = self.first.maps
        return (first, *(MapSpec(size, first.stride) for size in self.quantizer.codebook_sizes))

    def codebook_bytes(self) -> bytes:
        """Return what gives indices their meaning."""
        return codebook_id(self.first.codebook_bytes()) + self.quantizer.codebook_bytes()

    @torch.no_grad()
    def decoded(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the first codec's map, (B, h, w), of x, and the picture it stands for, uint8."""
        (grid,) = self.first.encode(x)
        return grid, to_pixels(self.first.decode((grid,)))

    def forward(
        self, x: torch.Tensor, decoded: torch.Tensor, grid: torch.Tensor, weight: torch.Tensor
    ) -> LossTerms:
        """Return the terms of a training step.

        Args:
            x: (B, 3, H, W) in [-1, 1], pictures.
            decoded: the same as the first codec has them, their tints included.
            grid: (B, h, w), its map of them.
            weight: (B,), rate weights.
        """
        z, decode = self.vectors(x, decoded), partial(self.refined, decoded)
        foresee = self.foresight(z, weight)
        terms: LossTerms = self.rates(
            x, (z,), self.quantizer, decode, self.prior, weight, (grid,), foresee
        )
        self.learn(terms.indices, weight)
        return terms

    @torch.no_grad()
    def begin(self, errors: torch.Tensor, seed: int) -> None:
        """Set the transform by PCA, and codebooks by k-means.

        Args:
            errors: (N, values), of many cells, in 8-bit levels. Their mean is left in them: what is
                coded as nothing lacks nothing.
            seed: of what is drawn.
        """
        directions = torch.linalg.eigh(errors.T @ errors).eigenvectors.flip(1)
        directions = directions[:, : self.network.config.dim]
        self.analysis.copy_(directions * (GAIN / LEVELS))
        self.network.synthesis.weight.copy_(directions[..., None, None])
        self.rates.curvature.fill_((LEVELS / GAIN) ** 2)
        left = errors @ self.analysis
        for book in self.quantizer.each():
            book.initialize(left, seed)
            least = int(book.codebook.square().sum(1).argmin())
            book.codebook[least] = book.codebook[NOTHING]
            book.codebook[NOTHING] = 0
            as_new(book.codebook, book)
            left = left - book.codebook[book.nearest(left)]


def build_refining(model: Tree) -> Refining:
    """Make a first codec and what refines it, with fresh weights, from the ``model`` of a preset.

    Args:
        model: the table; its ``on`` is the table of the first codec.

    Raises:
        UsageError: settings do not fit, or there is no first codec.
    """
    on = model.get("on")
    if not isinstance(on, dict) or not on or reference(model):
        raise UsageError("this model refines the pictures of another codec; name it with --on")
    if set(model) != {"on", "refiner", "quantizer", "prior", "rates"}:
        raise UsageError("what refines is of refiner, quantizer, prior and rates, and nothing else")
    first = build(on)
    refiner: RefinerConfig = parse(RefinerConfig, model["refiner"], "refiner")
    if len(first.maps) != 1 or set(first.maps[0].stride) != {refiner.stride}:
        raise UsageError("a codec to refine must have one map, of the stride of the refiner")

    def prior_of(sizes: tuple[int, ...]) -> Tree:
        maps = (*first.maps, *(MapSpec(size, first.maps[0].stride) for size in sizes))
        return for_maps(model["prior"], maps)

    return Refining(first, *build_parts(model, prior_of))
