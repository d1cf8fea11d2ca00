"""The codec of speech on a tiny model: windows, streams, rates, lengths, levels."""

import io
import pickle
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.helpers import voice
from vqcodec.codec.speech import SpeechCodec
from vqcodec.errors import FormatError, MediaError, UsageError, WeightsError
from vqcodec.files.codes import Codes
from vqcodec.files.contents import ImageInfo
from vqcodec.files.stream import StreamFrames
from vqcodec.media.audio import Audio
from vqcodec.voice.frames import HEAD
from vqcodec.voice.level import gain_for


@pytest.fixture(scope="module")
def codec(spoken_weights: Path) -> SpeechCodec:
    return SpeechCodec.load(spoken_weights, device="cpu", precision="fp32")


def cut(audio: Audio, seed: int = 0) -> Iterator[NDArray[np.float32]]:
    """The samples in blocks of random lengths."""
    rng, start = np.random.default_rng(seed), 0
    while start < audio.size[1]:
        length = int(rng.integers(1, 9000))
        yield audio.samples[:, start : start + length]
        start += length


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("samples", [1, 63, 64, 65, 4001, 40_007])
def test_decoding_gives_just_the_samples_that_there_were(
    codec: SpeechCodec, rate: int, samples: int
) -> None:
    channels = 1 + samples % 3
    codes = codec.encode(voice(samples, rate, channels))
    coded = -(-samples * 16000 // rate)
    assert codes.media.size == (channels, samples) and codes.media.coded_size == (channels, coded)
    assert codes.grids[0].shape == (channels, -(-coded // 64))
    assert samples < 9000 or len(np.unique(codes.grids[0])) > 8
    decoded = codec.decode(codes)
    assert decoded.size == (channels, samples) and decoded.sample_rate == rate
    assert codec.decode(codes, sample_rate=16000).size == (channels, coded)


@pytest.mark.parametrize("samples", [1, 15_999, 16_000, 16_001, 163_000, 200_123])
def test_windows_give_what_the_network_gives_at_once(codec: SpeechCodec, samples: int) -> None:
    audio = voice(samples, 16000, 2)
    codes = codec.encode(audio)
    stride, margin = codec.stride, -(-codec.model.encoder.halo // codec.stride)
    gain = 10 ** (codes.audio.level / 20)
    after = margin * stride + -samples % stride
    padded = np.pad(audio.samples * gain, ((0, 0), (margin * stride, after))).clip(-1, 1)
    whole = codec.engine.encode(padded.astype(np.float32))[0][:, margin:-margin]
    assert np.mean(whole == codes.grids[0]) > 0.999  # the rest are ties

    halo = codec.model.decoder.halo
    cond = np.frombuffer(codes.audio.speaker, np.int8).astype(np.float32) / np.float32(127)
    edges = np.pad(codes.grids[0], ((0, 0), (halo, halo)), mode="edge")
    sound = codec.engine.decode((edges,), cond)[:, halo * stride :][:, :samples] / gain
    np.testing.assert_allclose(codec.decode(codes).samples, sound.clip(-1, 1), atol=1e-5)


@pytest.mark.parametrize(("samples", "rate"), [(9, 48000), (30_001, 44100), (230_000, 16000)])
def test_streams_give_what_files_give(codec: SpeechCodec, samples: int, rate: int) -> None:
    audio = voice(samples, rate, 2)
    codes = codec.encode(audio)
    file = io.BytesIO()
    media, size = codec.encode_stream(cut(audio), 2, rate, file)
    assert size == len(file.getvalue()) and media == codes.media
    assert Codes.from_bytes(file.getvalue(), "stream") == codes
    file.seek(0)
    frames = StreamFrames.open(file)
    decoded = np.concatenate(list(codec.decode_stream(frames)), axis=1)
    assert frames.media == codes.media
    np.testing.assert_array_equal(decoded, codec.decode(codes).samples)


def test_streams_do_not_wait_for_their_end(codec: SpeechCodec) -> None:
    class Live(io.BytesIO):
        """Has been given so much, and would wait for more."""

        def read(self, count: int | None = -1) -> bytes:
            data = super().read(count)
            if len(data) < (count or 0):
                raise BlockingIOError
            return data

    file, seen = io.BytesIO(), []

    def live() -> Iterator[NDArray[np.float32]]:
        for block in voice(14 * 16_000).blocks(16_000):
            yield block
            seen.append(len(file.getvalue()))

    codec.encode_stream(live(), 1, 16_000, file)
    assert not any(seen[:9])  # the head is measured first
    second = 250 * 5 // 8
    assert seen[9] > 8 * second and all(b - a > second for a, b in pairwise(seen[9:]))
    heard = 0
    with pytest.raises(BlockingIOError):
        for block in codec.decode_stream(StreamFrames.open(Live(file.getvalue()[: seen[-1]]))):
            heard += block.shape[1]
    assert heard >= 10 * 16_000


def test_what_comes_later_changes_nothing_before(codec: SpeechCodec) -> None:
    audio = voice(400_000)
    short = codec.encode(Audio(audio.samples[:, :250_000], 16000))
    long = codec.encode(audio)
    same = short.grids[0].shape[1] - 40
    np.testing.assert_array_equal(short.grids[0][:, :same], long.grids[0][:, :same])
    assert (short.audio.level, short.audio.speaker) == (long.audio.level, long.audio.speaker)


def test_memory_does_not_grow_with_the_recording(codec: SpeechCodec) -> None:
    """What waits to be coded is never more than the head."""
    encoder = codec.encoder(1, 16000)
    block = voice(16000).samples
    waiting = []
    for _ in range(40):
        encoder.feed(block)
        waiting.append(encoder._buffer.shape[1])
    assert max(waiting) <= HEAD and max(waiting[10:]) < 3 * 16000


@pytest.mark.parametrize("gain", [-20, -6, 0, 6])
def test_the_level_is_evened_out_and_comes_back(codec: SpeechCodec, gain: int) -> None:
    audio = voice(32_000)
    scaled = Audio(audio.samples * np.float32(10 ** (gain / 20)), 16000)
    one, other = codec.encode(audio), codec.encode(scaled)
    assert other.audio.level == one.audio.level - gain
    assert np.mean(one.grids[0] == other.grids[0]) > 0.97
    loud, quiet = (codec.decode(c).samples for c in (one, replace(one, media=other.media)))
    np.testing.assert_allclose(quiet, (loud * 10 ** (gain / 20)).clip(-1, 1), atol=2e-3)


def test_gain_by_hand() -> None:
    tone = np.sin(np.arange(16000) * 0.3)[None].astype(np.float32) * np.float32(0.01)
    assert gain_for(tone) == round(-23 - 10 * np.log10(0.01**2 / 2))
    with_pauses = np.concatenate([tone, np.zeros((1, 32000), np.float32)], axis=1)
    assert gain_for(with_pauses) == gain_for(tone)
    assert gain_for(np.zeros((2, 500), np.float32)) == 0
    assert gain_for(np.full((1, 1), 1e-5, np.float32)) == 0  # silence is not blown up
    click = tone.copy()
    click[0, 100] = 0.9
    assert gain_for(click) == 0  # nor are peaks lifted beyond full scale


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0])
def test_silence_and_constant_sound(codec: SpeechCodec, value: float) -> None:
    audio = Audio(np.full((1, 5000), value, np.float32), 22050)
    decoded = codec.decode(codec.encode(audio))
    assert decoded.size == (1, 5000) and np.isfinite(decoded.samples).all()


def test_nothing_at_all_is_refused(codec: SpeechCodec) -> None:
    with pytest.raises(MediaError, match="not empty"):
        Audio(np.zeros((1, 0), np.float32), 16000)
    with pytest.raises(MediaError, match="holds no samples"):
        codec.encode_blocks(iter(()), 1, 16000)


def test_codes_that_do_not_fit_are_refused(codec: SpeechCodec) -> None:
    codes = codec.encode(voice(9000, 44100))
    media = codes.audio
    with pytest.raises(WeightsError, match="made with"):
        codec.decode(replace(codes, codebook_id=b"\0\0\0\0"))
    wrong = [
        replace(media, sample_rate=0),
        replace(media, sample_rate=8000),
        replace(media, size=(1, 9_000_000)),
        replace(media, coded_size=(1, 9000)),
        replace(media, speaker=b""),
        replace(media, speaker=b"12345"),
    ]
    for other in wrong:
        with pytest.raises(FormatError):
            codec.decode(replace(codes, media=other))
    picture = ImageInfo(media.size, media.coded_size)
    with pytest.raises(FormatError, match="codes of image"):
        codec.decode(replace(codes, axes="hw", media=picture))
    with pytest.raises(UsageError, match="999 Hz"):
        codec.decode(codes, sample_rate=999)


def test_weights_of_pictures_are_refused(tiny_weights: Path) -> None:
    with pytest.raises(WeightsError, match="codes image, not speech"):
        SpeechCodec.load(tiny_weights)


def test_survives_pickling(codec: SpeechCodec) -> None:
    audio = voice(20_000)
    assert pickle.loads(pickle.dumps(codec)).encode(audio) == codec.encode(audio)
