"""One pass at any rate: codes chosen by distance and bits."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vqcodec import ImageCodec
from vqcodec.codec.rate import encode_to
from vqcodec.codec.rates import BEFORE, rates_of
from vqcodec.coding import latticecoder
from vqcodec.config import to_json
from vqcodec.errors import MediaError, UsageError, WeightsError
from vqcodec.media.image import Image
from vqcodec.models.pretrained import prior_bytes, write_part, write_weights
from vqcodec.models.priors.lattice import Config as PriorConfig
from vqcodec.models.vqvae import build
from vqcodec.weights import CONFIG, read_weights

SIZES = (8, 8, 16, 16)
MODEL = {
    "encoder": {"kind": "pyramid2d", "widths": [8, 12, 12], "blocks": [0, 1, 1], "dim": 4},
    "quantizer": {
        "kind": "hierarchical",
        "codebook_sizes": list(SIZES),
        "depths": [2, 2],
        "dim": 4,
        "width": 8,
        "blocks": 1,
    },
    "decoder": {"kind": "deconv2d", "widths": [12, 8], "blocks": [1, 0], "dim": 8},
}
CURVATURE = [900.0, 900.0, 300.0, 300.0]
RATES = {"curvature": CURVATURE, "least": 5.0, "most": 5000.0}


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> ImageCodec:
    """A small codec of two maps on each of two grids, whose prior finds some codes cheap."""
    torch.manual_seed(0)
    model = build(MODEL).eval()
    folder = tmp_path_factory.mktemp("weights") / "rated"
    folder.mkdir()
    table = {"name": "rated", "modality": "image", "model": MODEL, "rates": RATES}
    config = write_weights(folder, table, model)
    settings = {"ratios": (1, 1, 2, 1), "units": (8,), "embedding": 4, "depth": 1, "conditions": 4}
    prior = PriorConfig(SIZES, **settings).build()  # type: ignore[arg-type]
    with torch.no_grad():
        for head in prior.heads:
            assert isinstance(head, torch.nn.Conv2d) and head.bias is not None
            head.bias.copy_(torch.linspace(3, -3, len(head.bias)))
    named = {"codebook_id": config["codebook_id"], "prior": {"kind": "lattice", **settings}}
    write_part(read_weights(folder), named, *prior_bytes(prior), force=True)
    return ImageCodec(read_weights(folder))


@pytest.fixture
def image() -> Image:
    """A picture with structure, of no whole number of cells."""
    rows, columns = np.mgrid[:50, :70]
    waves = [np.sin(rows / (3 + i)) + np.cos(columns / (4 + i)) for i in range(3)]
    return Image.of((np.stack(waves, -1) * 55 + 120).astype(np.uint8))


def bits(codec: ImageCodec, grids: tuple[np.ndarray, ...], condition: int) -> float:
    """Return what the prior says that maps cost."""
    assert codec.rates is not None
    found = latticecoder.bits(codec.rates.prior, [g[None] for g in grids], condition)
    return float(sum(own.sum() for own in found))


def test_a_weight_of_nearly_nothing_takes_the_nearest_codes(
    codec: ImageCodec, image: Image
) -> None:
    nearest = codec.encode(image)
    chosen = codec.encode(image, rate_weight=1e-6)
    assert all(np.array_equal(a, b) for a, b in zip(nearest.grids, chosen.grids, strict=True))


def test_a_larger_weight_never_costs_more_bits(codec: ImageCodec, image: Image) -> None:
    costs = []
    for weight in (1e-6, 20.0, 200.0, 2000.0, 1e8):
        codes = codec.encode(image, rate_weight=weight)
        assert codec.rates is not None
        assert codes.condition == codec.rates.condition(weight)
        costs.append(bits(codec, codes.grids, 0))
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < 0.7 * costs[0]


def test_each_code_is_the_cheapest_given_those_before_it(codec: ImageCodec, image: Image) -> None:
    """Against a plain reckoning from distances and the frequencies of a walk over the result."""
    assert codec.rates is not None
    weight, distances = 60.0, []
    choose = codec.rates.chooser(weight)

    def listen(found: np.ndarray) -> np.ndarray:
        distances.append(found)
        return choose(found)

    grids = codec.torch_engine.encode(image.pixels[None, :48, :64], listen)
    assert [d.shape[1:] for d in distances] == [(6, 8, 8)] * 2 + [(12, 16, 16)] * 2
    from vqcodec.coding.lattice import Walk

    walk = Walk(codec.rates.prior, codec.rates.condition(weight))
    for grid, own, curvature in zip(grids, distances, CURVATURE, strict=True):

        def take(
            cells: tuple[slice, slice],
            cumulative: np.ndarray,
            grid: np.ndarray = grid,
            own: np.ndarray = own,
            curvature: float = curvature,
        ) -> np.ndarray:
            codes = own.shape[-1]
            sizes = np.diff(cumulative[..., :codes].astype(np.int64), axis=-1, prepend=0)
            cost = own[:, *cells].astype(np.float64) * curvature - weight * np.log2(sizes)
            taken = grid[:, *cells].astype(np.int64)
            least = cost.min(-1)
            here = np.take_along_axis(cost, taken[..., None], -1)[..., 0]
            assert np.allclose(here, least, rtol=1e-4, atol=1e-2)
            return taken.astype(np.int32)

        walk.go(grid.shape, take)


def test_files_fit_and_more_bytes_are_never_worse(
    codec: ImageCodec, image: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(codec.weights.folder.parent))
    monkeypatch.setattr(ImageCodec, "tinted", lambda _, codes, *__: codes)  # codes tell of quality
    monkeypatch.setattr("vqcodec.codec.scales.SCALES", (1.0,))  # of which the best is taken
    assert codec.rates is not None
    prior = codec.rates.prior
    free = len(codec.encode(image).to_bytes(".vqc", prior=prior))
    small = codec.encode(image, rate_weight=codec.weight_of(1))
    least = len(small.to_bytes(".vqc", prior=prior))
    before = -1.0
    for target in range(least, free + 20, 7):
        codes = encode_to(codec, image, target)
        assert len(codes.to_bytes(".vqc", prior=prior)) <= target
        spent = bits(codec, codes.grids, 0)
        assert spent >= before - 1e-6
        before = spent
    with pytest.raises(MediaError, match="cannot be coded in 30 bytes"):
        encode_to(codec, image, 30)


def test_qualities_span_the_range_that_was_trained(codec: ImageCodec) -> None:
    weights = [codec.weight_of(quality) for quality in range(1, 101)]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] == pytest.approx(5000)
    assert weights[98] == pytest.approx(5)
    assert weights[99] == 0
    assert codec.rates is not None
    classes = [codec.rates.condition(weight) for weight in weights[:99]]
    assert set(classes) == set(range(4))


def test_a_class_begins_with_weights_that_are_larger_than_its_own(codec: ImageCodec) -> None:
    assert codec.rates is not None
    weights = np.geomspace(5000, 5, 400)
    steps = codec.rates.steps(weights.tolist())
    for condition in range(4):
        own = [weight for weight, c in steps if c == condition]
        meant = [w for w in weights if codec.rates.condition(w) == condition]
        assert own == sorted(own, reverse=True) and set(meant) <= set(own)
        assert min(own) == min(meant)
        assert max(own) == max(w for w in weights if w <= BEFORE * max(meant) * 1.01)
    assert [c for _, c in steps] == sorted((c for _, c in steps), reverse=True)


@pytest.mark.parametrize(
    "rates",
    [
        {},
        {**RATES, "curvature": [1.0]},
        {**RATES, "curvature": [1.0, 1.0, 1.0, float("nan")]},
        {**RATES, "least": 0},
        {**RATES, "most": 1.0},
        {**RATES, "most": "much"},
    ],
)
def test_weights_that_say_what_cannot_be(
    codec: ImageCodec, tmp_path: Path, rates: dict[str, object]
) -> None:
    for file in codec.weights.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / CONFIG).write_text(to_json({**codec.weights.config, "rates": rates}))
    with pytest.raises(WeightsError, match="says of rates what cannot be"):
        rates_of(read_weights(tmp_path))


def test_weights_without_rates_need_a_search(image: Image) -> None:
    with pytest.raises(UsageError, match="needs an effort of 1 or more"):
        ImageCodec.load("image-f4").encode(image, rate_weight=100.0, effort=0)
