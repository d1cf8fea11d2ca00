"""The PixelCNN decoder: a density over 8-bit values, and samples of it."""

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from vqcodec.errors import UsageError
from vqcodec.models.decoders.pixelcnn import Config, PixelCNNDecoder
from vqcodec.models.priors.pixelcnn import Draw
from vqcodec.models.vqvae import build_decoder

SMALL = {"widths": (6, 6), "blocks": (0, 1), "dim": 3, "width": 8, "features": 4, "embedding": 4}


def lively_decoder(**changed: object) -> PixelCNNDecoder:
    torch.manual_seed(0)
    decoder = Config(**{**SMALL, **changed}).build().eval()  # type: ignore[arg-type]
    for parameter in decoder.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return decoder


@pytest.mark.parametrize("changed", [{}, {"reach": -1}, {"channels": 1, "levels": 40}])
def test_cached_sampling_equals_the_full_pass(changed: dict[str, int]) -> None:
    """Values drawn one at a time from the full network are those that diagonals give."""
    decoder = lively_decoder(**changed)
    z = torch.randn(2, 3, 1, 2, generator=torch.Generator().manual_seed(1))
    drawn = decoder.reconstruct(z, generator=torch.Generator().manual_seed(2), temperature=0.8)
    channels, height, width = drawn.shape[1:]
    shape = 2, channels, height, width
    uniform = torch.rand(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    values = tuple(torch.zeros(2, height, width, dtype=torch.long) for _ in range(channels))
    with torch.inference_mode():
        features = decoder.layers(z)
        for i in range(height):
            for j in range(width):
                for c, own in enumerate(values):
                    logits = decoder.pixels(values, features)[c][:, i, j]
                    own[:, i, j] = Draw(0.8)(logits, uniform[:, c, i, j])
    assert all(map(torch.equal, values, decoder.values(drawn)))
    assert len(set(torch.stack(values).flatten().tolist())) > 20
    assert -1 <= float(drawn.min()) and float(drawn.max()) <= 1


def test_a_seed_gives_a_picture_and_another_seed_another() -> None:
    decoder, z = lively_decoder(), torch.randn(1, 3, 2, 2)

    def draw(seed: int, temperature: float = 1.0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return decoder.reconstruct(z, generator=generator, temperature=temperature)

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    assert torch.equal(draw(1, 1e-9), draw(2, 1e-9))  # the likeliest values


def test_the_density_sums_to_one_and_sees_only_what_is_before() -> None:
    decoder = lively_decoder(channels=2, levels=5)
    z = torch.randn(1, 3, 1, 1)
    x = torch.full((1, 2, 4, 4), -1.0)
    with torch.inference_mode():
        # all values of the last pixel, the others fixed: p(others) is what they sum to
        last = []
        for a in range(5):
            for b in range(5):
                x[0, :, 3, 3] = torch.tensor([a, b]) / 2 - 1
                last.append(float(decoder.log_prob(x, z)))
        logits = decoder.pixels(decoder.values(x), decoder.layers(z))
        own = [scores.log_softmax(-1)[0] for scores in logits]
    before = sum(float(scores[..., 0].sum() - scores[3, 3, 0]) for scores in own)
    np.testing.assert_allclose(logsumexp(last), before, rtol=1e-5)


@pytest.mark.parametrize("reach", [1, -1])
def test_later_values_change_nothing_and_z_changes_all(reach: int) -> None:
    decoder, z = lively_decoder(reach=reach), torch.randn(1, 3, 2, 2)
    x = torch.randint(256, (1, 3, 8, 8)) * (2 / 255) - 1
    with torch.inference_mode():
        before = torch.stack(decoder.pixels(decoder.values(x), decoder.layers(z)), 1)
        x[0, 1, 4, 5] = -x[0, 1, 4, 5]
        after = torch.stack(decoder.pixels(decoder.values(x), decoder.layers(z)), 1)
        other = torch.stack(decoder.pixels(decoder.values(x), decoder.layers(z + 1)), 1)
    changed = (before != after).any(-1)[0]  # (3, 8, 8)
    assert not changed[:, :4].any() and not changed[:, 4, :5].any()
    assert not changed[:2, 4, 5].any() and changed[2, 4, 5]  # green tells blue, not red or itself
    assert changed.sum() > 3
    assert ((after != other).any(-1)).all()


def test_its_loss_is_nats_per_value_and_fits() -> None:
    decoder = lively_decoder()
    z, x = torch.randn(2, 3, 1, 1), torch.randint(256, (2, 3, 4, 4)) * (2 / 255) - 1
    loss = decoder.loss(x, z)
    torch.testing.assert_close(loss, -decoder.log_prob(x, z).mean() / 48)
    optimizer = torch.optim.Adam(decoder.parameters(), 0.01)
    for _ in range(20):
        optimizer.zero_grad()
        torch.autograd.backward(decoder.loss(x, z))
        optimizer.step()
    assert float(decoder.loss(x, z).detach()) < min(float(loss.detach()), math.log(256)) - 0.3


def test_hidden_values_are_not_told_and_still_learned() -> None:
    """In training some pictures lack some values, some all; what is measured lacks none."""
    decoder = lively_decoder(hidden=0.5, levels=16)
    z, x = torch.randn(64, 3, 2, 2), torch.randint(16, (64, 3, 8, 8)) * (2 / 15) - 1
    with torch.inference_mode():
        own = decoder.loss(x, z)
        torch.testing.assert_close(own, -decoder.log_prob(x, z).mean() / 192)
        decoder.train()
        assert not torch.equal(decoder.loss(x, z), own)
        told = torch.stack(decoder._told(decoder.values(x)), 1)
        hidden = told < 0
        assert torch.equal(told[~hidden], torch.stack(decoder.values(x), 1)[~hidden])
        assert torch.equal(hidden.any(1), hidden.all(1))  # a pixel's colours together
        share = hidden.float().mean((1, 2, 3))
        assert 20 < int((share > 0).sum()) < 44 and float(share.max()) > 0.8
        # what is not told cannot matter: all hidden, every pixel knows its place and z alone
        blank = torch.full((2, 8, 8), -1)
        first, _, _ = decoder.pixels((blank,) * 3, decoder.layers(z[:2]))
        other, _, _ = decoder.pixels((blank,) * 3, decoder.layers(z[:2].roll(1, 0)))
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"hidden": 1.5}, "hidden is 1.5"),
        ({"levels": 1}, "codebook_size is 1"),
        ({"reach": 5}, "as wide as reach"),
        ({"features": 0}, "features is 0"),
        ({"channels": 99}, "channels is 99"),
    ],
)
def test_settings_out_of_range(setting: dict[str, float], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        build_decoder({"kind": "pixelcnn", **SMALL, **setting})
