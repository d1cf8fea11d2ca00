"""The networks that a decoder of speech is trained against."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from scipy.signal import stft

from tests.helpers import tiny_config, tiny_speech_config, voice
from vqcodec.config import Tree, override, parse
from vqcodec.errors import UsageError
from vqcodec.models.adversary import Adversary, Config, compressed
from vqcodec.models.pretrained import load_model
from vqcodec.models.vqvae import build
from vqcodec.train.export import export
from vqcodec.train.run import TrainingJob
from vqcodec.train.speech.task import train_speech
from vqcodec.weights import read_weights


@pytest.fixture
def adversary() -> Adversary:
    torch.manual_seed(0)
    return Config(weight=0.5, matching=2.0, windows=(128, 256), width=4).build()


@pytest.fixture
def sounds() -> tuple[torch.Tensor, torch.Tensor]:
    """Two voices, (2, 2048), and what is heard where all periods but the first are lost."""
    x = torch.stack([torch.from_numpy(voice(2048, seed=s).samples[0]) for s in (1, 2)])
    return x, (0.3 * x.roll(200, 1) + 0.02 * torch.randn(x.shape)).requires_grad_()


def test_spectra_keep_their_phase_and_are_compressed() -> None:
    x = voice(2048, seed=3).samples[0]
    framed = stft(x, nperseg=256, noverlap=192, boundary="even", padded=False)[2][:-1]
    real, imaginary = compressed(torch.from_numpy(x)[None], 256)[0].numpy()
    found = (real + 1j * imaginary).T
    loud = np.abs(framed) > 1e-3
    inner = np.zeros_like(loud)
    inner[:, 4:-4] = True  # SciPy mirrors ends differently
    wanted = np.abs(framed) ** 0.3
    np.testing.assert_allclose(np.abs(found)[loud & inner], wanted[loud & inner], rtol=0.01)
    turned = np.angle(found / framed)[loud & inner]
    np.testing.assert_allclose(turned, 0, atol=1e-3)
    assert torch.isfinite(compressed(torch.zeros(1, 2048), 256)).all()


def test_each_side_is_moved_by_its_own_loss_only(
    adversary: Adversary, sounds: tuple[torch.Tensor, torch.Tensor]
) -> None:
    x, y = sounds
    deceit, told = adversary(x, y)
    deceit.backward(retain_graph=True)
    assert y.grad is not None and y.grad.abs().max() > 0
    assert all(p.grad is None for p in adversary.parameters())
    y.grad = None
    told.backward()
    assert y.grad is None
    assert all(p.grad is not None for p in adversary.parameters())


def test_losses_are_those_of_the_papers(
    adversary: Adversary, sounds: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """The hinge, and relative distances of layers, as EnCodec's equations 2 and 3 have them."""
    x, y = sounds
    deceit, told = (loss.item() for loss in adversary(x, y))
    hinge = deceived = matched = 0.0
    with torch.no_grad():
        for judge, window in zip(adversary.judges, adversary.config.windows, strict=True):
            (real, *a), (fake, *b) = (
                [part.numpy() for part in judge(compressed(s, window))] for s in (x, y)
            )
            hinge += np.maximum(0, 1 - real).mean() + np.maximum(0, 1 + fake).mean()
            deceived -= fake.mean()
            pairs = zip(a, b, strict=True)
            matched += np.mean([np.abs(m - n).mean() / np.abs(m).mean() for m, n in pairs])
            assert real.shape == (2, 1 + 2048 // (window // 4))  # a score for each spectrum
    assert told == pytest.approx(hinge / 2, rel=1e-4)
    assert deceit == pytest.approx((0.5 * deceived + 2 * matched) / 2, rel=1e-4)


def test_it_learns_to_tell_and_sound_learns_to_deceive(
    adversary: Adversary, sounds: tuple[torch.Tensor, torch.Tensor]
) -> None:
    x, y = sounds
    judging = torch.optim.Adam(adversary.parameters(), 0.01)
    for _ in range(60):
        told = adversary(x, y)[1]
        judging.zero_grad()
        told.backward()
        judging.step()
    told = adversary(x, y)[1].item()
    assert told < 0.2  # 2 where nothing is told
    before, distance = adversary(x, y)[0].item(), compressed(x - y, 256).abs().mean().item()
    making = torch.optim.Adam([y], 0.002)
    for _ in range(60):
        making.zero_grad()
        adversary(x, y)[0].backward()
        making.step()
    assert adversary(x, y)[0].item() < before - 0.5
    assert adversary(x, y)[1].item() > told + 0.5
    assert compressed(x - y, 256).abs().mean().item() < distance


def config() -> Tree:
    small = ["train.steps=6", "train.batch_size=2", "train.crop_size=2560", "train.warmup_steps=1"]
    small += ["train.reference_size=4096", "train.evaluate_every=3", "train.restart_every=99"]
    tree = override(tiny_speech_config(), small)
    tree["model"]["adversary"] = {"weight": 0.1, "matching": 1.0, "windows": [128], "width": 4}
    return tree


def test_a_run_goes_on_as_if_it_had_not_stopped_and_exports_the_codec_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for i in range(3):
        soundfile.write(tmp_path / "data" / f"{i}.wav", voice(16_000, seed=i).samples[0], 16_000)
    train_speech(TrainingJob([tmp_path / "data"], tmp_path / "whole", config(), []))

    class Stopped(Exception):
        pass

    def stop(progress: Any, _: float) -> None:
        if progress.step == 4:
            raise Stopped

    with pytest.raises(Stopped):
        train_speech(TrainingJob([tmp_path / "data"], tmp_path / "cut", config(), [], on_step=stop))
    train_speech(TrainingJob([tmp_path / "data"], tmp_path / "cut", config(), []))
    states = [
        load_file(tmp_path / name / "checkpoint" / "average.safetensors")
        for name in ("whole", "cut")
    ]
    assert any(key.startswith("adversary.") for key in states[0])
    for key, value in states[0].items():
        torch.testing.assert_close(value, states[1][key], msg=key)
    last = json.loads((tmp_path / "whole" / "log.jsonl").read_text().splitlines()[-1])
    assert 0 < last["train/told"] < 4
    export(tmp_path / "whole", "mine", tmp_path / "weights", notes="", force=False)
    weights = read_weights(tmp_path / "weights" / "mine")
    assert "adversary" not in weights.config["model"]
    kept = load_file(weights.folder / "model.safetensors")
    assert not any("adversary" in key for key in kept)
    torch.testing.assert_close(
        load_model(weights).decoder.state_dict()["head.bias"], states[0]["decoder.head.bias"]
    )


def test_without_one_nothing_changes() -> None:
    """The same weights at first, and the same loss."""
    tree = config()["model"]
    plain = {part: table for part, table in tree.items() if part != "adversary"}
    losses = []
    x = torch.from_numpy(voice(2560).samples)[None]
    for table in (tree, plain):
        torch.manual_seed(0)
        model = build(table)
        torch.manual_seed(0)
        terms = model.train()(x, reference=x)
        losses.append(terms.reconstruction)
        assert (terms.told is None) == (table is plain)
        assert model.eval()(x, reference=x).told is None
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": -1.0}, "weight"),
        ({"windows": []}, "windows"),
        ({"windows": [32]}, "windows"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_settings_that_do_not_fit(change: Tree, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(Config, {"weight": 0.1, "matching": 1.0, **change}, "adversary")


def test_pictures_have_none() -> None:
    table = {**tiny_config()["model"], "adversary": {"weight": 0.1, "matching": 1.0}}
    with pytest.raises(UsageError, match="only a decoder of kind 'istft'"):
        build(table)
