"""Voices on the command line: who speaks, what says so, and what is refused."""

import io
import json
import shutil
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.cli.test_commands import fails, names
from tests.helpers import Run, picture, voice
from vqcodec import Codes, Image
from vqcodec.codec.convert import Target, convert, convert_codes, heard
from vqcodec.codec.speech import SpeechCodec
from vqcodec.codec.streaming import SpeechEncoder
from vqcodec.media.audio import Audio
from vqcodec.media.resample import Resampler
from vqcodec.media.wav import wav_header
from vqcodec.voice.frames import RATE
from vqcodec.voice.level import gain_for
from vqcodec.voice.named import best_weights, default_weights, voices_of
from vqcodec.voice.pitch import median_pitch, pitch
from vqcodec.voice.reference import read_reference
from vqcodec.voice.voiceshift import VoiceShifter

CONVERT = ("convert-voice", "--model", "named")
ANN = ("--speaker", "ann")
LABEL = "synthetic: converted to ann by vqcodec"


@pytest.fixture(autouse=True)
def _own_home(named_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have weights, and a config folder of one's own."""
    for variable in ("HOME", "XDG_CONFIG_HOME", "APPDATA", "LOCALAPPDATA"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))


@pytest.fixture(scope="module")
def codec(named_weights: Path) -> SpeechCodec:
    return SpeechCodec.load(named_weights)


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A stereo WAV of 30,000 samples at 22.05 kHz."""
    path = tmp_path / "in" / "talk.wav"
    path.parent.mkdir()
    voice(30_000, 22_050, 2).save(path)
    return path


def spoken_by(codec: SpeechCodec, codes: Codes, vector: bytes) -> Audio:
    return codec.decode(replace(codes, media=replace(codes.audio, speaker=vector)))


def test_codes_are_decoded_with_the_voice_of_another(
    talk: Path, run: Run, codec: SpeechCodec
) -> None:
    result = run(*CONVERT, talk, *ANN)
    assert result.returncode == 0 and result.stderr == b""
    assert "1.36 s of 2 channels at 22,050 Hz" in result.stdout.decode()
    assert "× real time, by way of named, " in result.stdout.decode()
    assert LABEL in result.stdout.decode()
    assert names(talk.parent) == ["talk.ann.wav", "talk.wav"]
    found = Audio.open(talk.parent / "talk.ann.wav")
    codes = codec.encode(Audio.open(talk))
    wanted = spoken_by(codec, codes, voices_of(codec.weights)["ann"].vector)
    assert found.size == (2, 30_000) and found.sample_rate == 22_050
    np.testing.assert_allclose(found.samples, wanted.samples, atol=1e-4)
    assert np.abs(wanted.samples - codec.decode(codes).samples).max() > 0.01
    # a code file says the same
    run("encode", talk, "--model", "named", "-o", "talk.vqc")
    facts = json.loads(run("convert-voice", "talk.vqc", *ANN, "--json", "-o", "b.wav").stdout)
    assert (facts["speaker"], facts["comment"], facts["model"]) == ("ann", LABEL, "named")
    assert facts["speed"] > 0 and facts["duration"] == 1.3605
    again = Audio.open(talk.parent.parent / "b.wav").samples
    np.testing.assert_allclose(again, found.samples, atol=1e-4)


def test_the_pitch_of_the_other_is_taken_too(talk: Path, run: Run, codec: SpeechCodec) -> None:
    bob = voices_of(codec.weights)["Bob-2"]
    assert run(*CONVERT, talk, "--speaker", "Bob-2").returncode == 0
    found = Audio.open(talk.parent / "talk.Bob-2.wav").samples
    original = Audio.open(talk)
    resampler = Resampler(2, 22_050, RATE)
    inside = np.concatenate([resampler.feed(original.samples), resampler.finish(21_769)], axis=1)
    lower = np.concatenate(list(VoiceShifter(2, 101.5).run([inside])), axis=1)
    assert median_pitch(pitch(lower[0])) == pytest.approx(101.5, rel=0.1)
    codes = codec.encode(Audio(lower, RATE))
    wanted = spoken_by(codec, codes, bob.vector).resample(22_050)
    np.testing.assert_allclose(found, wanted.samples[:, :30_000], atol=1e-3)
    # of codes, what they stand for is brought to the pitch and coded anew
    run("encode", talk, "--model", "named", "-o", "talk.vqc")
    run("decode", "talk.vqc", "-o", "talk.flac")
    for source, to in (("talk.vqc", "a.wav"), ("talk.flac", "b.wav")):
        assert run(*CONVERT, source, "--speaker", "Bob-2", "-o", to).returncode == 0
    a, b = (Audio.open(talk.parent.parent / name).samples for name in ("a.wav", "b.wav"))
    assert a.shape == found.shape and np.corrcoef(a[0], b[0])[0, 1] > 0.8


def high(samples: "np.typing.NDArray[np.float32]") -> float:
    """Power above 4.2 kHz of sound at 16 kHz, (T,), in dB of all of it."""
    power = np.square(np.abs(np.fft.rfft(samples)))
    above = np.fft.rfftfreq(len(samples), 1 / RATE) > 4200
    return float(10 * np.log10(power[above].sum() / power.sum()))


def test_what_codes_say_keeps_its_band(named_weights: Path) -> None:
    """What was recorded at 8 kHz is decoded at 16, and goes on as it is."""
    heard_blocks = []

    class Listening(SpeechCodec):
        """Keeps what it codes."""

        def encoder(self, channels: int, sample_rate: int) -> SpeechEncoder:
            encoder = super().encoder(channels, sample_rate)
            feed = encoder.feed

            def kept(block: "np.typing.NDArray[np.float32]") -> "np.typing.NDArray[np.uint16]":
                heard_blocks.append(block)
                return feed(block)

            encoder.feed = kept  # type: ignore[method-assign]
            return encoder

    own, codec = SpeechCodec.load(named_weights), Listening.load(named_weights)
    codes = own.encode(voice(30_001, 8_000, 2))
    target = Target(voices_of(codec.weights)["ann"].vector)
    found = np.concatenate(list(convert_codes(codec, codes, own, target)), axis=1)
    inside = own.decode(codes, sample_rate=RATE)
    np.testing.assert_array_equal(np.concatenate(heard_blocks, axis=1), inside.samples)
    narrow = own.decode(codes).resample(RATE).samples[0]
    assert high(inside.samples[0]) > high(narrow) + 20
    said = convert(own, inside.blocks(5000), 2, RATE, target)
    once = Audio(np.concatenate(list(said), axis=1), RATE).resample(8_000)
    assert found.shape == (2, 30_001)
    np.testing.assert_allclose(found, once.samples[:, :30_001], atol=1e-6)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3"])
def test_converted_files_say_so(tmp_path: Path, run: Run, suffix: str) -> None:
    voice(9000).save(tmp_path / "a.wav")
    assert run(*CONVERT, "a.wav", *ANN, "-o", f"b{suffix}").returncode == 0
    with soundfile.SoundFile(tmp_path / f"b{suffix}") as sound:
        assert sound.comment == LABEL
    run("encode", "a.wav", "--model", "named")
    run("decode", "a.npz", "-o", f"c{suffix}")
    with soundfile.SoundFile(tmp_path / f"c{suffix}") as sound:
        assert sound.comment == ""


def test_folders_of_sounds_and_codes(talk: Path, run: Run) -> None:
    root = talk.parent.parent
    (talk.parent / "deep").mkdir()
    run("encode", talk, "--model", "named", "-o", "in/deep/codes.npz")
    (talk.parent / "bad.flac").write_bytes(b"no sound")
    Image(picture(20, 30)).save(root / "p.png")
    run("encode", "p.png", "--model", "tiny", "-o", "in/p.npz")
    result = run(*CONVERT, "in", *ANN, "-o", "out")
    assert result.returncode == 1 and b"2 of 4 inputs failed" in result.stderr
    assert b"bad.flac: not a sound file" in result.stderr and b"p.npz: holds no speech" in (
        result.stderr
    )
    found = sorted(p.relative_to(root / "out").as_posix() for p in root.glob("out/**/*.wav"))
    assert found == ["deep/codes.ann.wav", "talk.ann.wav"]
    again = run(*CONVERT, "in", *ANN, "-o", "out", "--skip-existing", "--json")
    assert [json.loads(s).get("skipped") for s in again.stdout.splitlines()].count(True) == 2
    refused = run(*CONVERT, talk, *ANN, "-o", "out/talk.ann.wav")
    fails(refused, 1, "talk.ann.wav: exists already")
    assert run(*CONVERT, talk, *ANN, "-o", "out/talk.ann.wav", "--force").returncode == 0


def test_the_wavenet_speaks_as_others_too(tmp_path: Path, run: Run) -> None:
    voice(2000).save(tmp_path / "a.wav")
    draw = (*CONVERT, "a.wav", "--decoder", "wavenet", "--temperature", "0.8", "--seed", "1")
    for name in ("ann", "Bob-2"):
        assert run(*draw, "--speaker", name).returncode == 0
    ann, bob = (Audio.open(tmp_path / f"a.{name}.wav").samples for name in ("ann", "Bob-2"))
    assert ann.shape == bob.shape == (1, 2000) and (ann != bob).any()


def test_pipes(talk: Path, run: Run) -> None:
    assert run(*CONVERT, talk, *ANN).returncode == 0
    wanted = Audio.open(talk.parent / "talk.ann.wav").samples
    piped = run(*CONVERT, "-", *ANN, "-o", "-", stdin=talk.read_bytes())
    assert piped.returncode == 0 and LABEL.encode() in piped.stderr
    assert LABEL.encode() in piped.stdout[:200]
    np.testing.assert_array_equal(Audio.open(io.BytesIO(piped.stdout), "x").samples, wanted)
    codes = run("encode", "-", "--model", "named", "-o", "-", stdin=talk.read_bytes()).stdout
    piped = run("convert-voice", "-", *ANN, "-o", "-", stdin=codes)
    found = Audio.open(io.BytesIO(piped.stdout), "x").samples
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_speakers_are_listed(run: Run) -> None:
    text = run("speakers", "--model", "named").stdout.decode()
    assert text.splitlines() == [
        "ann: F, made up (CC0), 1.5 minutes heard; Nobody to ask.",
        "Bob-2: M, made up (CC0), 1.5 minutes heard, 102 Hz; Nobody to ask.",
    ]
    facts = [
        json.loads(s) for s in run("speakers", "--model", "named", "--json").stdout.splitlines()
    ]
    assert [f["name"] for f in facts] == ["ann", "Bob-2"]
    assert set(facts[0]) == {
        "name", "gender", "corpus", "licence", "minutes", "pitch", "consent", "model"
    }  # fmt: skip
    assert [f["pitch"] for f in facts] == [None, 101.5]
    fails(run("speakers", "--model", "spoken"), 1, "'spoken' name no speakers; these do: ", "named")
    assert run("speakers").stdout.decode().startswith("kerstin: F")  # of the weights in the box


@pytest.fixture
def converters(tmp_path: Path, named_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the names of two weights, both tiny, that differ in ann's vector."""
    folder = tmp_path / "weights"
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(folder))
    for name in ("speech-64x", "speech-64x-residual"):
        shutil.copytree(named_weights, folder / name)
        path = folder / name / "config.json"
        table = json.loads(path.read_text(encoding="utf-8")) | {"name": name}
        if name == "speech-64x-residual":
            table["speakers"]["ann"]["vector"] = table["speakers"]["ann"]["vector"][::-1]
        path.write_text(json.dumps(table), encoding="utf-8")
    return folder


def rename(folder: Path, weights: str, speaker: str, to: str) -> None:
    path = folder / weights / "config.json"
    table = json.loads(path.read_text(encoding="utf-8"))
    table["speakers"][to] = table["speakers"].pop(speaker)
    path.write_text(json.dumps(table), encoding="utf-8")


def spoken(run: Run, root: Path, *arguments: str | Path) -> np.ndarray[tuple[int, ...], np.dtype]:
    result = run("convert-voice", *arguments, *ANN, "--force", "-o", "said.wav")
    assert result.returncode == 0, result.stderr.decode()
    return Audio.open(root / "said.wav").samples


def test_the_best_weights_for_voices_are_taken(talk: Path, run: Run, converters: Path) -> None:
    root = converters.parent
    assert (
        json.loads(run("speakers", "--json").stdout.splitlines()[0])["model"]
        == "speech-64x-residual"
    )
    run("encode", talk, "--model", "speech-64x", "-o", "talk.npz")
    run("decode", "talk.npz", "-o", "talk.wav")
    best = spoken(run, root, talk, "--model", "speech-64x-residual")
    other = spoken(run, root, talk, "--model", "speech-64x")
    assert np.abs(best - other).max() > 0.01
    np.testing.assert_array_equal(spoken(run, root, talk), best)
    # codes are decoded with their own weights, and converted with the best ones
    again = spoken(run, root, "talk.wav", "--model", "speech-64x-residual")
    np.testing.assert_allclose(spoken(run, root, "talk.npz"), again, atol=0.01)
    # unless these do not know the speaker
    rename(converters, "speech-64x-residual", "ann", "eva")
    own = spoken(run, root, "talk.npz", "--model", "speech-64x")
    np.testing.assert_array_equal(spoken(run, root, "talk.npz"), own)
    assert np.abs(own - again).max() > 0.01
    fails(run("convert-voice", talk, *ANN), 2, "'speech-64x-residual' know no speaker 'ann'")


def test_what_has_a_wavenet_draws(converters: Path) -> None:
    path = converters / "speech-64x-residual" / "config.json"
    table = json.loads(path.read_text(encoding="utf-8"))
    assert default_weights(drawing=True) == "speech-64x-residual" == default_weights()
    del table["files"]["wavenet.safetensors"]
    path.write_text(json.dumps(table), encoding="utf-8")
    assert default_weights(drawing=True) == "speech-64x"
    assert default_weights() == "speech-64x-residual"
    path.write_text(json.dumps(table | {"files": 5, "speakers": 5}), encoding="utf-8")
    assert default_weights(drawing=True) == "speech-64x" == best_weights("ann")


def test_a_reference_needs_consent_once(talk: Path, run: Run, codec: SpeechCodec) -> None:
    root = talk.parent.parent
    voice(40_000, seed=5).save(root / "me.flac")
    like = (*CONVERT, talk, "--like", "me.flac")
    named = (*CONVERT, talk, *ANN, "--i-have-consent", "-o", root / "ann.wav")
    assert run(*named).returncode == 0  # which is said of somebody else, and so not remembered
    fails(run(*like), 2, "--i-have-consent", "real person")
    assert names(talk.parent) == ["talk.wav"]
    assert run(*like, "--i-have-consent").returncode == 0
    result = run(*like, "--json", "-o", "again.wav")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["comment"] == "synthetic: converted to me by vqcodec"
    assert "me: " not in run("speakers", "--model", "named").stdout.decode()
    found = Audio.open(root / "again.wav").samples
    np.testing.assert_array_equal(found, Audio.open(talk.parent / "talk.me.wav").samples)
    blocks = Audio.open(talk).blocks(4000)
    wanted = np.concatenate(
        list(convert(codec, blocks, 2, 22_050, heard(codec, read_reference(root / "me.flac")))),
        axis=1,
    )
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_consent_that_cannot_be_remembered_holds_for_now(talk: Path, run: Run) -> None:
    root = talk.parent.parent
    (root / "home").write_text("in the way")
    voice(40_000, seed=5).save(root / "me.flac")
    result = run(*CONVERT, talk, "--like", "me.flac", "--i-have-consent")
    assert result.returncode == 0 and b"cannot be written; it will be asked again" in result.stderr
    fails(run(*CONVERT, talk, "--like", "me.flac", "--force"), 2, "--i-have-consent")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([*CONVERT, "a.wav"], 2, "either --speaker NAME or --like"),
        ([*CONVERT, "a.wav", *ANN, "--like", "a.wav"], 2, "either --speaker NAME or --like"),
        ([*CONVERT, "a.wav", *ANN, "--i-have-consent"], 0, ""),
        ([*CONVERT, "a.wav", "--speaker", "Anne"], 2, "did you mean ann?"),
        ([*CONVERT, "a.wav", "--speaker", "bob"], 2, "did you mean Bob-2?"),
        ([*CONVERT, "a.wav", "--speaker", "../x"], 2, "no speaker has a name like '../x'"),
        (["convert-voice", "a.npz", "--speaker", "zz"], 2, "'named' know no speaker 'zz'"),
        (["convert-voice", "s.npz", *ANN], 1, "s.npz: the weights 'spoken' name no speakers"),
        (["convert-voice", "s.npz", *ANN, "--model", "named"], 0, ""),
        (["convert-voice", "a.wav", *ANN], 2, "'speech-64x-residual' know no speaker 'ann'"),
        ([*CONVERT, "a.wav", *ANN, "--model", "tiny"], 1, "'tiny' name no speakers"),
        ([*CONVERT, "no.wav", *ANN], 1, "no.wav: no such file"),
        ([*CONVERT, "p.npz", *ANN], 1, "p.npz: holds no speech"),
        ([*CONVERT, "text.txt", *ANN], 1, "text.txt: "),
        ([*CONVERT, "a.wav", *ANN, "-o", "a.png"], 2, "no sound format '.png'"),
        ([*CONVERT, "a.wav", *ANN, "--seed", "3"], 2, "need --decoder wavenet"),
        (
            ["convert-voice", "a.wav", "--like", "short.wav"],
            1,
            "of speech, too little to know a voice by",
        ),
        (["convert-voice", "a.wav", "--like", "silent.wav"], 1, "silent.wav: is silent"),
        (["convert-voice", "a.wav", "--like", "text.txt"], 1, "text.txt: not a sound file"),
        (["convert-voice", "a.wav", "--like", "in"], 1, "in: cannot be read"),
        (["convert-voice", "a.wav", "--like", "no.wav"], 1, "no.wav: no such file"),
    ],
)
def test_what_is_refused(
    talk: Path, run: Run, spoken_weights: Path, arguments: list[str], code: int, words: str
) -> None:
    root = talk.parent.parent
    voice(9000).save(root / "a.wav")
    voice(800).save(root / "short.wav")
    Audio(np.zeros((1, 40_000), np.float32), 16_000).save(root / "silent.wav")
    (root / "text.txt").write_text("no sound")
    Image(picture(20, 30)).save(root / "p.png")
    run("encode", "p.png", "--model", "tiny")
    run("encode", "a.wav", "--model", "named")
    run("encode", "a.wav", "--model", "spoken", "-o", "s.npz")
    if "--like" in arguments and "a.wav" in arguments[:2]:
        voice(40_000).save(root / "me.wav")
        run(*CONVERT, "a.wav", "--like", "me.wav", "--i-have-consent")
    before = names(root)
    result = run(*arguments)
    if code:
        fails(result, code, words)
        assert names(root) == before
    else:
        assert result.returncode == 0


def test_damaged_tables_of_speakers(
    tmp_path: Path, run: Run, named_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(named_weights, tmp_path / "w" / "named")
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(tmp_path / "w"))
    config = tmp_path / "w" / "named" / "config.json"
    good = json.loads(config.read_text(encoding="utf-8"))
    ann = good["speakers"]["ann"]
    voice(900).save(tmp_path / "a.wav")
    for table in (
        ["ann"],
        {"ann": None},
        {"ann": {**ann, "vector": [1, 2, 3]}},
        {"ann": {**ann, "vector": [1, 2, 3, 400]}},
        {"ann": {**ann, "vector": [1, 2, 3, 0.5]}},
        {"ann": {**ann, "vector": "abcd"}},
        {"ann": {**ann, "minutes": "many"}},
        {"ann": {**ann, "consent": 3}},
        {"../ann": ann},
    ):
        config.write_text(json.dumps({**good, "speakers": table}), encoding="utf-8")
        fails(run("speakers", "--model", "named"), 1, "table of speakers is damaged")
        fails(run(*CONVERT, "a.wav", *ANN), 1, "table of speakers is damaged")


def test_odd_sounds_are_converted(tmp_path: Path, run: Run) -> None:
    rng = np.random.default_rng(0)
    time = np.arange(24_000) / 16_000
    chord = sum(np.sin(2 * np.pi * f * time) for f in (220, 277.2, 329.6, 1108)) / 5
    sounds = {
        "silence": np.zeros(20_000),
        "music": chord,
        "noise": rng.uniform(-1, 1, 20_000),
        "blink": voice(800).samples[0],
        "one": np.array([0.4]),
    }
    (tmp_path / "in").mkdir()
    for name, samples in sounds.items():
        soundfile.write(tmp_path / "in" / f"{name}.wav", samples, 16_000)
    result = run(*CONVERT, "in", *ANN, "-o", "out")
    assert result.returncode == 0, result.stderr
    for name, samples in sounds.items():
        found = Audio.open(tmp_path / "out" / f"{name}.ann.wav").samples
        assert found.shape == (1, len(samples)) and np.isfinite(found).all()


def test_long_sound_takes_no_more_memory(codec: SpeechCodec) -> None:
    part = voice(15 * 16_000).samples

    def peak(parts: int) -> tuple[int, int]:
        def blocks() -> "Iterator[np.ndarray[tuple[int, int], np.dtype[np.float32]]]":
            for _ in range(parts):
                for start in range(0, part.shape[1], 4000):
                    yield part[:, start : start + 4000]

        tracemalloc.start()
        total = sum(
            out.shape[1]
            for out in convert(codec, blocks(), 1, 16_000, Target(bytes((10, 20, 30, 40))))
        )
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return total, most

    (one, few), (three, more) = peak(1), peak(3)
    assert (one, three) == (240_000, 720_000)
    assert more < few + 500_000  # 30 s more are 1.9 MB of samples


def test_how_sound_comes_does_not_matter(codec: SpeechCodec) -> None:
    samples = voice(200_000).samples  # longer than what level and speaker are measured on
    vector = bytes((200, 20, 30, 40))
    whole, cut = (
        np.concatenate(
            list(convert(codec, Audio(samples, 16_000).blocks(size), 1, 16_000, Target(vector))), 1
        )
        for size in (200_000, 777)
    )
    np.testing.assert_array_equal(whole, cut)
    assert whole.shape == samples.shape and gain_for(whole) > -30


def test_a_comment_is_kept_in_headers_of_all_lengths(tmp_path: Path) -> None:
    for comment in ("a", "even", "an odd one"):
        data = wav_header(2, 8000, 3, comment) + bytes(12)
        assert int.from_bytes(data[4:8], "little") == len(data) - 8
        with soundfile.SoundFile(io.BytesIO(data)) as sound:
            assert (sound.comment, sound.frames) == (comment, 3)
        assert Audio.open(io.BytesIO(data), "x").size == (2, 3)
