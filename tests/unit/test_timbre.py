"""Speech that takes on the sounds of another voice."""

import numpy as np
import pytest

from tests.helpers import voice
from vqcodec.train.speech.condensing import condensed
from vqcodec.voice import voiceshift
from vqcodec.voice.formants import CEPSTRA, cepstra_of, give_cepstra
from vqcodec.voice.frames import RATE
from vqcodec.voice.timbre import (
    ACTIVE,
    COMPARED,
    FAR,
    MIN,
    NEAR,
    NEIGHBOURS,
    SMOOTH,
    SPREAD,
    EnvelopeTransfer,
    Reach,
    Scale,
    Timbre,
)
from vqcodec.voice.voiceshift import VoiceShifter

Signal = np.ndarray[tuple[int], np.dtype[np.float32]]
VOWELS = [(700, 1200), (300, 2300), (350, 800), (500, 1800), (600, 1000), (400, 1500)]


def vowels(order: list[int], tilt: float = 0.0, seconds: float = 0.2) -> Signal:
    """Return hummed vowels of a voice that is louder by `tilt` nepers at 4 kHz."""
    t = np.arange(int(seconds * RATE)) / RATE
    partials = np.arange(1, 50) * 130.0
    waves = np.sin(2 * np.pi * partials[:, None] * t + 2.4 * np.arange(49)[:, None] ** 2)
    parts = []
    for which in order:
        formants = np.array(VOWELS[which])[:, None]
        height = np.exp(-0.5 * ((partials - formants) / 150) ** 2).sum(0) + 0.02
        parts.append((height * np.exp(tilt * partials / 4000)) @ waves)
    parts.append(0 * t)
    x = np.concatenate(parts)
    noise = np.random.default_rng(len(order)).normal(0, 1e-3, len(x))
    return (0.2 * x / np.abs(x).max() + noise).astype(np.float32)


ORDERS = [np.random.default_rng(seed).permutation(list(range(6)) * 4).tolist() for seed in (0, 1)]


@pytest.mark.parametrize("length", [1, 400, 5000])
def test_a_sound_of_its_own_cepstra_is_itself(length: int) -> None:
    x = np.random.default_rng(0).normal(0, 0.1, length).astype(np.float32)
    own = cepstra_of(x)
    np.testing.assert_allclose(give_cepstra(x, own, own), x, atol=1e-6)
    louder = own.copy()
    louder[:, 0] += np.log(2)
    np.testing.assert_allclose(give_cepstra(x, own, louder), 2 * x, atol=1e-5)


def test_moments_sound_like_the_nearest_ones_of_the_voice() -> None:
    heard = [voice(24_000, seed=n).samples[0] for n in (1, 2)]
    timbre = Timbre.heard(heard)
    cepstra = [cepstra_of(x) for x in heard]
    scale = Scale.of(np.concatenate(cepstra))
    assert scale is not None
    known = np.concatenate([scale.features(c) for c in cepstra])
    asked = scale.features(cepstra_of(voice(9000, seed=3).samples[0]))
    wanted = np.zeros((len(asked), CEPSTRA))
    for n, row in enumerate(asked):  # one by one, in double precision
        distances = np.square(known.astype(np.float64) - row).sum(1)
        wanted[n] = np.concatenate(cepstra)[np.argsort(distances)[:NEIGHBOURS]].mean(0)
    halo = len(SMOOTH) // 2
    smooth = np.zeros_like(wanted)
    for n in range(len(wanted)):
        for offset, weight in zip(range(-halo, halo + 1), SMOOTH, strict=True):
            smooth[n] += wanted[np.clip(n + offset, 0, len(wanted) - 1)] * weight / sum(SMOOTH)
    np.testing.assert_allclose(timbre.like(asked), smooth, atol=1e-4)


def test_features_are_those_of_a_scaled_voice() -> None:
    cepstra = cepstra_of(vowels(ORDERS[0]))
    scale = Scale.of(cepstra)
    moved = Scale.of(cepstra * 2 + 3)
    assert scale is not None and moved is not None
    np.testing.assert_allclose(
        scale.features(cepstra)[:, 1:], moved.features(cepstra * 2 + 3)[:, 1:], atol=1e-3
    )


def test_speech_takes_on_the_sounds_of_the_other() -> None:
    said, order = ORDERS[0], ORDERS[1]
    mine, theirs = vowels(said), vowels(said, -1.0)  # the same, as the other would
    timbre, scale = Timbre.heard([vowels(order, -1.0)]), Scale.of(cepstra_of(mine))
    assert scale is not None
    taken = timbre.given_to(mine, cepstra_of(mine), scale)
    assert taken.shape == mine.shape and taken.dtype == np.float32
    own, other, found = (cepstra_of(x)[:, 1:] for x in (mine, theirs, taken))
    loud = cepstra_of(mine)[:, 0] > -3
    before, after = ((c - other)[loud] for c in (own, found))
    assert loud.mean() > 0.8
    assert np.abs(after).mean() < 0.6 * np.abs(before).mean()
    assert np.abs(after.mean(0)).mean() < 0.4 * np.abs(before.mean(0)).mean()


@pytest.mark.parametrize("reach", [FAR, NEAR])
def test_conversion_goes_as_far_as_it_shall(reach: Reach) -> None:
    mine, timbre = vowels(ORDERS[0]), Timbre.heard([vowels(ORDERS[1], -1.0)])
    own = cepstra_of(mine)
    scale = Scale.of(own)
    assert scale is not None
    change = timbre.like(scale.features(own)) - own
    change[:, 0] = 0
    there = own + reach.way * change + reach.mean * change.mean(0)
    loud = own[:, 0] > np.percentile(own[:, 0], 95) - ACTIVE
    mean, deviation = (f(there[loud, 1:COMPARED], 0) for f in (np.mean, np.std))
    there[:, 1:COMPARED] -= mean
    there[:, 1:COMPARED] *= (timbre.scale.deviation[1:] / deviation) ** SPREAD
    there[:, 1:COMPARED] += mean
    wanted = give_cepstra(mine, own, there)
    taken = EnvelopeTransfer(timbre, reach=reach).apply(mine)
    np.testing.assert_allclose(taken, wanted, atol=1e-5)
    if reach == FAR:
        np.testing.assert_array_equal(EnvelopeTransfer(timbre).apply(mine), taken)


def test_what_found_the_features_of_a_voice_is_known_from_them() -> None:
    heard = [voice(24_000, seed=n).samples[0] for n in (1, 2)]
    whole = Timbre.heard(heard)
    scale = Scale.of(np.concatenate([cepstra_of(x) for x in heard]))
    assert scale is not None
    for found, close in ((whole.scale, 1e-3), (condensed(whole, 32).scale, 0.05)):
        np.testing.assert_allclose(found.mean, scale.mean, atol=close)
        np.testing.assert_allclose(found.deviation, scale.deviation, atol=close)
    alone = Timbre(whole.features[:1], whole.cepstra[:1]).scale
    assert np.isfinite(alone.mean).all() and not alone.deviation.any()


@pytest.mark.parametrize("reach", [FAR, NEAR])
def test_coarsely_only_mean_and_deviation_are_taken(reach: Reach) -> None:
    rng = np.random.default_rng(3)
    means = rng.normal(size=(2, COMPARED)).astype(np.float32)
    deviations = rng.uniform(0.5, 2, (2, COMPARED)).astype(np.float32)
    own, other = (Scale(*pair) for pair in zip(means, deviations, strict=True))
    cepstra = rng.normal(size=(50, CEPSTRA)).astype(np.float32)
    found = own.brought_to(other, cepstra)
    np.testing.assert_array_equal(found[:, COMPARED:], cepstra[:, COMPARED:])
    wanted = cepstra[:, :COMPARED] - means[0]
    wanted = wanted / deviations[0] * deviations[1] + means[1]
    np.testing.assert_allclose(found[:, :COMPARED], wanted, atol=1e-5)
    # of sound, it goes the whole way and, as said, some more, as loud as before
    mine, timbre = vowels(ORDERS[0]), Timbre.heard([vowels(ORDERS[1], -1.0)])
    own_cepstra, before = cepstra_of(mine), Scale.of(cepstra_of(mine))
    assert before is not None
    change = before.brought_to(timbre.scale, own_cepstra) - own_cepstra
    change[:, 0] = 0
    given = EnvelopeTransfer(timbre, coarsely=True, reach=reach).apply(mine)
    wanted = give_cepstra(mine, own_cepstra, own_cepstra + np.float32(reach.coarsely) * change)
    np.testing.assert_allclose(given, wanted, atol=1e-5)
    after = Scale.of(cepstra_of(given))
    assert after is not None and after.mean[1] - timbre.scale.mean[1] == pytest.approx(
        (reach.coarsely - 1) * (timbre.scale.mean[1] - before.mean[1]), abs=0.05
    )


def test_what_says_little_of_its_voice_is_taken_as_before() -> None:
    timbre = Timbre.heard([vowels(ORDERS[1], -1.0)])
    short = vowels([0, 1], seconds=0.1)
    assert len(cepstra_of(short)) < MIN
    fresh, used = EnvelopeTransfer(timbre), EnvelopeTransfer(timbre)
    np.testing.assert_array_equal(fresh.apply(short), short)
    silence = np.zeros(RATE * 2, np.float32)
    np.testing.assert_array_equal(fresh.apply(silence), silence)
    used.apply(vowels(ORDERS[0]))
    assert np.abs(used.apply(short) - short).max() > 0.01
    assert not used.apply(silence).any()


def test_too_little_speech_is_no_voice() -> None:
    for sounds in ([], [vowels([0])], [np.zeros(RATE * 3, np.float32)]):
        with pytest.raises(ValueError, match="less than a second"):
            Timbre.heard(sounds)


def test_how_sound_comes_does_not_matter_and_its_parts_join(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    part = 11 * RATE  # thrice as fast
    monkeypatch.setattr(voiceshift, "PART", part)
    timbre = Timbre.heard([voice(40_000, seed=9).samples[0]])
    x = voice(part + 30_000, channels=2, seed=4).samples
    whole, cut = (
        np.concatenate(list(VoiceShifter(2, 160, timbre).run(blocks)), axis=1)
        for blocks in ([x], np.array_split(x, 30, axis=1))
    )
    np.testing.assert_array_equal(whole, cut)
    assert whole.shape == x.shape and np.abs(whole - x).max() > 0.01
    steps = np.abs(np.diff(whole))
    assert steps[:, part - 2000 : part + 4000].max() < 1.2 * steps.max(1).min()


def test_condensed_means_stand_for_all_moments() -> None:
    whole = Timbre.heard([vowels(ORDERS[0])])
    few = condensed(whole, 40)
    assert len(few.features) == len(few.cepstra) <= 40 < len(whole.features)
    distances = np.square(whole.features[:, None] - few.features).sum(2)
    nearest = distances.argmin(1)
    for n in range(len(few.cepstra)):
        np.testing.assert_allclose(
            few.cepstra[n], whole.cepstra[nearest == n].mean(0), atol=1e-4, rtol=1e-4
        )
    spread = np.square(whole.features - whole.features.mean(0)).sum(1).mean()
    assert distances.min(1).mean() < 0.15 * spread
    every = condensed(whole, 10_000)  # nothing is lost where there are enough
    np.testing.assert_allclose(np.sort(every.cepstra, 0), np.sort(whole.cepstra, 0), atol=1e-5)


@pytest.mark.parametrize(
    ("features", "cepstra"),
    [
        ((0, 48), (0, 30)),
        ((5, 47), (5, 30)),
        ((5, 48), (4, 30)),
        ((5, 48), (5, 29)),
        ((5,), (5, 30)),
    ],
)
def test_other_shapes_are_no_timbre(features: tuple[int, ...], cepstra: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="shape"):
        Timbre(np.zeros(features, np.float32), np.zeros(cepstra, np.float32))
    with pytest.raises(ValueError, match="finite"):
        Timbre(np.full((5, 48), np.nan, np.float32), np.zeros((5, 30), np.float32))
