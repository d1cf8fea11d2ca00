"""`vqcodec inspect` on sound: a figure of wave, spectrogram, codes and what comes back."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from tests.cli.test_commands import fails, names
from tests.helpers import Run, voice
from vqcodec import Codes
from vqcodec.cli.options import modality_of
from vqcodec.codec.speech import SpeechCodec
from vqcodec.figures.codebook import code_colours
from vqcodec.figures.image import INNER, MARGIN
from vqcodec.figures.spectrogram import COLOURS, loudness, spectrogram, waveform
from vqcodec.figures.speechcodebook import SIDE, draw_spectra, spectra
from vqcodec.files.contents import AudioInfo
from vqcodec.media.audio import Audio
from vqcodec.modality import AUDIO, IMAGE
from vqcodec.voice.frames import RATE

MODEL = ("--model", "spoken")


def pixels(data: bytes) -> NDArray[np.uint8]:
    return np.asarray(Pillow.open(io.BytesIO(data)).convert("RGB"))


def test_a_spectrogram_has_time_to_the_right_and_pitch_upwards() -> None:
    time = np.arange(RATE) / RATE
    samples = np.concatenate(
        [np.sin(2 * np.pi * 1000 * time), 0.1 * np.sin(2 * np.pi * 6000 * time)]
    )
    drawn = spectrogram(samples, (160, 400)).astype(int)
    assert drawn.shape == (160, 400, 3)
    left, right = drawn[:, 20:180].sum((1, 2)), drawn[:, 220:380].sum((1, 2))
    assert abs(left.argmax() - 140) <= 1 and abs(right.argmax() - 40) <= 1
    np.testing.assert_allclose(drawn[139:141, 100].max(0), COLOURS[-1], atol=20)
    assert loudness(samples) == pytest.approx(0, abs=0.1)
    faint = spectrogram(samples, (160, 400), loudest=60.0)
    np.testing.assert_array_equal(faint[:, 220:380], np.broadcast_to(COLOURS[0], (160, 160, 3)))


def test_a_waveform_reaches_from_its_lowest_to_its_highest() -> None:
    samples = np.concatenate([np.zeros(50), np.tile([0.5, -0.25], 25)])
    drawn = waveform(samples, (101, 20), (0, 0, 255), top=0.5)
    inside = (drawn == (0, 0, 255)).all(2)
    assert inside[:, 2].nonzero()[0].tolist() == [50]
    rows = inside[:, 15].nonzero()[0]
    assert (rows[0], rows[-1]) == (0, 75) and len(rows) == 76
    assert waveform(samples[:3], (9, 20), (0, 0, 0), top=0.5).shape == (9, 20, 3)


def test_colours_tell_codes_apart_by_their_distance() -> None:
    near = np.repeat(np.random.default_rng(0).normal(size=(4, 8)), 2, axis=0)
    near[1::2] += 0.01
    colours = code_colours(near.astype(np.float32)).astype(int)
    apart = np.abs(colours[:, None] - colours).sum(-1)
    np.fill_diagonal(apart, 999)
    assert (apart.argmin(1) == np.arange(8) ^ 1).all()
    assert code_colours(np.ones((2, 1), np.float32)).shape == (2, 3)


def test_a_recording_and_its_codes_are_explained(
    tmp_path: Path, run: Run, spoken_weights: Path
) -> None:
    sound = voice(20_000, 22_050, channels=2)
    sound.save(tmp_path / "a.wav")
    result = run("inspect", "a.wav", *MODEL)
    assert result.returncode == 0, result.stderr
    codec = SpeechCodec.load("spoken")
    codes = codec.encode(sound)
    assert f"0.91 s, {codes.grids[0].size} indices" in result.stdout.decode()
    assert b"log-mel distance" in result.stdout
    drawn = pixels((tmp_path / "a.inspect.png").read_bytes())
    vectors = np.frombuffer(codec.model.quantizer.codebook_bytes(), "<f4").reshape(32, -1)
    track = code_colours(vectors)[codes.grids[0][0]]
    at = MARGIN + ((np.arange(len(track)) + 0.5) * INNER / len(track)).astype(int)
    shown = (drawn[:, at] == track).all(2).mean(1)  # the strip of colours is somewhere
    assert shown.max() > 0.95  # at a few edges the next colour begins a pixel earlier
    codes.save(tmp_path / "a.npz")
    (tmp_path / "a.wav").unlink()
    alone = run("inspect", "a.npz", "-o", "b.png")
    assert alone.returncode == 0, alone.stderr
    assert b"log-mel" not in alone.stdout
    assert len(pixels((tmp_path / "b.png").read_bytes())) < len(drawn)
    printed = run("inspect", "a.npz", "--codes", "csv").stdout.decode()
    np.testing.assert_array_equal(
        np.loadtxt(printed.splitlines(), delimiter=",", dtype=int), codes.grids[0]
    )


@pytest.mark.parametrize("samples", [1, 9 * 16_000])
def test_short_and_long_sound(tmp_path: Path, run: Run, spoken_weights: Path, samples: int) -> None:
    voice(samples).save(tmp_path / "a.flac")
    result = run("inspect", "-", *MODEL, stdin=(tmp_path / "a.flac").read_bytes())
    assert result.returncode == 0, result.stderr
    assert pixels(result.stdout).shape[1] == 1720
    assert run("inspect", "a.flac", *MODEL, "--codes", "text").stdout.count(b"\n") == 1


def test_a_code_is_a_tone_and_its_harmonics(spoken_weights: Path) -> None:
    codec = SpeechCodec.load("spoken", "cpu")
    levels = spectra(codec)
    assert levels.shape == (32, 31)
    cells = 200
    size = (1, 64 * cells)
    media = AudioInfo(size, size, sample_rate=RATE, speaker=bytes(4))
    about = (codec.codebook_sizes, "ct", "spoken", codec.weights.codebook_id, media)
    for code in (0, 17):
        codes = Codes((np.full((1, cells), code, np.uint16),), *about)
        tone = codec.decode(codes).samples[0, 64 * 50 : 64 * 150]
        lines = np.abs(np.fft.rfft(tone)) * 2 / len(tone)
        np.testing.assert_allclose(
            10 ** (levels[code] / 20), np.maximum(lines[100:3200:100], 1e-5), rtol=0.01, atol=1e-5
        )
        lines[::100] = 0
        assert lines.max() < 1e-4  # there is nothing between them


def test_spectra_are_drawn_low_to_high() -> None:
    levels = np.full((3, 31), -90.0)
    levels[0, 30], levels[1, 0], levels[2, 0] = -10, -40, -100
    inside = (draw_spectra(levels) != 255).any(-1)
    assert inside.shape == (3, SIDE, SIDE)
    assert inside[0, :, -1].all() and not inside[0, :, :-3].any()
    assert inside[1, :, 0].tolist() == [False] * (SIDE // 2) + [True] * (SIDE // 2)
    assert not inside[1, :, SIDE // 2 :].any() and not inside[2].any()


def test_a_model_alone_and_over_recordings(tmp_path: Path, run: Run, spoken_weights: Path) -> None:
    assert run("inspect", *MODEL).stdout == b"spoken -> spoken.inspect.png: 32 codes\n"
    (tmp_path / "said").mkdir()
    sounds = [voice(9_000), voice(5_000, 8_000, channels=2, seed=1)]
    counts = np.zeros(32, int)
    for number, sound in enumerate(sounds):
        sound.save(tmp_path / "said" / f"{number}.flac")
        heard = Audio.open(tmp_path / "said" / f"{number}.flac")
        codes = SpeechCodec.load("spoken").encode(heard)
        counts += np.bincount(codes.grids[0].ravel(), minlength=32)
    with tarfile.open(tmp_path / "said.tar", "w") as tar:
        tar.add(tmp_path / "said", "said")
    (tmp_path / "said" / "bad.wav").write_bytes(b"no sound")
    result = run("inspect", "said", *MODEL, "-o", "use.png")
    assert result.returncode == 0 and b"left out: bad.wav" in result.stderr
    used = (counts > 0).sum()
    assert f"32 codes, {used} of them used by 2 recordings" in result.stdout.decode()
    packed = run("inspect", "said.tar", "said.tar", *MODEL, "-o", "twice.png")
    assert b"used by 4 recordings" in packed.stdout
    alone, use = (pixels((tmp_path / f"{n}.png").read_bytes()) for n in ("spoken.inspect", "use"))
    assert len(use) > len(alone) + 200  # there is how often each code occurs
    bad = run("inspect", *["said/bad.wav"] * 2, *MODEL, "-o", "x.png")
    assert bad.returncode == 1 and b"not one recording can be read" in bad.stderr
    (tmp_path / "none").mkdir()
    fails(run("inspect", "none", *MODEL, "-o", "x.png"), 1, "none: no recordings found")
    fails(run("inspect", "said", "--model", "tiny", "-o", "x.png"), 1, "said: no pictures found")


def test_what_lies_in_a_folder_says_which_weights(tmp_path: Path) -> None:
    assert modality_of([tmp_path], []) is IMAGE
    (tmp_path / "a.wav").touch()
    assert modality_of([tmp_path], []) is AUDIO
    (tmp_path / "b.png").touch()
    assert modality_of([tmp_path], []) is IMAGE
    assert modality_of([tmp_path], [AUDIO]) is AUDIO  # an option of speech is given


def test_silence_and_bad_requests(tmp_path: Path, run: Run, spoken_weights: Path) -> None:
    silent = voice(8_000)
    silent.samples[:] = 0
    silent.save(tmp_path / "silent.wav")
    assert run("inspect", "silent.wav", *MODEL).returncode == 0
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    fails(run("inspect", "bad.wav", *MODEL), 1, "bad.wav")
    fails(run("inspect", "silent.wav", "--model", "tiny", "-o", "x.png"), 1, "not speech")
    assert names(tmp_path) == ["bad.wav", "silent.inspect.png", "silent.wav"]
