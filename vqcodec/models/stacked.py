"""A VQ-VAE on the codes of another (arXiv:1711.00937v2, section 4.2 and figure 5).

The first codec is finished and stands still: it turns pictures into an index map and that back into
pictures. What is learned is a second VQ-VAE of such maps, whose decoder draws them. The two are one
VQ-VAE of pictures to whoever codes with it or trains it.
"""

import torch
from torch import nn

from vqcodec.config import Tree
from vqcodec.errors import UsageError
from vqcodec.models.decoders.base import Density
from vqcodec.models.decoders.pixelcnn import PixelCNNDecoder
from vqcodec.models.encoders.base import Encoder
from vqcodec.models.vqvae import VQVAE, build, build_parts
from vqcodec.weights import reference

FIRST = "encoder.first."  # what the names of the first codec's tensors begin with
ONE_MAP = "a codec to stand on must have one map, and so must what stands on it"


class StackedEncoder(Encoder):
    """Pictures to the first codec's vectors, and these to features.

    Args:
        first: the finished model.
        second: takes the first's code vectors, (B, D, h, w).
    """

    def __init__(self, first: VQVAE, second: Encoder) -> None:
        super().__init__()
        self.first, self.second = first.requires_grad_(False), second
        step = max(first.maps[-1].stride)
        self.dim = second.dim
        self.strides = tuple(tuple(n * step for n in stride) for stride in second.strides)
        around = first.quantizer.halo + second.halo  # cells of the first's map
        self.halo = first.encoder.halo + around * step
        self.train(self.training)

    def train(self, mode: bool = True) -> "StackedEncoder":
        """Leave the first codec as it is: in training, it would go on to learn its codebook."""
        super().train(mode)
        self.first.eval()
        return self

    @torch.no_grad()
    def codes(self, x: torch.Tensor) -> torch.Tensor:
        """Return the first codec's indices, (B, h, w), of x."""
        (grid,) = self.first.encode(x)
        return grid

    def forward(
        self, x: torch.Tensor, cond: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Return the features of x; `cond` is not used."""
        vectors = self.first.quantizer.lookup((self.codes(x),)).detach()
        features: tuple[torch.Tensor, ...] = self.second(vectors)
        return features


class StackedDecoder(Density):
    """z_q to an index map of the first codec, which is drawn, and that to a picture.

    Args:
        encoder: holds the first codec.
        second: draws its maps, of one channel.
    """

    draws = True

    def __init__(self, encoder: StackedEncoder, second: PixelCNNDecoder) -> None:
        super().__init__()
        self._encoder = [encoder]  # in a list, or its tensors would be this module's as well
        self.second = second
        first = encoder.first
        self.stride = second.stride * max(first.maps[-1].stride)
        around = first.decoder.halo + first.quantizer.halo
        self.halo = second.halo - (-around // second.stride)

    def loss(
        self, x: torch.Tensor, z_q: torch.Tensor, cond: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return -log p(map | z_q) in nats per index: all that can be learned here."""
        return self.second.loss(self._signal(self._encoder[0].codes(x)), z_q)

    def log_prob(
        self, x: torch.Tensor, z_q: torch.Tensor, cond: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return log p(map | z_q) + log p(x | map) in nats, (B,).

        That is of x along with its map, and so a bound on log p(x | z_q).
        """
        grid, first = self._encoder[0].codes(x), self._encoder[0].first
        log_p = self.second.log_prob(self._signal(grid), z_q)
        if isinstance(first.decoder, Density):
            log_p = log_p + first.decoder.log_prob(x, first.quantizer.lookup((grid,)))
        return log_p

    def reconstruct(
        self,
        z_q: torch.Tensor,
        cond: torch.Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> torch.Tensor:
        """Return pictures in [-1, 1] of maps that are drawn."""
        drawn = self.second.reconstruct(z_q, generator=generator, temperature=temperature)
        return self._encoder[0].first.decode(self.second.values(drawn))

    def _signal(self, grid: torch.Tensor) -> torch.Tensor:
        """Return indices, (B, h, w), as the signal, (B, 1, h, w), that the second decoder takes."""
        return grid[:, None].float() * (2 / (self.second.levels - 1)) - 1


def build_stacked(model: Tree, max_parameters: int | None = None) -> VQVAE:
    """Make a VQ-VAE on another with fresh weights, the first one's as well.

    Args:
        model: the table; its ``on`` is the table of the first.
        max_parameters: see `vqcodec.models.vqvae.build`.

    Raises:
        UsageError: settings do not fit, or there is no first codec.
    """
    second = {part: table for part, table in model.items() if part != "on"}
    on = model["on"]
    if not isinstance(on, dict) or not on or reference(model):
        raise UsageError("this model stands on the codes of another codec; name it with --on")
    if "on" in on or "bottleneck" in on or "conditioner" in on:
        raise UsageError("the codec to stand on must be a plain one of pictures")
    if set(second) != {"encoder", "quantizer", "decoder"}:
        raise UsageError("a stacked model is of encoder, quantizer and decoder, and nothing else")
    first = build(on, max_parameters)
    parts = build_parts(second, "quantizer", max_parameters)
    if set(parts["quantizer"].levels) != {0}:
        raise UsageError("a stacked model needs a quantizer of one grid")
    if on["quantizer"].get("dim") != second["encoder"].get("channels"):
        raise UsageError("encoder.channels must be the 'dim' of the codes that it stands on")
    encoder, decoder = _stack(first, parts["encoder"], parts["decoder"])
    return VQVAE(encoder, parts["quantizer"], decoder)


def for_codec(model: Tree, on: Tree) -> Tree:
    """Return the ``model`` table of a preset that stands on a codec with what that one settles.

    Args:
        model: the table of the preset.
        on: the ``model`` table of the first codec.
    """
    if "on" not in model:
        raise UsageError(
            "this preset stands on no other codec; --on goes with --preset stacked or image-refined"
        )
    first = on.get("quantizer", {})
    if "codebook_size" not in first:
        raise UsageError(ONE_MAP)
    if "refiner" in model:
        return {**model, "on": _plain(on)}
    encoder = {**model["encoder"], "channels": first.get("dim", 0)}
    decoder = {**model["decoder"], "levels": first["codebook_size"]}
    return {**model, "on": _plain(on), "encoder": encoder, "decoder": decoder}


def with_first(model: Tree, on: Tree) -> Tree:
    """Return the ``model`` table of weights that refer to a first codec, with its table in it.

    Args:
        model: the table of the weights.
        on: the ``model`` table of the first codec.
    """
    return {**model, "on": _plain(on)}


def _plain(on: Tree) -> Tree:
    """Return what of a codec's ``model`` table can be stood on: codes are not made by its prior."""
    return {part: table for part, table in on.items() if part != "prior"}


def _stack(first: VQVAE, encoder: Encoder, decoder: nn.Module) -> tuple[Encoder, Density]:
    """Return the encoder and the decoder of pictures that stand on a finished codec."""
    if len(first.maps) != 1 or len(encoder.strides) != 1:
        raise UsageError(ONE_MAP)
    size = first.maps[0].codebook_size
    if not isinstance(decoder, PixelCNNDecoder) or (decoder.channels, decoder.levels) != (1, size):
        raise UsageError(
            f"on such codes the decoder must be a pixelcnn of 1 channel, {size} levels"
        )
    stacked = StackedEncoder(first, encoder)
    return stacked, StackedDecoder(stacked, decoder)
