"""The prior of successive frames: what depends on what, and that what it draws has its odds."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.clips import frames
from tests.helpers import frames_prior
from vqcodec.codec.sampling import SamplingParams
from vqcodec.codec.video import VideoCodec
from vqcodec.errors import UsageError, WeightsError
from vqcodec.models.pretrained import load_sampling_prior
from vqcodec.models.priors.frames import Config, FramesPrior
from vqcodec.sampling.image import Sampler
from vqcodec.sampling.video import VideoSampler
from vqcodec.weights import read_weights

SIZES, RATIOS = (6, 5), (1, 2)
SHAPES = ((3, 4), (5, 7))


@pytest.fixture(scope="module")
def prior() -> FramesPrior:
    return frames_prior(SIZES, RATIOS)


def maps(length: int = 5, seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randint(size, (2, length, *shape), generator=generator)
        for size, shape in zip(SIZES, SHAPES, strict=True)
    )


def test_a_frame_depends_on_the_two_before_it_and_on_the_action_between(prior: FramesPrior) -> None:
    indices, actions = maps(), torch.tensor([[1, 2, 3, 0, 1], [2, 0, 1, 3, 3]])
    before = [bits.clone() for bits in prior(indices, actions)]
    for frame in range(5):
        changed = tuple(grid.clone() for grid in indices)
        changed[1][:, frame] = (changed[1][:, frame] + 1) % SIZES[1]
        # the coarse map of a frame is drawn first, and does not see its fine one
        told = [bool((a != b).any()) for a, b in _by_frame(before[0], prior(changed, actions)[0])]
        assert told == [frame < t <= frame + 2 for t in range(5)]
        others = actions.clone()
        others[:, frame] = (others[:, frame] + 1) % 4
        told = [bool((a != b).any()) for a, b in _by_frame(before[0], prior(indices, others)[0])]
        assert told == [t == frame + 1 for t in range(5)]


def _by_frame(a: torch.Tensor, b: torch.Tensor) -> "zip[tuple[torch.Tensor, torch.Tensor]]":
    return zip(a.unbind(1), b.unbind(1), strict=True)


def test_a_window_costs_what_its_last_frame_costs_among_all(prior: FramesPrior) -> None:
    indices, actions = maps(), torch.tensor([[1, 2, 3, 0, 1], [2, 0, 1, 3, 3]])
    every = prior(indices, actions)
    for last in range(5):
        some = tuple(grid[:, : last + 1] for grid in indices)
        for found, all_of_them in zip(
            prior(some, actions[:, : last + 1], last=True), every, strict=True
        ):
            assert torch.allclose(found[:, 0], all_of_them[:, last], atol=1e-5)
    # no frame is told as K, as those before the first are
    padded = tuple(
        torch.cat([torch.full_like(grid[:, :2], size), grid[:, :1]], 1)
        for grid, size in zip(indices, SIZES, strict=True)
    )
    found = prior(padded, torch.zeros(2, 3, dtype=torch.long), last=True)
    assert torch.allclose(found[1][:, 0], every[1][:, 0], atol=1e-5)
    nats = sum(bits.flatten(1).sum(1) for bits in every) * -np.log(2)
    assert torch.allclose(prior.log_prob(indices, actions), nats.float(), rtol=1e-5)


def test_a_middle_that_is_all_below_zero_goes_on_learning() -> None:
    config = Config((8,), (1,), (), 1, 8, 8, layers=1, units=8, activation="leaky")
    context = config.build().context
    assert context.down.bias is not None
    context.down.weight.data.zero_()
    context.down.bias.data.fill_(-1.0)
    told = context((torch.zeros(1, 1, 4, 4, dtype=torch.long),), torch.zeros(1, dtype=torch.long))
    told.square().sum().backward()
    for part in (context.up, context.down):
        assert part.weight.grad is not None and part.weight.grad.any()


def test_frames_are_drawn_as_often_as_they_are_likely() -> None:
    prior = frames_prior((2,))
    given = torch.tensor([[[1, 0]], [[0, 1]]])[None].repeat(4000, 1, 1, 1)  # two frames of 1x2
    wanted = torch.full((4000, 1, 1, 2), -1)
    actions = torch.tensor([3, 2, 1]).repeat(4000, 1)
    generator = torch.Generator().manual_seed(0)
    (drawn,) = prior.sample(
        ((4000, 3, 1, 2),), actions, generator=generator, known=(torch.cat([given, wanted], 1),)
    )
    assert torch.equal(drawn[:, :2], given)
    for pair in itertools.product((0, 1), repeat=2):
        cells = torch.tensor(pair)
        whole = torch.cat([given[:1], cells.view(1, 1, 1, 2)], 1)
        expected = float(2 ** -prior((whole,), actions[:1])[0][:, 2].sum())
        share = float((drawn[:, 2, 0] == cells).all(1).float().mean())
        assert share == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 4000))


@pytest.mark.parametrize("more", [{}, {"width": 40}, {"inner": 50, "layers": 3}, {"frames": 9}])
def test_configs_tell_nearly_how_large_they_are(more: dict[str, Any]) -> None:
    config = Config((30,), (1,), **more)
    whole = sum(p.numel() for p in config.build().parameters())
    own = sum(p.numel() for p in config.build().lattice.parameters())
    assert 0.85 * (whole - own) < config.min_parameters < whole


def test_a_low_temperature_draws_what_is_likeliest_and_seeds_repeat(prior: FramesPrior) -> None:
    shapes = tuple((3, 4, *shape) for shape in SHAPES)
    a, b, c = (
        prior.sample(shapes, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert all(map(torch.equal, a, b)) and not all(map(torch.equal, a, c))
    cold = [prior.sample(shapes, temperature=1e-6, generator=None) for _ in range(2)]
    assert all(map(torch.equal, *cold))
    only = prior.sample(shapes, top_k=1, generator=torch.Generator().manual_seed(5))
    assert all(map(torch.equal, only, cold[0]))


def test_a_world_goes_on_as_the_prior_does(walking_weights: Path) -> None:
    sampler = VideoSampler.load("walking")
    given, led = frames(3), ["turn_left", "forward", None, "move_left"]
    world = list(sampler.imagine(given, led, SamplingParams(seed=4)))
    assert [p.shape for p in world] == [(24, 32, 3)] * 4
    grid = sampler.codec.encode(given).grids[0].astype(np.int64)
    known = np.concatenate([grid, np.full((4, *grid.shape[1:]), -1)])[None]
    actions = torch.tensor([[0, 0, 2, 1, 0, 3, 0]])
    generator = torch.Generator().manual_seed(4)
    prior = load_sampling_prior(sampler.codec.weights, "video")
    (drawn,) = prior.sample(
        (known.shape,), actions, generator=generator, known=(torch.from_numpy(known),)
    )
    own = sampler.codec.pictures.decode_batch((drawn[0, 3:].numpy().astype(np.uint16),))
    assert np.array_equal(np.stack(world), own)
    again = list(sampler.imagine(given, led, SamplingParams(seed=4)))
    assert np.array_equal(np.stack(again), own)
    others = list(sampler.imagine(given, ["forward", *led[1:]], SamplingParams(seed=4)))
    assert not np.array_equal(others[0], world[0])


def test_sizes_that_no_stride_divides_and_no_beginning(walking_weights: Path) -> None:
    sampler = VideoSampler.load("walking")
    drawn = list(sampler.sample((13, 22), ["forward", None], SamplingParams(seed=2)))
    assert [p.shape for p in drawn] == [(13, 22, 3)] * 3
    with pytest.raises(UsageError, match="knows no action 'jump'; there are: forward, turn_left"):
        sampler.imagine(frames(2), ["jump"])
    with pytest.raises(UsageError, match="too large to be imagined"):
        sampler.begin((2000, 2000))


def test_what_draws_pictures_draws_no_frames_and_the_other_way_round(
    walking_weights: Path, paired_weights: Path
) -> None:
    with pytest.raises(WeightsError, match="draws video, not image"):
        Sampler.load("walking")
    with pytest.raises(WeightsError, match="draws image, not video"):
        VideoSampler(VideoCodec(read_weights(paired_weights)))
    with pytest.raises(WeightsError, match="has no sampling prior"):
        VideoSampler.load("tiny")
