"""Graphs take from the tensors of their model what they share, and nothing from anywhere else."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.golden.test_golden import WEIGHTS
from tests.helpers import Run, picture, voice
from vqcodec import Codec, Image, SpeechCodec
from vqcodec.codec.graphfiles import read_graph, strip
from vqcodec.errors import WeightsError
from vqcodec.weights import CONFIG, DECODER, ENCODER, GRAPHS, MODEL, REFINER, read_weights

pytestmark = pytest.mark.graphs
FILES = [
    (folder.name, file)
    for folder in sorted(WEIGHTS.iterdir())
    for file in (*GRAPHS, REFINER)
    if (folder / file).exists()
]


@pytest.mark.parametrize(("name", "file"), FILES)
def test_shipped_graphs_repeat_nothing_of_their_model(name: str, file: str) -> None:
    onnx = pytest.importorskip("onnx")
    model = (WEIGHTS / name / MODEL).read_bytes()
    graph = onnx.load(WEIGHTS / name / file, load_external_data=False).graph
    own = [t.raw_data for t in graph.initializer if not t.external_data]
    assert not [data for data in own if len(data) >= 512 and data in model]
    assert len(own) < len(graph.initializer)


@pytest.mark.parametrize(("name", "file"), FILES)
def test_a_graph_made_whole_is_what_onnx_makes_of_it(name: str, file: str) -> None:
    onnx = pytest.importorskip("onnx")
    whole = onnx.load_from_string(read_graph(read_weights(WEIGHTS / name), file))
    expected = onnx.load(WEIGHTS / name / file)  # with the data that lies in the other file
    for tensor in expected.graph.initializer:
        tensor.ClearField("data_location")
    assert whole == expected
    onnx.checker.check_model(whole, full_check=True)


def test_other_programs_open_a_graph_where_it_is() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    folder, pixels = WEIGHTS / "image-f4", picture(40, 60)
    codes = Codec.load(folder, engine="onnx").encode_batch(pixels[None])[0]
    session = onnxruntime.InferenceSession(str(folder / ENCODER))
    np.testing.assert_array_equal(session.run(None, {"pixels": pixels[None]})[0], codes)


def copied(folder: Path, file: str, data: bytes, name: str = "image-f4") -> Path:
    """Return weights with another file, whose checksum fits."""
    shutil.copytree(WEIGHTS / name, folder)
    (folder / file).write_bytes(data)
    tree = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    tree["files"][file] = hashlib.sha256(data).hexdigest()
    (folder / CONFIG).write_text(json.dumps(tree), encoding="utf-8")
    return folder


def older(data: bytes) -> bytes:
    """Return a graph as it was when each had all its tensors, under names of its own."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(data)
    names = {tensor.name: f"model.{tensor.name}" for tensor in model.graph.initializer}
    for tensor in model.graph.initializer:
        tensor.name = names[tensor.name]
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    return bytes(model.SerializeToString())


def test_graphs_that_have_all_their_tensors_still_run(tmp_path: Path) -> None:
    weights = read_weights(WEIGHTS / "image-f4")
    folder = copied(tmp_path / "older", ENCODER, older(read_graph(weights, ENCODER)))
    (folder / MODEL).unlink()
    found, expected = (
        Codec.load(w, engine="onnx").encode_batch(picture(32, 44)[None])[0]
        for w in (folder, "image-f4")
    )
    np.testing.assert_array_equal(found, expected)


def test_an_older_graph_cannot_be_that_of_voices(tmp_path: Path) -> None:
    name = "speech-64x-residual"
    weights = read_weights(WEIGHTS / name)
    whole = read_graph(weights, DECODER)
    sound = voice(3000)
    for number, data in enumerate((whole, older(whole))):
        folder = copied(tmp_path / f"{number}", DECODER, data, name)
        codec, shipped = (SpeechCodec.load(w, engine="onnx") for w in (folder, name))
        grids = shipped.engine.encode(sound.samples[:, :2560])
        vector = np.zeros(32, np.float32)
        wanted = [e.decode(grids, vector) for e in (shipped.engine, shipped.voice_engine)]
        assert not np.array_equal(wanted[0], wanted[1])
        np.testing.assert_array_equal(codec.engine.decode(grids, vector), wanted[0])
        if data is whole:
            np.testing.assert_array_equal(codec.voice_engine.decode(grids, vector), wanted[1])
        else:
            with pytest.raises(WeightsError, match=r"its tensors are not .* export --onnx"):
                codec.voice_engine.decode(grids, vector)


def place(index: int, **told: str) -> Callable[[Any], None]:
    """Return what changes where a graph says that a tensor lies."""

    def change(model: Any) -> None:
        tensor = [t for t in model.graph.initializer if t.external_data][index]
        for entry in tensor.external_data:
            entry.value = told.get(entry.key, entry.value)

    return change


def repeat(model: Any) -> None:
    """Let a graph ask for the largest tensor again and again, under other names."""
    asked = [t for t in model.graph.initializer if t.external_data]
    large = max(asked, key=lambda t: int(t.external_data[2].value))
    for number in range(99):
        again = model.graph.initializer.add()
        again.CopyFrom(large)
        again.name = f"again{number}"


def same_name(model: Any) -> None:
    model.graph.initializer[1].name = model.graph.initializer[0].name


def in_a_node(model: Any) -> None:
    tensor = model.graph.node[0].attribute.add(name="value", type=4).t
    tensor.CopyFrom(next(t for t in model.graph.initializer if t.external_data))


def untold(model: Any) -> None:
    next(p for p in model.metadata_props if p.key == "shared_sha256").value = ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (place(0, location="../model.safetensors"), f"{ENCODER}: asks for data outside of it"),
        (place(0, location="/etc/passwd"), f"{ENCODER}: asks for data outside of it"),
        (place(0, location="config.json"), f"{ENCODER}: asks for data outside of it"),
        (in_a_node, f"{ENCODER}: asks for data outside of it"),
        (place(0, offset="-8"), f"{ENCODER}: is damaged"),
        (place(0, length="many"), f"{ENCODER}: is damaged"),
        (place(0, offset="9" * 5000), f"{ENCODER}: is damaged"),
        (same_name, f"{ENCODER}: is damaged"),
        (repeat, f"{MODEL}: damaged, or not what {ENCODER} was made of"),
        (place(0, length="99999999999999"), f"{MODEL}: damaged, or not what {ENCODER} was made of"),
        (place(0, offset="99999999999999"), f"{MODEL}: damaged, or not what {ENCODER} was made of"),
        (place(1, offset="8"), f"{MODEL}: damaged, or not what {ENCODER} was made of"),
        (untold, f"{MODEL}: damaged, or not what {ENCODER} was made of"),
        (lambda m: m.graph.initializer[1].dims.append(2), "not a graph that ONNX Runtime can"),
        (
            lambda m: setattr(m.graph.initializer[1], "data_type", 7),
            "not a graph that ONNX Runtime",
        ),
    ],
)
def test_what_a_graph_may_not_ask_for(
    change: Callable[[Any], None], message: str, tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(WEIGHTS / "image-f4" / ENCODER, load_external_data=False)
    change(model)
    codec = Codec.load(copied(tmp_path / "w", ENCODER, model.SerializeToString()), engine="onnx")
    with pytest.raises(WeightsError, match=message) as caught:
        codec.encode_batch(picture(16, 16)[None])
    assert "\n" not in str(caught.value)


def test_a_model_that_a_graph_was_not_made_of(tmp_path: Path, run: Run) -> None:
    Image(picture(16, 16)).save(tmp_path / "photo.png")
    model = bytearray((WEIGHTS / "image-f4" / MODEL).read_bytes())
    model[len(model) // 2] ^= 1
    folder = copied(tmp_path / "other", MODEL, bytes(model))
    arguments = ("encode", "photo.png", "--model", folder, "--engine", "onnx", "-o", "x.npz")
    done = run(*arguments)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"model.safetensors: damaged, or not what " in done.stderr
    (folder / MODEL).unlink()
    done = run(*arguments)
    assert (done.returncode, done.stderr.count(b"\n")) == (1, 1)
    assert b"incomplete, it lacks model.safetensors" in done.stderr
    assert not (tmp_path / "x.npz").exists()


def test_only_what_is_the_same_is_left_out() -> None:
    onnx = pytest.importorskip("onnx")
    weights = read_weights(WEIGHTS / "image-f4")
    model = (WEIGHTS / "image-f4" / MODEL).read_bytes()
    whole = onnx.load_from_string(read_graph(weights, ENCODER))
    tensor = next(t for t in whole.graph.initializer if t.name == "encoder.layers.0.bias")
    tensor.raw_data = tensor.raw_data[:-1] + bytes([tensor.raw_data[-1] ^ 1])
    lean = onnx.load_from_string(strip(whole.SerializeToString(), model))
    left = {t.name for t in lean.graph.initializer if not t.external_data}
    assert tensor.name in left and "encoder.layers.0.weight" not in left
