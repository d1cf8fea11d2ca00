"""ONNX Runtime gives the codes, pixels and sound that torch gives, and nothing else."""

import hashlib
import json
import multiprocessing
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.golden.test_golden import COMPUTED, SPOKEN, WEIGHTS
from tests.helpers import picture, voice
from vqcodec import Audio, Codec, Image, SpeechCodec, VqcodecError
from vqcodec.codec import engines
from vqcodec.codec.device import choose_bf16
from vqcodec.codec.engines import LARGE, choose_engine
from vqcodec.errors import UsageError, WeightsError
from vqcodec.files.contents import AudioInfo
from vqcodec.weights import CONFIG, DECODER, ENCODER, GRAPHS_KEY, read_weights

pytestmark = pytest.mark.graphs
RECORDING = Path(__file__).parents[2] / "examples" / "speech.flac"


@pytest.mark.parametrize("name", [n for n, engine in COMPUTED if engine == "onnx"])
def test_pictures_are_as_torchs(name: str) -> None:
    onnx, torch = (Codec.load(name, "cpu", "fp32", engine=e) for e in ("onnx", "torch"))
    assert (onnx.engine.name, torch.engine.name) == ("onnx", "torch")
    assert (onnx.maps, onnx.precision, onnx.device) == (torch.maps, "fp32", torch.device)
    for field in ("encoder_halo", "decoder_halo", "speaker_size"):
        assert getattr(onnx.engine, field) == getattr(torch.engine, field)
    tiled = Image(picture(90, 1301))
    codes = onnx.encode(tiled)
    same = np.mean(codes.grids[0] == torch.encode(tiled).grids[0])
    assert same >= 0.9999
    difference = onnx.decode(codes).pixels.astype(int) - torch.decode(codes).pixels
    assert np.abs(difference).max() <= 1
    pixels = np.stack([picture(60, 44, seed) for seed in range(3)])
    (batch,), (expected,) = onnx.encode_batch(pixels), torch.encode_batch(pixels)
    assert np.mean(batch == expected) >= 0.9999
    decoded = onnx.decode_batch((batch,)).astype(int) - torch.decode_batch((batch,))
    assert np.abs(decoded).max() <= 1


@pytest.mark.parametrize("name", [n for n, engine in SPOKEN if engine == "onnx"])
def test_speech_is_as_torchs(name: str) -> None:
    onnx, torch = (SpeechCodec.load(name, "cpu", "fp32", engine=e) for e in ("onnx", "torch"))
    spoken = Audio.open(RECORDING)
    two = Audio(np.concatenate([spoken.samples, 0.5 * spoken.samples[:, ::-1]]), 16000)
    codes, expected = onnx.encode(two), torch.encode(two)
    assert np.mean(codes.grids[0] == expected.grids[0]) >= 0.9999
    vectors = []
    for found in (codes, expected):
        assert isinstance(found.media, AudioInfo)
        vectors.append(np.frombuffer(found.media.speaker, np.int8).astype(int))
    assert np.abs(vectors[0] - vectors[1]).max() <= 1
    sound, reference = onnx.decode(codes).samples, torch.decode(codes).samples
    error = np.mean((sound - reference) ** 2) / np.mean(reference**2)
    assert 10 * np.log10(error) < -60
    short = voice(300)  # much shorter than any window
    assert np.mean(onnx.encode(short).grids[0] == torch.encode(short).grids[0]) >= 0.9999


def test_threads_forks_and_pickles() -> None:
    codec = Codec.load("image-f4", engine="onnx")
    images = [Image(picture(64, 80, seed)) for seed in range(4)]
    expected = [codec.encode(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(codec.encode, images)) == expected
    again = pickle.loads(pickle.dumps(codec))
    assert again.engine.name == "onnx"
    assert again.encode(images[0]) == expected[0]
    # a child that is forked has the codec, but none of the threads that it has here
    context = multiprocessing.get_context("fork")
    answers: Any = context.Queue()
    child = context.Process(target=lambda: answers.put(codec.encode(images[1]) == expected[1]))
    child.start()
    assert answers.get(timeout=60) is True
    child.join()


def test_searching_takes_torch_beside_it() -> None:
    codec = Codec.load("image-f4", engine="onnx")
    image = Image(picture(24, 24))
    searched, nearest = codec.encode(image, effort=1), codec.encode(image)
    errors = [
        np.mean((codec.decode(c).pixels.astype(float) - image.pixels) ** 2)
        for c in (searched, nearest)
    ]
    assert errors[0] < errors[1]
    assert codec.engine.name == "onnx" and codec.torch_engine.name == "torch"
    assert codec.model is codec.torch_engine.model


@pytest.mark.parametrize(
    ("device", "precision", "work", "hardware", "chosen"),
    [
        ("auto", "auto", 0, "none", "onnx"),
        ("auto", "auto", LARGE, "none", "onnx"),
        ("auto", "auto", None, "none", "onnx"),
        ("auto", "auto", LARGE - 1, "bf16 cuda", "onnx"),
        ("auto", "auto", LARGE, "bf16", "torch"),
        ("auto", "auto", None, "bf16", "torch"),
        ("auto", "fp32", LARGE, "bf16", "onnx"),
        ("auto", "fp32", LARGE, "cuda", "torch"),
        ("cpu", "auto", LARGE, "cuda", "onnx"),
        ("cuda", "auto", 0, "cuda", "torch"),
        ("cpu", "bf16", 0, "none", "torch"),
    ],
)
def test_auto_goes_by_hardware_and_size(
    device: str,
    precision: str,
    work: int | None,
    hardware: str,
    chosen: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines, "_has_bf16", lambda: "bf16" in hardware)
    monkeypatch.setattr(engines, "_may_have_cuda", lambda: "cuda" in hardware)
    weights = read_weights(WEIGHTS / "image-f4")
    assert choose_engine(weights, "auto", device, precision, work) == chosen


def test_hardware_is_told_as_torch_tells_it() -> None:
    if not Path("/proc/cpuinfo").is_file():
        pytest.skip("the system does not say what the CPU can do")
    assert engines._has_bf16() == choose_bf16("auto", "cpu")


def test_what_cannot_be_asked_for(tiny_weights: Path) -> None:
    weights = read_weights(tiny_weights)  # which have no graphs
    assert Codec.load(tiny_weights, "cpu").engine.name == "torch"
    with pytest.raises(WeightsError, match="has no ONNX graphs; .*vqcodec export --onnx tiny"):
        choose_engine(weights, "onnx", "auto", "auto", 0)
    for device, precision in (("cuda", "auto"), ("auto", "bf16")):
        with pytest.raises(UsageError, match="on the CPU in fp32"):
            choose_engine(weights, "onnx", device, precision, 0)
    with pytest.raises(UsageError, match="no engine 'tpu'"):
        choose_engine(weights, "tpu", "auto", "auto", 0)
    with pytest.raises(UsageError, match="no device 'tpu'"):
        Codec.load("image-f4", device="tpu")
    with pytest.raises(UsageError, match="no precision 'fp8'"):
        Codec.load("image-f4", precision="fp8")


def test_without_onnxruntime_torch_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None if "onnx" in name else object())
    weights = read_weights(WEIGHTS / "image-f4")
    assert choose_engine(weights, "auto", "auto", "auto", 0) == "torch"
    with pytest.raises(UsageError, match="pip install onnxruntime"):
        choose_engine(weights, "onnx", "auto", "auto", 0)


Change = Callable[[Any], object]


def with_graph(folder: Path, data: bytes, **config: Any) -> Path:
    """Return weights as image-f4 with another encoder, whose checksum fits."""
    shutil.copytree(WEIGHTS / "image-f4", folder)
    (folder / ENCODER).write_bytes(data)
    tree = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    tree["files"][ENCODER] = hashlib.sha256(data).hexdigest()
    (folder / CONFIG).write_text(json.dumps({**tree, **config}), encoding="utf-8")
    return folder


def changed(change: Change) -> bytes:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string((WEIGHTS / "image-f4" / ENCODER).read_bytes())
    change(model)
    data: bytes = model.SerializeToString()
    return data


def external(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    tensor.external_data.add(key="location", value="../secret")


def looping(model: Any) -> None:
    model.graph.node[0].attribute.add(name="body", type=5).g.name = "again"


def of_others(model: Any) -> None:
    next(p for p in model.metadata_props if p.key == "codebook_id").value = "00000000"


def of_another_type(model: Any) -> None:
    model.graph.node[-1].attribute[0].i = 7  # casts to int64
    model.graph.output[0].type.tensor_type.elem_type = 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external, "asks for data outside of it"),
        (looping, "holds graphs inside its graph"),
        (lambda m: setattr(m.graph.node[0], "domain", "my"), "operators that are not standard"),
        (lambda m: m.functions.add(name="f"), "asks for operators of its own"),
        (lambda m: setattr(m.graph.node[0], "op_type", "Evil"), "not a graph that ONNX Runtime"),
        (of_others, "a graph of other weights"),
        (of_another_type, "does not compute what config.json says of it"),
    ],
)
def test_graphs_that_are_refused(change: Change, message: str, tmp_path: Path) -> None:
    folder = with_graph(tmp_path / "other", changed(change))
    codec = Codec.load(folder, engine="onnx")
    with pytest.raises(WeightsError, match=message) as caught:
        codec.encode(Image(picture(16, 16)))
    assert str(folder / ENCODER) in str(caught.value) and "\n" not in str(caught.value)


def test_damaged_graphs_and_what_is_told_of_them(tmp_path: Path) -> None:
    image, whole = Image(picture(16, 16)), (WEIGHTS / "image-f4" / ENCODER).read_bytes()
    for number, data in enumerate((b"", b"ORTM" * 9, whole[: len(whole) // 2], whole[:-1], b"\7")):
        codec = Codec.load(with_graph(tmp_path / f"{number}", data), engine="onnx")
        with pytest.raises(WeightsError):
            codec.encode(image)
    other = tmp_path / "flipped"
    shutil.copytree(WEIGHTS / "image-f4", other)
    (other / DECODER).write_bytes(whole)
    codec = Codec.load(other, engine="onnx")
    with pytest.raises(WeightsError, match="damaged, its SHA-256"):
        codec.decode(codec.encode(image))
    told = read_weights(WEIGHTS / "image-f4").config[GRAPHS_KEY]
    for wrong in (
        None,
        {**told, "maps": []},
        {**told, "maps": [{"codebook_size": 512, "stride": [4]}]},
        {**told, "maps": [{"codebook_size": 99, "stride": [4, 4]}]},
        {**told, "encoder_halo": -1},
        {**told, "decoder_halo": 1 << 40},
        {**told, "speaker_size": "many"},
    ):
        folder = tmp_path / hashlib.sha256(repr(wrong).encode()).hexdigest()
        with pytest.raises(WeightsError, match="does not fit its graphs"):
            Codec.load(with_graph(folder, whole, **{GRAPHS_KEY: wrong}), engine="onnx")


def test_any_change_of_a_byte_ends_in_codes_or_a_sentence(tmp_path: Path) -> None:
    whole = (WEIGHTS / "image-f4" / ENCODER).read_bytes()
    rng = np.random.default_rng(0)
    folder = with_graph(tmp_path / "other", whole)
    image = Image(picture(16, 16))
    places = [*rng.integers(0, len(whole), 20), *rng.integers(len(whole) - 9000, len(whole), 40)]
    for place in places:
        data = bytearray(whole)
        data[place] ^= 1 << rng.integers(8)
        shutil.rmtree(folder)
        with_graph(folder, bytes(data))
        try:
            codes = Codec.load(folder, engine="onnx").encode(image)
        except VqcodecError:
            continue
        assert codes.grids[0].shape == (4, 4)
