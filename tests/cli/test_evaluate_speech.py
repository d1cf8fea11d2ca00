"""`vqcodec evaluate` on speech, as a user runs it."""

import base64
import csv
import io
import json
import re
import shutil
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.cli.test_commands import fails
from tests.helpers import Run, voice
from vqcodec.codec.sampling import SamplingParams
from vqcodec.codec.speech import SpeechCodec
from vqcodec.evaluate.journal import RECORDINGS
from vqcodec.evaluate.speech.study import SpeechStudy
from vqcodec.media.audio import Audio
from vqcodec.metrics import dnsmos, recogniser, similarity
from vqcodec.metrics import speech as quality
from vqcodec.metrics.alignment import align
from vqcodec.metrics.basic import perplexity
from vqcodec.metrics.spectra import log_mel_distance

ALL = quality.METRICS
EVALUATE = ("evaluate", "--model", "spoken", "--against", "")


@pytest.fixture(autouse=True, scope="module")
def own_metrics() -> Iterator[None]:
    """Measure with what needs no packages: those take a minute to load."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality, "METRICS", (quality.MEL, quality.PITCH))
        yield


@pytest.fixture(scope="module")
def measured(spoken_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with recordings, `speech`, and their `report`.

    Three: one of them short, one in stereo at another rate, in a tar.
    """
    root = tmp_path_factory.mktemp("evaluated")
    folder = root / "speech"
    (folder / "ann").mkdir(parents=True)
    voice(24_000).save(folder / "ann" / "a.wav")
    voice(3_000).save(folder / "ann" / "b.flac")
    voice(40_000, 22_050, channels=2).save(root / "c.wav")
    with tarfile.open(folder / "set.tar", "w") as tar:
        tar.add(root / "c.wav", "c.wav")
    (folder / "manifest.csv").write_text("path,language,text\nann/a.wav,de,Ja.\nann/b.flac,en\n")
    SpeechStudy([folder], root / "report", model=str(spoken_weights), against=[]).run()
    return root


def read(folder: Path) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return tree


def test_a_report_says_what_the_codec_does(measured: Path) -> None:
    tree = read(measured / "report")
    codec = SpeechCodec.load("spoken")
    rates, distances, maps = [], [], []
    for name in ("speech/ann/a.wav", "speech/ann/b.flac", "c.wav"):
        heard = Audio.open(measured / name).mix().resample(16_000)
        codes = codec.encode(heard)
        rates.append(8 * len(codes.to_bytes(".vqc")) / round(1000 * heard.seconds))
        back = codec.decode(codes).samples[0]
        distances.append(log_mel_distance(heard.samples[0], back))
        maps.append(codes.grids[0].ravel())
    results, more = tree["results"], tree["evaluation"]
    assert results["kbps"] == [pytest.approx(np.mean(rates), abs=1e-5)]
    low, high = more["intervals"]["log-mel"][0]
    assert low <= results["log-mel"][0] <= high
    # what is shorter than half a second is not measured; the others may be shifted for the better
    assert results["log-mel"][0] == pytest.approx(np.mean([distances[0], distances[2]]), rel=0.2)
    counts = np.bincount(np.concatenate(maps), minlength=32)
    assert more["codes"]["perplexity"] == pytest.approx(perplexity(counts), abs=1e-3)
    assert more["codes"]["bits_per_index"]["uniform"] == 5
    assert more["codes"]["indices_per_second"] == 16_000 / codec.stride
    assert more["data"]["recordings"] == 3
    assert more["data"]["seconds"] == pytest.approx(1.5 + 0.1875 + 40_000 / 22_050, abs=0.002)
    assert any("not defined for 1 of 3 recordings" in note for note in more["notes"])
    rows = list(csv.DictReader(io.StringIO((measured / "report" / "results.csv").read_text())))
    assert [r["recording"] for r in rows] == ["ann/a.wav", "ann/b.flac", "c.wav"]
    assert float(rows[0]["kbps"]) == pytest.approx(rates[0], abs=1e-5)
    assert rows[1]["log-mel"] == ""


def test_the_page_plays_what_was_measured(measured: Path) -> None:
    page = (measured / "report" / "report.html").read_text(encoding="utf-8")
    assert "__" not in re.sub(r"base64,[^\"]*", "", page)  # every part was put in
    text = re.search(r'id="data">(.*?)</script>', page)
    assert text
    (gallery,) = (p["items"] for p in json.loads(text[1])["parts"] if p["kind"] == "sounds")
    said = {g["name"]: g["text"] for g in gallery}
    assert said == {"ann/a.wav": "Ja.", "ann/b.flac": "", "c.wav": ""}
    (stereo,) = (g for g in gallery if g["name"] == "c.wav")
    assert [layer["label"] for layer in stereo["layers"]] == ["original", "spoken"]
    sound = stereo["layers"][0]["sound"].removeprefix("data:audio/flac;base64,")
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(sound)))
    heard = Audio.open(measured / "c.wav").mix().resample(16_000)
    assert rate == 16_000
    np.testing.assert_allclose(samples, heard.samples[0], atol=1e-4)


def test_a_repeated_command_goes_on_and_others_are_refused(measured: Path, run: Run) -> None:
    report = measured / "report"
    before = (report / RECORDINGS).read_bytes()
    page = (report / "report.html").read_bytes()
    lines = before.splitlines(keepends=True)
    (report / RECORDINGS).write_bytes(lines[0] + lines[1][:40])
    again = run(*EVALUATE, measured / "speech", "-o", report, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == read(report)
    assert (report / RECORDINGS).read_bytes() == before
    assert (report / "report.html").read_bytes() == page
    fails(
        run(*EVALUATE[:-2], "--against", "mp3", measured / "speech", "-o", report),
        2,
        "no speech codec 'mp3'",
    )
    fails(run(*EVALUATE, measured / "c.wav", "-o", report), 1, "another set of languages")


def test_reports_are_compared(measured: Path, tmp_path: Path, run: Run) -> None:
    for name in "ab":
        shutil.copytree(measured / "report", tmp_path / name)
    journal, tree = tmp_path / "b" / RECORDINGS, read(tmp_path / "b")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        for one in line["measured"]:
            one["bytes"] *= 2
            if one["values"]["log-mel"] is not None:
                one["values"]["log-mel"] -= 0.5
    journal.write_text("".join(json.dumps(line) + "\n" for line in reversed(lines)))
    (rate,), (distance,) = (tree["results"][key] for key in ("kbps", "log-mel"))
    tree["results"] |= {"kbps": [2 * rate], "log-mel": [distance - 0.5]}
    (tmp_path / "b" / "results.json").write_text(json.dumps(tree))
    found = json.loads(run("compare", "a", "b", "--json").stdout)
    ((_, gains),) = found["points"].items()
    assert gains["log-mel"] == pytest.approx([-0.5] * 3)
    assert gains["kbps"][0] == pytest.approx(rate, abs=1e-5) and found["bd"] == {}
    said = run("compare", "a/results.json", "b").stdout.decode()
    assert "log-mel distance ↓" in said and "-0.50 dB [-0.50, -0.50]" in said
    assert [line.split()[:3] for line in said.splitlines() if "kbit/s" in line] == [
        ["kbit/s", f"{rate:.2f}", f"{2 * rate:.2f}"]
    ]
    journal.unlink()
    alone = run("compare", "a", "b")
    assert b"not the recordings' figures" in alone.stderr
    assert "-0.50 dB\n" in alone.stdout.decode()
    other = {"name": "x", "results": {"bpp": [1.0], "log-mel": [1.0]}}
    for damage, words in (
        (tree | {"results": {"kbps": [1.0], "unknown": [1.0]}}, "no measure of quality in common"),
        (tree | {"results": {"kbps": [], "log-mel": []}}, "holds no results"),
        (other, "one is of pictures, the other of speech"),
    ):
        (tmp_path / "b" / "results.json").write_text(json.dumps(damage))
        fails(run("compare", "a", "b"), 1, words)
    tree["evaluation"]["data"]["digest"] = "0"
    (tmp_path / "b" / "results.json").write_text(json.dumps(tree))
    fails(run("compare", "a", "b"), 1, "are of different recordings (3 and 3)")


def test_what_is_not_installed_is_left_out_with_a_note(
    tmp_path: Path, run: Run, spoken_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("pystoi", "pesq", "visqol", "resemblyzer", "av", "pycodec2"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(quality, "METRICS", ALL)
    for package in (dnsmos, recogniser):
        monkeypatch.setattr(package, "PACKAGE", "no-such-package")
    for load in (similarity.load, dnsmos.load, recogniser.load, quality.load_visqol):
        load.cache_clear()
    voice(16_000).save(tmp_path / "a.wav")
    result = run("evaluate", "--model", "spoken", "a.wav", "-o", "report")
    assert result.returncode == 0, result.stderr
    notes = read(tmp_path / "report")["evaluation"]["notes"]
    for what in (
        "STOI",
        "ViSQOL",
        "DNSMOS",
        "WER",
        "CER",
        "similarity",
        "PESQ-WB",
        "Opus 6 kbit/s",
        "Codec2 2400",
    ):
        assert sum(note.startswith(f"{what} is left out") for note in notes) == 1, what
    assert b"log-mel distance" in result.stdout
    assert b"F0 correlation" in result.stdout


def test_words_are_compared_with_texts_and_the_originals_own(
    tmp_path: Path, run: Run, spoken_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recogniser that hears "one two" in loud sound, else nothing; four kinds of recordings."""
    heard = {True: "One, two!", False: ""}
    monkeypatch.setattr("vqcodec.metrics.words.read", lambda x: heard[bool(np.abs(x).max() > 0.01)])
    reading = [replace(m, packages=(), prepare=lambda: None) for m in (quality.WER, quality.CER)]
    monkeypatch.setattr(quality, "METRICS", (quality.MEL, *reading))
    rows = [
        "path,language,text",
        "a.wav,en,one to",
        "b.wav,en,",
        "c.wav,de,Eins zwei",
        "d.wav,en,No",
    ]
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "manifest.csv").write_text("\n".join(rows))
    for name in "abcd":
        voice(16_000).save(tmp_path / "set" / f"{name}.wav")
    result = run(*EVALUATE, "set", "-o", "report", "--json")
    assert result.returncode == 0, result.stderr
    tree = json.loads(result.stdout)
    table = csv.DictReader(io.StringIO((tmp_path / "report" / "results.csv").read_text()))
    found = {(r["recording"], r["codec"]): (r["wer"], r["cer"]) for r in table}
    assert found["a.wav", "original"] == ("0.5", "0.166667")  # of "one to" one letter is wrong
    assert [found[f"{name}.wav", "original"] for name in "bcd"] == [("", "")] * 3
    assert found["c.wav", "vqcodec"] == found["d.wav", "vqcodec"] == ("", "")  # German, misread
    ours, (own,) = tree["results"], tree["evaluation"]["anchors"].values()
    assert own["name"] == "original" and own["results"]["wer"] == [0.5]
    assert own["results"]["kbps"] == [256]
    known = [float(found[name, "vqcodec"][0]) for name in ("a.wav", "b.wav")]
    assert ours["wer"] == [pytest.approx(np.mean(known), abs=1e-5)]
    (note,) = (n for n in tree["evaluation"]["notes"] if n.startswith("WER"))
    assert "of 1 recordings by their text, of 1 by what is read in the original; 2 are" in note


def test_what_needs_no_original_is_measured_of_originals_too(
    tmp_path: Path, run: Run, spoken_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loudest = quality.SpeechMetric(
        quality.DNSMOS.key,
        "loudest",
        "",
        2,
        lambda _, other: float(np.abs(other).max()),
        alone=True,
    )
    monkeypatch.setattr(quality, "METRICS", (quality.MEL, loudest))
    recording = voice(16_000)
    recording.save(tmp_path / "a.wav")
    result = run(*EVALUATE, "a.wav", "-o", "report", "--json")
    assert result.returncode == 0, result.stderr
    tree = json.loads(result.stdout)
    own = tree["evaluation"]["anchors"]["original"]["results"]
    expected = float(np.abs(recording.samples).max())
    assert own["dnsmos"] == [pytest.approx(expected, abs=1e-4)]
    assert tree["results"]["dnsmos"] != own["dnsmos"] and own.get("log-mel") in (None, [None])


def test_every_decoder_of_the_weights_is_measured(
    tmp_path: Path, run: Run, drawn_weights: Path
) -> None:
    voice(9_000).save(tmp_path / "a.wav")
    arguments = ("evaluate", "a.wav", "--model", "drawn", "--against", "")
    result = run(*arguments, "-o", "report", "--json")
    assert result.returncode == 0, result.stderr
    (name, drawn), *others = json.loads(result.stdout)["evaluation"]["anchors"].items()
    assert (name, others) == ("vqcodec-wavenet", [])
    heard = Audio.open(tmp_path / "a.wav")
    codec = SpeechCodec.load("drawn")
    back = codec.decode(codec.encode(heard), drawing=SamplingParams()).samples[0]
    expected = log_mel_distance(heard.samples[0], align(heard.samples[0], back))
    assert drawn["results"]["log-mel"] == [pytest.approx(expected, abs=1e-3)]
    assert drawn["results"]["bytes"] == json.loads(result.stdout)["results"]["bytes"]


def test_bad_input_of_evaluate(tmp_path: Path, run: Run, spoken_weights: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"RIFF no sound")
    (tmp_path / "empty").mkdir()
    fails(run(*EVALUATE, "bad.wav", "-o", "r"), 1, "none of the 1 recordings can be read")
    fails(run(*EVALUATE, "empty", "-o", "r2"), 1, "no recordings found")
    fails(run(*EVALUATE[:1], "bad.wav", "-o", "r3", "--model", "speech-0"), 1, "'speech-0'")
    voice(16_000).save(tmp_path / "good.wav")
    fails(run(*EVALUATE, "good.wav", "-o", "r4", "--quality", "50"), 2, "--quality is for pictures")
    fails(run("evaluate", "--model", "tiny", "empty", "-o", "r5", "--phones"), 2, "for speech")
    fails(run(*EVALUATE, "good.wav", "-o", "r6", "--phones"), 1, "phones.csv", "missing")
    some = run(*EVALUATE, "good.wav", "bad.wav", "-o", "r7")
    assert some.returncode == 1 and b"1 of 2 inputs failed" in some.stderr


def test_phones(tmp_path: Path, run: Run, spoken_weights: Path) -> None:
    folder = tmp_path / "marked"
    rows = ["file,start,end,phone,split"]
    rng = np.random.default_rng(0)
    tones = {"i": 300.0, "s": 3000.0, "sil": 0.0}
    for number in range(12):
        split, speaker = ("train", "test")[number % 3 == 0], ("ann", "bob")[number % 2]
        said = rng.choice(list(tones), 12)
        time = np.arange(1600) / 16_000
        parts = [0.2 * np.sin(2 * np.pi * tones[p] * time) for p in said]
        samples = np.concatenate(parts) + rng.normal(0, 0.001, 12 * 1600)
        path = f"{split}/{speaker}/{number}.wav"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Audio(samples[None].astype(np.float32), 16_000).save(folder / path)
        rows += [f"{path},{i / 10},{(i + 1) / 10},{p},{split}" for i, p in enumerate(said)]
    (folder / "phones.csv").write_text("\n".join(rows) + "\n")
    arguments = ("evaluate", "marked", "--phones", "--model", "spoken", "-o", "out")
    result = run(*arguments, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert json.loads((tmp_path / "out" / "phones.json").read_text()) == found
    accuracy = found["with_pauses"]
    assert accuracy["accuracy"] > 0.8  # a tone is easily told
    assert accuracy["chance"] < 0.5
    assert found["without_pauses"]["accuracy"] > 0.8
    assert (found["phones"], found["speakers"]) == (3, 2)
    assert found["indices"] == {"train": 8 * 300, "test": 4 * 300}
    assert (tmp_path / "out" / "phones.png").read_bytes().startswith(b"\x89PNG")
    # as if interrupted in the middle of a line: it goes on, and codes nothing twice
    journal = tmp_path / "out" / "phones.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:7]) + lines[7][:50])
    (tmp_path / "out" / "phones.json").unlink()
    assert b"right, by shuffled codes" in run(*arguments).stdout
    assert journal.read_bytes() == b"".join(lines)
    assert json.loads((tmp_path / "out" / "phones.json").read_text()) == found
    (folder / "test/ann/0.wav").write_bytes(b"no sound")
    fails(run(*arguments), 1, "test/ann/0.wav, which has changed")
    left = run(*arguments, "--force", "--json")
    assert left.returncode == 1 and b"1 of 12 inputs failed" in left.stderr
    assert json.loads(left.stdout)["recordings"] == {"train": 8, "test": 3}
    (folder / "phones.csv").write_text("\n".join([*rows, "gone.wav,0,1,a,test"]))
    fails(run(*arguments, "--force"), 1, "gone.wav: is marked, and is not in the data")
    (folder / "phones.csv").write_text("file,start\nx,y\n")
    fails(run(*arguments, "--force"), 1, "line 2 is no mark")
