"""PixelCNN: what depends on what, and cached sampling against the whole network."""

from dataclasses import replace

import pytest
import torch

from vqcodec.config import load_preset
from vqcodec.errors import UsageError
from vqcodec.models.priors.pixelcnn import Config, Draw, PixelCNN, diagonals
from vqcodec.models.vqvae import build_prior

SMALL = Config(codebook_size=11, width=8, dilations=(1, 2), embedding=5)
KINDS = {
    "diagonal": SMALL,
    "straight down": replace(SMALL, reach=0),
    "wide": replace(SMALL, reach=2, first=(1, 2), kernel=(1, 2)),
    "raster": replace(SMALL, reach=-1),
    "row": replace(SMALL, reach=-1, first=(0, 3), kernel=(0, 2)),
    "channels": replace(SMALL, channels=3),
    "attention": replace(SMALL, width=64, attention_every=1),
    "raster attention": replace(SMALL, width=32, reach=-1, attention_every=2, channels=2),
}


def lively(config: Config, seed: int = 0) -> PixelCNN:
    """A prior of random weights, with those that start at zero at work too."""
    torch.manual_seed(seed)
    prior = config.build().double().eval()
    for parameter in prior.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.3)
    return prior


def scores(prior: PixelCNN, maps: torch.Tensor, cond: torch.Tensor | None = None) -> torch.Tensor:
    """Return (B, channels, h, w, K) of maps, (B, channels, h, w)."""
    return torch.stack(prior(maps.unbind(1), cond), 1)


def influence(prior: PixelCNN, height: int, width: int) -> torch.Tensor:
    """Return which index moves which logits: (channels, h, w, channels, h, w), bool.

    Found by changing every index, on its own, in two ways.
    """
    config = prior.config
    shape = (config.channels, height, width)
    base = torch.randint(config.codebook_size, (1, *shape))
    cells = base.numel()
    moved = torch.zeros(cells, *shape, dtype=torch.bool)
    with torch.inference_mode():
        before = scores(prior, base)
        for change in (1, 2):
            maps = base.repeat(cells, 1, 1, 1).view(cells, cells)
            maps[range(cells), range(cells)] += change
            maps %= config.codebook_size
            difference = (scores(prior, maps.view(cells, *shape)) - before).abs()
            moved |= (difference > 1e-10).any(-1)  # double precision rounds at 1e-15
    return moved.view(*shape, *shape)


def expected(config: Config, height: int, width: int) -> torch.Tensor:
    """The definition: an index matters to all cells that it precedes, within reach and field."""
    up = config.first[0] + config.kernel[0] * sum(config.dilations)
    side = config.first[1] + config.kernel[1] * sum(config.dilations)
    if config.attention_every:
        up = side = 1000
    shape = (config.channels, height, width)
    found = torch.zeros(*shape, *shape, dtype=torch.bool)
    for c, y, x in torch.cartesian_prod(*(torch.arange(n) for n in shape)).tolist():
        for c2, y2, x2 in torch.cartesian_prod(*(torch.arange(n) for n in shape)).tolist():
            rows, columns = y2 - y, x - x2  # up, and to the right, from the cell to the index
            if rows == 0:
                seen = -side <= columns < 0 or (columns == 0 and c < c2)
            elif config.reach < 0:
                seen = 0 < rows <= up + 1 and abs(columns) <= side
            else:
                seen = 0 < rows <= up and -side <= columns <= min(config.reach * rows, side)
            found[c, y, x, c2, y2, x2] = seen
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_earlier_index_in_reach_matters_and_no_other(kind: str) -> None:
    config = KINDS[kind]
    shapes = [(1, 12)] if kind == "row" else [(6, 7), (1, 9), (5, 1)]
    for height, width in shapes:
        found = influence(lively(config), height, width)
        assert torch.equal(found, expected(config, height, width)), (height, width)


def test_probabilities_of_all_maps_add_up_to_one() -> None:
    for config in (SMALL, replace(SMALL, reach=-1, channels=2)):
        prior = lively(replace(config, codebook_size=2))
        cells = 4 * config.channels
        bits = torch.arange(2**cells)[:, None] >> torch.arange(cells) & 1
        maps = bits.view(-1, config.channels, 2, 2).unbind(1)
        assert prior.log_prob(maps).exp().sum().item() == pytest.approx(1)


def naive(
    prior: PixelCNN,
    maps: torch.Tensor,
    uniform: torch.Tensor,
    cond: torch.Tensor | None,
    draw: Draw,
) -> torch.Tensor:
    """Ancestral sampling as it is defined: the whole network for every index, row by row."""
    maps = maps.clone()
    for y in range(maps.shape[2]):
        for x in range(maps.shape[3]):
            for c in range(maps.shape[1]):
                logits = scores(prior, maps.clamp(min=0), cond)[:, c, y, x]
                drawn = draw(logits, uniform[:, c, y, x])
                maps[:, c, y, x] = torch.where(maps[:, c, y, x] < 0, drawn, maps[:, c, y, x])
    return maps


@pytest.mark.parametrize("kind", KINDS)
def test_cached_sampling_is_naive_sampling(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(KINDS[kind], cond_dim=4)
    prior = lively(config)
    height, width = (1, 20) if kind == "row" else (8, 6)
    shape = (2, config.channels, height, width)
    cond = torch.randn(2, 4, 1 if kind == "row" else 4, 2)
    uniform = torch.rand(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    known = torch.full(shape, -1)
    known[:, :, :, : width // 3] = 7
    logits: list[torch.Tensor] = []
    call = Draw.__call__

    def remember(self: Draw, found: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
        logits.append(found)
        return call(self, found, uniform)

    monkeypatch.setattr(Draw, "__call__", remember)
    found = prior.double().sample(
        (shape[:1] + shape[2:],) * config.channels, cond.double(),
        generator=torch.Generator().manual_seed(3), temperature=0.8, top_k=9,
        known=known.unbind(1),
    )  # fmt: skip
    monkeypatch.undo()
    maps = torch.stack(found, 1)
    with torch.inference_mode():
        whole = scores(prior, maps, cond.double())
        assert torch.equal(maps, naive(prior, known, uniform, cond.double(), Draw(0.8, 9)))
    seen = iter(logits)
    for rows, columns in diagonals(height, width, config.reach):
        for c in range(config.channels):
            torch.testing.assert_close(next(seen), whole[:, c, rows, columns])
    assert next(seen, None) is None
    assert len(set(maps.flatten().tolist())) > 3


def test_a_map_of_32_by_32_takes_94_steps_each_cell_once() -> None:
    steps = list(diagonals(32, 32, 1))
    assert len(steps) == 94
    cells = torch.cat([rows * 32 + columns for rows, columns in steps])
    assert torch.equal(cells.sort().values, torch.arange(1024))


@pytest.mark.parametrize("kind", ["diagonal", "raster"])
def test_bands_change_nothing(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prior = lively(replace(KINDS[kind], cond_dim=2))
    known = torch.randint(11, (2, 40, 5))
    known[:, 13:] = -1
    maps = []
    for cells in (1 << 18, 20):
        monkeypatch.setattr("vqcodec.models.priors.pixelcnn.CELLS_AT_ONCE", cells)
        (found,) = prior.sample(
            ((2, 40, 5),), torch.ones(2, 2, 1, 1).double(), known=(known,),
            generator=torch.Generator().manual_seed(1),
        )  # fmt: skip
        maps.append(found)
    assert torch.equal(*maps) and torch.equal(maps[0][:, :13], known[:, :13])


def test_draws_follow_the_distribution() -> None:
    p = torch.tensor([0.1, 0.2, 0.3, 0.4]).log()
    uniform = (torch.arange(1000) + 0.5).double() / 1000

    def counts(draw: Draw) -> list[int]:
        return torch.bincount(draw(p.expand(1000, 4), uniform), minlength=4).tolist()

    assert counts(Draw()) == [100, 200, 300, 400]
    assert counts(Draw(top_k=2)) == pytest.approx([0, 0, 3000 / 7, 4000 / 7], abs=1)
    assert counts(Draw(temperature=0.5)) == pytest.approx([100 / 3, 400 / 3, 300, 1600 / 3], abs=1)


def test_the_lowest_temperatures_take_the_likeliest() -> None:
    logits = torch.tensor([[3.0, 1e9, 5.0, -7.0], [-1e30, -1e9, -4.0, -1e9]])
    for temperature in (1e-5, 1e-300, 5e-324):
        drawn = Draw(temperature)(logits, torch.tensor([0.0, 0.999]).double())
        assert drawn.tolist() == [1, 2]
    assert Draw(top_k=9)(logits, torch.zeros(2).double()).tolist() == [1, 2]  # more than there are


def test_near_codes_start_as_near_embeddings() -> None:
    prior = SMALL.build()
    codebook = torch.randn(11, 3)
    prior.initialize((codebook,))
    weight = prior.embed[0].weight
    assert isinstance(weight, torch.Tensor)
    torch.testing.assert_close(weight[:, :3], codebook / codebook.std())


def test_conditions_must_fit() -> None:
    prior = replace(SMALL, cond_dim=2).build()
    maps = (torch.zeros(1, 4, 4, dtype=torch.int64),)
    with pytest.raises(UsageError, match="needs a condition"):
        prior.log_prob(maps)
    with pytest.raises(UsageError, match="does not fit"):
        prior.log_prob(maps, torch.zeros(1, 2, 3, 3))
    with pytest.raises(UsageError, match="takes no condition"):
        SMALL.build().log_prob(maps, torch.zeros(1, 2, 4, 4))


@pytest.mark.parametrize("kind", ["diagonal", "raster", "attention"])
def test_a_condition_speaks_to_the_cells_around_it_and_later_ones(kind: str) -> None:
    prior = lively(replace(KINDS[kind], cond_dim=2))
    maps = torch.randint(11, (1, 1, 12, 12))
    cond = torch.randn(1, 2, 6, 6).double()  # each of its cells stands for 2 x 2 of the maps'
    changed = cond.clone()
    changed[..., 3, 3] += 1
    with torch.inference_mode():
        difference = (scores(prior, maps, changed) - scores(prior, maps, cond)).abs()
    moved = (difference > 1e-10).any(-1)[0, 0]  # double precision rounds at 1e-15
    assert moved[4:10, 4:10].all()  # its own cells, and those of its neighbours
    assert not moved[:4].any() and not moved[4, :4].any()


def test_classes_are_told_apart() -> None:
    """Maps of class 0 hold small indices, of class 1 large ones, half of the codes each."""
    torch.manual_seed(0)
    prior = replace(SMALL, codebook_size=8, cond_dim=2).build()
    optimizer = torch.optim.Adam(prior.parameters(), 0.02)
    classes = torch.arange(16) % 2
    cond = torch.eye(2)[classes][:, :, None, None]  # one-hot, one cell for the whole map
    for _ in range(40):
        maps = torch.randint(4, (16, 4, 4)) + 4 * classes[:, None, None]
        loss = -prior.log_prob((maps,), cond).mean() / 16
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss < 1.6  # log 4 = 1.39; without the classes the first index alone costs log 8
    (drawn,) = prior.eval().sample(((16, 6, 5),), cond, generator=torch.Generator().manual_seed(1))
    assert ((drawn >= 4) == classes.bool()[:, None, None]).float().mean() > 0.95
    with torch.no_grad():
        right, wrong = (prior.log_prob((maps,), c).mean() for c in (cond, cond.flip(1)))
    assert right > wrong + 1


def test_kernels_narrower_than_their_reach_are_refused() -> None:
    with pytest.raises(ValueError, match="as wide as"):
        replace(SMALL, reach=2)


def test_the_preset_is_a_prior_of_some_millions_of_parameters() -> None:
    table = {**load_preset("prior-image")["prior"], "codebook_size": 512}
    prior = build_prior(table)
    numbers = sum(p.numel() for p in prior.parameters())
    assert 1_500_000 < numbers < 3_500_000
    with pytest.raises(UsageError, match="larger than its file"):
        build_prior(table, numbers // 2)
    assert build_prior(table, numbers).codebook_sizes == (512,)
