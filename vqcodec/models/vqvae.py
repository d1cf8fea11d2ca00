"""VQ-VAE: an encoder, a quantizer and a decoder, trained as one (arXiv:1711.00937v2, eq. 3)."""

import importlib
import pkgutil
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from vqcodec.config import Tree, parse
from vqcodec.errors import UsageError
from vqcodec.maps import Maps, MapSpec, check_nested, ratio
from vqcodec.models.adversary import Adversary
from vqcodec.models.adversary import Config as AdversaryConfig
from vqcodec.models.conditioners.base import Conditioner
from vqcodec.models.decoders.base import Decoder, Density
from vqcodec.models.decoders.deconv2d import Deconv2dDecoder
from vqcodec.models.decoders.istft import IstftDecoder
from vqcodec.models.encoders.base import Encoder
from vqcodec.models.priors.base import Prior
from vqcodec.models.priors.independent import IndependentPriors
from vqcodec.models.priors.integer import IntegerPrior
from vqcodec.models.priors.lattice import LatticePrior
from vqcodec.models.priors.uniform import UniformPrior
from vqcodec.models.quantizers.base import Choose, Quantized, Quantizer
from vqcodec.models.quantizers.composite import CompositeQuantizer
from vqcodec.models.rated import Config as RatesConfig
from vqcodec.models.rated import RateTraining
from vqcodec.models.terms import ELBO, LossTerms
from vqcodec.weights import MAX_MAPS, conditioner_of

OLD_CONDITIONER = "speaker"  # its name in weights made before there were others
# contracts, what others are made of, and what there is nothing to set of
PARTS = {"base", "coarsetofine", "composite", "independent", "uniform"}
BY_MAP = ("causal", "integer")  # kinds of coding priors, of a map each


class VQVAE(nn.Module):
    """Encoder + quantizer + decoder, in joint training with the coding prior or an adversary.

    Codec, training and priors ask for `maps`, and call only `encode`, `decode`, where there is one
    the `conditioner`, and, to train, the module itself.
    """

    def __init__(
        self,
        encoder: Encoder,
        quantizer: Quantizer,
        decoder: Decoder,
        prior: Prior | None = None,
        rate_weight: float = 0.0,
        conditioner: Conditioner | None = None,
        rates: RateTraining | None = None,
        adversary: Adversary | None = None,
    ) -> None:
        super().__init__()
        self.register_load_state_dict_pre_hook(_rename)  # type: ignore[no-untyped-call]
        self.conditioner = conditioner
        self.prior, self.rate_weight, self.rates = prior, rate_weight, rates
        self.adversary = adversary
        self.encoder = encoder
        self.quantizer = quantizer
        self.decoder = decoder

    @property
    def maps(self) -> Maps:
        """What is known of each index map; strides are along the axes of x behind its channels."""
        return _maps(self.encoder, self.quantizer)

    def codebook_bytes(self, number: int | None = None) -> bytes:
        """Return what gives an index its meaning; see `Quantizer.codebook_bytes`."""
        return self.quantizer.codebook_bytes(number)

    def encode(
        self,
        x: torch.Tensor,
        cond: torch.Tensor | None = None,
        *,
        choose: Choose | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Return the indices, (B, *grid) int64 each, of x, (B, channels, *size) in [-1, 1].

        They are the nearest ones, or those that `choose` takes.
        """
        quantized = self.quantizer(self.encoder(x, cond), choose=choose)
        indices: tuple[torch.Tensor, ...] = quantized.indices
        return indices

    def decode(
        self,
        indices: tuple[torch.Tensor, ...],
        cond: torch.Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> torch.Tensor:
        """Return the signal, (B, channels, *size) in [-1, 1], that indices stand for.

        Maps may be left out from the finest on; see `Quantizer.lookup`.
        """
        z_q = self.quantizer.lookup(indices)
        return self.decoder.reconstruct(z_q, cond, generator=generator, temperature=temperature)

    def forward(
        self,
        x: torch.Tensor,
        cond: torch.Tensor | None = None,
        *,
        reference: torch.Tensor | None = None,
        source: torch.Tensor | None = None,
    ) -> LossTerms:
        """Return the terms of equation 3 for x.

        Args:
            x: what the decoder shall give back.
            cond: what the decoder goes by beside the codes.
            reference: what the conditioner, where there is one, makes `cond` of.
            source: what the encoder takes; x by default.
        """
        if self.conditioner is not None and reference is not None:
            cond = self.conditioner(reference)
        features = self.encoder(x if source is None else source, cond)
        if self.rates is not None and self.training:
            assert isinstance(self.prior, LatticePrior)
            assert isinstance(self.quantizer, CompositeQuantizer)
            assert isinstance(self.decoder, Deconv2dDecoder)
            return self.rates(x, features, self.quantizer, self.decoder, self.prior)
        rated = self.prior is not None and self.rates is None
        quantized = self.quantizer(features, soft=rated)
        told = None
        if self.adversary is not None and self.training:
            assert isinstance(self.decoder, IstftDecoder)
            y = self.decoder(quantized.z_q, cond)
            reconstruction = self.decoder.distance(x, y)
            deceit, told = self.adversary(x.squeeze(1), y)
            loss = reconstruction + quantized.loss + deceit + told
        else:
            reconstruction = self.decoder.loss(x, quantized.z_q, cond)
            loss = reconstruction + quantized.loss
        rate = loss.new_zeros(())
        if rated and self.training:
            rate, pull = self._rate(quantized, x[0].numel())
            loss = loss + rate + self.rate_weight * pull
        return LossTerms(
            loss, reconstruction, quantized.loss, rate, quantized.indices, quantized.latents, told
        )

    def _rate(self, quantized: Quantized, dimensions: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the indices cost, for the prior to learn, and what codes near them would.

        The second is the mean of the prior's cost of every code, by how much each vector belongs to
        it; through it the encoder learns to say the same in cheaper codes. Both in nats per
        dimension of x; the prior sees no gradient of the second, the encoder none of the first.
        """
        assert self.prior is not None
        rate = pull = quantized.loss.new_zeros(())
        scored = self.prior(quantized.indices)
        for grid, scores, assignment in zip(
            quantized.indices, scored, quantized.assignments, strict=True
        ):
            cost = -F.log_softmax(scores.float().movedim(-1, 1), 1)
            share = grid[0].numel() / dimensions
            rate = rate + share * cost.gather(1, grid[:, None]).mean()
            every = cost.detach().movedim(1, -1).reshape(assignment.shape)
            pull = pull + share * (assignment * every).sum(1).mean()
        return rate, pull

    def elbo(self, x: torch.Tensor, cond: torch.Tensor | None = None) -> ELBO:
        """Return the bound on log p(x) for a decoder that is a `Density`.

        The posterior picks one index with certainty, so its KL divergence from the prior is
        -log p(indices): log K per index under the uniform prior of training (section 3.2).
        """
        if not isinstance(self.decoder, Density):
            raise UsageError("this decoder has no likelihood, so there is no bound to report")
        z_q, kl = self.infer(x, cond)
        return ELBO(self.decoder.log_prob(x, z_q, cond), kl.sum(1), x[0].numel())

    def infer(
        self, x: torch.Tensor, cond: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return z_q, (B, D, *grid), of x, and what each map costs at log K an index, (B, maps)."""
        indices = self.encode(x, cond)
        sizes = self.quantizer.codebook_sizes
        costs = [
            -UniformPrior((size,)).log_prob((grid,))
            for size, grid in zip(sizes, indices, strict=True)
        ]
        return self.quantizer.lookup(indices), torch.stack(costs, 1)


def build(model: Tree, max_parameters: int | None = None) -> VQVAE:
    """Make a VQ-VAE with fresh weights from the ``model`` table of a preset or of weights.

    Args:
        model: the table.
        max_parameters: refuse to build a larger one; a config from anywhere can claim any size.

    Raises:
        UsageError: a part is missing, of an unknown kind, or its settings do not fit.
    """
    parts = build_parts(model, "quantizer", max_parameters)
    strides = parts["encoder"].strides
    if set(parts["quantizer"].levels) != set(range(len(strides))):
        raise UsageError(f"the quantizer does not take {len(strides)} grids, as the encoder gives")
    if "conditioner" in parts and parts["conditioner"].dim != model["decoder"].get("cond_dim"):
        raise UsageError("the decoder's 'cond_dim' must be the 'dim' of the conditioner")
    maps = _maps(parts["encoder"], parts["quantizer"])
    try:
        check_nested(maps)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if "adversary" in model:
        if not isinstance(parts["decoder"], IstftDecoder):
            raise UsageError("only a decoder of kind 'istft' can be trained against an adversary")
        config: AdversaryConfig = parse(AdversaryConfig, model["adversary"], "adversary")
        parts["adversary"] = config.build()
    joint = model.get("prior")
    if joint is None:
        return VQVAE(**parts)
    joint = dict(joint)
    weight = joint.pop("rate_weight", 0.0)
    prior = build_prior(for_maps(joint, maps))
    if isinstance(prior, LatticePrior):
        return VQVAE(**parts, prior=prior, rates=_rates(model.get("rates"), parts))
    if not all(isinstance(own, IntegerPrior) for own in prior.each()):
        kinds = "'causal', 'integer' or 'lattice'"
        raise UsageError(f"only a prior of kind {kinds} can be learned along")
    return VQVAE(**parts, prior=prior, rate_weight=weight)


def _rates(table: Any, parts: dict[str, Any]) -> RateTraining:
    """Return what trains for the rates of the ``rates`` table, with a lattice prior."""
    if not isinstance(table, dict):
        raise UsageError("the model lacks its table 'rates', which a lattice prior needs")
    several = isinstance(parts["quantizer"], CompositeQuantizer)
    if not several or not isinstance(parts["decoder"], Deconv2dDecoder):
        raise UsageError("only codes of several maps of pictures can be trained for several rates")
    config: RatesConfig = parse(RatesConfig, table, "rates")
    return config.build(parts["quantizer"])


def build_parts(model: Tree, middle: str, max_parameters: int | None = None) -> dict[str, Any]:
    """Make encoder, decoder and what is between them, ``quantizer`` or ``bottleneck``.

    Where there is a conditioner, it too. Args and errors are those of `build`.
    """
    configs: dict[str, Any] = {
        part: part_config(model.get(part), part, f"vqcodec.models.{part}s")
        for part in ("encoder", middle, "decoder")
    }
    table = conditioner_of(model)
    if table is not None:
        configs["conditioner"] = part_config(table, "conditioner", "vqcodec.models.conditioners")
    check_size(sum(config.min_parameters for config in configs.values()), max_parameters)
    parts = {part: config.build() for part, config in configs.items()}
    stacked = getattr(parts[middle], "stacked", 1)
    dims = {model["encoder"].get("dim"), model[middle].get("dim")}
    if {stacked * dim for dim in dims} != {model["decoder"].get("dim")}:
        times = f"; the decoder's is {stacked} times that" if stacked > 1 else ""
        raise UsageError(f"encoder, {middle} and decoder must have one and the same 'dim'{times}")
    if set(parts["encoder"].strides[-1]) != {parts["decoder"].stride}:
        raise UsageError("encoder and decoder must have one and the same stride")
    return parts


def renamed(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of a model, those of older weights under the names of today."""
    return {_renamed(key): value for key, value in state.items()}


def _renamed(key: str) -> str:
    old = f"{OLD_CONDITIONER}."
    return f"conditioner.{key.removeprefix(old)}" if key.startswith(old) else key


def _rename(_: nn.Module, state: dict[str, Any], prefix: str, *__: Any) -> None:
    """Read the tensors of older weights, whose conditioner was the `speaker`."""
    for key in [key for key in state if key.startswith(f"{prefix}{OLD_CONDITIONER}.")]:
        state[prefix + _renamed(key.removeprefix(prefix))] = state.pop(key)


def _maps(encoder: Encoder, quantizer: Quantizer) -> Maps:
    pairs = zip(quantizer.codebook_sizes, quantizer.levels, strict=True)
    return tuple(MapSpec(size, encoder.strides[level]) for size, level in pairs)


def for_maps(table: Tree, maps: Maps) -> Tree:
    """Return the ``prior`` table of a preset with what the maps settle.

    A lattice prior, and one of frames, is of all maps. Else maps that are all alike are the
    channels of one prior, but for coding priors, which code map by map. Otherwise `codebook_size`
    is a list, and each map has a prior of its own.
    """
    sizes = [spec.codebook_size for spec in maps]
    if table.get("kind") in ("lattice", "frames"):
        ratios = [max(ratio(*pair)) for pair in zip(maps, maps[1:], strict=False)]
        return {**table, "codebook_sizes": sizes, "ratios": [1, *ratios]}
    if len(sizes) == 1 or (len(set(maps)) == 1 and table.get("kind") not in BY_MAP):
        return {**table, "codebook_size": sizes[0], "channels": len(sizes)}
    return {**table, "codebook_size": sizes, "channels": 1}


def build_prior(table: Any, max_parameters: int | None = None) -> Prior:
    """Make a prior with fresh weights from the ``prior`` table of a preset or of weights.

    With a list of sizes as `codebook_size` it is one of several maps, see `for_maps`. Args and
    errors are those of `build`.
    """
    sizes = table.get("codebook_size") if isinstance(table, dict) else None
    if isinstance(sizes, list | tuple):
        if not 2 <= len(sizes) <= MAX_MAPS:
            raise UsageError(f"a prior of {len(sizes)} maps; must be 2 to {MAX_MAPS}")
        tables = [{**table, "codebook_size": size} for size in sizes]
        if table.get("kind") == "integer" and table.get("dilations"):  # of sound, on one grid
            tables = [{**own, "coarser": sizes[:i]} for i, own in enumerate(tables)]
        return IndependentPriors([build_prior(own, max_parameters) for own in tables])
    config = part_config(table, "prior", "vqcodec.models.priors")
    check_size(config.min_parameters, max_parameters)
    prior: Prior = config.build()
    return prior


def build_decoder(table: Any, max_parameters: int | None = None) -> Decoder:
    """Make a decoder with fresh weights from the ``decoder`` table of a preset or of weights.

    Args and errors are those of `build`.
    """
    config = part_config(table, "decoder", "vqcodec.models.decoders")
    check_size(config.min_parameters, max_parameters)
    decoder: Decoder = config.build()
    return decoder


def part_config(table: Any, part: str, package: str) -> Any:
    """Return the settings of one part of a model, of the class that its ``kind`` names."""
    if not isinstance(table, dict):
        raise UsageError(f"the model lacks its table '{part}'")
    table = dict(table)
    module = importlib.import_module(f"{package}.{_kind(table.pop('kind', ''), package)}")
    return parse(module.Config, table, part)


def check_size(least: int, most: int | None) -> None:
    """Raise UsageError if a model of so many numbers at least is larger than it may be."""
    if most is not None and least > most:
        raise UsageError(f"describes a model of {least:,} numbers or more, larger than its file")


def _kind(kind: Any, package: str) -> str:
    """Return `kind` if it names a module of `package`: never an import of anything else."""
    folder = importlib.import_module(package).__path__
    names = {m.name for m in pkgutil.iter_modules(folder)}
    known = sorted(names - PARTS)
    if kind not in known:
        raise UsageError(f"no {package.rpartition('.')[2]} of kind '{kind}'; there are: {known}")
    return str(kind)
