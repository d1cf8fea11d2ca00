"""The networks of speech: shapes, halos, spectra, speaker vectors."""

import numpy as np
import pytest
import torch
from scipy.signal import stft

from tests.helpers import lively_speech, tiny_speech_config, voice
from vqcodec.config import load_preset, override
from vqcodec.errors import UsageError
from vqcodec.files.contents import SPEAKER_STEPS
from vqcodec.models.conditioners.base import quantize
from vqcodec.models.decoders.istft import IstftDecoder
from vqcodec.models.nn.spectra import FLOOR, log_mel, magnitudes, mel_filters, spectral_distance
from vqcodec.models.vqvae import VQVAE, build, renamed


@pytest.fixture(scope="module")
def tiny_speech_model() -> VQVAE:
    torch.manual_seed(0)
    return lively_speech(build(tiny_speech_config()["model"]))


def sound(samples: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(voice(samples, seed=seed).samples)[None]


def shaken(model: torch.nn.Module) -> None:
    """Give blocks that start at zero something to do."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))


def test_sound_becomes_a_code_per_64_samples_and_sound_again(tiny_speech_model: VQVAE) -> None:
    x = sound(64 * 40)
    (indices,) = tiny_speech_model.encode(x)
    assert indices.shape == (1, 40)
    assert tiny_speech_model.conditioner is not None
    cond = tiny_speech_model.conditioner(x)
    y = tiny_speech_model.decode((indices,), cond)
    assert y.shape == x.shape
    assert y.abs().max() <= 1


@pytest.mark.parametrize(
    ("preset", "stride"),
    [("speech-64x", 64), ("speech-128x", 128), ("speech-phonemes", 640), ("speech-voice", 64)],
)
def test_presets_build_with_the_stride_that_they_should(preset: str, stride: int) -> None:
    model = build(load_preset(preset)["model"])
    assert [spec.stride for spec in model.maps] == [(stride,)]
    x = sound(stride * 5)
    assert model.encode(x)[0].shape == (1, 5)


def test_a_code_depends_on_no_more_than_the_encoder_reaches() -> None:
    torch.manual_seed(0)
    encoder = build(tiny_speech_config()["model"]).encoder
    shaken(encoder)
    x = sound(64 * 60).requires_grad_()
    (z_e,) = encoder(x)
    z_e[0, :, 30].sum().backward()
    assert x.grad is not None
    seen = x.grad[0, 0].nonzero().flatten()
    assert 30 * 64 - int(seen.min()) == encoder.halo
    assert int(seen.max()) - (31 * 64 - 1) == encoder.halo


@pytest.mark.parametrize("frames", [1, 2, 4])
def test_a_sample_depends_on_no_more_codes_than_the_decoder_reaches(frames: int) -> None:
    torch.manual_seed(0)
    tree = override(tiny_speech_config(), ["model.decoder.blocks=2"])
    model = build({**tree["model"], "decoder": {**tree["model"]["decoder"], "frames": frames}})
    decoder = model.decoder
    shaken(decoder)
    z_q = torch.randn(1, 4, 80).requires_grad_()
    y = decoder.reconstruct(z_q, torch.zeros(1, 4))
    y[0, 0, 40 * 64 : 41 * 64].square().sum().backward()  # type: ignore[no-untyped-call]
    assert z_q.grad is not None
    seen = z_q.grad[0].abs().sum(0).nonzero().flatten()
    before, after = 40 - int(seen.min()), int(seen.max()) - 40
    assert max(before, after) <= decoder.halo <= max(before, after) + 1


def test_frames_of_one_sine_add_up_to_that_sine() -> None:
    """Spectra whose phases turn with the frames are those of a steady tone."""
    decoder = build(load_preset("speech-64x")["model"]).decoder
    assert isinstance(decoder, IstftDecoder)
    window, hop, number, k = 512, 64, 50, 24
    times = torch.arange(number) * hop - (window - hop) // 2
    t = times[:, None] + torch.arange(window)
    tone = 0.25 * torch.cos(2 * torch.pi * k / window * t)
    spectra = torch.fft.rfft(tone * torch.hann_window(window))
    frames = torch.fft.irfft(spectra)[None] * decoder.get_buffer("_window")
    y = decoder._overlap(frames)
    expected = 0.25 * torch.cos(2 * torch.pi * k / window * torch.arange(number * hop))
    torch.testing.assert_close(y[0, 512:-512], expected[512:-512], atol=1e-5, rtol=0)


def test_magnitudes_are_those_of_scipy() -> None:
    x = voice(4000).samples[0]
    ours = magnitudes(torch.from_numpy(x)[None], 512, 128)[0].numpy()
    _, _, theirs = stft(x, nperseg=512, noverlap=384, window="hann", boundary="even")
    inner = slice(4, 25)
    np.testing.assert_allclose(ours[:, inner], np.abs(theirs)[:, inner], atol=2e-4)


def test_mel_filters_cover_every_frequency_once() -> None:
    total = mel_filters(513, 40, 16000).sum(0)
    assert total[10:-40].min() > 0.99
    assert total.max() < 1.01


def test_a_tone_lies_in_the_band_of_its_pitch() -> None:
    tone = torch.sin(2 * torch.pi * 1000 / 16000 * torch.arange(16000))[None]
    mel = log_mel(tone, 16000, 1024, 256, 80)[0, :, 30]
    edges = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 82) / 2595) - 1)
    assert abs(edges[int(mel.argmax()) + 1] - 1000) < 40
    assert mel.min() >= np.log(FLOOR) - 1e-3


def test_spectral_distance_ignores_sign_and_sees_level() -> None:
    x = torch.from_numpy(voice(8000).samples)
    assert float(spectral_distance(x, -x, (512,))) < 1e-5
    louder = float(spectral_distance(x, 2 * x, (512,)))
    assert 1 < louder < np.log(2) + 1.01  # log 2 where nothing is near the floor, and |X| / |X|


def test_speaker_vectors_fit_bytes_and_do_not_care_about_length(tiny_speech_model: VQVAE) -> None:
    speaker = tiny_speech_model.conditioner
    assert speaker is not None
    assert speaker(sound(1)).shape == (1, 4)
    vector = speaker(sound(16000))
    assert vector.abs().max() <= 1
    stored = quantize(vector).float() / SPEAKER_STEPS
    assert (stored - vector).abs().max() <= 0.5 / SPEAKER_STEPS + 1e-6


def test_the_voice_changes_what_is_decoded_and_not_the_codes() -> None:
    torch.manual_seed(0)
    model = build(tiny_speech_config()["model"]).eval()
    shaken(model.decoder)
    indices = (torch.arange(32)[None] % 32,)
    a, b = (model.decode(indices, torch.full((1, 4), v)) for v in (-1.0, 1.0))
    assert (a - b).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.encoder.strides=[2, 2, 2, 2, 2, 4]", "same stride"),
        ("model.encoder.strides=[2, 2]", "one length"),
        ("model.encoder.strides=[2, 2, 2, 2, 2, 3]", "must be even"),
        ("model.decoder.cond_dim=5", "cond_dim"),
        ("model.decoder.window=100", "must divide"),
        ("model.conditioner.dim=0", "dim is 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(setting: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(override(tiny_speech_config(), [setting])["model"])


@pytest.mark.parametrize("frames", [1, 2])
def test_a_condition_may_change_along_the_sound(frames: int) -> None:
    torch.manual_seed(0)
    table = tiny_speech_config()["model"]
    decoder = build({**table, "decoder": {**table["decoder"], "frames": frames}}).decoder
    shaken(decoder)
    z_q, everywhere = torch.randn(2, 4, 60), torch.randn(2, 4)
    with torch.no_grad():
        told = decoder.reconstruct(z_q, everywhere)
        local = everywhere[:, :, None].repeat(1, 1, 60)
        torch.testing.assert_close(decoder.reconstruct(z_q, local), told, atol=1e-5, rtol=1e-5)
        local[:, :, 30] += 3
        moved = (decoder.reconstruct(z_q, local) - told).abs().amax((0, 1)) > 1e-6
    assert moved[30 * 64 : 31 * 64].any()
    assert not moved[: (30 - decoder.halo) * 64].any()
    assert not moved[(31 + decoder.halo) * 64 :].any()


def test_weights_whose_conditioner_was_the_speaker_are_read(tiny_speech_model: VQVAE) -> None:
    table = dict(tiny_speech_config()["model"])
    table["speaker"] = table.pop("conditioner")
    model = build(table)
    state = tiny_speech_model.state_dict()
    old = {k.replace("conditioner.", "speaker.", 1): v for k, v in state.items()}
    assert old.keys() != state.keys() == renamed(old).keys()
    model.load_state_dict(old)
    torch.testing.assert_close(model.state_dict(), state)
