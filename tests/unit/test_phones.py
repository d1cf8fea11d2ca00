"""What codes tell of phones and speakers, and conversions of voices, against known answers."""

import numpy as np
import pytest
from numpy.typing import NDArray

from vqcodec.errors import MediaError
from vqcodec.evaluate.conversion.voices import KnownVoice, cepstral_distance, pitch_offset
from vqcodec.evaluate.phones.phones import (
    Labelled,
    Mark,
    Marked,
    PhoneTable,
    phone_accuracy,
    read_marks,
)
from vqcodec.evaluate.phones.probe import histograms, probe
from vqcodec.voice.frames import RATE

NAMES = ("sil", "a", "t")


def drawn(number: int, sure: float, seed: int) -> Labelled:
    """Codes 0 to 9, of which code c goes with phone c % 3 with probability `sure`."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 10, number)
    other = rng.integers(1, 3, number)
    phones = np.where(rng.random(number) < sure, codes % 3, (codes + other) % 3)
    return Labelled(codes, phones)


def test_phones_are_those_at_the_middle_of_each_index() -> None:
    marks = (Mark(0.0, 0.01, "sil"), Mark(0.01, 0.019, "a"), Mark(0.021, 0.03, "t"))
    found = Marked("x", "train", marks).phones_at(9, 64)  # middles at 2, 6, 10, ... 34 ms
    assert found == ["sil", "sil", "a", "a", "a", "t", "t", "", ""]
    assert Marked("x", "train", (Mark(1, 2, "a"),)).phones_at(2, 64) == ["", ""]


def test_marks_are_read_in_order_and_checked() -> None:
    rows = [
        {"file": "f", "start": "0.5", "end": "0.7", "phone": "b", "split": "test", "raw": ""},
        {"file": "f", "start": "0", "end": "0.5", "phone": "a", "split": "test", "raw": ""},
        {"file": "g", "start": "0", "end": "1", "phone": "c", "split": "train", "raw": ""},
    ]
    marks = read_marks(rows, "phones.csv")
    assert marks[0] == Marked("f", "test", (Mark(0, 0.5, "a"), Mark(0.5, 0.7, "b")))
    assert (marks[1].path, marks[1].split) == ("g", "train")
    for bad in ({**rows[0], "start": "soon"}, {"file": "f"}, {**rows[0], "end": None}):
        with pytest.raises(MediaError, match=r"phones.csv: line 3 is no mark"):
            read_marks([rows[0], bad], "phones.csv")  # type: ignore[list-item]


def test_accuracy_is_how_sure_the_codes_are() -> None:
    train, test = drawn(30_000, 0.7, 1), drawn(30_000, 0.7, 2)
    found = phone_accuracy(train, test, NAMES, 12)
    assert found["accuracy"] == pytest.approx(0.7, abs=0.01)
    assert found["chance"] == pytest.approx(0.4, abs=0.03)  # four codes of ten go with phone 0
    assert found["commonest"] == pytest.approx((test.phones == 0).mean(), abs=1e-4)
    table = PhoneTable.count(train.codes, train.phones, NAMES, 12)
    np.testing.assert_array_equal(table.likeliest, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 0])
    for code, phone in ((3, 1), (9, 0), (11, 2)):
        assert table.counts[code, phone] == ((train.codes == code) & (train.phones == phone)).sum()
    speaking = phone_accuracy(train.without(0), test.without(0), NAMES, 12)
    assert speaking["accuracy"] > 0.75 and not (train.without(0).phones == 0).any()


def voices(leak: float, seed: int) -> tuple[NDArray[np.float64], list[str]]:
    """Recordings by four speakers, each of whom prefers a code of theirs by `leak`."""
    rng = np.random.default_rng(seed)
    codes, names = [], []
    for i in range(80):
        shares = np.full(20, 1 - leak) / 20
        shares[i % 4] += leak
        codes.append(rng.choice(20, 100, p=shares))
        names.append(f"speaker {i % 4}")
    return histograms(codes, 20), names


@pytest.mark.parametrize(("leak", "low", "high"), [(0.3, 0.98, 1), (0.0, 0.05, 0.45)])
def test_the_probe_finds_the_speaker_where_codes_tell(leak: float, low: float, high: float) -> None:
    found = probe(*voices(leak, 1), *voices(leak, 2))
    assert low <= found["accuracy"] <= high
    assert found["chance"] == 0.25


def test_histograms_are_of_unit_length() -> None:
    found = histograms([np.array([0, 0, 3]), np.array([1])], 5)
    expected = np.array([[2 / 3, 0, 0, 1 / 3, 0], [0, 1, 0, 0, 0]])
    np.testing.assert_allclose(np.square(found), expected)


def sounds(*parts: tuple[float, float]) -> NDArray[np.float64]:
    """Tones one after the other: (Hz, seconds) each, in a little noise."""
    tones = [np.sin(2 * np.pi * f * np.arange(round(s * RATE)) / RATE) for f, s in parts]
    line = np.concatenate(tones)
    return 0.1 * line + 0.001 * np.random.default_rng(0).normal(size=len(line))


def test_cepstral_distance_forgives_time_and_level() -> None:
    x = sounds((300, 0.3), (3000, 0.3))
    slower = sounds((300, 0.2), (3000, 0.6))
    backwards = sounds((3000, 0.3), (300, 0.3))
    same, slow, apart = (cepstral_distance(x, y) for y in (0.3 * x, slower, backwards))
    assert same is not None and slow is not None and apart is not None
    assert same == pytest.approx(0, abs=1e-3)
    assert slow < 0.3 * apart
    assert cepstral_distance(np.zeros(RATE), x) is None


def test_pitch_offset_is_in_semitones() -> None:
    time = np.arange(RATE) / RATE
    low, high = (np.sign(np.sin(2 * np.pi * f * time)) * 0.1 for f in (110.0, 220.0))
    deep, bright = (KnownVoice.hear(x, embed=False) for x in ([low, low], [high]))
    assert pitch_offset(bright.pitch, deep) == pytest.approx(12, abs=0.1)
    assert pitch_offset(deep.pitch, bright) == pytest.approx(-12, abs=0.1)
    assert KnownVoice.hear([0 * low], embed=False).pitch is None
    assert pitch_offset(None, deep) is None
