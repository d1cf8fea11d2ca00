"""A WaveNet among the weights of a codec of speech: loaded, and drawn from as sound comes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.helpers import tiny_wavenet, voice
from vqcodec.codec.sampling import SamplingParams
from vqcodec.codec.speech import SpeechCodec
from vqcodec.codec.streaming import SpeechDecoder
from vqcodec.codec.wavenet import WaveNetRenderer
from vqcodec.errors import WeightsError
from vqcodec.models.generation import chunks
from vqcodec.models.generation.chunks import generate
from vqcodec.models.pretrained import load_decoder, load_wavenet_alone
from vqcodec.weights import CONFIG, WAVENET, read_weights


@pytest.mark.parametrize("threads", [1, 2])
def test_sound_is_drawn_as_indices_come(
    drawn_weights: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CHUNK", 6400)
    codec = SpeechCodec.load(drawn_weights, device="cpu", precision="fp32")
    decoder = load_decoder(codec.weights)
    codes = codec.encode(voice(20_001, channels=2))
    cond = np.frombuffer(codes.audio.speaker, np.int8).astype(np.float32) / np.float32(127)

    def draw(sizes: list[int]) -> "NDArray[np.float32]":
        renderer = WaveNetRenderer(codec.torch_engine, cond, SamplingParams(5), threads)
        speech = SpeechDecoder(renderer, 1, codec.stride, codes.audio)
        ends = np.cumsum(sizes)
        parts = [speech.feed(part) for part in np.split(np.stack(codes.grids), ends, axis=2)]
        return np.concatenate([*parts, speech.finish(codes.audio)], axis=1)

    sound = draw([150, 1, 0, 120])
    np.testing.assert_array_equal(draw([]), sound)
    assert sound.shape == (2, 20_001)
    assert not np.array_equal(sound[0], sound[1])
    grid = torch.from_numpy(codes.grids[0].astype(np.int64))
    z_q = codec.model.quantizer.lookup((grid,))
    first = generate(decoder, z_q[0], torch.from_numpy(cond), seed=5)[:20_001]
    gain = np.float32(10 ** (-codes.audio.level / 20))
    np.testing.assert_array_equal(sound[0], np.clip(first * gain, -1, 1))


def test_what_is_no_wavenet_of_these_weights_is_refused(
    spoken_weights: Path, drawn_weights: Path, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="has no WaveNet"):
        load_decoder(read_weights(spoken_weights))
    for change, message in (
        ({"codebook_id": "00000000"}, "another codebook"),
        ({"decoder": {"kind": "deconv2d"}}, "lacks"),
        ({"decoder": {"kind": "wavenet", "dim": 4, "stride": 64, "width": 2048}}, "larger"),
        ({"decoder": 3}, "lacks its table"),
        ({"decoder": {**tiny_wavenet(), "codes": False}}, "does not hear codes"),
    ):
        folder = tmp_path / "changed"
        shutil.copytree(drawn_weights, folder, dirs_exist_ok=True)
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        config["wavenet"] |= change
        (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
        with pytest.raises(WeightsError, match=message):
            load_decoder(read_weights(folder))
    with pytest.raises(WeightsError, match=r"no WaveNet without codes.*--preset wavenet-alone"):
        load_wavenet_alone(read_weights(drawn_weights))
    (folder / WAVENET).write_bytes(b"x")
    with pytest.raises(WeightsError, match="damaged"):
        load_decoder(read_weights(folder))
