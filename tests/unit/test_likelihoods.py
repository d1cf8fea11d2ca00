"""VAE, VIMCO and the bounds on likelihoods, against what is known exactly."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from tests.helpers import lively
from vqcodec.config import Tree, load_preset, override
from vqcodec.errors import UsageError
from vqcodec.evaluate.bound.gaussian import RIDGES, Gaussian
from vqcodec.models.bottlenecks.gaussian import Config as GaussianConfig
from vqcodec.models.bottlenecks.vimco import VimcoBottleneck, multi_sample_bound, vimco
from vqcodec.models.decoders.logistic2d import Config as LogisticConfig
from vqcodec.models.decoders.logistic2d import Logistic2dDecoder
from vqcodec.models.nn.pixels import to_signal
from vqcodec.models.vae import VAE, build_model

LEVELS = torch.arange(256, dtype=torch.uint8)


def tiny(preset: str, *assignments: str) -> Tree:
    """A model of a preset for 32x32 pictures in small."""
    tree = load_preset(preset)
    small = ["model.encoder.widths=[6, 6]", "model.decoder.widths=[6, 6]"]
    model: Tree = override(tree, [*small, *assignments])["model"]
    return model


def tiny_vae(preset: str, *assignments: str) -> VAE:
    torch.manual_seed(0)
    model = build_model(tiny(preset, *assignments))
    assert isinstance(model, VAE)
    return model.eval()


def one_bit(preset: str = "cifar-vimco") -> VAE:
    """Latents of two states, one a cell."""
    dims = [f"model.{part}.dim=3" for part in ("encoder", "bottleneck", "decoder")]
    more = "model.bottleneck.codebook_size=2", "model.bottleneck.latents=1"
    model = tiny_vae(preset, *dims, *more)
    assert isinstance(model.bottleneck, VimcoBottleneck)
    torch.nn.init.normal_(model.bottleneck.vectors, std=2)
    return model


def pictures(number: int, side: int = 8) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (number, 3, side, side)
    return to_signal(torch.randint(256, shape, generator=generator, dtype=torch.uint8))


def test_the_gradient_of_vimco_is_that_of_the_bound_by_enumeration() -> None:
    torch.manual_seed(0)
    latents, states, samples = 2, 3, 3
    logits = torch.randn(latents, states, dtype=torch.float64, requires_grad=True)
    joint = torch.randn([states] * latents, dtype=torch.float64, requires_grad=True)  # log p(x, z)
    every = list(itertools.product(range(states), repeat=latents))
    table = logits.log_softmax(1)
    log_q = torch.stack([table[range(latents), z].sum() for z in every])
    log_w = torch.stack([joint[z] for z in every]) - log_q
    truth = estimated = torch.zeros((), dtype=torch.float64)
    for draw in itertools.product(range(len(every)), repeat=samples):
        drawn = list(draw)
        chance = log_q[drawn].sum().exp()
        bound = multi_sample_bound(log_w[drawn][:, None])[0]
        truth = truth + chance * bound
        surrogate = vimco(log_w[drawn][:, None], log_q[drawn][:, None])[0]
        torch.testing.assert_close(surrogate, bound)
        estimated = estimated + chance.detach() * surrogate
    ours, exact = (
        torch.autograd.grad(total, [logits, joint], retain_graph=True)
        for total in (estimated, truth)
    )
    torch.testing.assert_close(ours, exact)
    assert float(exact[0].abs().max()) > 0.01


def test_a_gaussian_posterior_is_that_of_torch() -> None:
    torch.manual_seed(0)
    bottleneck = GaussianConfig(dim=3).build()
    features = (torch.randn(4, 3, 2, 2),)
    latents = bottleneck(features, 5)
    mean, log_std = bottleneck.project(features[0].movedim(1, -1)).movedim(-1, 1).chunk(2, 1)
    q, p = torch.distributions.Normal(mean, log_std.exp()), torch.distributions.Normal(0.0, 1.0)
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(mean * 0, 1.0))
    torch.testing.assert_close(latents.kl, kl.flatten(1))
    z = latents.z.view(5, 4, 3, 2, 2)
    for found, known in ((latents.log_q, q), (latents.log_p, p)):
        wanted = known.log_prob(z).flatten(2).sum(2)  # type: ignore[no-untyped-call]
        torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(bottleneck.mode(features), mean)
    many = bottleneck(features, 4000).z.view(4000, *mean.shape)
    error = (many.mean(0) - mean) / log_std.exp() * math.sqrt(4000)
    assert float(error.detach().abs().max()) < 5  # standard errors
    torch.testing.assert_close(many.std(0), log_std.exp(), atol=0, rtol=0.1)


def test_free_bits_charge_at_least_themselves() -> None:
    features, log_px = (torch.randn(4, 3, 2, 2),), torch.zeros(1, 4)
    plain, free = (GaussianConfig(dim=3, free_bits=bits).build() for bits in (0.0, 1.0))
    free.load_state_dict(plain.state_dict())
    torch.nn.init.zeros_(plain.project.weight)
    torch.nn.init.zeros_(free.project.weight)
    torch.nn.init.zeros_(free.project.bias)  # the posterior is the prior
    with torch.no_grad():
        latents = free(features, 1)
    assert float(latents.kl.abs().max()) == 0
    torch.testing.assert_close(free.objective(log_px, latents), torch.tensor(-12 * math.log(2)))
    assert float(plain.objective(log_px, latents)) == 0


def test_logistics_are_those_of_scipy_and_sum_to_one() -> None:
    torch.manual_seed(0)
    decoder = LogisticConfig(widths=(4, 4), blocks=(1, 0), dim=3).build()
    lively(decoder)  # type: ignore[arg-type]
    z = torch.randn(1, 3, 1, 1)
    mean, log_scale = (t.detach() for t in decoder(z))
    x = to_signal(LEVELS.view(256, 1, 1, 1).expand(256, 3, 4, 4))
    each = torch.stack(
        [decoder.log_prob(x[i : i + 1], z) for i in (0, 100, 255)]
    )  # the sum over values
    edges = (np.arange(257) - 0.5) * 2 / 255 - 1
    edges[0], edges[-1] = -np.inf, np.inf
    cdf = stats.logistic.cdf(
        edges, mean.double()[..., None].numpy(), log_scale.double().exp()[..., None].numpy()
    )
    p = np.diff(cdf)
    np.testing.assert_allclose(p.sum(-1), 1)
    wanted = np.log(p.clip(1e-300)).reshape(-1, 256).sum(0)[[0, 100, 255]]
    np.testing.assert_allclose(each.detach().numpy()[:, 0], wanted, rtol=2e-4)


@pytest.mark.parametrize("log_scale", [-6.9, -2.0, 2.9])
def test_bits_of_a_known_density(log_scale: float) -> None:
    """Without a bottleneck, a decoder that says one thing of all values has a known density."""
    tree = tiny("cifar-vae")
    tree["bottleneck"] = {"kind": "none", "dim": 10}
    model = build_model(tree)
    assert isinstance(model, VAE)
    assert isinstance(model.decoder, Logistic2dDecoder)
    last = model.decoder.layers[-1]
    assert isinstance(last, torch.nn.ConvTranspose2d)
    assert last.bias is not None
    torch.nn.init.zeros_(last.weight)
    with torch.no_grad():
        last.bias.copy_(torch.tensor([0.25] * 3 + [log_scale + 2.0] * 3))
    x = pictures(2)
    edges = (x.double().numpy()[..., None] + np.array([-1, 1]) / 255).clip(
        -1 - 1 / 255, 1 + 1 / 255
    )
    edges[edges <= -1], edges[edges >= 1] = -np.inf, np.inf
    log_cdf = stats.logistic.logcdf(edges, 0.25, math.exp(log_scale))
    log_sf = stats.logistic.logsf(edges, 0.25, math.exp(log_scale))
    upper = edges[..., 0] > 0.25  # by symmetry, where digits are left
    high = np.where(upper, log_sf[..., 0], log_cdf[..., 1])
    low = np.where(upper, log_sf[..., 1], log_cdf[..., 0])
    wanted = -(high + np.log1p(-np.exp(low - high))).reshape(2, -1).mean(1) / math.log(2)
    with torch.no_grad():
        np.testing.assert_allclose(model.elbo(x).bits_per_dim.numpy(), wanted, rtol=1e-4)
        np.testing.assert_allclose(
            -model.bound(x, 3).numpy() / (192 * math.log(2)), wanted, rtol=1e-4
        )


def test_many_samples_reach_the_likelihood_that_enumeration_gives() -> None:
    model, x = one_bit(), pictures(3)
    with torch.no_grad():
        assert isinstance(model.bottleneck, VimcoBottleneck)
        z = [
            model.bottleneck._looked_up(torch.tensor(states).view(1, 2, 2, 1))
            for states in itertools.product(range(2), repeat=4)
        ]
        log_px = torch.stack([model.decoder.log_prob(x, own.expand(3, -1, -1, -1)) for own in z])
        exact = log_px.logsumexp(0) - 4 * math.log(2)
        torch.manual_seed(0)
        many = x.repeat(300, 1, 1, 1)  # to take means over draws
        one, four, elbo = model.bound(many, 1), model.bound(many, 4), model.elbo(many)
        reached = model.bound(x, 4000)
    assert one.mean() < four.mean() < exact.mean()
    torch.testing.assert_close(reached, exact, atol=0.1, rtol=0)
    own = elbo.log_prob - elbo.kl  # its KL in closed form: less noise, the same mean
    error = float((own - one).std()) / math.sqrt(len(many))
    assert abs(float(own.mean() - one.mean())) < 5 * error


def test_training_of_each_bottleneck_follows_the_bound() -> None:
    """A few steps on one picture raise the bound of training, and give gradients to all."""
    for preset in ("cifar-vae", "cifar-vimco"):
        model = one_bit() if preset == "cifar-vimco" else tiny_vae(preset)
        model.train()
        if preset == "cifar-vimco":
            model.bottleneck.samples = 5
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        x = pictures(4)
        losses = []
        for _ in range(30):
            terms = model(x)
            optimizer.zero_grad()
            terms.loss.backward()
            assert all(p.grad is not None for p in model.parameters())
            optimizer.step()
            losses.append(float(terms.loss.detach()))
        assert losses[-1] < losses[0] - 0.05, preset


def test_the_gaussian_baseline_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (50, 4)).astype(np.uint8)
    pixels[:, 1] = pixels[:, 0] // 2 + rng.integers(0, 9, 50)
    fitted = Gaussian.fit(pixels, mirrored=False)
    covariance = np.cov(pixels.T.astype(float), bias=True)
    own = fitted.axes * fitted.variances @ fitted.axes.T
    ridge = (own - covariance)[0, 0] - 1 / 12
    np.testing.assert_allclose(own, covariance + np.eye(4) * (ridge + 1 / 12), atol=1e-8)
    assert np.isclose(RIDGES, ridge).any()
    nodes = 0.5 + np.array([-1, 1]) / math.sqrt(12)  # exact for squares: Gauss and Legendre
    noises = np.array(list(itertools.product(nodes, repeat=4)))
    density = stats.multivariate_normal(pixels.mean(0) + 0.5, own)
    nats = -np.mean([density.logpdf(pixels + noise) for noise in noises], axis=0)
    np.testing.assert_allclose(fitted.bits_per_dim(pixels), nats / math.log(2) / 4)


def test_mirrored_pictures_count() -> None:
    pixels = np.zeros((4, 1, 1, 2), np.uint8)
    pixels[..., 1] = 100
    found = Gaussian.fit(pixels).bits_per_dim(pixels)
    np.testing.assert_allclose(found, Gaussian.fit(pixels[..., ::-1]).bits_per_dim(pixels))


@pytest.mark.parametrize(
    ("assignment", "part", "sentence"),
    [
        ({"latents": 3}, "bottleneck", "multiple of latents"),
        ({"samples": 1}, "bottleneck", "samples is 1, must be from 2"),
        ({"kind": "vq"}, "bottleneck", "no bottlenecks of kind 'vq'"),
        ({"dim": 41}, "decoder", "encoder, bottleneck and decoder must have one and the same"),
        ({"widths": [6], "blocks": [0]}, "decoder", "one and the same stride"),
    ],
)
def test_settings_that_do_not_fit(assignment: Tree, part: str, sentence: str) -> None:
    model = tiny("cifar-vimco")
    model[part] |= assignment
    with pytest.raises(UsageError, match=sentence):
        build_model(model)
