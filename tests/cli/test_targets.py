"""What weights tell of the voices that they name."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from tests.cli.test_commands import fails
from tests.helpers import Run, voice
from vqcodec import Audio
from vqcodec.codec.convert import Target, convert, named
from vqcodec.codec.speech import SpeechCodec
from vqcodec.errors import WeightsError
from vqcodec.voice.named import timbre_of
from vqcodec.voice.timbre import EnvelopeTransfer, Timbre
from vqcodec.weights import CONFIG, TIMBRES, read_weights


@pytest.fixture
def heard_weights(named_weights: Path, tmp_path: Path) -> Path:
    """The model of `named` as `heard`, which tells how ann sounds."""
    folder = tmp_path / "weights" / "heard"
    shutil.copytree(named_weights, folder)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    text = json.dumps({**config, "name": "heard"})
    (folder / CONFIG).write_text(text, encoding="utf-8")
    ann = Timbre.heard([voice(40_000, seed=8).samples[0]])
    sounds = {"ann.features": ann.features, "ann.cepstra": ann.cepstra}
    give_sounds(folder, safetensors.numpy.save(sounds))
    return folder


def give_sounds(folder: Path, data: bytes) -> None:
    (folder / TIMBRES).write_bytes(data)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    files = {**config["files"], TIMBRES: hashlib.sha256(data).hexdigest()}
    (folder / CONFIG).write_text(json.dumps({**config, "files": files}), encoding="utf-8")


def converted(codec: SpeechCodec, audio: Audio, target: Target) -> "np.typing.NDArray[np.float32]":
    return np.concatenate(list(convert(codec, audio.blocks(4000), 1, 16_000, target)), axis=1)


def test_the_sounds_of_a_named_voice_are_taken(
    heard_weights: Path, named_weights: Path, tmp_path: Path, run: Run
) -> None:
    voice(30_000).save(tmp_path / "talk.wav")
    talk = Audio.open(tmp_path / "talk.wav")
    codec = SpeechCodec.load(heard_weights)
    target = named(codec, "ann")
    plain = named(SpeechCodec.load(named_weights), "ann")
    assert (target.vector, target.pitch) == (plain.vector, plain.pitch) == (target.vector, None)
    assert plain.timbre is None and not plain.needs_sound and target.needs_sound
    assert named(codec, "Bob-2").timbre is None
    sounds = safetensors.numpy.load((heard_weights / TIMBRES).read_bytes())
    by_hand = Timbre(sounds["ann.features"], sounds["ann.cepstra"])
    wanted = converted(codec, talk, Target(target.vector, None, by_hand))
    model = ("--model", heard_weights)
    assert run("convert-voice", "talk.wav", "--speaker", "ann", *model).returncode == 0
    found = Audio.open(tmp_path / "talk.ann.wav").samples
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    nearer = EnvelopeTransfer(by_hand, coarsely=True).apply(talk.samples[0])
    decoded = converted(codec, Audio(nearer[None], 16_000), plain)
    assert np.abs(wanted - decoded).max() > 0.01
    np.testing.assert_allclose(wanted[0], EnvelopeTransfer(by_hand).apply(decoded[0]), atol=1e-6)


def test_damaged_sounds_are_a_sentence(heard_weights: Path, tmp_path: Path, run: Run) -> None:
    voice(9000).save(tmp_path / "talk.wav")
    asked = ("convert-voice", "talk.wav", "--speaker", "ann", "--model", heard_weights)
    sounds = heard_weights / TIMBRES
    whole = sounds.read_bytes()
    good = safetensors.numpy.load(whole)
    sounds.write_bytes(whole[:-1])
    fails(run(*asked), 1, "damaged, its SHA-256")
    lacking = safetensors.numpy.save({"ann.features": good["ann.features"]})
    narrow = safetensors.numpy.save({**good, "ann.cepstra": good["ann.cepstra"][:, :7]})
    wild = safetensors.numpy.save({**good, "ann.cepstra": good["ann.cepstra"] * np.inf})
    for data in (b"", whole[:-9], lacking, narrow, wild):
        give_sounds(heard_weights, data)
        fails(run(*asked), 1, f"{TIMBRES}: not the sounds of voices")
    sounds.unlink()
    fails(run(*asked), 1, f"incomplete, it lacks {TIMBRES}")
    assert not (tmp_path / "talk.ann.wav").exists()


def test_weights_share_the_sounds_of_voices(
    heard_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = heard_weights.parent / "overheard"
    shutil.copytree(heard_weights, other)
    (other / TIMBRES).unlink()
    weights = read_weights(other)
    with pytest.raises(WeightsError, match=f"incomplete, it lacks {TIMBRES}"):
        timbre_of(weights, "ann")
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(heard_weights.parent))
    found, own = timbre_of(weights, "ann"), timbre_of(read_weights(heard_weights), "ann")
    assert found is not None and own is not None
    np.testing.assert_array_equal(found.cepstra, own.cepstra)
    # others of the same name are not taken for them
    sounds = safetensors.numpy.load((heard_weights / TIMBRES).read_bytes())
    give_sounds(heard_weights, safetensors.numpy.save({k: -v for k, v in sounds.items()}))
    with pytest.raises(WeightsError, match=f"incomplete, it lacks {TIMBRES}"):
        timbre_of(weights, "ann")
