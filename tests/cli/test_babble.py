"""Speech drawn from a prior on the command line."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.cli.test_commands import fails, names
from tests.helpers import Run
from vqcodec import Codes
from vqcodec.files.contents import MediaInfo
from vqcodec.media.audio import Audio
from vqcodec.pretrained import load_sampling_prior, prior_bytes, write_part
from vqcodec.speech import SpeechCodec
from vqcodec.voices import voices_of
from vqcodec.vqvae import build_prior
from vqcodec.weights import SAMPLING_PRIOR, read_weights

PRIOR = {
    "kind": "pixelcnn",
    "codebook_size": 32,
    "width": 8,
    "dilations": [1, 2],
    "embedding": 4,
    "first": [0, 3],
    "kernel": [0, 1],
    "reach": 0,
}


@pytest.fixture
def weights(named_weights: Path, tmp_path: Path) -> Path:
    """The model of `named` with a prior on maps of one row, which says more than nothing."""
    folder = tmp_path / "babbling"
    shutil.copytree(named_weights, folder)
    found = read_weights(folder)
    torch.manual_seed(3)
    prior = build_prior(PRIOR)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    name, data = prior_bytes(prior)
    assert name == SAMPLING_PRIOR
    table = {"codebook_id": found.codebook_id.hex(), "prior": PRIOR}
    write_part(found, table, name, data, force=False)
    return folder


def test_codes_are_drawn_from_the_prior_and_decoded(weights: Path, run: Run) -> None:
    root = weights.parent
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
    media = MediaInfo(
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
    fails(run(*sample, "-o", "a.wav"), 1, "a.wav: exists already")
    piped = run(*sample, "--speaker", "ann", "-o", "-")
    assert piped.stdout == (root / "a.wav").read_bytes()


def test_speakers_are_drawn_by_the_seed(weights: Path, run: Run) -> None:
    found = set()
    for seed in range(8):
        result = run(
            "sample", "--model", weights, "--seconds", "0.1", "--seed", str(seed),
            "-o", f"{seed}.flac", "--json",
        )  # fmt: skip
        facts = json.loads(result.stdout)
        assert facts["duration"] == 0.1 and facts["speaker"] in facts["comment"]
        found.add(facts["speaker"])
    assert found == {"ann", "Bob-2"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--model", "babbling", "-n", "2"], 2, "--number and --size are for pictures"),
        (["--model", "babbling", "--size", "8x8"], 2, "--number and --size are for pictures"),
        (["--model", "babbling", "--seconds", "0"], 2, "0.0 seconds; must be 0.1 to 3600"),
        (["--model", "babbling", "--seconds", "nan"], 2, "nan seconds"),
        (["--model", "babbling", "--speaker", "an"], 2, "did you mean ann?"),
        (["--model", "babbling", "--temperature", "0"], 2, "temperature is 0"),
        (["--model", "tiny", "--seconds", "2"], 2, "--seconds and --speaker are for speech"),
        (["--model", "named"], 1, "has no sampling prior"),
    ],
)
def test_what_is_refused(
    weights: Path, run: Run, arguments: list[str], code: int, words: str
) -> None:
    before = names(weights.parent)
    fails(run("sample", "-o", "x.wav", *arguments), code, words)
    assert names(weights.parent) == before
    fails(run("sample", "-o", "x.png", "--model", "babbling"), 2, "no sound format '.png'")
