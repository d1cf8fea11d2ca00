"""A VQ-VAE on the codes of another: trained, exported, coded with; and what does not fit."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tests.helpers import Run, lively, picture, tiny_config
from vqcodec import Codec
from vqcodec import Image as Picture
from vqcodec.benchmark.benchmark import measure
from vqcodec.codec.engine_torch import TorchEngine
from vqcodec.codec.graphs import make_graphs
from vqcodec.config import load_preset, override
from vqcodec.errors import UsageError
from vqcodec.figures.codebook import CodebookChart
from vqcodec.models.decoders.base import Density
from vqcodec.models.nn.pixels import to_signal
from vqcodec.models.pretrained import load_any_model, load_model, write_weights
from vqcodec.models.stacked import StackedDecoder, StackedEncoder, for_codec
from vqcodec.models.vae import build_model
from vqcodec.models.vqvae import VQVAE
from vqcodec.weights import MODEL, read_weights

SMALL = (
    *("model.encoder.widths=[4, 4]", "model.encoder.blocks=[0, 0]", "model.encoder.dim=6"),
    *("model.decoder.widths=[4, 4]", "model.decoder.blocks=[0, 0]", "model.decoder.dim=6"),
    *("model.quantizer.codebook_sizes=[8, 8, 8]", "model.quantizer.dim=6"),
    *("model.decoder.width=8", "model.decoder.features=4", "model.decoder.dilations=[1]"),
    "model.decoder.embedding=4",
)
QUICK = (
    *("train.steps=3", "train.batch_size=4", "train.evaluate_every=2", "train.warmup_steps=0"),
    *("train.crop_size=32", "train.picture_side=32", "train.held_out_side=32"),
)
SETTINGS = [word for assignment in (*SMALL, *QUICK) for word in ("--set", assignment)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A first codec, and photos."""
    home = tmp_path_factory.mktemp("stacked")
    for folder in ("photos", "weights/first"):
        (home / folder).mkdir(parents=True)
    for seed in range(4):
        Image.fromarray(picture(32, 32, seed)).save(home / "photos" / f"{seed}.png")
    tree = tiny_config()
    torch.manual_seed(0)
    model = build_model(tree["model"])
    assert isinstance(model, VQVAE)
    config = {"name": "first", "modality": "image", "model": tree["model"]}
    write_weights(home / "weights/first", config, lively(model))
    return home


def stacked_model(home: Path) -> VQVAE:
    first = read_weights(home / "weights/first")
    table = override(load_preset("stacked"), list(SMALL))["model"]
    torch.manual_seed(1)
    model = build_model(for_codec(table, first.config["model"]))
    assert isinstance(model, VQVAE) and isinstance(model.encoder, StackedEncoder)
    model.encoder.first.load_state_dict(load_model(first).state_dict())
    return model


def test_it_is_one_codec_made_of_two(home: Path) -> None:
    model, first = stacked_model(home).eval(), load_model(read_weights(home / "weights/first"))
    assert [spec.stride for spec in model.maps] == [(16, 16)] * 3
    x = to_signal(torch.from_numpy(picture(32, 32)).movedim(-1, 0)[None])
    assert isinstance(model.encoder, StackedEncoder)
    assert isinstance(model.decoder, StackedDecoder)
    assert isinstance(first.decoder, Density)
    with torch.inference_mode():
        grids = first.encode(x)
        inner = model.encoder.second(first.quantizer.lookup(grids))
        assert all(map(torch.equal, model.encode(x), model.quantizer(inner).indices))
        z_q, kl = model.infer(x)
        assert float(kl.sum()) == pytest.approx(4 * 3 * torch.tensor(8.0).log())
        second = model.decoder.second
        signal = grids[0][:, None].float() * (2 / 31) - 1
        assert torch.equal(second.values(signal)[0], grids[0])
        inside = second.log_prob(signal, z_q)
        whole = inside + first.decoder.log_prob(x, first.quantizer.lookup(grids))
        torch.testing.assert_close(model.decoder.log_prob(x, z_q), whole)
        torch.testing.assert_close(model.decoder.loss(x, z_q), -inside.mean() / 64)
        drawn = second.reconstruct(z_q, generator=torch.Generator().manual_seed(3))
        picture_of = first.decode(second.values(drawn))
        ours = model.decode(model.encode(x), generator=torch.Generator().manual_seed(3))
    assert torch.equal(ours, picture_of)


def test_training_leaves_the_first_codec_as_it_is(home: Path) -> None:
    model = stacked_model(home).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    x = to_signal(torch.from_numpy(picture(32, 32)).movedim(-1, 0)[None])
    torch.autograd.backward(model(x).loss)
    learn = [p for p in model.parameters() if p.requires_grad]
    assert learn and all(p.grad is not None for p in learn)
    torch.optim.Adam(learn, 0.01).step()
    after = model.state_dict()
    changed = {key for key in after if not torch.equal(before[key], after[key])}
    assert changed and not any(key.startswith("encoder.first.") for key in changed)
    assert not any(key.startswith("decoder.first") for key in after)  # it is kept once


def test_train_export_encode_decode(
    home: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(home / "weights"))
    train = ("train", "image", home / "photos", "-o", "run", "--preset", "stacked", *SETTINGS)
    done = run(*train, "--on", "first")
    assert done.returncode == 0, done.stderr
    assert b"was finished already" in run(*train, "--on", "first").stdout
    done = run("export", "run", "second")
    assert done.returncode == 0, done.stderr
    card = (home / "weights/second/README.md").read_text(encoding="utf-8")
    assert "codes again the codes of `first`" in card
    weights = read_weights(home / "weights/second")
    loaded, first = load_any_model(weights), load_model(read_weights(home / "weights/first"))
    assert isinstance(loaded.encoder, StackedEncoder)
    for key, value in loaded.encoder.first.state_dict().items():
        assert torch.equal(value, first.state_dict()[key]), key
    photo = home / "photos" / "0.png"
    done = run("encode", photo, "--model", "second", "-o", "a.vqc")
    assert done.returncode == 0, done.stderr
    run("encode", photo, "--model", "first", "-o", "first.vqc")
    small, large = ((tmp_path / name).stat().st_size for name in ("a.vqc", "first.vqc"))
    assert small < large
    pictures: list[bytes] = []
    for seed in (0, 0, 1):
        name = f"{len(pictures)}.png"
        done = run("decode", "a.vqc", "-o", name, "--seed", str(seed))
        assert done.returncode == 0, done.stderr
        with Image.open(tmp_path / name) as image:
            assert image.size == (32, 32)
            pictures.append(image.tobytes())
    assert pictures[0] == pictures[1] != pictures[2]
    done = run("inspect", "a.vqc", "-o", "codes.png")
    assert done.returncode == 0, done.stderr
    done = run("decode", "a.vqc", "-o", "no.png", "--model", "first")
    assert done.returncode == 1 and b"were made with 'second'" in done.stderr
    done = run("decode", "first.vqc", "-o", "no.png", "--model", "second")
    assert done.returncode == 1 and b"were made with 'first'" in done.stderr
    assert b"cut short" not in done.stderr  # it has fewer maps because it is another's
    with pytest.raises(UsageError, match="graphs cannot"):
        make_graphs(TorchEngine(weights, "cpu", "fp32", pixels=True))
    codec = Codec.load(home / "weights/second")
    with pytest.raises(UsageError, match=r"searched for"):
        codec.encode(photo, effort=1)


def test_it_is_benchmarked_and_its_codebook_looked_at(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = stacked_model(home)
    tree = for_codec(
        override(load_preset("stacked"), list(SMALL))["model"],
        read_weights(home / "weights/first").config["model"],
    )
    write_weights(tmp_path, {"name": "second", "modality": "image", "model": tree}, model)
    (found,) = measure(str(tmp_path), Picture(picture(32, 48)), [1], 1)
    speed = found["coders"]["vqcodec, fp32"]["decode"]
    codes = 2 * 3 * 3  # of three maps
    assert speed["codes_per_second"] == pytest.approx(codes / speed["seconds"], abs=1)
    assert found["bf16_minus_fp32_db"] is None  # they draw different pictures
    codec = Codec.load(tmp_path)

    def decode(*_: object, **__: object) -> None:
        pytest.fail("a drawing for each code would take minutes")

    monkeypatch.setattr(codec.engine, "decode", decode)
    chart = CodebookChart.of(codec, 2)
    book = model.quantizer.codebooks[2].codebook.detach().numpy()
    np.testing.assert_array_equal(chart.vectors, book)
    np.testing.assert_array_equal(chart.patches, chart.colours[:, None, None])
    assert len(np.unique(chart.colours, axis=0)) == 8


def test_what_does_not_fit(
    home: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(home / "weights"))
    train = ("train", "image", home / "photos", "-o", "r")
    stacked = ("--preset", "stacked", *SETTINGS)
    for arguments, code, sentence in (
        (stacked, 2, "name it with --on"),
        ((*stacked, "--on", "absent"), 1, "no weights named 'absent'"),
        ((*stacked, "--on", "speech-64x"), 1, "not pictures"),
        (("--on", "first"), 2, "--on goes with --preset stacked"),
        ((*stacked, "--on", "first", "--set", "model.decoder.channels=2"), 2, "of 1 channel"),
    ):
        done = run(*train, *arguments)
        words = done.stderr.decode()
        assert (done.returncode, sentence in words) == (code, True), (arguments, words)
        assert "Traceback" not in words
    assert not (tmp_path / "r").exists()
    table = for_codec(
        load_preset("stacked")["model"], read_weights(home / "weights/first").config["model"]
    )
    for change, sentence in (
        ({"on": {**table["on"], "on": table["on"]}}, "must be a plain one"),
        ({"encoder": {**table["encoder"], "channels": 3}}, "encoder.channels"),
        ({"prior": {}}, "and nothing else"),
        ({"on": 7}, "name it with --on"),
    ):
        with pytest.raises(UsageError, match=sentence):
            build_model({**table, **change})
    with pytest.raises(UsageError, match="must have one map"):
        for_codec(load_preset("stacked")["model"], load_preset("vqvae2")["model"])


def test_it_stands_on_a_codec_that_must_be_there(
    home: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights hold nothing of the first codec; they find it beside them, or where all are found."""
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(tmp_path / "elsewhere"))
    first, model = read_weights(home / "weights/first"), stacked_model(home)
    table = for_codec(override(load_preset("stacked"), list(SMALL))["model"], first.config["model"])
    table["on"] = {"name": "first", "codebook_id": first.codebook_id.hex()}
    alone = tmp_path / "alone"
    alone.mkdir()
    write_weights(alone, {"name": "second", "modality": "image", "model": table}, model)
    kept = load_file(alone / MODEL)
    assert kept and not any(name.startswith("encoder.first.") for name in kept)
    photo = home / "photos" / "0.png"

    def said(*arguments: str | Path) -> str:
        done = run(*arguments)
        assert done.returncode == 1 and b"Traceback" not in done.stderr, done.stderr
        return done.stderr.decode()

    encode = ("encode", photo, "--model", alone, "-o", "a.vqc", "--force")
    missing = f"stands on the codec 'first' (codebook {first.codebook_id.hex()}), which is needed"
    assert missing in said(*encode)
    assert "no weights named 'first' are installed" in said(*encode)
    assert missing in said("inspect", photo, "--model", alone, "-o", "seen.png")
    shutil.copytree(first.folder, tmp_path / "elsewhere" / "first")  # where all are found
    assert run(*encode).returncode == 0
    shutil.rmtree(tmp_path / "elsewhere")
    shutil.copytree(first.folder, tmp_path / "first")  # beside them
    assert run(*encode).returncode == 0
    other = lively(load_model(first))
    with torch.no_grad():
        other.quantizer.codebooks[0].codebook += 1
    write_weights(tmp_path / "first", first.config, other)
    assert "has codebook" in said(*encode) and "that it was trained on" in said(*encode)
    for name, codebook, sentence in (
        ("../first", "00000000", "no weights named '../first'"),
        ("second", "00000000", "needed as well"),
        (7, None, "no weights named '7'"),
    ):
        table["on"] = {"name": name, "codebook_id": codebook}
        config = {"name": "second", "modality": "image", "model": table}
        write_weights(alone, config, model)
        assert sentence in said(*encode)
    assert not (tmp_path / "seen.png").exists()
