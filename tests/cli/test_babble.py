"""Speech drawn from a prior on the command line."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.cli.test_commands import fails, names
from tests.helpers import Run
from vqcodec import Codes
from vqcodec.codec.sampling import SamplingParams
from vqcodec.codec.speech import SpeechCodec
from vqcodec.files.contents import AudioInfo
from vqcodec.media.audio import Audio
from vqcodec.models.generation.chunks import generate
from vqcodec.models.pretrained import load_sampling_prior, load_wavenet_alone
from vqcodec.voice.named import voices_of
from vqcodec.weights import read_weights


def test_codes_are_drawn_from_the_prior_and_decoded(
    babbling_weights: Path, tmp_path: Path, run: Run
) -> None:
    root, weights = tmp_path, babbling_weights
    sample = ("sample", "--model", weights, "--seconds", "0.5", "--seed", "4")
    result = run(*sample, "--speaker", "ann", "-o", "a.wav")
    assert result.returncode == 0, result.stderr
    assert b"0.50 s of babble" in result.stdout and b"no words" in result.stdout
    label = "synthetic: babble drawn by vqcodec in the voice of ann"
    with soundfile.SoundFile(root / "a.wav") as sound:
        assert (sound.comment, sound.samplerate, sound.frames) == (label, 16_000, 8000)
    found = read_weights(weights)
    with torch.inference_mode():
        (drawn,) = load_sampling_prior(found).sample(
            ((1, 1, 125),), generator=torch.Generator().manual_seed(4)
        )
    media = AudioInfo(
        (1, 8000), (1, 8000), sample_rate=16_000, speaker=voices_of(found)["ann"].vector
    )
    grid = drawn[0].numpy().astype(np.uint16)
    assert len(np.unique(grid)) > 5
    codes = Codes((grid,), (32,), "ct", found.name, found.codebook_id, media)
    codec = SpeechCodec.load(weights)
    wanted = codec.decode(codes).samples
    np.testing.assert_allclose(Audio.open(root / "a.wav").samples, wanted, atol=1e-4)
    other = codec.decode(replace(codes, media=replace(media, speaker=bytes(4)))).samples
    assert np.abs(other - wanted).max() > 1e-3
    again = run(*sample, "--speaker", "ann", "--decoder", "wavenet", "-o", "b.wav")
    assert again.returncode == 0, again.stderr
    drawn_again = codec.decode(codes, drawing=SamplingParams(4)).samples
    np.testing.assert_allclose(Audio.open(root / "b.wav").samples, drawn_again, atol=1e-4)
    fails(run(*sample, "-o", "a.wav"), 1, "a.wav: exists already")
    piped = run(*sample, "--speaker", "ann", "-o", "-")
    assert piped.stdout == (root / "a.wav").read_bytes()


def test_the_wavenet_without_codes_babbles_in_a_voice(
    babbling_weights: Path, tmp_path: Path, run: Run
) -> None:
    sample = ("sample", "--model", "babbling", "--without-codes", "--seconds", "0.3")
    result = run(*sample, "--seed", "4", "--temperature", "0.9", "--speaker", "ann", "-o", "a.wav")
    assert result.returncode == 0, result.stderr
    assert b"0.30 s of babble (drawn from a WaveNet without codes" in result.stdout
    label = "synthetic: babble of a WaveNet without codes, drawn by vqcodec in the voice of ann"
    with soundfile.SoundFile(tmp_path / "a.wav") as sound:
        assert (sound.comment, sound.samplerate, sound.frames) == (label, 16_000, 4800)
    alone, vector = load_wavenet_alone(read_weights(babbling_weights)), [90, -70, 127, -128]
    wanted = generate(
        alone,
        torch.ones(4, 75),
        torch.tensor(vector) / 127,
        seed=4,
        temperature=0.9,
        length=160_000,
    )
    found = Audio.open(tmp_path / "a.wav").samples[0]
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert 0.01 < np.abs(found).mean() < 0.5
    for number, change in enumerate((("--seed", "5"), ("--speaker", "Bob-2"))):
        other = run(*sample, "--seed", "4", "--speaker", "ann", *change, "-o", f"{number}.wav")
        assert other.returncode == 0, other.stderr
        assert np.abs(Audio.open(tmp_path / f"{number}.wav").samples - found).max() > 0.01


def test_speakers_are_drawn_by_the_seed(babbling_weights: Path, run: Run) -> None:
    found = set()
    for seed in range(8):
        result = run(
            "sample", "--model", "babbling", "--seconds", "0.1", "--seed", str(seed),
            "-o", f"{seed}.flac", "--json",
        )  # fmt: skip
        facts = json.loads(result.stdout)
        assert facts["duration"] == 0.1 and facts["speaker"] in facts["comment"]
        found.add(facts["speaker"])
    assert found == {"ann", "Bob-2"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--model", "babbling", "-n", "2"], 2, "--number is for pictures"),
        (
            ["--model", "babbling", "--size", "8x8"],
            2,
            "--size is for pictures and videos, and babbling",
        ),
        (["--model", "babbling", "--seconds", "0"], 2, "0.0 seconds; must be 0.1 to 3600"),
        (["--model", "babbling", "--seconds", "nan"], 2, "nan seconds"),
        (["--model", "babbling", "--speaker", "an"], 2, "did you mean ann?"),
        (["--model", "babbling", "--temperature", "0"], 2, "temperature is 0"),
        (
            ["--model", "tiny", "--seconds", "2"],
            2,
            "--seconds is for speech, and tiny",
        ),
        (["--model", "named"], 1, "has no sampling prior"),
        (["--model", "named", "--without-codes"], 1, "--preset wavenet-alone --codec named"),
        (["--model", "babbling", "--without-codes", "--top-k", "3"], 2, "draws no codes"),
        (["--model", "babbling", "--without-codes", "--decoder", "wavenet"], 2, "draws no codes"),
        (["--model", "babbling", "--without-codes", "--temperature", "3"], 2, "0.05 to 2"),
        (["--model", "babbling", "--without-codes", "--seconds", "4000"], 2, "0.1 to 3600"),
        (["--model", "babbling", "--without-codes", "--speaker", "an"], 2, "did you mean ann?"),
        (["--model", "babbling", "--decoder", "slow"], 2, "there are: fast, wavenet"),
        (["--model", "tiny", "--without-codes"], 2, "--without-codes is for speech"),
        (["--model", "tiny", "--decoder", "wavenet"], 2, "--decoder is for speech"),
    ],
)
def test_what_is_refused(
    babbling_weights: Path,
    tmp_path: Path,
    run: Run,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    before = names(tmp_path)
    fails(run("sample", "-o", "x.wav", *arguments), code, words)
    assert names(tmp_path) == before
    fails(run("sample", "-o", "x.png", "--model", "babbling"), 2, "no sound format '.png'")
