"""The quantizer against a NumPy re-derivation of the paper."""

import numpy as np
import pytest
import torch

from vqcodec.models.quantizers.vq import Config, VectorQuantizer

GRIDS = [(2, 4, 3, 5), (1, 4, 1, 1), (3, 4, 7), (2, 4, 2, 3, 2)]


def make(**settings: object) -> VectorQuantizer:
    torch.manual_seed(1)
    return Config(codebook_size=11, dim=4, **settings).build()  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", GRIDS)
@pytest.mark.parametrize("norm", ["none", "layer"])
def test_indices_are_the_nearest_codes(shape: tuple[int, ...], norm: str) -> None:
    vq = make(norm=norm).eval()
    z_e = torch.randn(shape)
    z = np.moveaxis(z_e.numpy().astype(np.float64), 1, -1)
    if norm == "layer":
        z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5)
    codebook = vq.codebook.numpy().astype(np.float64)
    distance = ((z[..., None, :] - codebook) ** 2).sum(-1)
    np.testing.assert_array_equal(vq((z_e,)).indices[0].numpy(), distance.argmin(-1))


@pytest.mark.parametrize("shape", GRIDS)
@pytest.mark.parametrize("update", ["ema", "gradient"])
@pytest.mark.parametrize("training", [True, False])
def test_lookup_gives_back_z_q_exactly(shape: tuple[int, ...], update: str, training: bool) -> None:
    vq = make(update=update).train(training)
    before = vq.codebook.detach().clone()
    quantized = vq((torch.randn(shape, requires_grad=True),))
    with torch.no_grad():  # the update comes after the choice
        vq.codebook.copy_(before)
    assert torch.equal(vq.lookup(quantized.indices), quantized.z_q)
    assert quantized.z_q.shape == shape


def test_gradient_passes_straight_through() -> None:
    vq = make(commitment_cost=0.0)
    z_e = torch.randn(2, 4, 3, 3, requires_grad=True)
    weight = torch.randn(2, 4, 3, 3)
    (vq((z_e,)).z_q * weight).sum().backward()
    torch.testing.assert_close(z_e.grad, weight)


def test_losses_are_those_of_equation_3() -> None:
    vq = make(update="gradient", commitment_cost=0.25)
    z_e = torch.randn(2, 4, 3, 3, requires_grad=True)
    quantized = vq((z_e,))
    z, e = z_e.detach().numpy(), quantized.z_q.detach().numpy()
    np.testing.assert_allclose(quantized.loss.item(), 1.25 * ((z - e) ** 2).mean(), rtol=1e-5)
    quantized.loss.backward()
    assert z_e.grad is not None
    # the commitment term alone moves z_e, the codebook term alone the codebook
    np.testing.assert_allclose(z_e.grad.numpy(), 0.25 * 2 * (z - e) / z.size, rtol=1e-4)
    flat = np.moveaxis(z, 1, -1).reshape(-1, 4)
    indices = quantized.indices[0].numpy().ravel()
    expected = np.zeros((11, 4))
    for vector, index in zip(flat, indices, strict=True):
        expected[index] += 2 * (vq.codebook.detach().numpy()[index] - vector) / z.size
    assert vq.codebook.grad is not None
    np.testing.assert_allclose(vq.codebook.grad.numpy(), expected, rtol=1e-4, atol=1e-7)


def test_moving_averages_are_those_of_appendix_a1() -> None:
    vq = make(decay=0.9)
    counts, sums = vq.counts.numpy().copy(), vq.sums.numpy().copy()
    for _ in range(5):
        z_e = torch.randn(3, 4, 4, 4)
        indices = vq((z_e,)).indices[0].numpy().ravel()
        flat = np.moveaxis(z_e.numpy(), 1, -1).reshape(-1, 4)
        for k in range(11):
            chosen = flat[indices == k]
            counts[k] = 0.9 * counts[k] + 0.1 * len(chosen)
            sums[k] = 0.9 * sums[k] + 0.1 * chosen.sum(0)
    np.testing.assert_allclose(vq.codebook.numpy(), sums / counts[:, None], rtol=1e-4)


def test_nothing_changes_outside_training() -> None:
    vq = make().eval()
    before = {k: v.clone() for k, v in vq.state_dict().items()}
    assert vq((torch.randn(2, 4, 3, 3),)).loss == 0
    assert all(torch.equal(v, before[k]) for k, v in vq.state_dict().items())


def test_initialization_finds_clusters_and_survives_the_first_update() -> None:
    centres = torch.randn(11, 4) * 10
    vectors = centres.repeat_interleave(50, 0) + 0.01 * torch.randn(550, 4)
    vq = make()
    vq.initialize(vectors, seed=3)
    error = (vectors - vq.codebook[vq.nearest(vectors)]).square().sum(1).mean()
    scattered = (vectors - vectors.mean(0)).square().sum(1).mean()
    assert error < 0.2 * scattered
    before = vq.codebook.clone()
    vq((vectors.T.reshape(1, 4, 550),))
    # sums start at the scale of counts; otherwise this update would pull codes to zero
    assert (vq.codebook - before).norm() < 0.05 * before.norm()


def test_restarts_moves_dead_codes_and_their_averages() -> None:
    vq = make(dead_below=0.1)
    vq.counts.fill_(10.0)
    vq.counts[[2, 5]] = 0.01
    alive = vq.codebook[[0, 1, 3, 4, 6, 7, 8, 9, 10]].clone()
    vectors = torch.randn(40, 4) + 100
    assert vq.restart(vectors, seed=0) == 2
    assert (vq.codebook[[2, 5]] > 50).all()
    assert torch.equal(vq.codebook[[0, 1, 3, 4, 6, 7, 8, 9, 10]], alive)
    torch.testing.assert_close(vq.sums[[2, 5]] / vq.counts[[2, 5], None], vq.codebook[[2, 5]])
    assert vq.restart(vectors, seed=0) == 0


@pytest.mark.parametrize(
    "settings",
    [{"codebook_size": 1}, {"dim": 0}, {"update": "magic"}, {"norm": "batch"}, {"decay": 2.0}],
)
def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Config(**{"codebook_size": 8, "dim": 4, **settings})  # type: ignore[arg-type]


def test_vectors_that_are_codes_have_a_gradient() -> None:
    """In a map of few vectors all may be; beside a mean distance of zero, others are infinite."""
    vq = make(norm="layer", entropy_weight=0.1).eval()
    z_e = torch.randn(1, 4, 6)
    vq.codebook[:6] = vq((z_e,)).latents[0]
    found = vq.train()((z_e.requires_grad_(),), soft=True)
    assert torch.equal(found.indices[0], torch.arange(6)[None])
    assert (found.assignments[0].mean(0) == 0).any()
    (found.loss + found.assignments[0].square().sum()).backward()
    assert z_e.grad is not None and z_e.grad.isfinite().all()


def test_soft_assignments_are_made_where_they_are_used_only() -> None:
    z_e = torch.randn(2, 4, 3, 3)
    assert make()((z_e,)).assignments == ()
    for found in (make()((z_e,), soft=True), make(entropy_weight=0.1)((z_e,))):
        (assignment,) = found.assignments
        assert assignment.shape == (18, 11)
        torch.testing.assert_close(assignment.sum(1), torch.ones(18))
        # nobody belongs more to another code than to the one chosen
        assert torch.equal(assignment.argmax(1), found.indices[0].flatten())
