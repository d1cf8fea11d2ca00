"""What is read in speech, and how it is compared."""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest

from vqcodec.media.audio import Audio
from vqcodec.metrics import recogniser, words
from vqcodec.voice.frames import RATE

SAID = "Ever tried, ever failed. No matter. Try again, fail again, fail better."


@pytest.fixture
def recording() -> np.ndarray:
    """A recording of ten seconds that comes with the recogniser."""
    try:
        path = distribution(recogniser.PACKAGE).locate_file("moonshine_voice/assets/beckett.wav")
    except PackageNotFoundError:
        pytest.skip("needs moonshine-voice (evaluate-speech)")
    return Audio.open(Path(str(path))).mix().resample(RATE).samples[0]


def test_a_recording_is_read(recording: np.ndarray) -> None:
    assert words.normalized(recogniser.read(recording)) == words.normalized(SAID)
    assert words.word_error_rate(recording, recording, SAID) == 0
    half = recording[: len(recording) // 2]
    lost = words.word_error_rate(recording, half, SAID)
    assert lost is not None and 0.3 < lost < 0.8
    assert words.word_error_rate(recording, half, "") == lost  # the original is read without fault
    letters = words.character_error_rate(recording, half, SAID)
    assert letters is not None and 0.3 < letters < 0.8
    assert words.word_error_rate(recording, recording, "Something else was said") is None


def test_silence_and_long_recordings_are_read(recording: np.ndarray) -> None:
    for empty in (np.zeros(0), np.zeros(100)):
        assert recogniser.read(empty) == ""
    assert words.word_error_rate(np.zeros(0), recording, "") is None
    thrice = np.concatenate([recording] * 3)
    read = words.normalized(recogniser.read(thrice)).split()
    assert words.edits(words.normalized(SAID).split() * 3, read) <= 6  # of 36, around the cut
    noise = np.random.default_rng(0).normal(0, 0.1, 5 * RATE)
    assert len(recogniser.read(noise).split()) <= 5 * recogniser.TOKENS_PER_SECOND


def test_long_speech_is_cut_in_its_pauses() -> None:
    x = np.random.default_rng(0).normal(0, 0.1, 60 * RATE)
    for second in (18, 40):
        x[second * RATE : second * RATE + recogniser.PAUSE] = 0
    found = recogniser.pieces(x)
    assert max(map(len, found)) <= recogniser.LONGEST
    np.testing.assert_array_equal(np.concatenate(found), x)
    ends = np.cumsum([len(piece) for piece in found]) / RATE
    np.testing.assert_allclose(ends, [18.1, 40.1, 60], atol=0.001)


def test_a_recogniser_that_is_not_there_is_an_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recogniser, "PACKAGE", "no-such-package")
    recogniser.load.cache_clear()
    with pytest.raises(ImportError, match="no-such-package is not installed"):
        recogniser.load()
    monkeypatch.setattr(recogniser, "PACKAGE", "numpy")
    with pytest.raises(ImportError, match="numpy holds no moonshine_voice"):
        recogniser.load()


def test_texts_are_compared_without_case_accents_and_punctuation() -> None:
    text = "Don\N{RIGHT SINGLE QUOTATION MARK}t stop: the 'Café'\N{EM DASH}27.5 O'CLOCK, twenty-one"
    assert words.normalized(text) == "don't stop the cafe 27 5 o'clock twenty one"
    assert words.normalized(" -- ") == ""


def test_edits_are_those_of_levenshtein() -> None:
    for a, b, number in (("kitten", "sitting", 3), ("", "abc", 3), ("abc", "", 3), ("ab", "ba", 2)):
        assert words.edits(a, b) == number
    assert words.edits(["same", "words"], ["same", "words"]) == 0
    assert words.edits("one two three".split(), "one too three four".split()) == 2
