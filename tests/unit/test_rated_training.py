"""Training for every rate: from pictures to weights that code at any rate in one pass."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.helpers import picture
from vqcodec import ImageCodec
from vqcodec.config import Tree, load_preset, override
from vqcodec.errors import UsageError
from vqcodec.media.image import Image
from vqcodec.models.decoders.deconv2d import Deconv2dDecoder
from vqcodec.models.nn.pixels import to_signal
from vqcodec.models.priors.lattice import LatticePrior
from vqcodec.models.quantizers.composite import CompositeQuantizer
from vqcodec.models.vqvae import VQVAE, build
from vqcodec.train.export import export
from vqcodec.train.image.data import Crops
from vqcodec.train.image.task import train_image
from vqcodec.train.run import TrainingJob
from vqcodec.weights import read_weights

NARROW = [
    "model.encoder.widths=[8,12,12,12]",
    "model.encoder.blocks=[0,1,0,0]",
    "model.encoder.dim=6",
    "model.quantizer.codebook_sizes=[8,8,8,16,16,16]",
    "model.quantizer.dim=6",
    "model.quantizer.width=8",
    "model.decoder.widths=[12,8]",
    "model.decoder.blocks=[1,0]",
    "model.decoder.dim=12",
    "train.batch_size=4",
    "train.crop_size=32",
    "train.picture_side=40",
    "train.warmup_steps=2",
]
PRIOR = ["model.prior.units=[8]", "model.prior.embedding=4", "model.prior.depth=1"]


def rated(*more: str) -> Tree:
    """Return a narrow image-rates."""
    return override(load_preset("image-rates"), [*NARROW, *PRIOR, "model.rates.alone=4", *more])


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i in range(6):
        Image(picture(64 + 8 * i, 72, seed=i)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def model() -> VQVAE:
    torch.manual_seed(0)
    return build(rated()["model"])


def test_two_stages_give_weights_that_code_at_any_rate(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = override(load_preset("image-levels"), [*NARROW, "train.steps=6"])
    train_image(TrainingJob([photos], tmp_path / "first", levels, []))
    export(tmp_path / "first", "levels", tmp_path / "weights", notes="", force=False)
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(tmp_path / "weights"))
    settings = rated("train.steps=12", "train.evaluate_every=6")
    progress = train_image(TrainingJob([photos], tmp_path / "second", settings, []), "levels")
    assert progress.figures["rated_bits_per_pixel"] > 0
    export(tmp_path / "second", "rates", tmp_path / "weights", notes="", force=False)
    weights = read_weights(tmp_path / "weights" / "rates")
    first = read_weights(tmp_path / "weights" / "levels")
    assert weights.codebook_id == first.codebook_id  # codebooks stood still
    codec = ImageCodec(weights)
    assert codec.rates is not None
    assert [codec.rates.least, codec.rates.most] == [15.0, 2500.0]
    curvature = codec.rates.curvature
    assert len(curvature) == 6 and min(curvature) > 0
    image = Image(picture(50, 70, seed=9))
    sizes = []
    for quality in (1, 50, 99):
        codes = codec.encode(image, rate_weight=codec.weight_of(quality))
        sizes.append(len(codes.to_bytes(".vqc", prior=codec.rates.prior)))
        assert codec.decode(codes).pixels.shape == (50, 70, 3)
    assert sizes == sorted(sizes)


def test_only_the_prior_learns_in_the_first_steps(model: VQVAE) -> None:
    x = to_signal(torch.from_numpy(picture(32, 32)).permute(2, 0, 1)[None].repeat(2, 1, 1, 1))
    model.train()
    for step in range(6):
        model.zero_grad()
        model(x).loss.backward()
        moved = {name for name, p in model.named_parameters() if p.grad is not None}
        own = {name for name in moved if name.startswith("prior.")}
        assert own and (moved == own) == (step < 4)


def test_curvature_is_what_the_next_code_does_to_pictures(model: VQVAE) -> None:
    """Against swaps of single codes, one by one, of a map of the finest grid."""
    quantizer, decoder, rates = model.quantizer, model.decoder, model.rates
    assert isinstance(quantizer, CompositeQuantizer) and isinstance(decoder, Deconv2dDecoder)
    assert rates is not None
    x = to_signal(torch.from_numpy(picture(32, 32)).permute(2, 0, 1)[None])
    model.eval()
    with torch.no_grad():
        features = model.encoder(x)
        indices = quantizer(features).indices
        plain, book = decoder(quantizer.lookup(indices)), quantizer.codebooks[3].codebook
        change = distance = 0.0
        for y, x_ in np.ndindex(8, 8):
            code = int(indices[3][0, y, x_])
            apart = (book - book[code]).square().sum(1)
            other = int(apart.topk(2, largest=False).indices[1])
            moved = indices[3].clone()
            moved[0, y, x_] = other
            decoded = decoder(quantizer.lookup((*indices[:3], moved, *indices[4:])))
            change += float((decoded - plain).square().sum()) * 127.5**2
            distance += float(apart[other])
    measured = []
    for _ in range(40):  # which codes are swapped is random
        rates.curvature.zero_()
        rates._measure(features, quantizer, decoder)
        measured.append(float(rates.curvature[3]))
    model.eval()
    assert np.mean(measured) == pytest.approx(change / distance, rel=0.2)


def test_a_vector_is_held_as_stiffly_as_the_picture_moves_it(model: VQVAE) -> None:
    rates = model.rates
    assert rates is not None
    rates.curvature.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
    errors = tuple(torch.tensor([10.0**n, 0.0]) for n in range(6))
    # two codebooks on the first grid, one on the second, three on the third: the last one of each
    assert rates._held(errors).tolist() == [1 * 10 + 3 * 100 + 4 * 100_000, 0.0]


def test_a_chooser_reports_what_its_codes_cost(model: VQVAE) -> None:
    assert model.rates is not None and isinstance(model.prior, LatticePrior)
    x = to_signal(torch.from_numpy(picture(32, 48)).permute(2, 0, 1)[None])
    model.eval()
    model.rates.curvature.fill_(50.0)
    weight = torch.tensor([400.0])
    choose, condition, coded = model.rates.chooser(model.prior, weight)
    indices = model.encode(x, choose=choose)
    said = model.prior(indices, condition)
    for own, bits, grid in zip(coded, said, indices, strict=True):
        assert torch.equal(own.indices, grid)
        assert torch.allclose(own.bits, bits, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rates": None}, "lacks its table 'rates'"),
        ({"rates": {"least": 10.0, "most": 11.0}}, "most"),
        ({"prior": {"kind": "pixelcnn"}}, "."),
    ],
)
def test_settings_that_do_not_fit(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build({**rated()["model"], **change})


def test_crops_below_one_are_enlarged_and_plain_ones_have_no_texture(photos: Path) -> None:
    class One:
        def __len__(self) -> int:
            return 1

        def __getitem__(self, _: int) -> np.ndarray:
            return np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)

    def roughness(crops: np.ndarray) -> float:
        return float(np.abs(np.diff(crops.astype(float), axis=-1)).mean())

    one: Any = One()
    sharp = Crops(one, 8, 32, (1.0, 1.0), 0).batch(0)
    smooth = Crops(one, 8, 32, (0.25, 0.25), 0).batch(0)
    plain = Crops(one, 8, 32, (1.0, 1.0), 0, plain=1.0).batch(0)
    as_is = Crops(one, 8, 32, (0.25, 0.25), 0, as_is=1.0).batch(0)
    noise = {one[0][y : y + 32, x : x + 32].tobytes() for y in range(9) for x in range(9)}
    cut = as_is.transpose(0, 2, 3, 1)
    assert all(own.tobytes() in noise or own[:, ::-1].tobytes() in noise for own in cut)
    assert smooth.shape == plain.shape == sharp.shape
    assert roughness(plain) < 3 < roughness(smooth) < roughness(sharp) / 2
