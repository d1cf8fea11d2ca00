"""Training of what refines a codec: from pictures to weights that code at any rate."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.helpers import Run, followed_costs, picture, tiny_refining
from vqcodec import Codec, Image
from vqcodec.codec.rate import file_bytes, squared_error
from vqcodec.codec.refined import RefinedCodec
from vqcodec.coding import latticecoder
from vqcodec.coding.latticecoder import OUT
from vqcodec.coding.refining import CANDIDATES, NOTHING
from vqcodec.codingpriors import lattice_prior
from vqcodec.config import load_preset, override
from vqcodec.errors import UsageError
from vqcodec.models.foresight import Foresight
from vqcodec.models.nn.pixels import to_signal
from vqcodec.models.pretrained import load_refiner
from vqcodec.models.priors.lattice import Coded, LatticePrior, Walk
from vqcodec.models.refinement import GAIN
from vqcodec.models.refining import Refining, build_refining
from vqcodec.models.stacked import for_codec
from vqcodec.models.vqvae import VQVAE
from vqcodec.train.image.data import Crops
from vqcodec.train.image.refining import RefinedPictures, resume_from, with_tints
from vqcodec.weights import find_weights, read_weights

SMALL = (
    *("model.refiner.dim=12", "model.refiner.width=8", "model.refiner.blocks=1"),
    *("model.quantizer.codebook_sizes=[16, 16, 16]", "model.quantizer.dim=12"),
    *("model.prior.units=[8]", "model.prior.embedding=4", "model.prior.blocks=1"),
)
QUICK = (
    *("train.steps=6", "train.batch_size=3", "train.evaluate_every=3", "train.warmup_steps=0"),
    *("train.crop_size=32", "train.picture_side=48", "train.held_out_side=32"),
)
SETTINGS = [word for assignment in (*SMALL, *QUICK) for word in ("--set", assignment)]
WEIGHTS = torch.tensor([20.0, 600.0])


@pytest.fixture
def model(tiny_model: VQVAE) -> Refining:
    found = tiny_refining(tiny_model).train()
    found.network.requires_grad_(True)
    found.prior.requires_grad_(True)
    return found


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(5):
        Image(picture(56, 64, seed)).save(folder / f"{seed}.png")
    return folder


def given(model: Refining, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Two pictures, as they are and as the first codec has them, and its map."""
    pixels = np.stack([picture(32, 48, seed + n) for n in range(2)]).transpose(0, 3, 1, 2)
    x = torch.from_numpy(np.ascontiguousarray(pixels))
    grid, decoded = model.decoded(to_signal(x))
    return to_signal(x), to_signal(with_tints(x, decoded, WEIGHTS)[0]), grid


def test_the_loss_is_what_the_codec_weighs(model: Refining) -> None:
    """Against errors and bits that are reckoned code by code, in NumPy."""
    model.quantizer.dropout = 0.0
    model.rates.steps.fill_(1)  # the curvature is not measured now
    x, decoded, grid = given(model)
    cells = F.pixel_unshuffle(x - decoded, 4).movedim(1, -1).double().numpy() * 127.5
    left = cells @ model.analysis.double().numpy()
    books = [book.codebook.double().numpy().copy() for book in model.quantizer.each()]
    condition = torch.tensor([0, 2])  # of three, by the logarithm of the weight
    before = model.counts.numpy() + 0.02
    usual = -np.log2(before / before.sum(-1, keepdims=True))[condition].astype(np.float64)
    before = model.counts.clone().numpy()
    curvature = model.rates.curvature[0].item()
    walk = Walk(model.prior, condition)
    walk.know(grid)
    terms = model(x, decoded, grid, WEIGHTS)
    bits, said = np.zeros(2), np.zeros_like(left)
    for number, (book, indices) in enumerate(zip(books, terms.indices, strict=True)):
        with torch.no_grad():
            coded = walk.take(indices)
        costs = np.stack(
            [
                followed_costs(own, number, np.stack(books), lengths, curvature / weight)
                for own, lengths, weight in zip(left, usual, WEIGHTS.tolist(), strict=True)
            ]
        )
        for (rows, columns), every in coded.passes:
            cost = costs[:, rows, columns] + every.movedim(1, -1).numpy()
            taken = indices[:, rows, columns, None].numpy()
            here = np.take_along_axis(cost, taken, -1)[..., 0]
            np.testing.assert_allclose(here, cost.min(-1), rtol=1e-4)
        bits += coded.bits.flatten(1).sum(1).double().numpy()
        said += book[indices.numpy()]
        left = left - book[indices.numpy()]
    z_q = torch.from_numpy(said).float().movedim(-1, 1)
    with torch.no_grad():
        y = decoded + (model.network(decoded, z_q) - decoded) / GAIN
    values = 3 * 32 * 48
    error = (y - x).square().flatten(1).mean(1).double().numpy() * 127.5**2
    held = curvature * (left**2).reshape(2, -1).sum(1) / values
    size = error + WEIGHTS.numpy() * bits / values + 8
    loss = (error + held) / size**0.75 / (WEIGHTS.numpy() / 15) ** 0.1
    for (sample, group), (number, indices) in itertools.product(
        enumerate(condition.tolist()), enumerate(terms.indices)
    ):
        counted = np.bincount(indices[sample].flatten(), minlength=16)
        np.testing.assert_allclose(
            model.counts[group, number], before[group, number] * 0.995 + counted, rtol=1e-5
        )
    np.testing.assert_array_equal(model.counts[1], before[1])
    rate = bits.mean() * np.log(2) / values
    assert terms.rate.item() == pytest.approx(rate, rel=1e-4)
    assert model.rates.usual.item() == pytest.approx(loss.mean(), rel=1e-3)
    assert terms.loss.item() == pytest.approx(0.5 + rate, rel=1e-3)


def test_a_step_moves_what_learns_and_nothing_else(model: Refining) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.zero_grad()
    torch.autograd.backward(model(*given(model), WEIGHTS).loss)
    learn = [p for p in model.parameters() if p.requires_grad and p.grad is not None]
    torch.optim.Adam(learn, 0.01).step()
    after = model.state_dict()
    moved = {name for name in after if not torch.equal(before[name], after[name])}
    parts = {"network", "prior", "quantizer", "rates", "counts"}
    assert {name.split(".")[0] for name in moved} == parts
    for book in model.quantizer.each():
        assert not book.codebook[0].any() and not book.sums[0].any()
    assert float(model.rates.curvature[0]) == pytest.approx((127.5 / GAIN) ** 2, rel=0.2)
    model.train()
    assert not model.first.training and model.quantizer.training


def test_it_begins_with_pca_and_with_codebooks_of_what_is_left(model: Refining) -> None:
    rng = np.random.default_rng(0)
    mixed = (
        rng.normal(size=(3000, 48))
        * np.geomspace(40, 0.1, 48)
        @ np.linalg.qr(rng.normal(size=(48, 48)))[0]
    )
    errors = torch.from_numpy(mixed.astype(np.float32))
    model.begin(errors, seed=0)
    directions = model.analysis.double().numpy() * 127.5 / GAIN
    np.testing.assert_allclose(directions.T @ directions, np.eye(12), atol=1e-5)
    best = np.linalg.svd(mixed, full_matrices=False)[2][:12].T
    np.testing.assert_allclose(directions @ directions.T, best @ best.T, atol=1e-3)
    left = errors @ model.analysis
    with torch.no_grad():  # put back by the network as it begins: the linear transform alone
        torch.nn.init.zeros_(model.network.last.weight)
        zero = torch.zeros(1, 3, 4, 4)
        y = model.refined(zero, left[:1, :, None, None])
    back = F.pixel_unshuffle(y, 4)[0, :, 0, 0].numpy() * 127.5
    np.testing.assert_allclose(back, mixed[0] @ best @ best.T, atol=0.1)
    for book in model.quantizer.each():
        assert not book.codebook[0].any()
        before = float(left.square().sum())
        left = left - book.codebook[torch.cdist(left, book.codebook).argmin(1)]
        assert float(left.square().sum()) < 0.8 * before


def test_tints_are_those_of_files(refined_weights: Path) -> None:
    codec = Codec.load(refined_weights, "cpu", "fp32")
    assert isinstance(codec, RefinedCodec)
    image = Image(picture(64, 64, seed=3))
    codec.base.__dict__["_unseen"] = None  # training does without what no pixel shows
    prepared = codec.prepare(image)
    expected = codec.finish(prepared, 90.0)
    assert expected.image.tint is not None
    pixels, decoded = (
        torch.from_numpy(a.copy()).movedim(-1, 0)[None] for a in (image.pixels, prepared.decoded)
    )
    found, bits = with_tints(pixels, decoded, torch.tensor([90.0]))
    np.testing.assert_array_equal(
        found[0].movedim(0, -1).numpy(), codec.decode(expected, levels=1).pixels
    )
    assert bits == 8 * (len(expected.image.tint.packed) + 3)


def test_what_is_known_is_told_as_if_it_had_been_coded(model: Refining) -> None:
    prior, rng = model.prior.eval(), np.random.default_rng(0)
    assert isinstance(prior, LatticePrior)
    maps = [torch.from_numpy(rng.integers(0, 16, (2, 8, 12))) for _ in range(4)]
    condition = torch.tensor([0, 2])
    walk = Walk(prior, condition)
    walk.know(maps[0])
    for grid, expected in zip(maps[1:], prior(tuple(maps), condition)[1:], strict=True):
        torch.testing.assert_close(walk.take(grid).bits, expected)


def test_train_export_encode_decode(
    refined_weights: Path, photos: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "weights"
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(home))
    home.mkdir()
    (home / "plain").symlink_to(refined_weights.parent / "plain")
    train = ("train", "image", photos, "--preset", "image-refined", *SETTINGS, "--on", "plain")
    done = run(*train, "-o", "run")
    assert done.returncode == 0, done.stderr
    assert b"psnr_at_100" in done.stderr or b"psnr at 100" in done.stderr, done.stderr
    assert b"was finished already" in run(*train, "-o", "run").stdout
    done = run("export", "run", "fine")
    assert done.returncode == 0, done.stderr
    assert b"--model fine" in done.stdout
    card = (home / "fine/README.md").read_text(encoding="utf-8")
    assert "refines the pictures of `plain`" in card and "bits per pixel at 30" in card
    codec, image = Codec.load("fine", "cpu", "fp32"), Image(picture(50, 70, seed=9))
    assert isinstance(codec, RefinedCodec)
    assert (codec.rates.least, codec.rates.most, len(codec.rates.curvature)) == (15.0, 1500.0, 3)
    codes = codec.encode(image, rate_weight=15.0)
    bare = codec.encode(image, rate_weight=30_000.0, scale=1)
    assert squared_error(codec, image, codes) < squared_error(codec, image, bare)
    assert file_bytes(codec, codes) > file_bytes(codec, bare)
    photo = photos / "0.png"
    for name in ("a.vqc", "a.npz"):
        done = run("encode", photo, "--model", "fine", "--quality", "90", "-o", name)
        assert done.returncode == 0, done.stderr
        assert run("decode", name, "-o", f"{name}.png").returncode == 0
        assert Image.open(tmp_path / f"{name}.png").size == (56, 64)
    again = ("--from", "fine", "--set", "train.seed=1", "-o", "again")
    done = run(*train, *again)
    assert done.returncode == 0, done.stderr


def test_a_run_goes_on_where_it_was_cut_off(
    refined_weights: Path, photos: Path, run: Run, tmp_path: Path
) -> None:
    """What was trained in one go and what was cut off after a checkpoint are the same."""
    from safetensors.torch import load_file

    train = ("train", "image", photos, "--preset", "image-refined", *SETTINGS, "--on", "plain")
    assert run(*train, "-o", "whole").returncode == 0
    from vqcodec.train.loop import Loop

    saved = Loop._save

    def cut(self: Loop) -> None:
        saved(self)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "_save", cut)
        assert run(*train, "-o", "cut").returncode != 0
    assert run(*train, "-o", "cut").returncode == 0
    one, two = (
        load_file(tmp_path / name / "checkpoint" / "average.safetensors")
        for name in ("whole", "cut")
    )
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, two[name], msg=name)


def test_it_goes_on_from_weights_as_they_are(refined_weights: Path, tiny_model: VQVAE) -> None:
    weights, plain = read_weights(refined_weights), read_weights(refined_weights.parent / "plain")
    kept, model = tiny_refining(tiny_model), tiny_refining(tiny_model)
    for tensor in (*model.network.parameters(), *model.prior.parameters(), *model.buffers()):
        tensor.zero_()
    resume_from(model, weights, plain)
    assert model.codebook_bytes()[4:] == kept.codebook_bytes()[4:]
    torch.testing.assert_close(model.analysis, kept.analysis)
    assert model.rates.by_map() == kept.rates.by_map()
    for name, tensor in kept.network.state_dict().items():
        torch.testing.assert_close(model.network.state_dict()[name], tensor, atol=1e-3, rtol=1e-3)
    for name, tensor in load_refiner(weights).state_dict().items():
        torch.testing.assert_close(model.network_state()[name], tensor)
    maps = [torch.randint(16, (1, 8, 8)) for _ in range(4)]
    coder = lattice_prior(weights)
    assert coder is not None
    expected = latticecoder.bits(coder, [grid.numpy().astype(np.uint16) for grid in maps], 0)
    for found, bits in zip(model.prior(tuple(maps))[1:], expected[1:], strict=True):
        assert float(found.sum()) == pytest.approx(float(bits.sum()), rel=0.02)  # but for rounding
    with pytest.raises(UsageError, match="'tiny' does not refine 'plain'"):
        resume_from(model, read_weights(refined_weights.parent / "tiny"), plain)
    with pytest.raises(UsageError, match="'refined' does not refine 'image-f4'"):
        resume_from(model, weights, find_weights("image-f4"))
    table = override(load_preset("image-refined"), [*SMALL, "model.refiner.width=16"])["model"]
    other = build_refining(for_codec(table, plain.config["model"]))
    with pytest.raises(UsageError, match="built otherwise"):
        resume_from(other, weights, plain)


def test_figures_are_those_of_the_codec(refined_weights: Path, tiny_model: VQVAE) -> None:
    codec = Codec.load(refined_weights, "cpu", "fp32")
    assert isinstance(codec, RefinedCodec)
    codec.base.__dict__["_unseen"] = None
    plain = read_weights(refined_weights.parent / "plain")
    pixels = np.stack([picture(64, 64, seed) for seed in range(3)])
    crops: Crops = None  # type: ignore[assignment]
    model = tiny_refining(tiny_model)
    resume_from(model, read_weights(refined_weights), plain)  # as rounded as they
    task = RefinedPictures(model, crops, pixels.transpose(0, 3, 1, 2).copy(), plain)
    found = task.evaluate(model).figures
    for weight in (30, 400):
        quality, spent = [], 0.0
        for own in pixels:
            image = Image(own)
            codes = codec.encode(image, rate_weight=weight, scale=1)
            quality.append(10 * np.log10(255**2 * own.size / squared_error(codec, image, codes)))
            maps = [grid[None] for grid in codes.grids]
            every = latticecoder.bits(codec.rates.prior, maps, codec.rates.condition(weight))
            spent += sum(float(bits.sum()) for bits in every)
            spent += 8 * (len(codes.image.tint.packed) + 3) if codes.image.tint else 0
        assert found[f"psnr_at_{weight}"] == pytest.approx(np.mean(quality), abs=0.05)
        bits = found[f"bits_per_pixel_at_{weight}"]
        assert bits == pytest.approx(spent / (3 * 64 * 64), rel=0.01)


def test_what_does_not_fit(refined_weights: Path, photos: Path, run: Run, tmp_path: Path) -> None:
    train = ("train", "image", photos, "-o", "r")
    refined = ("--preset", "image-refined", *SETTINGS)
    for arguments, code, sentence in (
        (refined, 2, "name it with --on"),
        ((*refined, "--on", "tiny"), 2, "has no coding prior of kind 'causal'"),
        ((*refined, "--on", "refined"), 2, "must have one map"),
        (("--on", "plain"), 2, "--on goes with --preset stacked or image-refined"),
        ((*refined, "--on", "plain", "--set", "model.refiner.dim=9"), 2, "one and the same 'dim'"),
        ((*refined, "--on", "plain", "--set", "model.refiner.stride=8"), 2, "of the stride"),
        ((*refined, "--on", "plain", "--set", "model.prior.kind=pixelcnn"), 2, "prior"),
        ((*refined, "--on", "plain", "--set", "train.crop_size=30"), 2, "a multiple of 4"),
    ):
        done = run(*train, *arguments)
        words = done.stderr.decode()
        assert (done.returncode, sentence in words) == (code, True), (arguments, words)
        assert "Traceback" not in words
    assert not (tmp_path / "r").exists()
    table = override(load_preset("image-refined"), list(SMALL))["model"]
    table = for_codec(table, read_weights(refined_weights.parent / "plain").config["model"])
    with pytest.raises(UsageError, match="and nothing else"):
        build_refining({**table, "decoder": {}})
    with pytest.raises(UsageError, match="kind 'residual'"):
        build_refining({**table, "quantizer": {"kind": "vq", "codebook_size": 8, "dim": 12}})


def test_training_chooses_as_the_codec_does(model: Refining, refined_weights: Path) -> None:
    codec = Codec.load(refined_weights, "cpu", "fp32")
    assert isinstance(codec, RefinedCodec)
    resume_from(model, codec.weights, codec.base.weights)
    x, decoded, grid = given(model)
    z = model.eval().vectors(x, decoded)
    choose, _, _ = model.rates.chooser(model.prior, WEIGHTS, (grid,), model.foresight(z, WEIGHTS))
    found = model.quantizer((z,), choose=choose).indices
    pixels, had = (
        t.add(1).mul(127.5).round().byte().movedim(1, -1).contiguous().numpy() for t in (x, decoded)
    )
    for n, weight in enumerate(WEIGHTS.tolist()):
        expected = codec.refinement.codes(
            pixels[n], had[n], grid[n].numpy().astype(np.uint16), weight
        ).grids[1:]
        for own, theirs in zip(found, expected, strict=True):
            assert np.mean(own[n].numpy() == theirs) > 0.95  # integers of the prior are rounded


def test_training_and_codec_follow_the_same_candidates_alike(refined_weights: Path) -> None:
    """Of both the same table: which codes are candidates, and what each of them leads to."""
    rng, weight, curvature = np.random.default_rng(4), 3.0, (9.0, 7.0, 6.0, 5.0)
    books = rng.normal(size=(4, 12, 6)).astype(np.float32)  # more than are looked ahead to
    books[:, NOTHING] = 0
    usual = rng.exponential(4, (2, 4, 12)).astype(np.float32)
    left = (rng.normal(size=(9, 11, 6)) * rng.exponential(1, (9, 11, 1))).astype(np.float32)
    codec = Codec.load(refined_weights, "cpu", "fp32")
    assert isinstance(codec, RefinedCodec)
    rates = replace(codec.rates, curvature=curvature)
    coding = replace(codec.refinement, codebooks=tuple(books), rates=rates, usual=usual)
    worth = torch.tensor([curvature]) / weight
    z, codebooks, bits = (torch.from_numpy(a) for a in (left, books, usual[1:]))
    foresight, coded = Foresight(z.movedim(-1, 0)[None], codebooks, bits, worth), list[Coded]()
    for number, book in enumerate(books):
        expected = coding._costs(left, number, 1, weight)
        assert expected is not None
        alone = ((book**2).sum(-1) - 2 * left @ book.T) * (curvature[number] / weight)
        found = foresight(torch.from_numpy(alone).movedim(-1, 0)[None], coded)
        np.testing.assert_allclose(found[0].movedim(0, -1), expected, rtol=1e-4, atol=1e-3)
        quiet, candidates = expected[..., NOTHING] == 0, (expected < OUT).sum(-1)
        assert quiet.any() and (candidates[~quiet] == (12 if number == 3 else CANDIDATES)).all()
        codes = expected.argmin(-1)
        left = left - book[codes]
        indices = torch.from_numpy(codes)[None]
        coded.append(Coded(indices, torch.zeros(indices.shape), []))
