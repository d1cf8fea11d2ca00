"""Sound files: what is read and written, and what is refused."""

import io
import os
import random
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch

from tests.helpers import voice
from vqcodec.errors import MediaError, OutputError, UsageError, VqcodecError
from vqcodec.media.audio import Audio
from vqcodec.media.resample import Resampler
from vqcodec.media.soundfiles import SoundWriter, open_sound, peek
from vqcodec.media.soundformats import is_sound
from vqcodec.media.wav import HEADER_BYTES, WavReader, wav_header

CODINGS = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM"]


@pytest.mark.parametrize("container", ["WAV", "WAVEX"])
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_is_read_as_libsndfile_reads_it(
    tmp_path: Path, container: str, coding: str, channels: int
) -> None:
    if (container, coding) == ("WAVEX", "IMA_ADPCM"):
        pytest.skip("there is no such file")
    path = tmp_path / "x.wav"
    soundfile.write(path, voice(3001, 22050, channels).samples.T, 22050, coding, format=container)
    expected, rate = soundfile.read(path, dtype="float32", always_2d=True)
    found = Audio.open(path)
    assert found.sample_rate == rate
    np.testing.assert_array_equal(found.samples, expected.T)


@pytest.mark.parametrize(("suffix", "error"), [(".wav", 2e-5), (".flac", 2e-5)])
@pytest.mark.parametrize("samples", [1, 1000])
def test_what_is_written_without_loss_is_read_again(
    tmp_path: Path, suffix: str, error: float, samples: int
) -> None:
    audio = voice(samples, 44100, 2)
    audio.save(tmp_path / f"x{suffix}")
    again = Audio.open(tmp_path / f"x{suffix}")
    assert again.sample_rate == 44100 and again.size == (2, samples)
    np.testing.assert_allclose(again.samples, audio.samples, atol=error)
    again.save(tmp_path / f"y{suffix}")  # 16 bits are exact the second time
    np.testing.assert_array_equal(Audio.open(tmp_path / f"y{suffix}").samples, again.samples)


@pytest.mark.parametrize("suffix", [".ogg", ".opus", ".mp3"])
def test_lossy_formats_keep_length_and_sense(tmp_path: Path, suffix: str) -> None:
    audio = voice(48000, 48000)
    audio.save(tmp_path / f"x{suffix}")
    again = Audio.open(tmp_path / f"x{suffix}")
    assert again.size == audio.size and again.sample_rate == 48000
    assert np.corrcoef(again.samples[0], audio.samples[0])[0, 1] > 0.9


def test_content_not_suffix_says_what_it_is(tmp_path: Path) -> None:
    audio = voice(2000)
    for kind in (".wav", ".flac", ".ogg", ".mp3"):
        audio.save(tmp_path / f"x{kind}")
        for wrong in (".wav", ".flac", ".mp3", ".png"):
            path = tmp_path / f"wrong{wrong}"
            path.write_bytes((tmp_path / f"x{kind}").read_bytes())
            assert Audio.open(path).size == (1, 2000)
            assert is_sound(path.read_bytes()[:12], ".png")
    assert is_sound(b"", ".WAV") and not is_sound(b"\xff\xd8\xff\xe0", ".jpg")
    assert not is_sound(b"RIFF\0\0\0\0WEBP", ".webp") and not is_sound(b"", "")


def test_samples_that_are_no_numbers_are_silence_and_loud_ones_clipped(tmp_path: Path) -> None:
    samples = np.array([0.5, np.nan, 2.0, -np.inf, -0.5, 1e300], np.float64)
    soundfile.write(tmp_path / "x.wav", samples, 16000, "DOUBLE")
    audio = Audio.open(tmp_path / "x.wav")
    np.testing.assert_array_equal(audio.samples, np.array([[0.5, 0, 1, -1, -0.5, 1]], np.float32))
    assert audio.notes == (
        "1 samples that are no numbers were taken as silence",
        "3 samples beyond full scale were clipped",
    )


def test_writing_clips(tmp_path: Path) -> None:
    Audio(np.array([[1.5, -7.0, 0.25, 1.0]], np.float32), 16000).save(tmp_path / "x.wav")
    top = np.float32(32767 / 32768)
    np.testing.assert_array_equal(
        Audio.open(tmp_path / "x.wav").samples, [np.array([top, -1, 0.25, top], np.float32)]
    )


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.wav", b"", "empty file"),
        ("text.wav", b"this is not sound at all", "not a sound file"),
        ("short.wav", wav_header(1, 16000, 10)[:30], "truncated WAV"),
        ("cut.wav", wav_header(1, 16000, 100) + bytes(100), "truncated, 50 of 100 samples"),
        ("none.wav", wav_header(1, 16000, 0), "holds no samples"),
        ("none2.wav", wav_header(1, 16000, None), "holds no samples"),
        ("hours.wav", wav_header(1, 16000, 1 << 29), "truncated, 0 of 536,870,912"),
        ("days.wav", wav_header(1, 16000, 1 << 30), "holds no samples"),
        ("fast.wav", wav_header(1, 4_000_000_000 // 2, 9) + bytes(18), "samples a second"),
        ("slow.wav", wav_header(1, 1, 9) + bytes(18), "samples a second"),
        ("many.wav", wav_header(900, 16000, 1) + bytes(1800), "900 channels"),
        ("bare.raw", bytes(100), "sample rate"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MediaError, match=words) as caught:
        Audio.open(tmp_path / name)
    assert name in str(caught.value)


def test_files_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such file"):
        Audio.open(tmp_path / "no.wav")
    with pytest.raises(MediaError, match="cannot be read"):
        Audio.open(tmp_path)


def test_truncated_flac_is_an_error(tmp_path: Path) -> None:
    voice(20_000).save(tmp_path / "x.flac")
    data = (tmp_path / "x.flac").read_bytes()
    for length in (60, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.flac").write_bytes(data[:length])
        with pytest.raises(MediaError, match=r"cut\.flac"):
            Audio.open(tmp_path / "cut.flac")


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_mutated_files_give_sound_or_one_error(tmp_path: Path, suffix: str) -> None:
    voice(6000).save(tmp_path / f"x{suffix}")
    original = (tmp_path / f"x{suffix}").read_bytes()
    rng = random.Random(0)
    for _ in range(60):
        data = bytearray(original)
        for _ in range(rng.choice([1, 4, 30])):
            where = rng.randrange(min(len(data), rng.choice([100, 1 << 30])))
            data[where] = rng.randrange(256)
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        try:
            with open_sound(io.BytesIO(bytes(data)), "mutated") as sound:
                for number, block in enumerate(sound.blocks()):
                    assert np.abs(block).max() <= 1
                    if number > 100:
                        break  # claims to be long, and may be
        except VqcodecError as error:
            assert str(error).startswith("mutated: ") and "\n" not in str(error)


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF - 36, 0xFFFFFFFF])
def test_wav_of_unknown_length_goes_on_to_its_end(size: int) -> None:
    header = bytearray(wav_header(1, 8000, 1))
    header[4:8] = header[-4:] = struct.pack("<I", size)
    audio = Audio.open(io.BytesIO(bytes(header) + bytes(2 * 5000)), "pipe")
    assert audio.size == (1, 5000)


def test_other_chunks_of_wav_are_passed_over() -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)

    form = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
    data = chunk(b"LIST", b"odd") + chunk(b"fmt ", form) + chunk(b"fact", bytes(4))
    data += chunk(b"data", struct.pack("<3h", 1, -2, 16384)) + chunk(b"LIST", b"behind")
    audio = Audio.open(io.BytesIO(b"RIFF" + struct.pack("<I", len(data) + 4) + b"WAVE" + data), "x")
    np.testing.assert_array_equal(audio.samples * 32768, [[1, -2, 16384]])


def test_wav_headers_of_all_lengths_are_understood(tmp_path: Path) -> None:
    for frames in (0, 5, None, 1 << 31):  # the last one is 4 GiB
        header = wav_header(1, 16000, frames)
        assert len(header) == HEADER_BYTES
        (tmp_path / "x.wav").write_bytes(header)
        if frames and frames > 5:
            os.truncate(tmp_path / "x.wav", len(header) + 2 * frames)  # sparse
        elif frames:
            (tmp_path / "x.wav").write_bytes(header + bytes(2 * frames))
        if frames is not None:
            assert soundfile.info(tmp_path / "x.wav").frames == frames
            with open_sound(tmp_path / "x.wav") as sound:
                assert sound.frames == frames


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_pipes_are_read(tmp_path: Path, suffix: str) -> None:
    voice(30_000).save(tmp_path / f"x{suffix}")
    data = (tmp_path / f"x{suffix}").read_bytes()
    end, start = os.pipe()

    def write() -> None:
        with os.fdopen(start, "wb") as pipe:
            pipe.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(end, "rb") as pipe:
        assert Audio.open(pipe, "pipe").size == (1, 30_000)
    writer.join()


def test_peeking_takes_nothing_away() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    for kind in (io.BytesIO, Pipe):
        for count in (1, 5, 12, 30, -1):
            head, file = peek(kind(bytes(range(20))))
            assert head == bytes(range(12))
            read = b""
            while part := file.read(count):
                read += part
            assert read == bytes(range(20))


def test_pipes_are_written_whole_in_every_format(tmp_path: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, offset: int, whence: int = 0) -> int:
            raise OSError("a pipe does not seek")

    audio = voice(5000)
    for suffix in (".wav", ".flac", ".ogg"):
        for frames in (5000, None):
            pipe = Pipe()
            with SoundWriter(pipe, suffix, 1, 16000, "pipe", frames) as writer:
                for block in audio.blocks(999):
                    writer.write(block)
            assert Audio.open(io.BytesIO(pipe.getvalue()), "x").size == (1, 5000)


def test_the_header_of_a_file_is_mended_when_its_length_is_known(tmp_path: Path) -> None:
    file = io.BytesIO()
    with SoundWriter(file, ".wav", 1, 16000, "x", None) as writer:
        writer.write(voice(700).samples)
    assert WavReader(io.BytesIO(file.getvalue()), "x").frames == 700


@pytest.mark.parametrize(
    ("name", "channels", "rate", "words"),
    [
        ("x.opus", 1, 44100, "Opus holds"),
        ("x.flac", 9, 16000, "FLAC does not hold 9 channels"),
        ("x.mp3", 3, 16000, "MP3 does not hold 3 channels"),
        ("x.mp3", 1, 96000, "96,000 Hz"),
    ],
)
def test_formats_that_cannot_hold_the_sound_say_so(
    tmp_path: Path, name: str, channels: int, rate: int, words: str
) -> None:
    with pytest.raises(MediaError, match=words):
        voice(100, rate, channels).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_unknown_suffixes_and_existing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no sound format"):
        voice(10).save(tmp_path / "x.xyz")
    voice(10).save(tmp_path / "x.wav")
    with pytest.raises(OutputError, match="--force"):
        voice(10).save(tmp_path / "x.wav")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_full_disks_are_noticed(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"full{suffix}").symlink_to("/dev/full")
    with pytest.raises(OutputError, match="No space left"):
        voice(50_000).save(tmp_path / f"full{suffix}", force=True)


@pytest.mark.parametrize("rates", [(8000, 16000), (44100, 16000), (16000, 48000), (16000, 16000)])
def test_resampling_does_not_depend_on_blocks(rates: tuple[int, int]) -> None:
    audio = voice(20_011, rates[0], 2)
    length = -(-20_011 * rates[1] // rates[0])
    whole = audio.resample(rates[1]).samples
    assert whole.shape == (2, length)
    resampler = Resampler(2, *rates)
    parts = [resampler.feed(block) for block in audio.blocks(777)]
    np.testing.assert_array_equal(np.hstack([*parts, resampler.finish(length)]), whole)
    if rates[0] != rates[1]:
        expected = soxr.resample(audio.samples.T, *rates).T
        np.testing.assert_allclose(whole[:, : expected.shape[1]], expected[:, :length], atol=1e-4)


def test_mixing_is_the_mean() -> None:
    audio = voice(100, channels=3)
    np.testing.assert_allclose(audio.mix().samples[0], audio.samples.mean(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_tensors_are_channels_by_time(dtype: torch.dtype) -> None:
    audio = Audio(np.array([[0.5, -1, 0.25], [0, 1, -0.125]], np.float32)[:, ::-1], 44_100)
    tensor = audio.to_tensor()
    assert tensor.shape == (2, 3) and tensor.dtype == torch.float32
    np.testing.assert_array_equal(tensor.numpy(), [[0.25, -1, 0.5], [-0.125, 1, 0]])
    again = Audio.from_tensor(tensor.to(dtype).requires_grad_(), 44_100)
    assert again.sample_rate == 44_100
    np.testing.assert_array_equal(again.samples, audio.samples)
    tensor.detach().zero_()  # neither shares memory
    assert audio.samples[0, 0] == 0.25 and again.samples[0, 0] == 0.25
    turned = torch.arange(6.0).reshape(3, 2).T / 8
    np.testing.assert_array_equal(
        Audio.from_tensor(turned, 8000).samples, [[0, 0.25, 0.5], [0.125, 0.375, 0.625]]
    )


def test_odd_tensors_are_mended_or_refused() -> None:
    odd = torch.tensor([[torch.nan, 2.0, -torch.inf, 0.5]])
    np.testing.assert_array_equal(Audio.from_tensor(odd, 16_000).samples, [[0, 1, -1, 0.5]])
    for bad in (torch.zeros(9), torch.zeros(1, 1, 9), torch.zeros(1, 0), torch.zeros(0, 9)):
        with pytest.raises(MediaError, match="shape \\(channels, T\\)"):
            Audio.from_tensor(bad, 16_000)
    with pytest.raises(MediaError, match="int16 is no sound"):
        Audio.from_tensor(torch.zeros(1, 9, dtype=torch.int16), 16_000)
    with pytest.raises(MediaError, match="samples a second"):
        Audio.from_tensor(torch.zeros(1, 9), 0)
