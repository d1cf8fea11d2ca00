"""VAE: encoder, bottleneck and decoder, to be measured beside a VQ-VAE (the paper, section 4.1)."""

from typing import cast

import torch
from torch import nn

from vqcodec.config import Tree
from vqcodec.errors import UsageError
from vqcodec.maps import Maps
from vqcodec.models.bottlenecks.base import Bottleneck
from vqcodec.models.bottlenecks.vimco import multi_sample_bound
from vqcodec.models.decoders.base import Density
from vqcodec.models.encoders.base import Encoder
from vqcodec.models.stacked import build_stacked
from vqcodec.models.terms import ELBO, LossTerms
from vqcodec.models.vqvae import VQVAE, build, build_parts


class VAE(nn.Module):
    """An encoder and a decoder with latents of which there is no code to write.

    Attributes:
        maps: none.
    """

    maps: Maps = ()

    def __init__(self, encoder: Encoder, bottleneck: Bottleneck, decoder: Density) -> None:
        super().__init__()
        self.encoder, self.bottleneck, self.decoder = encoder, bottleneck, decoder

    def codebook_bytes(self, number: int | None = None) -> bytes:
        """Return nothing: there is no codebook."""
        return b""

    def forward(self, x: torch.Tensor) -> LossTerms:
        """Return the terms of the loss for x, (B, channels, *size); `rate` is the KL divergence."""
        latents = self.bottleneck(self.encoder(x), self.bottleneck.samples)
        log_px = self._log_px(x, latents.z)
        dimensions = x[0].numel()
        loss = -self.bottleneck.objective(log_px, latents) / dimensions
        kl = latents.kl.sum(1).mean() / dimensions
        nothing = loss.new_zeros(())
        return LossTerms(loss, -log_px.mean() / dimensions, nothing, kl, (), ())

    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        """Return x, in [-1, 1], through the likeliest latents."""
        return self.decoder.reconstruct(self.bottleneck.mode(self.encoder(x)))

    def elbo(self, x: torch.Tensor) -> ELBO:
        """Return the bound on log p(x), from one draw; its KL is in closed form."""
        z, kl = self.infer(x)
        return ELBO(self.decoder.log_prob(x, z), kl.sum(1), x[0].numel())

    def bound(self, x: torch.Tensor, samples: int, at_once: int = 10) -> torch.Tensor:
        """Return the multi-sample bound on log p(x) in nats, (B,): the tighter, the more samples.

        Args:
            x: (B, channels, *size).
            samples: S, in all.
            at_once: so many are decoded together, for what memory there is.
        """
        features = self.encoder(x)
        weights = []
        for start in range(0, samples, at_once):
            latents = self.bottleneck(features, min(at_once, samples - start))
            weights.append(self._log_px(x, latents.z) + latents.log_p - latents.log_q)
        return multi_sample_bound(torch.cat(weights))

    def infer(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return z, (B, D, *grid), drawn for x, and what each latent costs, (B, latents)."""
        latents = self.bottleneck(self.encoder(x), 1)
        return latents.z, latents.kl

    def _log_px(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Return log p(x | z), (S, B), of z (S * B, ...)."""
        number = len(z) // len(x)
        return self.decoder.log_prob(x.repeat(number, *[1] * (x.ndim - 1)), z).view(number, len(x))


def build_model(model: Tree, max_parameters: int | None = None) -> VQVAE | VAE:
    """Make a model with fresh weights: a VQ-VAE, or a VAE where a ``bottleneck`` is told.

    With a table ``on``, it is a VQ-VAE on the codes of another.

    Args and errors are those of `vqcodec.models.vqvae.build`.
    """
    if "on" in model:
        return build_stacked(model, max_parameters)
    if "bottleneck" not in model:
        return build(model, max_parameters)
    parts = build_parts(model, "bottleneck", max_parameters)
    if set(model) != {"encoder", "bottleneck", "decoder"}:
        raise UsageError("a VAE is of encoder, bottleneck and decoder, and nothing else")
    if len(parts["encoder"].strides) != 1 or not isinstance(parts["decoder"], Density):
        raise UsageError("a VAE needs an encoder of one grid, and a decoder with a likelihood")
    return VAE(cast(Encoder, parts["encoder"]), parts["bottleneck"], parts["decoder"])
