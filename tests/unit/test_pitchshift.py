"""Speech made higher or lower, and formants moved."""

import numpy as np
import pytest

from tests.helpers import voice
from vqcodec.voice import voiceshift
from vqcodec.voice.formants import BINS, WINDOW, reshape
from vqcodec.voice.frames import HEAD, RATE
from vqcodec.voice.pitch import median_pitch, pitch
from vqcodec.voice.pitchshift import UNVOICED, shift_pitch
from vqcodec.voice.voiceshift import PART, VoiceShifter

LAGS = range(-UNVOICED, UNVOICED)
Signal = np.ndarray[tuple[int], np.dtype[np.float32]]


def humming(frequency: float, formant: float, seconds: float = 1.0) -> Signal:
    """Return harmonics of a tone, loudest around a formant."""
    t = np.arange(int(seconds * RATE)) / RATE
    partials = np.arange(1, int(7000 / frequency)) * frequency
    height = np.exp(-0.5 * ((partials - formant) / 500) ** 2) + 0.01
    waves = np.sin(2 * np.pi * partials[:, None] * t + 2.4 * np.arange(len(partials))[:, None] ** 2)
    x = height @ waves
    return (0.3 * x / np.abs(x).max()).astype(np.float32)


def formant_of(x: Signal) -> float:
    """Return the mean frequency of the power of a sound, in Hz."""
    power = np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2
    return float((power * np.fft.rfftfreq(len(x), 1 / RATE)).sum() / power.sum())


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.0, 1.3, 2.0])
def test_pitch_is_multiplied_and_nothing_else(factor: float) -> None:
    x = humming(150, 1500)
    y = shift_pitch(x, factor)
    assert y.shape == x.shape and y.dtype == np.float32
    assert median_pitch(pitch(y)) == pytest.approx(150 * factor, rel=0.02)
    assert formant_of(y) == pytest.approx(formant_of(x), rel=0.12)
    assert np.square(y).mean() == pytest.approx(np.square(x).mean(), rel=0.2)


def test_what_has_no_pitch_stays_as_it_is() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, 10_000).astype(np.float32)
    assert median_pitch(pitch(noise)) is None
    np.testing.assert_allclose(shift_pitch(noise, 1.5), noise, atol=1e-5)
    both = np.concatenate([humming(150, 1500, 0.5), noise])
    shifted = shift_pitch(both, 1.5)[8000 + WINDOW :]
    lags = [np.corrcoef(noise[WINDOW + d : 9000 + d], shifted[: 9000 - WINDOW])[0, 1] for d in LAGS]
    assert max(lags) > 0.99  # moved by at most half the distance of two marks


def test_a_voice_of_the_same_pitch_is_itself() -> None:
    x = voice(16_000).samples[0]
    np.testing.assert_allclose(shift_pitch(x, 1.0), x, atol=0.02 * np.abs(x).max())


@pytest.mark.parametrize("length", [1, 79, 500])
def test_short_sounds_keep_their_length(length: int) -> None:
    assert shift_pitch(np.full(length, 0.1, np.float32), 1.3).shape == (length,)


def test_formants_move_and_pitch_stays() -> None:
    x = humming(120, 1500)
    for factor in (0.8, 1.25):
        y = reshape(x, x, factor)
        assert median_pitch(pitch(y)) == pytest.approx(120, rel=0.01)
        assert formant_of(y) == pytest.approx(1500 * factor, rel=0.1)


@pytest.mark.parametrize("length", [1, 100, WINDOW, 5000])
def test_a_sound_of_its_own_envelope_is_itself(length: int) -> None:
    x = np.random.default_rng(0).normal(0, 0.1, length).astype(np.float32)
    np.testing.assert_allclose(reshape(x, x, 1.0), x, atol=1e-6)
    louder = reshape(x, x, 1.0, np.zeros(BINS, np.float32))
    np.testing.assert_allclose(louder, x, atol=1e-6)


def test_silence_stays_silent() -> None:
    silence = np.zeros(4000, np.float32)
    assert not shift_pitch(silence, 1.4).any()
    shifter = VoiceShifter(2, 200)
    out = np.concatenate([shifter.feed(np.zeros((2, 50), np.float32)), shifter.finish()], 1)
    assert out.shape == (2, 50) and not out.any()


def test_what_comes_in_parts_joins_without_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PART > HEAD
    part = HEAD + RATE  # thrice as fast
    monkeypatch.setattr(voiceshift, "PART", part)
    x = np.stack([humming(110, 900, 13), humming(110, 2000, 13)])

    def run(size: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        shifter = VoiceShifter(2, 165)
        blocks = (x[:, i : i + size] for i in range(0, x.shape[1], size))
        return np.concatenate(list(shifter.run(blocks)), axis=1)

    whole = run(x.shape[1])
    assert whole.shape == x.shape and x.shape[1] > part
    np.testing.assert_array_equal(whole, run(50_001))
    for channel in whole:
        assert median_pitch(pitch(channel)) == pytest.approx(165, rel=0.02)
        steps = np.abs(np.diff(channel, 2))
        around = steps[part - 2000 : part + 2000].max()
        assert around < 1.5 * steps[RATE : 2 * RATE].max()


def test_noise_has_no_pitch_to_bring_anywhere() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, (1, 8000)).astype(np.float32)
    shifter = VoiceShifter(1, 200)
    np.testing.assert_array_equal(
        np.concatenate([shifter.feed(noise), shifter.finish()], axis=1), noise
    )


def test_a_voice_of_speech_is_brought_to_a_pitch() -> None:
    x = voice(3 * RATE).samples
    shifter = VoiceShifter(1, 210)
    y = np.concatenate([shifter.feed(x), shifter.finish()], axis=1)[0]
    assert median_pitch(pitch(y)) == pytest.approx(210, rel=0.05)
