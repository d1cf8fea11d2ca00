"""The encoder that hears an envelope and a pitch: what it is told, against slower sums."""

import numpy as np
import pytest
import torch

from tests.helpers import voice
from vqcodec.errors import UsageError
from vqcodec.models.encoders.cepstral import (
    BANDS,
    CEPSTRA,
    ENVELOPE,
    FLOOR,
    LONGEST,
    PERIODS,
    SHORTEST,
    SPREAD,
    USUAL,
    WINDOW,
    Config,
    _magnitudes,
    features,
)
from vqcodec.models.vqvae import build

Signal = np.ndarray[tuple[int], np.dtype[np.float64]]
STRIDE = 64


def described(x: Signal) -> torch.Tensor:
    return features(torch.from_numpy(x.astype(np.float32))[None], STRIDE)[0]


def comb(frequency: float, seconds: float = 0.5, tilt: float = 0.0) -> Signal:
    t = np.arange(int(16000 * seconds)) / 16000
    partials = np.arange(1, int(7600 / frequency)) * frequency
    waves = np.sin(2 * np.pi * partials[:, None] * t + np.arange(len(partials))[:, None] ** 2)
    return 0.05 * np.exp(tilt * partials / 4000) @ waves


@pytest.mark.parametrize("frequency", [80.0, 131.0, 220.0, 410.0])
@pytest.mark.parametrize("tilt", [-2.0, 0.0])
def test_the_period_of_a_voice_stands_out(frequency: float, tilt: float) -> None:
    alike = described(comb(frequency, tilt=tilt))[BANDS:, 40:80].mean(1)
    periods = SHORTEST * (LONGEST / SHORTEST) ** np.linspace(0, 1, PERIODS)
    found = 16000 / periods[int(alike.argmax())]
    assert abs(np.log2(found / frequency)) * 12 < 0.4  # semitones
    assert 0.5 < alike.max() <= 1


def test_noise_has_no_period() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16000)
    assert described(noise)[BANDS:, 20:-20].mean(1).abs().max() < 0.2


def test_an_envelope_is_the_cosine_series_of_its_first_cepstra() -> None:
    x = voice(4000).samples[0].astype(np.float64)
    cell = 30
    start = cell * STRIDE + STRIDE // 2 - ENVELOPE // 2
    window = np.hanning(ENVELOPE + 1)[:-1]
    frame = x[start : start + ENVELOPE] * window
    spectrum = np.log(np.abs(np.fft.fft(frame)) * 2 / window.sum() + FLOOR)
    cepstra = np.fft.ifft(spectrum).real
    mel = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), BANDS + 2)[1:-1]
    for band in (0, 7, 39):
        angle = 2 * np.pi * 700 * (10 ** (mel[band] / 2595) - 1) / 16000
        wanted = cepstra[0] + 2 * sum(cepstra[n] * np.cos(n * angle) for n in range(1, CEPSTRA))
        told = float(described(x)[band, cell]) * SPREAD + USUAL
        assert told == pytest.approx(wanted, abs=1e-3)


def test_products_in_graphs_are_the_transforms_elsewhere() -> None:
    frames = torch.from_numpy(voice(4 * WINDOW).samples).unfold(1, WINDOW, 100)
    for n in (ENVELOPE, WINDOW):
        part = frames[..., :n].double().numpy()
        wanted = np.abs(np.fft.rfft(part * np.hanning(n + 1)[:-1]))
        found = _magnitudes(frames[..., :n]).numpy()
        assert np.abs(found - wanted).max() < 1e-6 * np.abs(wanted).max()


def test_phases_are_not_told() -> None:
    """Nearly: the windows see more than one partial at a time."""
    a, b = comb(200.0), comb(200.0)[::-1].copy()
    both = [described(x)[:, 40:80] for x in (a, b)]
    assert (both[0].mean(1) - both[1].mean(1)).abs().max() < 0.25


def test_silence_is_told_as_silence() -> None:
    told = described(np.zeros(2048))
    assert torch.isfinite(told).all()
    assert (told[:BANDS] < (np.log(FLOOR) - USUAL) / SPREAD + 1e-3).all()


def test_a_code_depends_on_no_more_than_the_encoder_reaches() -> None:
    torch.manual_seed(0)
    encoder = Config(STRIDE, 8, 2, 4).build()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in encoder.parameters():  # blocks start at zero
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    x = torch.from_numpy(voice(STRIDE * 80).samples)[None]
    (whole,) = encoder(x)
    assert whole.shape == (1, 4, 80)
    for start, stop in ((40 * STRIDE - encoder.halo, None), (0, 41 * STRIDE + encoder.halo)):
        part = torch.zeros_like(x)
        part[..., start:stop] = x[..., start:stop]
        torch.testing.assert_close(encoder(part)[0][..., 40], whole[..., 40])
    assert encoder.halo == (1 + 2 * 3) * STRIDE + (WINDOW - STRIDE) // 2


@pytest.mark.parametrize(
    ("settings", "message"), [({"stride": 63}, "even"), ({"stride": 1024}, "stride is 1024")]
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, int], message: str) -> None:
    from vqcodec.config import load_preset

    model = load_preset("speech-voice")["model"]
    with pytest.raises(UsageError, match=message):
        build({**model, "encoder": {**model["encoder"], **settings}})
