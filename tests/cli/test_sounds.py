"""Sound on the command line: files, folders, pipes, options, and what is refused."""

import io
import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.cli.test_commands import fails, names
from tests.helpers import Run, picture, voice
from vqcodec import Codes, Image
from vqcodec.media.audio import Audio
from vqcodec.media.wav import wav_header

MODEL = ("--model", "spoken")


@pytest.fixture(autouse=True)
def _weights(spoken_weights: Path) -> None:
    """Have them installed."""


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A stereo WAV of 40,000 samples at 44.1 kHz."""
    path = tmp_path / "talk.wav"
    voice(40_000, 44_100, 2).save(path)
    return path


def test_sound_becomes_codes_becomes_sound(talk: Path, run: Run) -> None:
    result = run("encode", "talk.wav", *MODEL)
    assert result.returncode == 0 and result.stderr == b""
    said = result.stdout.decode()
    assert "0.91 s of 2 channels at 44,100 Hz" in said and "454 indices" in said
    assert "bit/s" in said and "× real time" in said
    assert run("decode", "talk.npz").returncode == 0
    assert names(talk.parent) == ["talk.decoded.wav", "talk.npz", "talk.wav"]
    info = soundfile.info(talk.parent / "talk.decoded.wav")
    assert (info.frames, info.samplerate, info.channels) == (40_000, 44_100, 2)


def test_json_has_stable_keys(talk: Path, run: Run) -> None:
    facts = json.loads(run("encode", "talk.wav", *MODEL, "--json", "-o", "x.vqc").stdout)
    size = (talk.parent / "x.vqc").stat().st_size
    assert facts["input"] == "talk.wav" and facts["output"] == "x.vqc"
    assert (facts["channels"], facts["sample_rate"], facts["indices"]) == (2, 44_100, 454)
    assert facts["duration"] == round(40_000 / 44_100, 4) and facts["bytes"] == size
    assert facts["bits_per_second"] == round(8 * size * 44_100 / 40_000, 1)
    assert facts["seconds"] > 0 and facts["speed"] > 0 and facts["input_bytes"] > 160_000
    facts = json.loads(run("decode", "x.vqc", "--json", "--rate", "16000").stdout)
    assert facts["output"] == "x.decoded.wav" and facts["sample_rate"] == 16_000
    assert Audio.open(talk.parent / "x.decoded.wav").size == (2, 14_513)


def test_info_explains_sound(talk: Path, run: Run) -> None:
    run("encode", "talk.wav", *MODEL, "-o", "x.vqc")
    facts = json.loads(run("info", "x.vqc", "--json").stdout)
    assert (facts["modality"], facts["size"], facts["maps"]) == ("audio", [2, 40_000], [[2, 227]])
    assert (facts["sample_rate"], facts["speaker"]) == (44_100, "4 numbers")
    assert facts["duration"] == 0.907 and facts["coding"] == "packed" and "bpp" not in facts
    assert facts["bits_per_second"] == round(8 * facts["bytes"] * 44_100 / 40_000, 1)
    assert b"transparency" not in run("info", "x.vqc").stdout


def test_formats_go_by_suffix(talk: Path, run: Run) -> None:
    run("encode", "talk.wav", *MODEL)
    for suffix in ("flac", "ogg", "mp3"):
        assert run("decode", "talk.npz", "-o", f"x.{suffix}").returncode == 0
        assert run("decode", "talk.npz", "--format", suffix).returncode == 0
        for name in (f"x.{suffix}", f"talk.decoded.{suffix}"):
            assert Audio.open(talk.parent / name).size == (2, 40_000)
    fails(run("decode", "talk.npz", "-o", "x.opus"), 1, "Opus holds", "44,100")
    assert run("decode", "talk.npz", "-o", "x.opus", "--rate", "48000").returncode == 0
    fails(run("decode", "talk.npz", "-o", "x.png"), 2, "no sound format '.png'")


def test_mono_is_the_mean_of_the_channels(talk: Path, run: Run) -> None:
    assert b"1 channel at" in run("encode", "talk.wav", *MODEL, "--mono").stdout
    audio = Audio.open(talk)
    Audio(audio.samples.mean(0, keepdims=True), 44_100).save(talk.parent / "mixed.flac")
    run("encode", "mixed.flac", *MODEL)
    mono, mixed = (Codes.load(talk.parent / f"{n}.npz").grids[0] for n in ("talk", "mixed"))
    assert mono.shape == (1, 227) and np.mean(mono == mixed) > 0.97  # but for rounding to 16 bits


def test_pipes_are_coded_as_they_come(talk: Path, run: Run) -> None:
    data = talk.read_bytes()
    encoded = run("encode", "-", *MODEL, "-o", "-", stdin=data)
    assert encoded.returncode == 0 and encoded.stdout.startswith(b"VQC\1\x25")
    assert b"454 indices" in encoded.stderr
    same = run("encode", "-", *MODEL, "--format", "vqc", stdin=data)
    assert same.stdout == encoded.stdout
    decoded = run("decode", "-", "-o", "-", stdin=encoded.stdout)
    assert decoded.stdout[4:8] == decoded.stdout[76:80] == b"\xff\xff\xff\xff"
    run("encode", "talk.wav", *MODEL)
    run("decode", "talk.npz")
    whole = Audio.open(talk.parent / "talk.decoded.wav")
    found = Audio.open(io.BytesIO(decoded.stdout), "pipe")
    np.testing.assert_array_equal(found.samples, whole.samples)
    # the same stream as a file
    (talk.parent / "s.vqc").write_bytes(encoded.stdout)
    assert Codes.load(talk.parent / "s.vqc") == Codes.load(talk.parent / "talk.npz")
    assert json.loads(run("info", "s.vqc", "--json").stdout)["coding"] == "stream"
    assert run("repack", "s.vqc", "-o", "t.npz").returncode == 0
    assert (talk.parent / "t.npz").read_bytes() == (talk.parent / "talk.npz").read_bytes()
    assert run("decode", "s.vqc", "-o", "s.flac").returncode == 0
    np.testing.assert_array_equal(Audio.open(talk.parent / "s.flac").samples, whole.samples)
    # codes of a known length make a header that knows it
    known = run("decode", "talk.npz", "-o", "-")
    assert known.stdout == (talk.parent / "talk.decoded.wav").read_bytes()
    assert run("encode", "-", *MODEL, "--format", "npz", stdin=data).stdout[:2] == b"PK"


def test_pipes_of_other_formats(talk: Path, run: Run) -> None:
    Audio.open(talk).save(talk.parent / "talk.flac")
    flac = run("encode", "-", *MODEL, stdin=(talk.parent / "talk.flac").read_bytes())
    assert flac.stdout == run("encode", "-", *MODEL, stdin=talk.read_bytes()).stdout
    out = run("decode", "-", "-o", "-", "--format", "flac", stdin=flac.stdout)
    assert out.stdout[:4] == b"fLaC"
    assert Audio.open(io.BytesIO(out.stdout), "x").size == (2, 40_000)
    endless = wav_header(1, 16_000, None) + bytes(2 * 20_000)
    facts = json.loads(run("encode", "-", *MODEL, "--json", stdin=endless).stderr)
    assert facts["duration"] == 1.25


def test_folders_of_pictures_and_sounds(
    talk: Path, run: Run, tiny_weights: Path, spoken_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for default, folder in (("image-f4", tiny_weights), ("speech-64x", spoken_weights)):
        shutil.copytree(folder, talk.parent / "weights" / default)
        config = talk.parent / "weights" / default / "config.json"
        table = json.loads(config.read_text(encoding="utf-8"))
        config.write_text(json.dumps({**table, "name": default}), encoding="utf-8")
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(talk.parent / "weights"))
    (talk.parent / "in" / "deep").mkdir(parents=True)
    shutil.copy(talk, talk.parent / "in" / "deep" / "a.wav")
    voice(900, 8000).save(talk.parent / "in" / "b.flac")
    Image(picture(20, 30)).save(talk.parent / "in" / "c.png")
    (talk.parent / "in" / "bad.mp3").write_bytes(b"no sound")
    result = run("encode", "in", "-o", "out", "--mono")
    assert result.returncode == 1 and b"1 of 4 inputs failed" in result.stderr
    assert b"bad.mp3: not a sound file" in result.stderr
    found = sorted(
        str(p.relative_to(talk.parent / "out")) for p in talk.parent.glob("out/**/*.npz")
    )
    assert found == ["b.npz", "c.npz", "deep/a.npz"]
    assert run("decode", "out", "-o", "back").returncode == 0
    assert Audio.open(talk.parent / "back" / "deep" / "a.wav").size == (1, 40_000)
    assert Audio.open(talk.parent / "back" / "b.wav").size == (1, 900)
    assert Image.open(talk.parent / "back" / "c.png").size == (20, 30)
    again = run("encode", "in", "-o", "out", "--skip-existing")
    assert again.stdout.startswith(b"0 of 4 files encoded, 3 skipped")
    fails(run("encode", "in", "-o", "new", *MODEL), 2, "--model codes pictures or sound")


def test_content_decides_between_picture_and_sound(talk: Path, run: Run) -> None:
    shutil.copy(talk, talk.parent / "lies.png")
    assert b"2 channels" in run("encode", "lies.png", *MODEL).stdout
    Image(picture(20, 30)).save(talk.parent / "true.png")
    shutil.copy(talk.parent / "true.png", talk.parent / "more.wav")
    fails(run("encode", "more.wav", *MODEL), 1, "more.wav: not a sound file")


def test_odd_sounds(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    soundfile.write(folder / "one.wav", np.array([0.3]), 8000)
    soundfile.write(folder / "eight.wav", voice(700).samples.T, 11_025, "PCM_U8")
    soundfile.write(folder / "deep.wav", voice(700, channels=5).samples.T, 96_000, "PCM_24")
    soundfile.write(folder / "float.wav", np.array([0.1, np.nan, 9.0] * 99), 16_000, "FLOAT")
    soundfile.write(folder / "silence.flac", np.zeros(5000), 22_050)
    soundfile.write(folder / "clipped.wav", np.sign(voice(9000).samples.T), 16_000)
    result = run("encode", "in", *MODEL, "-o", "out", "--format", "vqc", "--json")
    assert result.returncode == 0, result.stderr
    notes = {f["input"]: f.get("notes") for f in map(json.loads, result.stdout.splitlines())}
    assert notes[str(Path("in", "float.wav"))] == [
        "99 samples that are no numbers were taken as silence",
        "99 samples beyond full scale were clipped",
    ]
    assert run("decode", "out", "-o", "back").returncode == 0
    for path in folder.iterdir():
        before, after = (soundfile.info(p) for p in (path, tmp_path / "back" / f"{path.stem}.wav"))
        assert (before.frames, before.channels) == (after.frames, after.channels)
        assert before.samplerate == after.samplerate


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["encode", "talk.wav", "--quality", "50"], "is for pictures"),
        (["encode", "talk.wav", "--scale", "0.5"], "--scale is for pictures and video"),
        (["encode", "talk.wav", "--rate-weight", "9"], "is for pictures and video, and the input"),
        (["encode", "talk.wav", "--background", "white"], "is for pictures"),
        (["encode", "talk.wav", "--verify"], "--verify is for pictures and video"),
        (["encode", "photo.png", "--mono"], "--mono is for sound"),
        (
            ["decode", "photo.npz", "--rate", "16000"],
            "--rate is for sound, and photo.npz holds a picture",
        ),
        (["decode", "photo.npz", "--decoder", "wavenet"], "--decoder is for sound"),
        (["decode", "good.npz", "--rate", "7"], "rate of 7 Hz"),
        (
            ["decode", "good.npz", "--decoder", "slow"],
            "no decoder 'slow'; there are: fast, wavenet",
        ),
        (["decode", "good.npz", "--seed", "1"], "need --decoder wavenet"),
        (["decode", "good.npz", "--decoder", "wavenet", "--temperature", "0"], "temperature is 0"),
        (["decode", "good.npz", "--decoder", "wavenet", "--seed", "-1"], "seed is -1"),
        (["decode", "good.npz", "--format", "xyz"], "no picture format"),
        (["decode", "good.npz", "--format", "png"], "no sound format"),
    ],
)
def test_wrong_usage_exits_2(
    talk: Path, photo: Path, run: Run, arguments: list[str], words: str
) -> None:
    run("encode", "talk.wav", *MODEL, "-o", "good.npz")
    run("encode", "photo.png", "--model", "tiny")
    before = names(talk.parent)
    fails(run(*arguments), 2, words)
    assert names(talk.parent) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["encode", "no.wav", *MODEL], "no.wav: no such file"),
        (["encode", "text.wav", *MODEL], "text.wav: not a sound file"),
        (["encode", "empty.wav", *MODEL], "empty.wav: empty file"),
        (["encode", "none.wav", *MODEL], "none.wav: holds no samples"),
        (["encode", "cut.wav", *MODEL], "cut.wav: truncated"),
        (["encode", "days.wav", *MODEL], "days.wav: truncated"),
        (["encode", "talk.wav", "--model", "tiny"], "not speech"),
        (["encode", "talk.wav", "--model", "absent"], "no weights named 'absent'"),
        (["decode", "mute.vqc"], "mute.vqc: holds a speaker vector of 0 numbers"),
        (["decode", "foreign.vqc"], "no weights named 'foreign'"),
        (["decode", "other.vqc"], "other.vqc: these codes were made with"),
        (["decode", "long.vqc"], "long.vqc: "),
        (["decode", "good.vqc", "--model", "tiny"], "not speech"),
        (["decode", "cut.vqc"], "cut.vqc: truncated"),
        (["decode", "rateless.vqc"], "rateless.vqc: "),
        (["decode", "good.vqc", "--decoder", "wavenet"], "has no WaveNet decoder"),
    ],
)
def test_bad_input_exits_1(talk: Path, run: Run, arguments: list[str], words: str) -> None:
    folder = talk.parent
    (folder / "text.wav").write_text("hello, this is text")
    (folder / "empty.wav").touch()
    (folder / "none.wav").write_bytes(wav_header(1, 8000, 0))
    (folder / "cut.wav").write_bytes(talk.read_bytes()[:9000])
    (folder / "days.wav").write_bytes(wav_header(1, 8000, 1 << 29) + bytes(99))
    run("encode", "talk.wav", *MODEL, "-o", "good.vqc")
    codes = Codes.load(folder / "good.vqc")
    media = codes.audio
    replace(codes, media=replace(media, speaker=b"")).save(folder / "mute.vqc")
    replace(codes, model="foreign").save(folder / "foreign.vqc")
    replace(codes, codebook_id=b"abcd").save(folder / "other.vqc")
    replace(codes, media=replace(media, size=(2, 1 << 30))).save(folder / "long.vqc")
    replace(codes, media=replace(media, sample_rate=0)).save(folder / "rateless.vqc")
    (folder / "cut.vqc").write_bytes((folder / "good.vqc").read_bytes()[:-9])
    before = names(folder)
    fails(run(*arguments), 1, words)
    assert names(folder) == before


def test_a_truncated_stream_is_an_error(talk: Path, run: Run) -> None:
    data = run("encode", "-", *MODEL, stdin=talk.read_bytes()).stdout
    for length in (4, 20, 60, len(data) - 1):
        result = run("decode", "-", "-o", "out.wav", stdin=data[:length])
        fails(result, 1, "standard input: ")
    assert names(talk.parent) == ["talk.wav"]
    fails(run("decode", "-", "-o", "out.wav", stdin=data + b"x"), 1, "foreign bytes")
    result = run("encode", "-", *MODEL, stdin=talk.read_bytes()[:3000])
    assert result.returncode == 1 and b"standard input: truncated" in result.stderr


def test_the_wavenet_draws_the_same_for_the_same_seed(
    talk: Path, run: Run, drawn_weights: Path
) -> None:
    voice(9000, 22_050).save(talk.parent / "short.wav")
    run("encode", "short.wav", "--model", drawn_weights.name)
    draw = ("decode", "short.npz", "--decoder", "wavenet")
    sounds = []
    for number, options in enumerate(
        [(), ("--seed", "0"), ("--seed", "1"), ("--temperature", ".7")]
    ):
        assert run(*draw, *options, "-o", f"{number}.wav").returncode == 0
        sounds.append(Audio.open(talk.parent / f"{number}.wav"))
        assert sounds[-1].size == (1, 9000)
    np.testing.assert_array_equal(sounds[0].samples, sounds[1].samples)
    assert len({s.samples.tobytes() for s in sounds}) == 3
    stream = run(
        "encode", "-", "--model", drawn_weights.name, stdin=(talk.parent / "short.wav").read_bytes()
    )
    drawn = run("decode", "-", "--decoder", "wavenet", stdin=stream.stdout)
    np.testing.assert_array_equal(
        Audio.open(io.BytesIO(drawn.stdout), "pipe").samples, sounds[0].samples
    )


def test_help_speaks_of_both(run: Run) -> None:
    for command in ("encode", "decode"):
        text = run(command, "--help").stdout.decode()
        assert "picture" in text.lower() and "sound" in text.lower()


def test_tars_are_no_sound(tmp_path: Path, run: Run) -> None:
    with tarfile.open(tmp_path / "x.wav", "w"):
        pass
    fails(run("encode", "x.wav", *MODEL), 1, "x.wav: not a sound file")
