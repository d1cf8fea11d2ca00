"""`vqcodec evaluate --voices`, as a user runs it, and what it sums up."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.test_commands import fails
from tests.helpers import Run, voice
from vqcodec.codec.convert import Target, convert
from vqcodec.codec.speech import SpeechCodec
from vqcodec.evaluate.conversion import study as conversion
from vqcodec.evaluate.conversion.summary import Pairs
from vqcodec.evaluate.conversion.voices import cepstral_distance
from vqcodec.evaluate.journal import OURS, Measured, Record
from vqcodec.media.audio import Audio
from vqcodec.voice.named import voices_of
from vqcodec.voice.pitch import median_pitch, pitch

EVALUATE = ("evaluate", "--model", "named", "--voices")
TINY = ("evaluate", "--model", "tiny")


@pytest.fixture(autouse=True, scope="module")
def own_metrics() -> Iterator[None]:
    """Measure with what needs no packages: those take a minute to load."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "PACKAGED", ())
        yield


@pytest.fixture
def data(tmp_path: Path, named_weights: Path) -> Path:
    """Recordings of the two speakers of `named` and of another; two of one sentence."""
    for number, name in enumerate(("ann/one.wav", "Bob-2/two.wav", "cy/one.flac", "cy/x.flac")):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        voice(20_000, seed=number).save(path)
    manifest = "path,text\nann/one.wav,One!\ncy/one.flac,one\n"
    (tmp_path / "data" / "manifest.csv").write_text(manifest)
    return tmp_path / "data"


def test_everybody_is_converted_to_every_other(data: Path, run: Run, named_weights: Path) -> None:
    result = run(*EVALUATE, "ann,Bob-2", data, "-o", "report", "--json")
    assert result.returncode == 0, result.stderr
    folder = data.parent / "report"
    tree = json.loads(result.stdout)
    assert json.loads((folder / "results.json").read_text(encoding="utf-8")) == tree
    rows = list(csv.DictReader(io.StringIO((folder / "results.csv").read_text())))
    pairs = {(r["recording"], r["target"]): r for r in rows}
    assert set(pairs) == {
        *((n, "") for n in ("ann/one.wav", "Bob-2/two.wav", "cy/one.flac", "cy/x.flac")),
        ("ann/one.wav", "Bob-2"), ("Bob-2/two.wav", "ann"),
        ("cy/one.flac", "ann"), ("cy/one.flac", "Bob-2"), ("cy/x.flac", "ann"),
        ("cy/x.flac", "Bob-2"),
    }  # fmt: skip
    assert tree["overall"]["pairs"] == 6
    assert [tree["targets"][n]["pairs"] for n in ("ann", "Bob-2")] == [3, 3]
    # one pair by hand: the one with a parallel reading
    codec = SpeechCodec.load(named_weights)
    source = Audio.open(data / "cy" / "one.flac")
    vector = voices_of(codec.weights)["ann"].vector
    blocks = convert(codec, source.blocks(4000), 1, 16_000, Target(vector))
    said = np.concatenate(list(blocks), 1)[0]
    own = Audio.open(data / "ann" / "one.wav").samples[0]
    found = pairs["cy/one.flac", "ann"]
    assert float(found["mcd"]) == pytest.approx(cepstral_distance(said, own), abs=1e-3)
    before = cepstral_distance(source.samples[0], own)
    assert float(found["mcd-source"]) == pytest.approx(before, abs=1e-5)
    frequency = median_pitch(pitch(said))
    assert (
        found["f0"] == ""
        if frequency is None
        else float(found["f0"]) == pytest.approx(frequency, rel=1e-3)
    )
    assert pairs["cy/x.flac", "ann"]["mcd"] == ""
    assert tree["overall"]["mcd"] == pytest.approx(float(found["mcd"]), abs=1e-3)
    assert tree["targets"]["ann"]["own-f0"] == pytest.approx(median_pitch(pitch(own)), abs=0.1)
    assert tree["targets"]["Bob-2"]["mcd"] is None
    page = (folder / "report.html").read_text(encoding="utf-8")
    text = re.search(r'id="data">(.*?)</script>', page)
    assert text
    voices, gallery = (p["items"] for p in json.loads(text[1])["parts"] if p["kind"] == "sounds")
    assert [layer["label"] for layer in voices[0]["layers"]] == ["ann", "Bob-2"]
    (cy,) = (g for g in gallery if g["name"] == "cy/one.flac")
    assert [layer["label"] for layer in cy["layers"]] == [
        "source", "reconstruction", "ann", "Bob-2"
    ]  # fmt: skip
    assert (cy["facts"], cy["text"]) == ("cy · 1.2 s", "one")
    again = run(*EVALUATE, "ann,Bob-2", data, "-o", "report")
    assert again.returncode == 0 and b"6 pairs" in again.stdout and b"MCD" in again.stdout
    fails(run(*EVALUATE, "ann", data, "-o", "report"), 1, "another set of speakers")


def test_bad_requests(data: Path, run: Run) -> None:
    fails(run(*EVALUATE, "", data, "-o", "r"), 2, "--voices takes names")
    fails(run(*EVALUATE, "anne", data, "-o", "r"), 2, "did you mean ann?")
    fails(run(*EVALUATE, "ann", data, "-o", "r", "--phones"), 2, "--voices goes with")
    fails(run(*EVALUATE, "ann", data / "cy", "-o", "r"), 1, "no recordings of 'ann'")
    fails(run(*EVALUATE, "ann", data / "ann", "-o", "r"), 1, "no recordings of others")
    fails(run(*EVALUATE, "ann", data / "ann" / "one.wav", "-o", "r"), 1, "no recordings of others")
    fails(run(*TINY, "--voices", "x", data, "-o", "r"), 2, "--voices is for speech")
    fails(run("evaluate", "--model", "spoken", "--voices", "x", data, "-o", "r"), 1, "name no")
    (data / "cy" / "bad.wav").write_bytes(b"no sound")
    result = run(*EVALUATE, "ann", data, "-o", "r")
    assert result.returncode == 1 and b"1 of 4 inputs failed" in result.stderr


def test_means_and_shares_are_of_pairs() -> None:
    def record(name: str, **pairs: dict[str, float | None]) -> Record:
        measured = [Measured(OURS, 0, 0, {}, {"cer": 0.5})]
        measured += [Measured(target, 0, 0, {}, values) for target, values in pairs.items()]
        return Record(name, name, 1, (1000,), (), {}, tuple(measured))

    def near(target: float, source: float, f0: float | None) -> dict[str, Any]:
        return {"similarity-target": target, "similarity-source": source, "f0": f0}

    records = [
        record("one", a=near(0.8, 0.5, 100), b=near(0.4, 0.5, 200)),
        record("two", a=near(0.6, 0.5, 110)),
        record("three", a=near(0.7, 0.9, None), b=near(0.9, 0.5, 210)),
    ]
    pairs = Pairs.collect(records, ["a", "b"])
    overall, a = pairs.overall(), pairs.by_target()["a"]
    assert (overall["pairs"], overall["share"]) == (5, 0.6)
    assert overall["similarity-target"] == pytest.approx(0.68)
    assert (overall["f0"], overall["cer"]) == (155, None)
    assert (a["pairs"], a["f0"]) == (3, 105)
    assert a["share"] == pytest.approx(2 / 3, abs=1e-4)
    low, high = overall["intervals"]["similarity-target"]
    assert 0.6 <= low < 0.68 < high <= 0.8
    assert pairs.reconstruction() == {"pairs": 3, "cer": 0.5}
