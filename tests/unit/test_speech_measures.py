"""Measures of speech, against signals whose answer is known."""

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.fft import dct

from vqcodec.errors import UsageError
from vqcodec.evaluate.speech import baselines
from vqcodec.metrics import speech as quality
from vqcodec.metrics.alignment import align, delay, shifted, warp
from vqcodec.metrics.spectra import (
    CEPSTRA,
    SILENCE,
    cepstra,
    decibels,
    log_mel_distance,
    mel_power,
    power,
)
from vqcodec.voice.frames import RATE
from vqcodec.voice.pitch import median_pitch, pitch, pitch_correlation

Signal = NDArray[np.float32]


def speech(seconds: float = 2.0, seed: int = 0) -> Signal:
    """Harmonics of a gliding voice that comes and goes, through wandering formants, and noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    tone = np.zeros_like(time)
    phase = 2 * np.pi * np.cumsum(glide(time)) / RATE
    for n in range(1, 25):
        formants = 500 + 250 * np.sin(5 * time), 1600 + 600 * np.sin(7 * time + 1)
        height = sum(np.exp(-(((n * glide(time) - f) / 250) ** 2)) for f in formants)
        tone += height * np.cos(n * phase + rng.uniform(0, 6))
    syllables = np.clip(np.sin(2 * np.pi * 3 * time) + 0.6, 0, 1)
    return (0.1 * tone * syllables + 0.001 * rng.normal(size=len(time))).astype(np.float32)


def glide(time: NDArray[np.float64]) -> NDArray[np.float64]:
    return 130 + 40 * np.sin(2 * np.pi * 0.7 * time)


def test_a_sine_at_full_scale_is_at_zero_decibels() -> None:
    time = np.arange(RATE) / RATE
    levels = decibels(power(np.sin(2 * np.pi * 1000 * time)))
    assert levels.shape == (100, 257)
    np.testing.assert_allclose(levels[10:-10].max(1), 0, atol=0.01)
    assert (levels[10:-10].argmax(1) == 32).all()
    assert decibels(np.zeros((1, 1))) == 10 * np.log10(SILENCE)
    bands = mel_power(np.sin(2 * np.pi * 1000 * time))
    centres = 700 * (10 ** (np.arange(1, 81) * 2840.023 / 81 / 2595) - 1)  # 8 kHz is 2840 mel
    assert abs(centres[bands[50].argmax()] - 1000) < 40


def test_gain_moves_mel_levels_but_no_cepstrum() -> None:
    x = speech()
    assert log_mel_distance(x, x) == 0
    louder = log_mel_distance(0.5 * x, x)
    assert 0 < louder < 20 * np.log10(2) + 1e-9  # less, for what is too quiet does not count
    np.testing.assert_allclose(cepstra(0.5 * x), cepstra(x), atol=1e-9)
    levels = decibels(mel_power(x))
    levels = np.maximum(levels, levels.max() - 60) * np.log(10) / 20
    expected = dct(levels, axis=1)[:, 1 : CEPSTRA + 1] / (2 * 80)
    np.testing.assert_allclose(cepstra(x), expected, atol=1e-9)


def test_pitch_is_that_of_the_voice() -> None:
    time = np.arange(2 * RATE) / RATE
    x = speech()
    track = pitch(x)
    true = glide(time)[::160]
    voiced = ~np.isnan(track)
    assert track.shape == (200,) and 0.5 < voiced.mean() < 0.9  # the pauses have none
    np.testing.assert_allclose(track[voiced], true[voiced], rtol=0.03)
    assert pitch_correlation(track, true) == pytest.approx(1, abs=0.01)
    middle = median_pitch(track)
    assert middle == pytest.approx(np.median(true[voiced]), rel=0.01)
    flipped = 260 - true
    correlation = pitch_correlation(track, flipped)
    assert correlation is not None and correlation < -0.9
    for lowest in (70, 480):
        steady = np.sum([np.cos(2 * np.pi * lowest * n * time) / n for n in range(1, 6)], 0)
        assert median_pitch(pitch(0.1 * steady)) == pytest.approx(lowest, rel=0.003)


@pytest.mark.parametrize("kind", ["silence", "noise", "constant"])
def test_what_is_no_voice_has_no_pitch(kind: str) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE)
    track = pitch({"silence": 0 * noise, "noise": noise, "constant": 0 * noise + 0.5}[kind])
    assert np.isnan(track).mean() > 0.97
    if kind != "noise":
        assert median_pitch(track) is None
        assert pitch_correlation(track, track) is None


@pytest.mark.parametrize("later", [-320, 0, 16, 480, 800])
def test_a_delay_is_found_and_undone(later: int) -> None:
    x = speech()
    moved = shifted(x, -later, len(x) + 300)
    assert delay(x, moved) == delay(x, -moved) == later
    back = align(x, moved)
    assert len(back) == len(x)
    np.testing.assert_array_equal(back[400:-900], x[400:-900])


def test_a_delay_is_found_though_every_period_is_drawn_anew() -> None:
    """A vocoder keeps spectrum and pitch, but not the waveform."""
    x = speech(seed=1)
    other = speech(seed=2)  # the same voice and formants, all harmonics in another phase
    assert abs(delay(x, shifted(other, -240, len(x))) - 240) <= 32


def test_warping_finds_the_cheapest_path() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(7, 2)), rng.normal(size=(5, 2))
    cost = np.linalg.norm(a[:, None] - b, axis=-1)

    def paths(i: int, j: int) -> Iterator[float]:
        if (i, j) == (6, 4):
            yield cost[i, j]
        for k, m in ((i + 1, j), (i, j + 1), (i + 1, j + 1)):
            if k < 7 and m < 5:
                yield from (cost[i, j] + rest for rest in paths(k, m))

    path = warp(a, b)
    assert cost[path[:, 0], path[:, 1]].sum() == pytest.approx(min(paths(0, 0)))
    steps = np.diff(path, axis=0)
    assert set(map(tuple, steps.tolist())) <= {(0, 1), (1, 0), (1, 1)}
    stretched = np.repeat(a, [1, 3, 1, 2, 1, 1, 4], axis=0)
    path = warp(a, stretched)
    np.testing.assert_array_equal(a[path[:, 0]], stretched[path[:, 1]])


def test_measures_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = quality.SpeechMetric("x", "X", "", 1, lambda a, b: 0.0, ("no-such-package",))

    def fail() -> Any:
        raise ImportError("no libx")

    broken = quality.SpeechMetric("y", "Y", "", 1, lambda a, b: 0.0, ("numpy",), fail)
    monkeypatch.setattr(quality, "METRICS", (absent, quality.MEL, broken))
    found, notes = quality.find_metrics()
    assert found == [quality.MEL]
    assert "X is left out: needs pip install 'vqcodec[evaluate-speech]'" in notes[0]
    assert "Y is left out: numpy" in notes[1] and "no libx" in notes[1]


@pytest.mark.parametrize("metric", quality.METRICS, ids=lambda m: m.key)
def test_measures_are_not_defined_for_silence_and_specks(metric: quality.SpeechMetric) -> None:
    if not metric.source():
        pytest.skip("needs the extra evaluate-speech")
    x = speech()
    assert metric.measure(np.zeros_like(x), x) is None
    assert metric.measure(x[:100], x[:100]) is None


@pytest.mark.parametrize("metric", quality.METRICS, ids=lambda m: m.key)
def test_noise_makes_every_measure_worse(metric: quality.SpeechMetric) -> None:
    if not metric.source() or metric.english:
        pytest.skip("needs the extra evaluate-speech, or real words")
    x = speech(4)
    noise = np.random.default_rng(5).normal(0, 1, len(x)).astype(np.float32)
    values = [metric.measure(x, x + s * noise) for s in (0, 0.003, 0.1)]
    known = [v for v in values if v is not None]
    assert len(known) == 3 or (metric.key == "f0-correlation" and len(known) == 2), values
    assert known == sorted(known, reverse=not metric.less_is_better) and known[0] != known[-1]


@pytest.mark.parametrize(
    ("name", "module", "rate"),
    [("opus-6k", "av", 6000), ("codec2-2400", "pycodec2", 2400), ("codec2-700c", "pycodec2", 800)],
)
def test_other_codecs_give_speech_back_at_their_rate(name: str, module: str, rate: int) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"needs {module} (evaluate-speech)")
    (baseline,), notes = baselines.find_baselines([name])
    assert not notes and baseline.version()
    x = speech(4)
    coded = baseline.encode(x)
    assert 8 * coded.bytes / 4 == pytest.approx(rate, rel=0.2)
    assert coded.samples.dtype == np.float32 and len(coded.samples) >= len(x) - 800
    noise = np.random.default_rng(0).normal(0, 0.03, len(x))
    assert log_mel_distance(x, align(x, coded.samples)) < log_mel_distance(x, noise)


def test_unknown_and_missing_codecs(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="no speech codec 'mp3'"):
        baselines.find_baselines(["mp3"])

    class Absent(baselines.Opus):
        package = "no-such-package"

        def check(self) -> None:
            raise ImportError

    monkeypatch.setitem(baselines.BASELINES, "opus-6k", Absent)
    found, notes = baselines.find_baselines(["opus-6k"])
    assert not found and "vqcodec[evaluate-speech]" in notes[0]
