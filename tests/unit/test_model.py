"""Encoder, decoder and the bound."""

import math

import numpy as np
import pytest
import torch

from tests.helpers import picture, tiny_config
from vqcodec.config import load_preset, preset_names
from vqcodec.errors import UsageError
from vqcodec.models.decoders.deconv2d import Config as DecoderConfig
from vqcodec.models.encoders.conv2d import Config as EncoderConfig
from vqcodec.models.nn.pixels import to_signal
from vqcodec.models.priors.integer import IntegerPrior
from vqcodec.models.vqvae import VQVAE, build


def levels(*shape: int) -> torch.Tensor:
    """Random 8-bit values, scaled to [-1, 1]."""
    return torch.randint(256, shape).float() / 127.5 - 1


@pytest.mark.parametrize("name", [n for n in preset_names() if n.startswith("image-f4")])
def test_every_image_preset_codes_32x32_indices_of_512(name: str) -> None:
    model = build(load_preset(name)["model"]).eval().requires_grad_(False)
    indices = model.encode(torch.zeros(1, 3, 128, 128))
    assert [i.shape for i in indices] == [(1, 32, 32)]
    assert model.quantizer.codebook_sizes == (512,)
    assert model.decode(indices).shape == (1, 3, 128, 128)


def test_reach_of_the_encoder_is_true_and_tight(tiny_model: VQVAE) -> None:
    encoder, size = tiny_model.encoder, 96
    x = torch.randn(1, 3, size, size, requires_grad=True)
    (z_e,) = encoder(x)
    z_e[0, :, 12, 12].sum().backward()
    touched = x.grad.abs().sum((0, 1))  # type: ignore[union-attr]
    rows = torch.nonzero(touched.sum(1)).ravel()
    ((stride, _),) = encoder.strides
    own = 12 * stride
    assert own - rows.min() == encoder.halo
    assert rows.max() - (own + stride - 1) == encoder.halo


@pytest.mark.parametrize("factors", [(3, 2), (2, 3), (4, 3)])
def test_cells_of_other_factors_than_two(factors: tuple[int, int]) -> None:
    """24 pixels may become one cell, and every cell stands for as many pixels on each side."""
    shared = {"widths": (4, 4), "dim": 3}
    encoder = EncoderConfig(**shared, blocks=(1, 0), factors=factors).build()  # type: ignore[arg-type]
    decoder = DecoderConfig(**shared, blocks=(0, 1), factors=factors[::-1]).build()  # type: ignore[arg-type]
    stride = factors[0] * factors[1]
    assert encoder.strides == ((stride, stride),) and decoder.stride == stride
    for layer in (*encoder.modules(), *decoder.modules()):
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            torch.nn.init.constant_(layer.weight, 0.1)
            torch.nn.init.constant_(layer.bias, 1.0)  # type: ignore[arg-type]
    x = torch.ones(1, 3, 9 * stride, 9 * stride, requires_grad=True)
    (z,) = encoder(x)
    assert z.shape[2:] == (9, 9)
    (grad,) = torch.autograd.grad(z[0, :, 4, 4].sum(), x)
    seen = torch.nonzero(grad.sum((0, 1, 3))).ravel()
    assert int(seen.min()) == 4 * stride - encoder.halo
    assert int(seen.max()) == 5 * stride - 1 + encoder.halo
    z_q = torch.ones(1, 3, 9, 9, requires_grad=True)
    patch = decoder(z_q)[..., 4 * stride : 5 * stride, :]
    (grad,) = torch.autograd.grad(patch.sum(), z_q)
    rows = torch.nonzero(grad.sum((0, 1, 3))).ravel()
    assert 4 - int(rows.min()) <= decoder.halo and int(rows.max()) - 4 <= decoder.halo
    one = EncoderConfig(**shared, blocks=(0, 0), factors=factors).build()  # type: ignore[arg-type]
    assert one(torch.zeros(1, 3, stride, stride))[0].shape[2:] == (1, 1)


def test_factors_that_do_not_fit() -> None:
    settings = {"widths": [4, 4], "blocks": [0, 0], "dim": 3, "activation": "relu"}
    for kind, factors, sentence in (
        ("conv2d", [2], "as many as widths"),
        ("conv2d", [2, 9], "factor is 9"),
        ("pyramid2d", [2, 2], "no factors to set"),
    ):
        table = load_preset("image-f4")["model"] | {
            "encoder": {"kind": kind, **settings, "factors": factors}
        }
        with pytest.raises(UsageError, match=sentence):
            build(table)


def test_reach_of_the_decoder_is_true(tiny_model: VQVAE) -> None:
    decoder = tiny_model.decoder
    z_q = torch.randn(1, 4, 24, 24, requires_grad=True)
    out = decoder.reconstruct(z_q)
    own = 12
    s = decoder.stride
    patch = out[0, :, own * s : (own + 1) * s, own * s : (own + 1) * s]
    torch.autograd.backward(patch.sum())
    rows = torch.nonzero(z_q.grad.abs().sum((0, 1, 3))).ravel()  # type: ignore[union-attr]
    assert own - rows.min() <= decoder.halo and rows.max() - own <= decoder.halo
    assert decoder.halo <= max(own - rows.min(), rows.max() - own) + 1


@pytest.mark.parametrize("log_scale", [-5.0, -3.0, -1.0, 1.0])
def test_probabilities_of_all_256_values_sum_to_one(log_scale: float) -> None:
    torch.manual_seed(0)
    decoder = DecoderConfig(widths=(4,), blocks=(1,), dim=2).build().double().requires_grad_(False)
    decoder.log_scale.data.fill_(log_scale)
    z_q = torch.randn(256, 2, 1, 1).double()[:1].expand(256, -1, -1, -1)
    mean = decoder(z_q[:1])
    # vary one value, hold the others at a likely one: ratios are that value's distribution
    x = ((mean.clamp(-1, 1) + 1) * 127.5).round().div(127.5).sub(1).repeat(256, 1, 1, 1)
    x[:, 0, 0, 0] = torch.arange(256).double() / 127.5 - 1
    log_prob = decoder.log_prob(x, z_q)
    centre = float(mean[0, 0, 0, 0])
    likely = min(255, max(0, round((centre + 1) * 127.5)))
    others = log_prob[likely] - _one_log_prob(
        likely / 127.5 - 1, centre, math.exp(decoder.log_scale.item())
    )
    assert (log_prob - others).exp().sum().item() == pytest.approx(1, abs=1e-4)


def _one_log_prob(x: float, mean: float, scale: float) -> float:
    """The Gaussian mass of one bin, in the plainest way that keeps precision."""

    def below(t: float) -> float:
        return 0.5 * math.erfc(-t / math.sqrt(2))

    low = -math.inf if x < -1 + 1e-6 else (x - 1 / 255 - mean) / scale
    high = math.inf if x > 1 - 1e-6 else (x + 1 / 255 - mean) / scale
    if low + high > 0:
        low, high = -high, -low
    return math.log(below(high) - below(low))


def test_training_loss_is_the_likelihood_up_to_its_binning() -> None:
    torch.manual_seed(0)
    decoder = DecoderConfig(widths=(4,), blocks=(1,), dim=2).build()
    x, z_q = levels(3, 3, 8, 8) * 0.9, torch.randn(3, 2, 4, 4)
    x = ((x + 1) * 127.5).round() / 127.5 - 1
    exact = -decoder.log_prob(x, z_q).mean() / x[0].numel()
    assert decoder.loss(x, z_q).item() == pytest.approx(exact.item(), abs=0.01)


def test_bound_has_the_constant_kl_of_log_k_per_index(tiny_model: VQVAE) -> None:
    x = levels(2, 3, 16, 24)
    elbo = tiny_model.elbo(x)
    np.testing.assert_allclose(elbo.kl.numpy(), 4 * 6 * math.log(32), rtol=1e-6)
    expected = (elbo.kl - elbo.log_prob) / (3 * 16 * 24 * math.log(2))
    torch.testing.assert_close(elbo.bits_per_dim, expected)


def test_one_training_step_lowers_the_loss() -> None:
    torch.manual_seed(0)
    model = build(tiny_config()["model"]).train()
    x = levels(4, 3, 32, 32)
    model.quantizer.codebooks[0].initialize(model(x).latents[0], seed=0)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    first = model(x)
    first.loss.backward()
    optimizer.step()
    assert model(x).loss < first.loss


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("encoder", {"kind": "os"}, "of kind 'os'"),
        ("encoder", {"kind": "base"}, "of kind 'base'"),
        ("encoder", None, "lacks its table 'encoder'"),
        ("quantizer", {"kind": "vq", "codebook_size": "many", "dim": 4}, "must be of type int"),
        ("quantizer", {"kind": "vq", "codebook_size": 32, "dim": 5}, "same 'dim'"),
        ("decoder", {"kind": "deconv2d", "widths": [8], "blocks": [0], "dim": 4}, "same stride"),
        ("decoder", {"kind": "deconv2d", "widths": [8], "dim": 4}, "lacks: blocks"),
        ("decoder", {"kind": "deconv2d", "width": 8}, "no setting 'width'"),
    ],
)
def test_configs_that_do_not_fit_are_refused(path: str, value: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build({**tiny_config()["model"], path: value})


def test_a_prior_that_learns_along_makes_codes_cheaper() -> None:
    """The pull lowers the conditional entropy; without it (weight 0) the prior only watches."""
    pixels = np.stack([picture(32, 32, seed=i) for i in range(16)]).transpose(0, 3, 1, 2)
    x = to_signal(torch.from_numpy(pixels))
    bits = []
    for weight in (0.0, 200.0):
        torch.manual_seed(0)
        table = tiny_config()["model"]
        table["prior"] = {"kind": "integer", "rate_weight": weight, "units": 16, "blocks": 1}
        table["prior"]["embedding"] = 8
        model = build(table)
        model.quantizer.codebooks[0].initialize(model(x).latents[0], 0)
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(60):
            terms = model(x)
            optimizer.zero_grad()
            terms.loss.backward()
            optimizer.step()
        model.eval()
        assert model.prior is not None
        with torch.no_grad():
            nats = -model.prior.log_prob(model.encode(x)).sum()
        bits.append(float(nats) / math.log(2) / (16 * 64))
    assert bits[1] < 0.8 * bits[0]


def test_what_the_encoder_is_pulled_by_does_not_move_the_prior() -> None:
    torch.manual_seed(0)
    table = tiny_config()["model"]
    table["prior"] = {"kind": "integer", "rate_weight": 1.0, "units": 8, "blocks": 1}
    model = build(table)
    assert isinstance(model.prior, IntegerPrior)
    quantized = model.quantizer(model.encoder(torch.rand(2, 3, 16, 16)))
    rate, pull = model._rate(quantized, 3 * 16 * 16)
    head, first = model.prior.head.weight, next(model.encoder.parameters())

    def moved(loss: torch.Tensor, parameter: torch.Tensor) -> bool:
        (gradient,) = torch.autograd.grad(loss, parameter, retain_graph=True, allow_unused=True)
        return gradient is not None and bool(gradient.abs().sum() > 0)

    assert moved(rate, head) and not moved(rate, first)
    assert moved(pull, first) and not moved(pull, head)
    cost = -model.prior.log_prob(quantized.indices).sum()
    assert rate.item() == pytest.approx(cost.item() / (2 * 3 * 16 * 16), rel=1e-4)
