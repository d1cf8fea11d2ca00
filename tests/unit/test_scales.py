"""Which sizes of a picture are tried, and how it is shrunk to them."""

import math

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.helpers import picture
from vqcodec import Image
from vqcodec.codec.scales import SCALES, WIDE, costs_of_scales, most_scales, search_scales


@pytest.mark.parametrize("halvings", [0, 1, 2])
def test_the_best_scale_is_found_where_costs_have_one_valley(halvings: int) -> None:
    every = SCALES[:: WIDE >> halvings]
    for best in every:
        tried: list[float] = []

        def cost(scale: float, best: float = best, tried: list[float] = tried) -> float:
            tried.append(scale)
            return 1 + 0.3 * abs(math.log(scale / best))

        costs = costs_of_scales(cost, halvings)
        assert min(costs, key=costs.__getitem__) == best
        assert list(costs) == sorted(set(tried), reverse=True)
        assert set(costs) <= set(every)
        assert len(costs) == len(tried) <= most_scales(halvings)


def test_nothing_is_tried_beside_a_scale_that_costs_far_more() -> None:
    assert list(costs_of_scales(lambda scale: 1 / scale, 2)) == [1.0, 0.75]


def test_scales_where_a_picture_cannot_be_coded_are_left_behind() -> None:
    costs = costs_of_scales(lambda scale: math.inf if scale > 0.6 else 1 / scale, 2)
    assert list(costs) == [1.0, 0.75, 0.625, 0.5625, 0.5, 0.35]
    nowhere = costs_of_scales(lambda _: math.inf, 2)
    assert list(nowhere) == list(SCALES[::WIDE])
    assert list(search_scales(lambda scale: scale, nowhere)) == [0.35, 0.25]


def test_a_search_goes_on_to_larger_scales_while_they_are_better() -> None:
    costs = {1.0: 4.0, 0.75: 3.0, 0.625: 2.5, 0.5625: 2.4, 0.5: 2.6}
    for best, tried in (
        (0.9, [0.5625, 0.625, 0.75, 1.0]),
        (0.63, [0.5625, 0.625, 0.75]),
        (0.5, [0.5625, 0.625]),
    ):

        def cost(scale: float, best: float = best) -> float:
            return abs(math.log(scale / best))

        assert list(search_scales(cost, costs)) == tried
    assert list(search_scales(lambda scale: scale, {1.0: 2.0, 0.75: 3.0})) == [1.0]


def floating(pixels: "np.ndarray", size: tuple[int, int]) -> "np.ndarray":
    """Return numbers, (H, W, 3), at another size, by the same filter, but neither rounded."""
    channels = [Pillow.fromarray(pixels[..., c].astype(np.float32)) for c in range(3)]
    at = size[::-1], Pillow.Resampling.LANCZOS
    return np.stack([np.asarray(channel.resize(*at)) for channel in channels], -1)


@pytest.mark.parametrize("size", [(48, 72), (21, 33), (1, 1)])
def test_what_enlarging_loses_is_added_once(size: tuple[int, int]) -> None:
    image = Image(picture(64, 96, seed=3))
    small = floating(image.pixels, size)
    expected = small + floating(image.pixels - floating(small, image.size), size)
    found = image.shrink(size).pixels
    assert found.shape == (*size, 3)
    assert np.abs(found - np.clip(expected, 0, 255)).max() <= 2  # three roundings


def test_a_shrunk_picture_brings_back_more_than_a_resized_one() -> None:
    image = Image(picture(64, 96, seed=3))
    errors = [
        np.square(one.resize(image.size).pixels.astype(float) - image.pixels).mean()
        for one in (image.shrink((48, 72)), image.resize((48, 72)))
    ]
    assert errors[0] < errors[1]
    assert image.shrink(image.size).pixels is image.pixels


def test_only_the_scales_that_are_given_are_tried() -> None:
    costs = costs_of_scales(lambda scale: 1 + abs(scale - 0.42), 1, SCALES[2 * WIDE :])
    assert max(costs) == 0.5 and min(costs, key=costs.__getitem__) == 0.42
