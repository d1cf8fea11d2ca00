"""Models with likelihoods, from training to the table of their bounds."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from scipy import stats

from tests.helpers import Run, picture, tiny_config, tiny_speech_config
from vqcodec.codec.engine_torch import TorchEngine
from vqcodec.codec.graphs import make_graphs
from vqcodec.codec.image import ImageCodec
from vqcodec.config import load_preset, override
from vqcodec.errors import UsageError
from vqcodec.evaluate.bits import CODING, BitMeter
from vqcodec.evaluate.bound.measures import measure
from vqcodec.evaluate.bound.study import summarise
from vqcodec.media.image import Image as Picture
from vqcodec.models.decoders.base import Density
from vqcodec.models.nn.pixels import to_signal
from vqcodec.models.pretrained import load_any_model, write_weights
from vqcodec.models.vae import build_model
from vqcodec.train.image.task import train_image
from vqcodec.train.loop import AVERAGE, CHECKPOINT, Progress
from vqcodec.train.run import TrainingJob
from vqcodec.weights import SAMPLING_PRIOR, read_weights

SIDE = ("train.crop_size=16", "train.picture_side=16", "train.held_out_side=16")
SMALL = {
    "cifar-vae": ("model.encoder.widths=[6, 6]", "model.decoder.widths=[6, 6]"),
    "pixelcnn-vqvae": (
        *("model.encoder.widths=[4, 4, 4, 4]", "model.encoder.blocks=[0, 0, 0, 0]"),
        *("model.decoder.widths=[4, 4, 4, 4]", "model.decoder.blocks=[0, 0, 0, 0]"),
        *("model.decoder.width=8", "model.decoder.features=4", "model.decoder.dilations=[1]"),
        *("model.encoder.dim=6", "model.quantizer.dim=6", "model.decoder.dim=6"),
        "model.quantizer.codebook_sizes=[8, 8, 8]",
    ),
}
QUICK = ("train.steps=2", "train.batch_size=4", "train.evaluate_every=1", "train.warmup_steps=0")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bounds") / "photos"
    folder.mkdir()
    for seed in range(5):
        Image.fromarray(picture(16, 16, seed)).save(folder / f"{seed}.png")
    return folder


def settings(preset: str) -> list[str]:
    small = (*SMALL[preset], *SIDE, *QUICK)
    return [word for assignment in small for word in ("--set", assignment)]


@pytest.mark.parametrize("preset", SMALL)
def test_train_resume_export_and_measure(
    preset: str, photos: Path, tmp_path: Path, run: Run
) -> None:
    train = ("train", "image", photos, "-o", "run", "--preset", preset, *settings(preset))
    done = run(*train)
    assert done.returncode == 0, done.stderr
    assert b"bits_per_dim" in done.stderr
    again = run(*train)
    assert again.returncode == 0 and b"was finished already" in again.stdout
    done = run("export", "run", "small", "-o", "weights")
    assert done.returncode == 0, done.stderr
    card = (tmp_path / "weights/small/README.md").read_text(encoding="utf-8")
    assert "shrunk to 16×16" in card
    weights = read_weights(tmp_path / "weights/small")
    assert weights.held_out_side == 16
    measured = run(
        "evaluate", photos, "--bound", "--model", "weights/small", "--against", "weights/small",
        "--gaussian", photos, "-o", "report", "--json",
    )  # fmt: skip
    assert measured.returncode == 0, measured.stderr
    first, same, gaussian = json.loads(measured.stdout)["models"]
    assert first == same
    assert first["less"] == [0, 0]
    bound = (first["rate"][0] + first["distortion"][0]) / (3 * 16 * 16)
    assert first["bound"][0] == pytest.approx(bound)
    assert 3 < bound < 12 and first["bound"][1] > 0
    assert gaussian["name"] == "Gaussian" and gaussian["bound"][0] < 9
    rows = (tmp_path / "report/results.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 1 + 2 * 5
    assert [float(row.split(",")[2]) for row in rows[1:6]] == pytest.approx(
        [first["rate"][0]] * 5, rel=0 if preset == "pixelcnn-vqvae" else 1
    )
    refused = run("evaluate", photos, "--bound", "--model", "weights/small", "-o", "report")
    assert refused.returncode == 1 and b"use --force" in refused.stderr
    if preset == "pixelcnn-vqvae":
        assert first["rate"][0] == pytest.approx(9)  # three codes of eight
        assert "tighter" not in first
        prior = [*SIDE, *QUICK, "train.crops=1", "prior.width=8", "prior.dilations=[1]"]
        done = run(
            "train", "prior", photos, "--codec", "weights/small", "-o", "prior",
            "--preset", "prior-image",
            *(word for assignment in prior for word in ("--set", assignment)),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert run("export", "prior", "small", "-o", "weights").returncode == 0
        again = run(
            "evaluate", photos, "--bound", "--model", "weights/small", "-o", "report", "--force",
            "--json",
        )  # fmt: skip
        (fitted,) = json.loads(again.stdout)["models"]
        assert fitted["how"] == "fitted prior" and fitted["bound"] == first["bound"]
        # learned for two steps only: some bits an index, and no longer log K exactly
        saved = (fitted["bound"][0] - fitted["tighter"][0]) * 768
        assert saved != 0 and abs(saved) < 9
        with pytest.raises(UsageError, match="graphs cannot"):
            make_graphs(TorchEngine(weights, "cpu", "fp32", pixels=True))
    else:
        assert first["tighter"][0] <= first["bound"][0] + 0.05
        assert "codebook" not in card.split("## Training")[0]


@pytest.mark.parametrize("preset", SMALL)
def test_a_run_that_was_stopped_goes_on_as_it_would_have(
    preset: str, photos: Path, tmp_path: Path
) -> None:
    tree = override(load_preset(preset), [*SMALL[preset], *SIDE, *QUICK, "train.steps=4"])

    class Stop(Exception):
        pass

    def stop(progress: Progress, _: float) -> None:
        if progress.step == 2:
            raise Stop

    whole, stopped = (TrainingJob([photos], tmp_path / name, tree, []) for name in ("a", "b"))
    train_image(whole)
    with pytest.raises(Stop):
        train_image(replace(stopped, on_step=stop))
    train_image(stopped)
    a, b = (load_file(tmp_path / name / CHECKPOINT / AVERAGE) for name in ("a", "b"))
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_codes_of_a_decoder_that_draws(photos: Path, tmp_path: Path, run: Run) -> None:
    tree = override(load_preset("pixelcnn-vqvae"), [*SMALL["pixelcnn-vqvae"], *SIDE])
    (tmp_path / "drawing").mkdir()
    config = {"name": "drawing", "modality": "image", "model": tree["model"]}
    write_weights(tmp_path / "drawing", config, build_model(tree["model"]))
    done = run("encode", photos / "0.png", "--model", "drawing", "-o", "a.vqc")
    assert done.returncode == 0, done.stderr

    def decode(name: str, *options: str) -> bytes:
        done = run("decode", "a.vqc", "--model", "drawing", "-o", name, *options)
        assert done.returncode == 0, done.stderr
        with Image.open(tmp_path / name) as image:
            assert image.size == (16, 16)
            return image.tobytes()

    one = decode("1.png", "--seed", "1")
    assert decode("2.png", "--seed", "1") == one
    assert decode("3.png", "--seed", "2") != one
    assert decode("4.png", "--seed", "1", "--temperature", "0.5") != one
    assert decode("5.png") == decode("6.png", "--seed", "0")


def test_a_decoder_without_likelihood_has_no_bound(photos: Path, tmp_path: Path, run: Run) -> None:
    """Of pictures all have one; one that was made for sound is refused in one sentence."""
    tree = tiny_speech_config()
    (tmp_path / "odd").mkdir()
    config = {"name": "odd", "modality": "image", "model": tree["model"]}
    write_weights(tmp_path / "odd", config, build_model(tree["model"]))
    done = run("evaluate", photos, "--bound", "--model", "odd", "-o", "e")
    assert done.returncode == 2, done.stderr
    assert b"'odd': its decoder has no likelihood, so it has no bound" in done.stderr
    assert b"Traceback" not in done.stderr and not (tmp_path / "e").exists()


def test_what_cannot_be_measured_or_coded(photos: Path, tmp_path: Path, run: Run) -> None:
    for name, preset in (("vae", "cifar-vae"), ("tiny", "")):
        tree = override(load_preset(preset), list(SMALL[preset])) if preset else tiny_config()
        (tmp_path / name).mkdir()
        config = {"name": name, "modality": "image", "model": tree["model"]}
        write_weights(tmp_path / name, config, build_model(tree["model"]))
    photo = photos / "0.png"
    one = tmp_path / "one"
    one.mkdir()
    shutil.copy(photo, one)
    run("encode", photo, "--model", "tiny", "-o", "a.npz")
    for arguments, code, sentence in (
        (["encode", photo, "--model", "vae"], 1, "vae: has no codes; it is there to be measured"),
        (["train", "prior", photos, "-o", "r", "--codec", "vae"], 1, "has no codes"),
        (["decode", "a.npz", "--model", "vae"], 1, "has no codes"),
        (["decode", "a.npz", "--model", "tiny", "--seed", "1"], 2, "without drawing anything"),
        (["evaluate", one, "--bound", "--model", "vae", "-o", "e"], 1, "two pictures are needed"),
        (["evaluate", photos, "--bound", "--model", "no", "-o", "e"], 1, "no weights named 'no'"),
        (["evaluate", photos, "--gaussian", photos, "-o", "e"], 2, "--gaussian belongs to --bound"),
        (["evaluate", photos, "--bound", "--quality", "9", "-o", "e"], 2, "takes no --quality"),
        (
            ["evaluate", photos, "--bound", "--model", "speech-64x", "-o", "e"],
            2,
            "--bound is for pictures",
        ),
        (
            ["train", "image", photos, "-o", "r", "--set", "train.crop_size=18"],
            2,
            "train.crop_size must be a multiple of 4",
        ),
    ):
        done = run(*arguments)
        words = done.stderr.decode()
        assert (done.returncode, sentence in words) == (code, True), (arguments, words)
        assert "Traceback" not in words
    assert not (tmp_path / "e").exists() and not (tmp_path / "r").exists()
    listed = run("models")
    assert listed.returncode == 0


def test_a_report_of_untrained_weights_is_that_of_the_model(photos: Path, tmp_path: Path) -> None:
    """The table's means are those of the model itself, picture by picture."""
    tree = tiny_config()
    torch.manual_seed(0)
    config = {"name": "tiny", "modality": "image", "model": tree["model"]}
    write_weights(tmp_path, config, build_model(tree["model"]))
    weights = read_weights(tmp_path)
    pixels = np.stack([picture(16, 16, seed).transpose(2, 0, 1) for seed in range(23)])
    found = measure(weights, pixels, torch.device("cpu"))
    model = load_any_model(weights)
    x = to_signal(torch.from_numpy(pixels))
    elbo = model.elbo(x)
    bits = elbo.bits_per_dim.detach().numpy()
    np.testing.assert_allclose(found.bound / 768, bits, rtol=1e-5)
    np.testing.assert_allclose(found.rate, 16 * 5)  # 16 codes of 32
    assert isinstance(model.decoder, Density)
    with torch.inference_mode():
        z = model.infer(x)[0]
        order = np.random.default_rng(0).permutation(23)
        other = -model.decoder.log_prob(x[order[1:]], z[order[:-1]]).numpy() / math.log(2)
        apart = np.arange(22) != 19
    # in an order of chance; the first of a batch is tried on the latents of its last
    np.testing.assert_allclose(found.swapped[order[1:]][apart], other[apart], rtol=1e-5)
    assert sorted(order) == list(range(23)) != list(order)
    rows = summarise([found])
    assert rows[0]["gap"][0] == pytest.approx((found.swapped - found.distortion).mean())
    error = stats.sem(found.swapped - found.distortion)
    assert rows[0]["gap"][1] == pytest.approx(error)


@pytest.mark.parametrize("kind", ["latticed", "paired", "coded"])
def test_a_prior_that_codes_makes_the_bound_tighter(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """Without one to sample from, that one counts: as many bits as its integers take in files."""
    weights = read_weights(request.getfixturevalue(f"{kind}_weights"))
    files = {k: v for k, v in weights.config["files"].items() if k != SAMPLING_PRIOR}
    weights = replace(weights, config={**weights.config, "files": files})
    pixels = np.stack([picture(64, 64, seed).transpose(2, 0, 1) for seed in range(4)])
    found = measure(weights, pixels, torch.device("cpu"))
    assert found.how == "fitted prior" and found.tighter is not None
    codec = ImageCodec(weights, device="cpu", precision="fp32", engine="torch")
    meter = BitMeter(codec)
    exact = [
        sum(meter.measure(codec.encode(Picture(picture(64, 64, seed))))[CODING])
        for seed in range(4)
    ]
    np.testing.assert_allclose(found.tighter - found.distortion, exact, rtol=0.01)
    assert not np.allclose(exact, found.rate, rtol=0.05)  # log K each
