"""`vqcodec evaluate --babble`, as a user runs it, and what it sums up."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.test_commands import fails
from tests.helpers import Run, voice
from vqcodec.codec.sampling import SamplingParams
from vqcodec.codec.speech import SpeechCodec
from vqcodec.evaluate.journal import Measured, Record
from vqcodec.evaluate.unconditional.summary import summarise
from vqcodec.media.audio import Audio
from vqcodec.metrics import speechlike
from vqcodec.sampling.speech import CodelessSampler, SpeechSampler
from vqcodec.voice.pitch import median_pitch, pitch

EVALUATE = ("evaluate", "--model", "babbling", "--babble")
TINY = ("evaluate", "--model", "tiny")


@pytest.fixture
def data(tmp_path: Path, babbling_weights: Path) -> Path:
    for number, name in enumerate(("a.wav", "b.flac", "c.wav")):
        (tmp_path / "data").mkdir(exist_ok=True)
        voice(12_000 + 1600 * number, seed=number).save(tmp_path / "data" / name)
    return tmp_path / "data"


def test_babble_is_measured_beside_recordings(data: Path, run: Run, babbling_weights: Path) -> None:
    result = run(*EVALUATE, "2", data, "-o", "report", "--json")
    assert result.returncode == 0, result.stderr
    folder = data.parent / "report"
    tree = json.loads(result.stdout)
    assert json.loads((folder / "results.json").read_text(encoding="utf-8")) == tree
    kinds = ["recording", "vqcodec", "prior", "without-codes"]
    assert list(tree["sounds"]) == kinds
    rows = list(csv.DictReader(io.StringIO((folder / "results.csv").read_text())))
    assert [(r["recording"], r["sound"]) for r in rows] == [
        (name, kind) for name in ("a.wav", "b.flac") for kind in kinds
    ]
    assert [r["seed"] for r in rows] == ["", "", "0", "0", "", "", "1", "1"]
    # the second by hand: as long as the recording, and what `sample` draws
    codec = SpeechCodec.load(babbling_weights)
    audio = Audio.open(data / "b.flac")
    sounds = {
        "recording": audio,
        "vqcodec": codec.decode(codec.encode(audio)),
        "prior": SpeechSampler(codec).sample(0.85, SamplingParams(1))[0],
        "without-codes": CodelessSampler(codec).sample(0.85, SamplingParams(1))[0],
    }
    for row in rows[4:]:
        track = pitch(sounds[row["sound"]].samples[0])
        assert float(row["seconds"]) == 0.85
        assert float(row["voiced"]) == pytest.approx(100 * np.mean(~np.isnan(track)), abs=1e-3)
        f0 = median_pitch(track)
        assert row["f0"] == "" if f0 is None else float(row["f0"]) == pytest.approx(f0, rel=1e-3)
    voiced = [float(r["voiced"]) for r in rows if r["sound"] == "recording"]
    assert tree["sounds"]["recording"]["voiced"] == pytest.approx(np.mean(voiced), abs=1e-3)
    assert voiced[0] > 20
    page = (folder / "report.html").read_text(encoding="utf-8")
    text = re.search(r'id="data">(.*?)</script>', page)
    assert text
    (shown,) = (p["items"] for p in json.loads(text[1])["parts"] if p["kind"] == "sounds")
    assert [item["name"] for item in shown] == ["a.wav", "b.flac"]
    assert re.fullmatch(
        "babble of a WaveNet without codes, as (ann|Bob-2)", shown[1]["layers"][3]["label"]
    )
    again = run(*EVALUATE, "2", data, "-o", "report")
    assert again.returncode == 0 and b"babble of prior and decoder" in again.stdout
    fails(run(*EVALUATE, "1", data, "-o", "report"), 1, "another set of recordings")


def test_what_weights_lack_is_left_out(data: Path, run: Run) -> None:
    (data / "bad.wav").write_bytes(b"no sound")
    result = run("evaluate", "--model", "spoken", "--babble", "9", data, "-o", "r", "--json")
    assert result.returncode == 1 and b"1 of 4 inputs failed" in result.stderr
    tree = json.loads(result.stdout)
    assert list(tree["sounds"]) == ["recording", "vqcodec"]
    notes = " ".join(tree["evaluation"]["notes"])
    assert "babble of prior and decoder is left out: the weights 'spoken'" in notes
    assert "babble of a WaveNet without codes is left out" in notes
    assert "hold 4 recordings, not 9" in notes


def test_bad_requests(data: Path, run: Run) -> None:
    fails(run(*EVALUATE, "0", data, "-o", "r"), 2, "Invalid value for '--babble'")
    fails(run(*EVALUATE, "2", data, "-o", "r", "--phones"), 2, "--babble goes with")
    fails(run(*EVALUATE, "2", data, "-o", "r", "--voices", "ann"), 2, "--voices goes with")
    fails(run(*EVALUATE, "2", data / "none", "-o", "r"), 1, "no such file")
    fails(run(*TINY, "--babble", "1", data, "-o", "r"), 2, "--babble is for speech")


def test_means_are_of_what_is_known() -> None:
    def record(**kinds: dict[str, Any]) -> Record:
        measured = tuple(Measured(kind, 0, 0, {}, values) for kind, values in kinds.items())
        return Record("x", "x", 1, (1000,), (), {}, measured)

    records = [
        record(a={"f0": 100, "voiced": 40.0}, b={"f0": None, "voiced": 0.0}),
        record(a={"f0": 300, "voiced": 60.0}),
        record(a={"f0": 110, "voiced": None}),
    ]
    found = summarise(records, "a", speechlike.METRICS)
    assert (found["sounds"], found["f0"], found["voiced"]) == (3, 110, 50)
    low, high = found["intervals"]["voiced"]
    assert 40 <= low < 50 < high <= 60
    other = summarise(records, "b", speechlike.METRICS)
    assert (other["sounds"], other["f0"], other["voiced"]) == (1, None, 0)
    assert set(other["intervals"]) == {"voiced"}
