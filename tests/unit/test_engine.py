"""The engine gives in arrays what the network gives in tensors."""

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.helpers import picture, voice
from vqcodec.codec.engine_torch import TorchEngine
from vqcodec.errors import FormatError
from vqcodec.models.pretrained import load_model
from vqcodec.weights import read_weights


def test_pictures(tiny_weights: Path) -> None:
    engine = TorchEngine(read_weights(tiny_weights), "cpu", "fp32", pixels=True)
    model = load_model(engine.weights)
    pixels = picture(48, 80)[::-1, ::2]  # of no memory of their own, and not to be written to
    pixels.flags.writeable = False
    with torch.inference_mode():
        x = torch.tensor(pixels.copy()).permute(2, 0, 1)[None] / 127.5 - 1
        (indices,) = model.encode(x)
        decoded = ((model.decode((indices,))[0] + 1) * 127.5).round().clamp(0, 255)
    (grid,) = grids = engine.encode(pixels[None])
    assert grid.dtype == np.uint16
    np.testing.assert_array_equal(grid, indices.numpy())
    back = engine.decode(grids)
    assert back.dtype == np.uint8 and back.shape == (1, 48, 40, 3)
    wanted = decoded.permute(1, 2, 0).numpy().astype(int)
    assert np.abs(back[0] - wanted).max() <= 1  # layouts of memory round differently
    assert engine.speaker_size == 0 and engine.measure_speaker(np.zeros(9, np.float32)) == b""
    assert engine.condition(b"") is None


def test_sound(spoken_weights: Path) -> None:
    engine = TorchEngine(read_weights(spoken_weights), "cpu", "fp32", pixels=False)
    model = load_model(engine.weights)
    samples = voice(6400, channels=3).samples
    samples.flags.writeable = False
    speaker = engine.measure_speaker(samples[0])
    cond = engine.condition(speaker)
    assert cond is not None and len(speaker) == engine.speaker_size == len(cond)
    assert model.conditioner is not None
    x = torch.tensor(samples.copy())[:, None]
    with torch.inference_mode():
        vector = model.conditioner(x[:1])[0]
        (indices,) = model.encode(x)
        decoded = model.decode((indices,), torch.from_numpy(cond).repeat(3, 1))
    np.testing.assert_allclose(cond, vector.numpy(), atol=0.5 / 127 + 1e-6)
    grids = engine.encode(samples)
    np.testing.assert_array_equal(grids[0], indices.numpy())
    np.testing.assert_allclose(engine.decode(grids, cond), decoded[:, 0].numpy(), atol=1e-6)
    with pytest.raises(FormatError, match="a speaker vector of 1 numbers"):
        engine.condition(b"a")
