"""A VAE on pictures."""

import math

import torch
from torch import nn

from vqcodec.metrics.basic import psnr
from vqcodec.models.nn.pixels import to_pixels, to_signal
from vqcodec.models.terms import LossTerms
from vqcodec.models.vae import VAE
from vqcodec.train.image.base import MEASURED_AT_ONCE, PictureTask, side_by_side
from vqcodec.train.tasks import Evaluation, Loss, Tensors

ACTIVE = 0.01  # bits that an active latent says of a picture, on average, at least


class ImageVAE(PictureTask[VAE]):
    """A VAE on pictures; see `PictureTask`."""

    def loss(self, model: nn.Module, batch: Tensors) -> Loss:
        """Return the bound, and its two terms, in nats per dimension."""
        terms: LossTerms = model(to_signal(batch["x"]))
        return Loss(terms.loss, {"reconstruction": terms.reconstruction, "kl": terms.rate})

    def quantizer(self) -> None:
        """Return None: there are no codes."""
        return

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> Evaluation:
        """Return PSNR (dB), the bound (bits/dim), KL (bits a picture), and how many latents live.

        Where KL is zero, the posterior has collapsed: the decoder does without latents.
        """
        import numpy as np

        assert isinstance(model, VAE)
        device = next(model.parameters()).device
        quality: list[float] = []
        bits, kl = 0.0, []
        picture = None
        with torch.random.fork_rng():  # figures do not move what training draws
            torch.manual_seed(0)
            for start in range(0, len(self.held_out), MEASURED_AT_ONCE):
                pixels = self.held_out[start : start + MEASURED_AT_ONCE]
                x = to_signal(torch.from_numpy(pixels).to(device))
                bits += float(model.elbo(x).bits_per_dim.sum())
                kl.append(model.infer(x)[1].cpu().numpy() / math.log(2))
                if picture is not None and model.decoder.draws:  # which takes long
                    continue
                decoded = to_pixels(model.reconstruct(x)).cpu().numpy()
                quality += [min(psnr(a, b), 100.0) for a, b in zip(pixels, decoded, strict=True)]
                if picture is None:
                    picture = np.concatenate([side_by_side(pixels), side_by_side(decoded)])
        each = np.concatenate(kl)
        figures = {
            "psnr_drawn" if model.decoder.draws else "psnr": float(np.mean(quality)),
            "bits_per_dim": bits / len(self.held_out),
            "kl_bits": float(each.sum(1).mean()),
            "active_latents": float((each.mean(0) >= ACTIVE).mean()),
        }
        return Evaluation(figures, picture=picture)
