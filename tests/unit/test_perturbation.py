"""Crops that an encoder hears in disguise, and trainings that start from part of a model."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.helpers import tiny_speech_config, voice
from vqcodec.config import load_preset, override
from vqcodec.data.sources import find_sources
from vqcodec.errors import UsageError
from vqcodec.modality import AUDIO
from vqcodec.models.pretrained import read_state
from vqcodec.train.run import TrainingJob
from vqcodec.train.speech import perturbation as module
from vqcodec.train.speech.crops import SoundCrops
from vqcodec.train.speech.data import Sounds
from vqcodec.train.speech.perturbation import Perturbation, voices_in
from vqcodec.train.speech.task import train_speech
from vqcodec.voice.formants import cepstra_of
from vqcodec.voice.pitch import median_pitch, pitch
from vqcodec.voice.timbre import Timbre
from vqcodec.weights import read_weights

Signal = np.ndarray[tuple[int, ...], np.dtype[np.float32]]
CROP, FULL = 8192, np.float32(32768)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    for who in range(3):
        for number in range(2 if who else 1):
            path = folder / f"speaker{who}" / f"{number}.wav"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, voice(24_000, seed=10 * who + number).samples[0], 16000)
    return folder


@pytest.fixture(scope="module")
def sounds(folder: Path) -> Sounds:
    return Sounds(find_sources([folder], AUDIO))


def changes(disguise: Perturbation, crop: Signal, number: int = 30) -> Signal:
    """Return what disguises change cepstra by on average, (number, CEPSTRA)."""
    rng = np.random.default_rng(0)
    own = cepstra_of(crop).mean(0)
    return np.stack([cepstra_of(disguise.apply(crop, 0, rng)).mean(0) - own for _ in range(number)])


def test_a_disguise_changes_the_sound_and_keeps_pitch_and_time(sounds: Sounds) -> None:
    crop = sounds[0][4000 : 4000 + CROP].astype(np.float32) / FULL
    disguise = Perturbation(sounds, 1.25, 0.0, [])
    hidden = disguise.apply(crop, 0, np.random.default_rng(1))
    assert hidden.shape == crop.shape
    kept, wanted = median_pitch(pitch(hidden)), median_pitch(pitch(crop))
    assert kept and wanted and abs(np.log2(kept / wanted)) < 0.02
    assert np.abs(changes(disguise, crop)[:, 1:5]).mean() > 0.05
    again = disguise.apply(crop, 0, np.random.default_rng(1))
    np.testing.assert_array_equal(hidden, again)


def test_likened_crops_come_nearer_to_the_other_voice(sounds: Sounds) -> None:
    crop = sounds[0][4000 : 4000 + CROP].astype(np.float32) / FULL
    other = cepstra_of(sounds[4].astype(np.float32) / FULL)
    features = np.zeros((len(other), 48), np.float32)
    constant = Timbre(features, np.broadcast_to(other.mean(0), other.shape).copy())
    hidden = [
        cepstra_of(Perturbation(sounds, 1.0, share, [constant]).apply(crop, 0, rng))[:, 1:12].std(0)
        for share in (0.0, 1.0)
        for rng in [np.random.default_rng(0)]
    ]
    assert hidden[1].mean() < 0.5 * hidden[0].mean()  # that voice makes but one sound


def test_only_voices_of_whom_enough_was_heard_are_taken(
    folder: Path, sounds: Sounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = find_sources([folder], AUDIO)
    assert voices_in(sounds, sources) == []  # two minutes are asked for
    monkeypatch.setattr(module, "ENOUGH", 40_000)
    assert len(voices_in(sounds, sources)) == 2


def test_batches_hold_the_crop_and_its_disguise(sounds: Sounds) -> None:
    disguise = Perturbation(sounds, 1.25, 0.0, [])
    both = SoundCrops(sounds, 2, CROP, 9000, seed=3, disguise=disguise).batch(1)
    shapes = {name: rows.shape for name, rows in both.items()}
    assert shapes == {"x": (2, CROP), "source": (2, CROP), "reference": (2, 9000)}
    again = SoundCrops(sounds, 2, CROP, 9000, seed=3, disguise=disguise).batch(1)
    for name, rows in both.items():
        np.testing.assert_array_equal(rows, again[name])
    for crop, hidden in zip(both["x"] / 32768.0, both["source"] / 32768.0, strict=True):
        assert (crop != hidden).mean() > 0.5
        powers = [np.square(s.reshape(-1, 512)).mean(1) for s in (crop, hidden)]
        assert np.corrcoef(*powers)[0, 1] > 0.8


SMALL = ["train.steps=2", "train.batch_size=2", "train.crop_size=2560", "train.reference_size=4096"]
SMALL += ["train.evaluate_every=2", "train.warmup_steps=1"]


def test_a_training_starts_from_the_parts_that_are_built_alike(
    folder: Path, spoken_weights: Path, tmp_path: Path
) -> None:
    tree = override(tiny_speech_config(), [*SMALL, "train.learning_rate=0.0"])
    tree["train"] |= {"muon_learning_rate": 0.0, "weight_decay": 0.0}
    tree["train"] |= {"disguise": 1.2, "likened": 0.5}
    encoder = {**load_preset("speech-voice")["model"]["encoder"], "width": 8, "blocks": 1}
    tree["model"]["encoder"] = encoder | {"dim": tree["model"]["quantizer"]["dim"]}
    job = TrainingJob([folder], tmp_path / "run", tree, [folder / "speaker0"])
    train_speech(job, str(spoken_weights))
    from safetensors.torch import load_file

    trained = load_file(tmp_path / "run" / "checkpoint" / "average.safetensors")
    given = read_state(read_weights(spoken_weights))
    assert any(key.startswith("encoder.first") for key in trained)
    for key, value in given.items():
        if key.startswith(("decoder.", "speaker.")):
            torch.testing.assert_close(trained[key], value, rtol=1e-3, atol=1e-4)
    codebook = next(key for key in given if key.startswith("quantizer.") and given[key].ndim == 2)
    assert (trained[codebook] - given[codebook]).abs().max() > 0.01  # found anew by k-means


def test_a_training_from_nothing_alike_is_refused(
    folder: Path, spoken_weights: Path, tmp_path: Path
) -> None:
    tree = override(tiny_speech_config(), SMALL)
    model = tree["model"]
    model["encoder"]["widths"] = [n + 2 for n in model["encoder"]["widths"]]
    model["decoder"]["width"] += 2
    model["conditioner"]["width"] += 2
    job = TrainingJob([folder], tmp_path / "run", tree, [folder / "speaker0"])
    with pytest.raises(UsageError, match="another shape in every part"):
        train_speech(job, str(spoken_weights))
