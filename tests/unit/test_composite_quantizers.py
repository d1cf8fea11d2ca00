"""Quantizers of several maps: the contract of every kind, NumPy re-derivations, and prefixes."""

import pkgutil

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import vqcodec.models.quantizers
from vqcodec.models.quantizers import hierarchical, product, residual, vq
from vqcodec.models.quantizers.base import Quantizer
from vqcodec.models.vqvae import PARTS

KINDS = ("vq", "residual", "product", "hierarchical")
SEVERAL = KINDS[1:]
D = 6
SIZES = (7, 11, 5)
GRIDS = ((2, 3), (4, 6), (8, 12))  # of a hierarchy


def make(kind: str, **settings: object) -> Quantizer:
    torch.manual_seed(1)
    shared: dict[str, object] = {"dim": D, **settings}
    if kind == "vq":
        shared.pop("dropout", None)
        return vq.Config(codebook_size=11, **shared).build()  # type: ignore[arg-type]
    shared = {"codebook_sizes": SIZES, "dropout": 0.0, **shared}
    if kind == "hierarchical":
        shared |= {"width": 8, "blocks": 1, "residual_width": 4}
        return lively(hierarchical.Config(**shared).build())  # type: ignore[arg-type]
    module = residual if kind == "residual" else product
    return module.Config(**shared).build()


def lively(quantizer: Quantizer) -> Quantizer:
    """Residual blocks start at zero; give them something to do."""
    for parameter in quantizer.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return quantizer


def features(kind: str, batch: int = 3, seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    grids = GRIDS if kind == "hierarchical" else ((4, 6),)
    return tuple(torch.randn(batch, D, *grid, generator=generator) for grid in grids)


def test_every_kind_is_among_those_tested() -> None:
    names = {m.name for m in pkgutil.iter_modules(vqcodec.models.quantizers.__path__)}
    assert set(KINDS) <= names - PARTS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("update", ["ema", "gradient"])
@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize("training", [True, False])
def test_the_contract(kind: str, update: str, norm: str, training: bool) -> None:
    quantizer = make(kind, update=update, norm=norm).train(training)
    before = [book.codebook.detach().clone() for book in quantizer.codebooks]
    given = tuple(f.requires_grad_() for f in features(kind))
    found = quantizer(given, soft=True)
    with torch.no_grad():  # the update comes after the choice
        for book, old in zip(quantizer.codebooks, before, strict=True):
            book.codebook.copy_(old)
    assert torch.equal(quantizer.lookup(found.indices), found.z_q)
    finest = given[-1].shape
    assert found.z_q.shape == (finest[0], quantizer.stacked * D, *finest[2:])
    sizes = quantizer.codebook_sizes
    assert len(found.indices) == len(found.latents) == len(sizes) == len(quantizer.levels)
    for grid, latents, size, level, old in zip(
        found.indices, found.latents, sizes, quantizer.levels, before, strict=True
    ):
        assert grid.dtype == torch.int64 and grid.shape == (len(grid), *given[level].shape[2:])
        assert 0 <= int(grid.min()) and int(grid.max()) < size == len(old)
        distance = torch.cdist(latents, old)
        chosen = distance.gather(1, grid.flatten()[:, None])
        torch.testing.assert_close(chosen[:, 0], distance.amin(1))
    assert found.loss.shape == () and (found.loss.item() > 0) == training
    assert [a.shape for a in found.assignments] == (
        [(len(latents), k) for latents, k in zip(found.latents, sizes, strict=True)] * training
    )
    assert len(quantizer.codebook_bytes()) == 4 * sum(book.numel() for book in before)
    if training:
        found.z_q.square().sum().backward()
        assert all(f.grad is not None and f.grad.abs().sum() > 0 for f in given)


@pytest.mark.parametrize("kind", SEVERAL)
def test_nothing_changes_outside_training(kind: str) -> None:
    quantizer = make(kind, dropout=1.0).eval()
    before = {k: v.clone() for k, v in quantizer.state_dict().items()}
    first, again = quantizer(features(kind)), quantizer(features(kind))
    assert first.loss == 0 and torch.equal(first.z_q, again.z_q)
    assert all(torch.equal(v, before[k]) for k, v in quantizer.state_dict().items())
    quantizer.train()
    quantizer(features(kind))
    for level in range(len(SIZES)):
        assert not torch.equal(
            quantizer.state_dict()[f"books.{level}.codebook"], before[f"books.{level}.codebook"]
        )


def books_of(quantizer: Quantizer) -> list[NDArray[np.float64]]:
    return [book.codebook.detach().double().numpy() for book in quantizer.codebooks]


def nearest(z: NDArray[np.float64], codebook: NDArray[np.float64]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = ((z[..., None, :] - codebook) ** 2).sum(-1).argmin(-1)
    return found


def last(tensor: torch.Tensor) -> NDArray[np.float64]:
    return np.moveaxis(tensor.detach().double().numpy(), 1, -1)


def test_residual_codes_against_numpy() -> None:
    quantizer = make("residual", norm="layer", commitment_cost=0.5)
    books, given = books_of(quantizer), features("residual")
    found = quantizer(given)
    z = last(given[0])
    z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5)
    left, loss = z.copy(), 0.0
    for codebook, grid in zip(books, found.indices, strict=True):
        expected = nearest(left, codebook)
        np.testing.assert_array_equal(grid.numpy(), expected)
        left = left - codebook[expected]
        loss += 0.5 * (left**2).mean()
    np.testing.assert_allclose(last(found.z_q), z - left, atol=1e-5)
    assert found.loss.item() == pytest.approx(loss, rel=1e-5)


def test_product_codes_against_numpy() -> None:
    quantizer = make("product", norm="layer", commitment_cost=0.5)
    books, given = books_of(quantizer), features("product")
    assert [book.shape for book in books] == [(k, D // 3) for k in SIZES]
    found = quantizer(given)
    z = last(given[0])
    z = (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 1e-5)
    loss = 0.0
    for i, (codebook, grid) in enumerate(zip(books, found.indices, strict=True)):
        own = z[..., 2 * i : 2 * i + 2]
        expected = nearest(own, codebook)
        np.testing.assert_array_equal(grid.numpy(), expected)
        np.testing.assert_allclose(last(found.z_q)[..., 2 * i : 2 * i + 2], codebook[expected])
        loss += 0.5 * ((own - codebook[expected]) ** 2).mean()
    assert found.loss.item() == pytest.approx(loss, rel=1e-5)


def test_a_hierarchy_is_algorithm_1_in_numpy() -> None:
    """Coarse codes first; decoded; fused with the finer features; these quantized; and so on."""
    quantizer = make("hierarchical", commitment_cost=0.5)
    assert isinstance(quantizer, hierarchical.HierarchicalQuantizer)
    books, given = books_of(quantizer), features("hierarchical")
    found = quantizer(given)
    z, above, loss = last(given[0]), None, 0.0
    for level, (codebook, grid) in enumerate(zip(books, found.indices, strict=True)):
        expected = nearest(z, codebook)
        np.testing.assert_array_equal(grid.numpy(), expected)
        own = codebook[expected]
        # per vector all maps weigh the same: a coarse one of fewer vectors less
        loss += 0.5 * ((z - own) ** 2).mean() * grid[0].numel() / (8 * 12)
        said = own if above is None else np.concatenate([above, own], -1)
        if level < 2:
            with torch.no_grad():
                decoded = quantizer.told[level](torch.from_numpy(np.moveaxis(said, -1, 1)).float())
            above = last(decoded)
            kernel, bias = (p.detach().double().numpy() for p in quantizer.fuse[level].parameters())
            z = np.concatenate([last(given[level + 1]), above], -1) @ kernel[:, :, 0, 0].T + bias
    np.testing.assert_allclose(last(found.z_q), said, atol=1e-5)
    assert found.loss.item() == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("kind", ["residual", "product"])
@pytest.mark.parametrize("dropout", [0.0, 1.0])
def test_gradient_passes_straight_through_once(kind: str, dropout: float) -> None:
    quantizer = make(kind, commitment_cost=0.0, dropout=dropout)
    (z_e,) = given = tuple(f.requires_grad_() for f in features(kind))
    weight = torch.randn(z_e.shape)
    z_q = quantizer(given).z_q
    (z_q * weight).sum().backward()
    if kind == "product":  # slices that are left out are told nothing
        weight = weight * (z_q != 0)
    torch.testing.assert_close(z_e.grad, weight)


def test_gradient_of_a_hierarchy_passes_straight_through() -> None:
    quantizer = make("hierarchical", commitment_cost=0.0)
    assert isinstance(quantizer, hierarchical.HierarchicalQuantizer)
    given = tuple(f.requires_grad_() for f in features("hierarchical"))
    weight = torch.randn(3, D, 8, 12)
    (quantizer(given).z_q[:, D:] * weight).sum().backward()
    kernel, _ = quantizer.fuse[1].parameters()
    of_features = torch.einsum("bohw,oi->bihw", weight, kernel[:, :D, 0, 0])
    torch.testing.assert_close(given[2].grad, of_features)
    # the finest vectors are told of the coarser ones, so these hear of them, too
    assert given[0].grad is not None and given[1].grad is not None
    assert given[0].grad.abs().sum() > 0 and given[1].grad.abs().sum() > 0


@pytest.mark.parametrize("kind", SEVERAL)
def test_a_prefix_of_the_maps_says_what_it_can(kind: str) -> None:
    quantizer = make(kind).eval()
    for level, book in enumerate(quantizer.codebooks):
        book.initialize(quantizer(features(kind)).latents[level], seed=0)
    found = quantizer(features(kind))
    said = [quantizer.lookup(found.indices[:n]) for n in (1, 2, 3)]
    assert all(z_q.shape == found.z_q.shape for z_q in said)
    assert torch.equal(said[2], found.z_q)
    assert not torch.equal(said[0], said[1]) and not torch.equal(said[1], said[2])
    if kind == "residual":
        errors = [(z_q - features(kind)[0]).square().mean() for z_q in said]
        assert errors[2] < errors[1] < errors[0]
    if kind == "product":
        assert torch.equal(said[1][:, :4], said[2][:, :4]) and not said[1][:, 4:].any()
    if kind == "hierarchical":
        assert torch.equal(said[1][:, :D], said[2][:, :D]) and not said[1][:, D:].any()


@pytest.mark.parametrize("kind", SEVERAL)
def test_samples_are_trained_on_prefixes_as_often_as_is_asked(kind: str) -> None:
    quantizer = make(kind, update="gradient", dropout=0.4)  # so that codebooks stand still
    quantizer.requires_grad_(False)
    batch = 600
    given = tuple(f[:1].expand(batch, *f.shape[1:]) for f in features(kind))
    found = quantizer(given)
    one = tuple(grid[:1] for grid in found.indices)
    said = [quantizer.lookup(one[:n]) for n in (1, 2, 3)]
    which = torch.stack([(found.z_q - z_q).abs().amax((1, 2, 3)) < 1e-4 for z_q in said])
    assert torch.equal(which.sum(0), torch.ones(batch).long())  # each is one of the three
    shares = which.float().mean(1)
    np.testing.assert_allclose(shares.numpy(), [0.2, 0.2, 0.6], atol=0.06)
    # the codes are found as if nothing were left out
    assert all(torch.equal(grid, grid[:1].expand_as(grid)) for grid in found.indices)


def test_the_reach_of_a_hierarchy_is_true_and_tight() -> None:
    quantizer = make("hierarchical").eval()
    indices = tuple(torch.zeros(1, n, n, dtype=torch.long) for n in (24, 48, 96))
    said = quantizer.lookup(indices)
    indices[0][0, 12, 12] = 3  # its cells are 48 to 51 of the finest grid
    changed = torch.nonzero((quantizer.lookup(indices) - said).abs().amax((0, 1, 2))).ravel()
    # in whole cells of the coarse grid: how far from the changed one others are that notice
    apart = max(12 - int(changed.min()) // 4, int(changed.max()) // 4 - 12)
    assert apart == -(-quantizer.halo // 4)
    indices[0][0, 12, 12] = 0
    indices[1][0, 24, 24] = 3
    changed = torch.nonzero((quantizer.lookup(indices) - said).abs().amax((0, 1, 2))).ravel()
    assert max(24 - int(changed.min()) // 2, int(changed.max()) // 2 - 24) <= quantizer.halo // 2


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_that_all_lie_on_one_code_divide_by_nothing(kind: str) -> None:
    quantizer = make(kind, entropy_weight=0.5, commitment_cost=1.0).eval()
    given = tuple(torch.ones_like(f).requires_grad_() for f in features(kind))
    with torch.no_grad():
        for name, parameter in quantizer.named_parameters():
            if name.startswith("told"):  # or cells at the borders would differ
                parameter.zero_()
        for level, book in enumerate(quantizer.codebooks):
            book.codebook[0] = quantizer(given).latents[level][0]
    distances = [
        torch.cdist(latents, book.codebook[:1]).max()
        for latents, book in zip(quantizer(given).latents, quantizer.codebooks, strict=True)
    ]
    assert max(distances) < 1e-2
    found = quantizer.train()(given, soft=True)
    total = found.loss + found.z_q.sum() + sum(a.square().sum() for a in found.assignments)
    total.backward()
    assert total.isfinite()
    assert all(a.isfinite().all() for a in found.assignments)
    assert all(f.grad is not None and f.grad.isfinite().all() for f in given)


@pytest.mark.parametrize("kind", SEVERAL)
def test_codes_restart_map_by_map(kind: str) -> None:
    quantizer = make(kind)
    latents = quantizer(features(kind)).latents
    for level, book in enumerate(quantizer.codebooks):
        assert isinstance(book, vq.VectorQuantizer)
        book.counts.fill_(10.0)
        before = [other.codebook.clone() for other in quantizer.codebooks]
        book.counts[2] = 0.0
        assert book.restart(latents[level], seed=0) == 1
        assert (latents[level] == book.codebook[2]).all(1).any()
        changed = [
            not torch.equal(other.codebook, old)
            for other, old in zip(quantizer.codebooks, before, strict=True)
        ]
        assert changed == [i == level for i in range(3)]


@pytest.mark.parametrize("kind", SEVERAL)
def test_settings_that_cannot_be_are_refused(kind: str) -> None:
    for wrong in (
        {"codebook_sizes": (8,)},
        {"codebook_sizes": (8,) * 17, "dim": 17},
        {"codebook_sizes": (8, 1, 8)},
        {"dropout": 1.5},
        {"dropout": float("nan")},
        {"dim": 0},
        {"update": "magic"},
        {"norm": "batch"},
    ):
        with pytest.raises(ValueError):
            make(kind, **wrong)
    with pytest.raises(ValueError, match="multiple"):
        make("product", dim=7)


def test_signals_keep_their_size_through_a_network_that_starts_so() -> None:
    from vqcodec.models.nn.initial import keep_variance

    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for _ in range(4):
        layers += [torch.nn.Conv2d(32, 32, 4, 2, 1), torch.nn.ReLU()]
        layers += [torch.nn.ConvTranspose2d(32, 32, 4, 2, 1), torch.nn.ReLU()]
    network, still = torch.nn.Sequential(*layers), torch.nn.Conv2d(32, 32, 1)
    torch.nn.init.zeros_(still.weight)
    network.append(still)
    x = torch.randn(2, 32, 16, 16)
    assert network[:-1](x).std() < 0.02 + network[:-1](0 * x).std()  # torch's own start
    keep_variance(network)
    assert 0.4 < network[:-1](x).square().mean().sqrt() < 1.6
    assert not network[:-1](0 * x).any() and not still.weight.any()
