"""Speech in residual codebooks: grown from one, coded in any number, decoded from any."""

import io
import json
import shutil
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.cli.test_commands import fails
from tests.helpers import Run, tiny_speech_config, voice
from vqcodec import Codes
from vqcodec.codec.convert import Target, convert, with_all_codebooks
from vqcodec.codec.graphs import add_graphs
from vqcodec.codec.speech import SpeechCodec
from vqcodec.codingpriors import coding_priors
from vqcodec.config import Tree, load_preset, override
from vqcodec.errors import FormatError, UsageError, WeightsError
from vqcodec.files.contents import AudioInfo
from vqcodec.files.header import Header
from vqcodec.files.stream import StreamFrames, StreamWriter
from vqcodec.files.vqc import is_coded
from vqcodec.media.audio import Audio
from vqcodec.metrics.spectra import log_mel_distance
from vqcodec.models.pretrained import write_part
from vqcodec.train.export import export
from vqcodec.train.run import TrainingJob
from vqcodec.train.speech.task import train_speech
from vqcodec.weights import VOICE_DECODER, read_weights


def residual_config() -> Tree:
    """speech-64x-residual in small: three codebooks upon the model of `spoken`."""
    spoken, tree = tiny_speech_config(), load_preset("speech-64x-residual")
    for part in ("encoder", "decoder", "conditioner"):
        tree["model"][part] = spoken["model"][part]
    sizes = ["model.quantizer.codebook_sizes=[32, 16, 16]", "model.quantizer.dim=4"]
    small = ["train.steps=4", "train.batch_size=2", "train.crop_size=8192"]
    small += ["train.evaluate_every=2", "train.warmup_steps=1", "train.reference_size=4096"]
    return override(tree, [*sizes, *small])


@pytest.fixture(scope="module")
def grown(spoken_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights of three codebooks, grown from `spoken` and of its name."""
    root = tmp_path_factory.mktemp("grown")
    (root / "data").mkdir()
    for number in range(2):
        voice(32_000, seed=number).save(root / "data" / f"{number}.wav")
    job = TrainingJob([root / "data"], root / "run", residual_config(), [root / "data" / "0.wav"])
    progress = train_speech(job, str(spoken_weights))
    assert {f"mel_distance_of_first_{n}" for n in (1, 2)} < set(progress.figures)
    export(root / "run", "spoken", root / "weights", notes="", force=False)
    return root / "weights"


@pytest.fixture
def codec(grown: Path, monkeypatch: pytest.MonkeyPatch) -> SpeechCodec:
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(grown))
    return SpeechCodec.load("spoken", "cpu", "fp32")


def test_one_codebook_is_what_it_was(spoken_weights: Path, codec: SpeechCodec) -> None:
    old = SpeechCodec.load(spoken_weights, "cpu", "fp32")
    audio = voice(40_000)
    codes, before = codec.encode(audio), old.encode(audio)
    assert codes == before and codes.codebook_id == before.codebook_id
    assert old.decode(codes).samples.shape == codec.decode(before).samples.shape
    with pytest.raises(WeightsError, match="made with 'spoken', codebook"):
        old.decode(codec.with_codebooks(2).encode(audio))
    grown_states, states = codec.model.state_dict(), old.model.state_dict()
    for name, value in states.items():
        moved = not torch.equal(value, grown_states.get(name, value))
        assert moved == (name.startswith("decoder.") and value.is_floating_point()), name


def test_voices_are_converted_by_way_of_all_codebooks(codec: SpeechCodec) -> None:
    audio, vector = voice(20_000), bytes([90, 200, 127, 128])
    codes = with_all_codebooks(codec).encode(audio)
    assert len(codes.grids) == 3
    wanted = codec.decode(replace(codes, media=replace(codes.audio, speaker=vector))).samples
    for asked in (codec, codec.with_codebooks(2)):
        said = convert(asked, audio.blocks(4000), 1, 16_000, Target(vector))
        np.testing.assert_allclose(np.concatenate(list(said), axis=1), wanted, atol=1e-5)


@pytest.mark.graphs
def test_voices_are_decoded_by_a_decoder_of_their_own(
    grown: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxscript")
    shutil.copytree(grown, tmp_path / "weights")
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(tmp_path / "weights"))
    weights = read_weights(tmp_path / "weights" / "spoken")
    add_graphs(weights)
    fast = SpeechCodec.load("spoken", "cpu", "fp32", "torch")
    audio, vector = voice(20_000), bytes([90, 200, 127, 128])

    # two tensors of the decoder, moved; the others are those of the fast decoder
    state = fast.model.decoder.state_dict()
    moved = {key: state[key] * 1.5 for key in ("head.bias", "blocks.0.widen.weight")}
    moved["blocks.0.widen.weight"] = moved["blocks.0.widen.weight"].half()
    weights = read_weights(weights.folder)
    table = {"codebook_id": weights.codebook_id.hex()}
    write_part(weights, table, VOICE_DECODER, safetensors.torch.save(moved), force=False)
    codes = fast.with_codebooks(3).encode(audio)
    before = fast.decode(codes).samples
    fast.model.decoder.load_state_dict(moved, strict=False)
    wanted = fast.decode(replace(codes, media=replace(codes.audio, speaker=vector))).samples
    for engine, near in (("torch", 1e-6), ("onnx", 1e-5)):
        codec = SpeechCodec.load("spoken", "cpu", "fp32", engine)
        np.testing.assert_allclose(codec.decode(codes).samples, before, atol=near)
        said = convert(codec, audio.blocks(4000), 1, 16_000, Target(vector))
        np.testing.assert_allclose(np.concatenate(list(said), axis=1), wanted, atol=near)

    moved["head.bias"] = moved["head.bias"][1:]
    weights = read_weights(weights.folder)
    write_part(weights, table, VOICE_DECODER, safetensors.torch.save(moved), force=True)
    for engine in ("torch", "onnx"):
        codec = SpeechCodec.load("spoken", "cpu", "fp32", engine)
        with pytest.raises(WeightsError, match="voice_decoder.safetensors: its tensors are not"):
            list(convert(codec, audio.blocks(4000), 1, 16_000, Target(vector)))


def test_codes_of_more_codebooks_say_more(codec: SpeechCodec) -> None:
    audio = voice(32_000)
    every = codec.with_codebooks(3).encode(audio)
    assert codec.with_codebooks(3).engine is codec.engine  # and no model is loaded again
    assert every.codebook_sizes == (32, 16, 16) and len({g.shape for g in every.grids}) == 1
    z_e = codec.model.quantizer(codec.model.encoder(torch.from_numpy(audio.samples)[None]))
    assert len(z_e.indices) == 3
    identities = set()
    for number in (1, 2, 3):
        codes = codec.with_codebooks(number).encode(audio)
        assert codes == every.with_codebooks(number)
        for suffix in (".npz", ".vqc"):
            assert Codes.from_bytes(codes.to_bytes(suffix), "x") == codes
        identities.add(codes.codebook_id)
        # the latents, by hand: the sum of the code vectors
        vectors = [
            book.codebook.numpy()[grid[0]]
            for book, grid in zip(codec.model.quantizer.codebooks, codes.grids, strict=False)
        ]
        grids = tuple(torch.from_numpy(g.astype(np.int64)) for g in codes.grids)
        z_q = codec.model.quantizer.lookup(grids)[0].T.numpy()
        np.testing.assert_allclose(z_q, np.sum(vectors, 0), rtol=1e-6, atol=1e-6)
    assert len(identities) == 3
    sounds = [codec.decode(every.with_codebooks(n)).samples[0] for n in (1, 2, 3)]
    assert log_mel_distance(sounds[0], sounds[1]) > 0
    assert codec.encode(audio) == every.with_codebooks(1)  # the default, also after all that
    for number in (0, 4):
        with pytest.raises(UsageError, match=r"the weights 'spoken' have 1 to 3"):
            codec.with_codebooks(number)
        with pytest.raises(UsageError):
            every.with_codebooks(number)
    with pytest.raises(UsageError, match="codes of 1 codebooks cannot become 2"):
        every.with_codebooks(1).with_codebooks(2)
    cut = codec.decode(every.first(2)).samples
    np.testing.assert_array_equal(cut, codec.decode(every.with_codebooks(2)).samples)
    wrong = replace(every, codebook_sizes=(32, 16, 32))
    with pytest.raises(FormatError, match="does not fit"):
        codec.decode(wrong)


def test_streams_of_several_codebooks(codec: SpeechCodec) -> None:
    audio, three = voice(70_000, 22_050, 2), codec.with_codebooks(3)
    codes, file = three.encode(audio), io.BytesIO()
    three.encode_stream(audio.blocks(5000), 2, 22_050, file)
    assert Codes.from_bytes(file.getvalue(), "stream") == codes
    file.seek(0)
    decoded = np.concatenate(list(codec.decode_stream(StreamFrames.open(file))), axis=1)
    np.testing.assert_array_equal(decoded, codec.decode(codes).samples)
    for position in range(5, len(file.getvalue()), 97):
        damaged = bytearray(file.getvalue())
        damaged[position] ^= 4
        with pytest.raises((FormatError, WeightsError)):
            codec.decode(Codes.from_bytes(bytes(damaged), "x"))


def test_bytes_of_a_stream_are_these() -> None:
    """As published: a change to any of them is a breaking release."""
    media = AudioInfo((1, 0), (1, 0), 8000, -3, b"")
    maps = Codes(
        (np.array([[7, 0]], np.uint16), np.array([[1, 3]], np.uint16)),
        *((8, 4), "ct", "m", b"abcd", AudioInfo((1, 5), (1, 10), 8000, -3, b"")),
    )
    file = io.BytesIO()
    header = replace(Header.of(maps, (None, None)), media=media, stream=True)
    writer = StreamWriter(file, header)
    writer.write(np.stack(maps.grids))
    writer.finish(5, 10)
    start = b"VQC\x02\x25abcd\x01m\x02\x07\x04\x00\x03\x04\x00\x00\x02\x03\xc0\x3e\xfd\x00"
    frame = b"\x02\xe0\x70"
    crc = zlib.crc32(frame, zlib.crc32(start))
    end = b"\x00\x04\x09"
    expected = start + frame + crc.to_bytes(4, "little")
    expected += end + zlib.crc32(end, crc).to_bytes(4, "little")
    assert file.getvalue() == expected
    assert Codes.from_bytes(expected, "x") == maps


def test_a_coding_prior_of_each_codebook_knows_those_before_it(
    grown: Path, tmp_path: Path, run: Run, codec: SpeechCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    shutil.copytree(grown, tmp_path / "weights")
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(tmp_path / "weights"))
    for number in range(2):
        voice(48_000, seed=number).save(tmp_path / "data" / f"{number}.wav")
    small = ["prior.units=12", "prior.blocks=1", "prior.dilations=[1]", "prior.embedding=4"]
    small += ["train.steps=150", "train.crop_size=100", "train.evaluate_every=150"]
    sets = [word for one in small for word in ("--set", one)]
    preset = ("--codec", "spoken", "--preset", "prior-coding-speech")
    trained = run("train", "prior", "data", "-o", "prior", *preset, *sets)
    assert trained.returncode == 0, trained.stderr
    assert b"bits_per_index_2" in trained.stderr
    assert run("export", "prior", "spoken").returncode == 0
    priors = coding_priors(read_weights(tmp_path / "weights" / "spoken").with_codebooks(3))
    assert [prior.coarser for prior in priors] == [(), (32,), (32, 16)]
    codes = codec.with_codebooks(3).encode(voice(48_000, seed=1))
    data = codes.to_bytes(".vqc")
    assert is_coded(data) and len(data) < len(codes.to_bytes(".vqc", prior=False))
    assert Codes.from_bytes(data, "x") == codes
    one = codes.with_codebooks(1)
    assert Codes.from_bytes(one.to_bytes(".vqc"), "x") == one
    file = io.BytesIO()
    three = codec.with_codebooks(3)
    three.encode_stream(voice(48_000, seed=1).blocks(5000), 1, 16_000, file)
    stream = file.getvalue()
    assert Codes.from_bytes(stream, "x") == codes and len(stream) < 1.1 * len(data) + 40
    file = io.BytesIO()
    three.encode_stream(voice(48_000, seed=1).blocks(5000), 1, 16_000, file, prior=False)
    assert len(stream) < len(file.getvalue())
    frames = StreamFrames.open(io.BytesIO(stream))
    decoded = np.concatenate(list(codec.decode_stream(frames)), axis=1)
    np.testing.assert_array_equal(decoded, codec.decode(codes).samples)
    for position in range(9, len(stream), 31):
        damaged = bytearray(stream)
        damaged[position] ^= 2
        with pytest.raises((FormatError, WeightsError)):
            codec.decode(Codes.from_bytes(bytes(damaged), "x"))
    # codes of another map under the last: its prior would be told what cannot be
    first = data.index(priors[0].identity)
    foreign = data[: first - 1] + b"\0" + data[first + 4 :]
    with pytest.raises(FormatError):
        Codes.from_bytes(foreign, "x")


@pytest.mark.graphs
def test_graphs_take_any_number_of_codebooks(
    grown: Path, tmp_path: Path, codec: SpeechCodec
) -> None:
    pytest.importorskip("onnxscript")
    folder = tmp_path / "spoken"
    folder.mkdir()
    for path in (grown / "spoken").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    add_graphs(read_weights(folder))
    onnx = SpeechCodec.load(folder, "cpu", "fp32", engine="onnx")
    assert onnx.engine.name == "onnx" and onnx.codebook_sizes == (32,)
    audio = voice(30_000)
    for number in (1, 2, 3):
        codes = codec.with_codebooks(number).encode(audio)
        found = onnx.with_codebooks(number).encode(audio)
        same = [np.mean(a == b) for a, b in zip(codes.grids, found.grids, strict=True)]
        assert min(same) > 0.99
        expected = codec.decode(codes).samples
        np.testing.assert_allclose(onnx.decode(codes).samples, expected, atol=2e-4)


def test_commands(
    grown: Path, spoken_weights: Path, tmp_path: Path, run: Run, codec: SpeechCodec
) -> None:
    encode = ("encode", "a.wav", "--model", "spoken", "--precision", "fp32", "-o")
    voice(20_000).save(tmp_path / "a.wav")
    result = run(*encode, "a.vqc", "--codebooks", "3", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["indices"] == 3 * 313
    codes = Codes.load(tmp_path / "a.vqc")
    assert codes == codec.with_codebooks(3).encode(Audio.open(tmp_path / "a.wav"))
    assert run("repack", "a.vqc", "-o", "b.vqc", "--codebooks", "1").returncode == 0
    assert run(*encode, "c.vqc").returncode == 0
    assert (tmp_path / "b.vqc").read_bytes() == (tmp_path / "c.vqc").read_bytes()
    for name in "ab":
        assert run("decode", f"{name}.vqc", "-o", f"{name}.out.wav").returncode == 0
        assert b"installed" in run("info", f"{name}.vqc").stdout
    assert (tmp_path / "a.out.wav").read_bytes() != (tmp_path / "b.out.wav").read_bytes()
    fails(run(*encode, "d.vqc", "--codebooks", "4"), 2, "have 1 to 3")
    fails(run("repack", "b.vqc", "-o", "d.vqc", "--codebooks", "2"), 2, "1 codebooks cannot become")
    assert b"32, 16, 16" in (listed := run("models").stdout) and b"up to 3.25 kbit/s" in listed
    one = ("encode", "a.wav", "--model", spoken_weights, "-o", "d.vqc", "--codebooks", "2")
    fails(run(*one), 2, "the weights 'spoken' have one only")
    assert not (tmp_path / "d.vqc").exists()


def test_reports_show_every_number_of_codebooks(
    tmp_path: Path, run: Run, codec: SpeechCodec, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vqcodec.metrics import speech as quality

    monkeypatch.setattr(quality, "METRICS", (quality.MEL,))
    audio = voice(9_000)
    audio.save(tmp_path / "a.wav")
    result = run("evaluate", "a.wav", "--model", "spoken", "--against", "", "-o", "r", "--json")
    assert result.returncode == 0, result.stderr
    tree = json.loads(result.stdout)
    others = tree["evaluation"]["anchors"]
    assert [o["name"] for o in others.values()] == ["spoken, 2 codebooks", "spoken, 3 codebooks"]
    heard = Audio.open(tmp_path / "a.wav")
    for name, number in (("vqcodec-2", 2), ("vqcodec-3", 3)):
        codes = codec.with_codebooks(number).encode(heard)
        assert others[name]["results"]["bytes"] == [len(codes.to_bytes(".vqc"))]
