"""What `inspect` draws: colours, order and neighbours of a codebook, and panels of a figure."""

import numpy as np
import pytest

from vqcodec import Codec, Image
from vqcodec.figures import panels
from vqcodec.figures.codebook import CodebookChart, false_colours
from vqcodec.figures.colour import from_oklab, to_oklab
from vqcodec.files.codes import Codes
from vqcodec.files.contents import ImageInfo
from vqcodec.maps import MapSpec


@pytest.fixture(scope="module")
def codebook() -> CodebookChart:
    """64 codes on a shuffled plane, 8 x 8, their patches as light as one coordinate says."""
    rng = np.random.default_rng(0)
    plane = np.indices((8, 8)).reshape(2, -1).T[rng.permutation(64)]
    vectors = (plane @ rng.normal(size=(2, 6))).astype(np.float32)
    patches = np.broadcast_to(plane[:, :1, None, None] * 30 + 20, (64, 4, 4, 3)).astype(np.uint8)
    return CodebookChart(vectors, patches, false_colours(vectors, patches))


def test_oklab_is_its_own_way_back() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (1000, 3)).astype(np.uint8)
    np.testing.assert_array_equal(from_oklab(to_oklab(rgb)), rgb)
    white, grey = to_oklab(np.array([[255] * 3, [99] * 3], np.uint8))
    assert white == pytest.approx([1, 0, 0], abs=1e-3) and grey[1:] == pytest.approx(0, abs=1e-3)


def test_near_codes_have_like_colours(codebook: CodebookChart) -> None:
    lab = to_oklab(codebook.colours)
    a, b = np.random.default_rng(1).integers(64, size=(2, 2000))
    apart = np.linalg.norm(codebook.vectors[a] - codebook.vectors[b], axis=1)
    look = np.linalg.norm(lab[a] - lab[b], axis=1)
    assert np.corrcoef(apart, look)[0, 1] > 0.7
    light = to_oklab(codebook.patches[:, 0, 0])[:, 0]
    assert np.corrcoef(light, lab[:, 0])[0, 1] > 0.7  # dark codes are dark


@pytest.mark.parametrize(("size", "dim"), [(2, 1), (5, 2), (7, 3)])
def test_small_codebooks_have_colours_and_an_order(size: int, dim: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(size, dim)).astype(np.float32)
    patches = np.zeros((size, 4, 4, 3), np.uint8)
    small = CodebookChart(vectors, patches, false_colours(vectors, patches))
    assert len(np.unique(small.colours, axis=0)) == size
    assert sorted(small.arranged(3)) == list(range(size))


def test_the_order_puts_near_codes_side_by_side(codebook: CodebookChart) -> None:
    def between(order: "np.ndarray[tuple[int], np.dtype[np.intp]]") -> float:
        grid = codebook.vectors[order].reshape(8, 8, -1)
        return sum(float(np.linalg.norm(np.diff(grid, axis=i), axis=-1).mean()) for i in (0, 1))

    order = codebook.arranged(8)
    assert sorted(order) == list(range(64))
    assert between(order) < 0.6 * between(np.arange(64))


def test_neighbours_are_those_of_a_full_search(codebook: CodebookChart) -> None:
    near, distances = codebook.nearest(3, 5)
    every = [float(np.linalg.norm(v - codebook.vectors[3])) for v in codebook.vectors]
    assert 3 not in near
    assert distances == pytest.approx(sorted(every)[1:6])
    assert [every[i] for i in near] == pytest.approx(distances)


def test_patches_are_what_codes_decode_to() -> None:
    codec = Codec.load("tiny")
    patches = CodebookChart.of(codec).patches
    assert patches.shape == (32, 4, 4, 3)
    filled = codec.decode_batch((np.full((1, 40, 40), 7, np.uint16),))[0]
    np.testing.assert_array_equal(patches[7], filled[80:84, 80:84])


def test_the_busiest_square_is_found() -> None:
    colours = np.full((20, 30, 3), 90, np.uint8)
    colours[11:15, 22:26] = np.random.default_rng(0).integers(0, 256, (4, 4, 3))
    rows, columns = panels.busiest(colours, 6)
    assert rows.start <= 11 and rows.stop >= 15 and columns.start <= 22 and columns.stop >= 26
    assert rows.stop - rows.start == columns.stop - columns.start == 6
    assert panels.busiest(colours[:1, :2], 6) == (slice(0, 1), slice(0, 2))


def test_maps_are_drawn_in_the_colours_of_their_codes(codebook: CodebookChart) -> None:
    grid = np.random.default_rng(0).integers(0, 64, (5, 6)).astype(np.uint16)
    codes = Codes((grid,), (64,), "hw", "x", b"1234", ImageInfo((18, 24), (18, 24)))
    drawn = panels.code_map(codebook, codes, 0, MapSpec(64, (4, 4)), (36, 48))
    assert drawn.shape == (36, 48, 3)
    np.testing.assert_array_equal(drawn[::8, ::8], codebook.colours[grid])
    assert panels.code_map(codebook, codes, 0, MapSpec(64, (4, 4)), (2, 3)).shape == (2, 3, 3)


def test_bars_are_as_high_as_their_share(codebook: CodebookChart) -> None:
    counts = np.zeros(64, int)
    counts[[5, 9]] = 10, 40
    drawn = panels.bars(codebook.colours, counts, (20, 8))
    np.testing.assert_array_equal(drawn[:, 0], codebook.colours[[9] * 20])
    np.testing.assert_array_equal(drawn[15:, 7], codebook.colours[[5] * 5])
    assert (drawn[:15, 7] == 236).all()


@pytest.mark.parametrize(
    ("size", "drawn"),
    [((1, 1), (128, 128)), ((128, 128), (768, 768)), ((512, 768), (512, 768))],
)
def test_pictures_are_enlarged_by_whole_numbers(
    size: tuple[int, int], drawn: tuple[int, int]
) -> None:
    assert panels.fit(*size, 790, 790) == drawn


def test_large_and_thin_pictures_fit() -> None:
    assert panels.fit(4000, 6000, 790, 790) == (527, 790)
    assert panels.fit(1, 3000, 790, 790) == (panels.THINNEST, 790)


def test_errors_and_transparency_can_be_seen() -> None:
    black = Image(np.zeros((4, 4, 3), np.uint8))
    grey = Image(np.full((4, 4, 3), 200, np.uint8), np.zeros((4, 4), np.uint8))
    assert panels.error_map(black, black, (8, 8)).max() <= 4
    np.testing.assert_array_equal(
        panels.error_map(black, grey, (1, 1)), [[panels.ERROR_COLOURS[-1]]]
    )
    assert len(np.unique(panels.shown(grey, (48, 48)))) == 2  # a checkerboard, nothing of 200
