"""Training on speech: data, one run, its export."""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from tests.helpers import Run, tiny_speech_config, voice
from vqcodec import Codes
from vqcodec.codec.speech import SpeechCodec
from vqcodec.config import override
from vqcodec.data.sources import find_sources
from vqcodec.errors import TrainingError
from vqcodec.evaluate.bits import CODING, BitMeter
from vqcodec.files.vqc import is_stream
from vqcodec.media.audio import Audio
from vqcodec.modality import AUDIO
from vqcodec.models.pretrained import load_decoder, load_wavenet_alone
from vqcodec.train.run import TrainingJob
from vqcodec.train.speech.codes import encode_sounds
from vqcodec.train.speech.crops import SoundCrops
from vqcodec.train.speech.data import Sounds, middles
from vqcodec.train.speech.task import train_speech
from vqcodec.train.speech.voices import read_table
from vqcodec.voice.named import timbre_of
from vqcodec.weights import read_weights

SMALL = ["train.steps=6", "train.batch_size=2", "train.crop_size=2560", "train.reference_size=4096"]
SMALL += ["train.evaluate_every=3", "train.restart_every=3", "train.warmup_steps=1"]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recordings")
    for i, rate in enumerate((16000, 22050, 16000)):
        path = folder / f"speaker{i}" / "one.wav"
        path.parent.mkdir()
        soundfile.write(path, voice(2 * rate, rate, seed=i).samples[0], rate)
    stereo = voice(9000, channels=2).samples.T
    soundfile.write(folder / "speaker0" / "two.flac", stereo, 16000)
    (folder / "speaker0" / "broken.wav").write_bytes(b"no sound")
    soundfile.write(folder / "speaker2" / "empty.wav", np.zeros(0, np.float32), 16000)
    return folder


def test_sounds_are_mono_at_16_khz_from_folders_and_tars(recordings: Path, tmp_path: Path) -> None:
    sounds = Sounds(find_sources([recordings], AUDIO))
    assert sounds.names == ["speaker0/one.wav", "speaker0/two.flac", *_others()]
    assert sounds.lengths == [32000, 9000, 32000, 32000]
    assert len(sounds.skipped) == 2
    with tarfile.open(tmp_path / "all.tar", "w") as tar:
        tar.add(recordings, arcname=".")
    again = Sounds(find_sources([tmp_path / "all.tar"], AUDIO))
    assert sorted(again.lengths) == sorted(sounds.lengths)


def _others() -> list[str]:
    return ["speaker1/one.wav", "speaker2/one.wav"]


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"no sound")
    with pytest.raises(TrainingError, match=r"none of the 1 recordings.*a\.wav"):
        Sounds(find_sources([tmp_path], AUDIO))


def test_crops_are_a_function_of_seed_and_step(recordings: Path) -> None:
    sounds = Sounds(find_sources([recordings], AUDIO))
    crops = SoundCrops(sounds, 3, 2048, 12000, seed=1)
    batch = crops.batch(5)
    shapes = {name: (rows.shape, rows.dtype.name) for name, rows in batch.items()}
    assert shapes == {"x": ((3, 2048), "int16"), "reference": ((3, 12000), "int16")}
    again = SoundCrops(sounds, 3, 2048, 12000, seed=1).batch(5)
    for name, rows in batch.items():
        np.testing.assert_array_equal(rows, again[name])
        assert (rows != crops.batch(6)[name]).any()
    assert middles(sounds, 12000).shape == (4, 12000)  # one recording is shorter


def test_a_run_exports_weights_that_decode(recordings: Path, tmp_path: Path, run: Run) -> None:
    config = override(tiny_speech_config(), SMALL)
    job = TrainingJob([recordings], tmp_path / "run", config, [recordings / "speaker1"])
    progress = train_speech(job)
    assert progress.step == 6
    assert {"mel_distance", "perplexity", "usage"} <= set(progress.figures)
    (recordings / "manifest.csv").write_text("path,speaker\nspeaker0/two.flac,anna\n")
    about = "F,made up,CC0 1.0,is no person\n"
    table = f"speaker,gender,corpus,licence,consent\nspeaker0,{about}anna,{about}"
    (tmp_path / "speakers.csv").write_text(table)
    done = run("export", "run", "mine", "-o", "weights", "--speakers", "speakers.csv")
    assert done.returncode == 0, done.stderr.decode()
    described = json.loads((tmp_path / "weights" / "mine" / "config.json").read_text())
    assert described["modality"] == "audio"
    assert list(described["speakers"]) == ["speaker0", "anna"]
    for speaker, samples in zip(described["speakers"].values(), (32000, 9000), strict=True):
        assert speaker["gender"] == "F"
        assert speaker["minutes"] == round(samples / 16000 / 60, 1)
        assert len(speaker["vector"]) == 4 and all(-127 <= n <= 127 for n in speaker["vector"])
    weights = read_weights(tmp_path / "weights" / "mine")
    sounds = timbre_of(weights, "speaker0")
    assert sounds is not None and 100 < len(sounds.features) < 32000 // 128 + 4
    assert timbre_of(weights, "anna") is None  # of 0.56 s
    card = (tmp_path / "weights" / "mine" / "README.md").read_text()
    assert "mel distance" in card
    assert "PSNR" not in card  # that is for pictures


def test_a_decoder_learns_frozen_codes_and_joins_the_codec(
    recordings: Path, spoken_weights: Path, tmp_path: Path, run: Run
) -> None:
    shutil.copytree(spoken_weights, tmp_path / "weights" / "spoken")
    small = ["steps=4", "batch_size=2", "crop_size=2560", "evaluate_every=2", "warmup_steps=1"]
    decoder = ["dim=4", "cond_dim=4", "width=12", "blocks=1", "layers=4", "cycle=3"]
    decoder += ["residual=8", "skip=8", "hidden=8"]
    settings = [f"train.{s}" for s in small] + [f"decoder.{s}" for s in decoder]
    done = run(
        *("train", "speech", recordings, "-o", "run", "--stage", "decoder"),
        *("--codec", tmp_path / "weights" / "spoken", "--held-out", recordings / "speaker1"),
        *(part for s in settings for part in ("--set", s)),
    )
    assert done.returncode == 0, done.stderr.decode()
    assert b"bits_per_sample" in done.stderr
    done = run("export", "run", "spoken", "-o", "weights")
    assert done.returncode == 0, done.stderr.decode()
    weights = read_weights(tmp_path / "weights" / "spoken")
    loaded = load_decoder(weights)
    trained = load_file(tmp_path / "run" / "checkpoint" / "average.safetensors")
    torch.testing.assert_close(
        loaded.state_dict()["out"], trained["decoder.out"], rtol=1e-3, atol=1e-5
    )
    assert "## WaveNet decoder" in (weights.folder / "README.md").read_text()
    done = run("export", "run", "spoken", "-o", "weights")
    assert done.returncode == 1  # never a silent overwrite
    # the same that hears no codes becomes another part
    done = run(
        *("train", "speech", recordings, "-o", "alone", "--stage", "decoder"),
        *("--codec", tmp_path / "weights" / "spoken", "--held-out", recordings / "speaker1"),
        *("--preset", "wavenet-alone", "--set", "decoder.width=8"),
        *(part for s in settings if "width" not in s for part in ("--set", s)),
    )
    assert done.returncode == 0, done.stderr.decode()
    done = run("export", "alone", "spoken", "-o", "weights")
    assert done.returncode == 0, done.stderr.decode()
    weights = read_weights(tmp_path / "weights" / "spoken")
    alone = load_wavenet_alone(weights)
    assert not alone.config.codes
    trained = load_file(tmp_path / "alone" / "checkpoint" / "average.safetensors")
    torch.testing.assert_close(
        alone.state_dict()["out"], trained["decoder.out"], rtol=1e-3, atol=1e-5
    )
    torch.testing.assert_close(load_decoder(weights).state_dict(), loaded.state_dict())
    card = (weights.folder / "README.md").read_text()
    assert "## WaveNet decoder" in card and "## WaveNet without codes" in card


def test_a_prior_learns_codes_and_makes_files_smaller(
    recordings: Path,
    spoken_weights: Path,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = tmp_path / "weights" / "spoken"
    shutil.copytree(spoken_weights, weights)
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(weights.parent))
    small = ["train.steps=60", "train.batch_size=4", "train.crop_size=100", "prior.units=16"]
    small += ["train.evaluate_every=30", "train.warmup_steps=2", "train.learning_rate=0.02"]
    small += ["train.muon_learning_rate=0.02", "prior.blocks=2", "prior.dilations=[1, 2]"]
    command = [
        *("train", "prior", recordings, "-o", "run", "--codec", "spoken"),
        *("--held-out", recordings / "speaker1", "--preset"),
    ]
    changed = [part for s in small for part in ("--set", s)]
    done = run(*command, "prior-coding-speech", *changed)
    assert done.returncode == 0, done.stderr.decode()
    logged = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    first, last = (json.loads(line) for line in logged)
    assert last["held_out/bits_per_index"] < first["held_out/bits_per_index"] < 5  # K is 32
    rate = last["held_out/bits_per_second"] / last["held_out/bits_per_index"]
    assert rate == pytest.approx(16000 / SpeechCodec.load("spoken").stride, rel=1e-4)
    again = run(*command, "prior-coding-speech", *changed)
    assert b"was finished already" in again.stdout
    assert b"preset is for other codes" in run(*command, "prior-image").stderr
    assert run("export", "run", "spoken", "-o", "weights").returncode == 0
    voice(40_000, channels=2, seed=7).save(tmp_path / "a.wav")
    for name, *flags in (("coded.vqc",), ("packed.vqc", "--no-prior")):
        assert run("encode", "a.wav", "-o", name, "--model", "spoken", *flags).returncode == 0
    coded, packed = (tmp_path / f"{n}.vqc" for n in ("coded", "packed"))
    assert coded.stat().st_size < packed.stat().st_size
    assert Codes.load(coded) == Codes.load(packed)
    piped = run(
        "encode", "-", "-o", "-", "--model", "spoken", stdin=(tmp_path / "a.wav").read_bytes()
    )
    assert is_stream(piped.stdout)  # which stays packed
    held_out = Sounds(find_sources([recordings / "speaker1"], AUDIO))
    assert len(held_out) == 1
    codec = SpeechCodec.load("spoken")
    samples = held_out[0].astype(np.float32)[None] / np.float32(32768)
    codes = codec.encode(Audio(samples, 16000))
    (bits,) = BitMeter(codec).measure(codes)[CODING]
    size = codes.grids[0].size
    # what training saw in floating point, files take in integers
    assert bits / size == pytest.approx(last["held_out/bits_per_index"], rel=0.005)


def test_codes_of_a_recording_lie_beside_their_samples(spoken_weights: Path) -> None:
    codec = SpeechCodec.load(spoken_weights)
    audio = voice(64 * 100 + 5)
    sounds = [np.round(audio.samples[0] * 32767).astype(np.int16) for _ in range(2)]
    coded = encode_sounds(codec, sounds)  # type: ignore[arg-type]
    assert list(coded.ends) == [101, 202]
    codes = codec.encode(Audio(sounds[0].astype(np.float32)[None] / 32768, 16000))
    np.testing.assert_array_equal(coded.indices[:, 101:], codes.grids[0])
    louder = sounds[1] * 10 ** (codes.audio.level / 20)
    np.testing.assert_allclose(coded.samples[101 * 64 :][:6405], louder.clip(-32767, 32767), atol=2)
    assert coded.samples[101 * 64 + 6405 :].max() == 0


def test_a_table_of_speakers_must_fit_the_run(tmp_path: Path) -> None:
    path = tmp_path / "speakers.csv"
    path.write_text("speaker,gender\nanna,F\n")
    with pytest.raises(TrainingError, match="needs 1 to 1000 rows with speaker, gender, corpus"):
        read_table(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(TrainingError, match="cannot be read"):
        read_table(path)
