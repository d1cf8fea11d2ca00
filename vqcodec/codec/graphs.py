"""Networks as ONNX graphs, which other runtimes compute without torch.

One graph takes signals and gives index maps, another takes index maps and gives signals, and where
there is a conditioner a third one takes sound and gives the vector of who speaks. All sizes and
the number of signals are open. Each carries what a program has to know of it as metadata.
"""

import contextlib
import hashlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from vqcodec.codec.engine import Engine
from vqcodec.codec.engine_torch import TorchEngine
from vqcodec.codec.graphfiles import strip
from vqcodec.config import Tree, to_json
from vqcodec.errors import OutputError, UsageError
from vqcodec.files.atomic import check_absent, writing
from vqcodec.maps import ratio
from vqcodec.modality import by_name, load
from vqcodec.models.conditioners.base import quantize
from vqcodec.models.nn.pixels import to_pixels, to_signal
from vqcodec.models.pretrained import load_refiner
from vqcodec.models.stacked import FIRST
from vqcodec.weights import (
    CONFIG,
    DECODER,
    ENCODER,
    GRAPHS,
    GRAPHS_KEY,
    MODEL,
    REFINER,
    SPEAKER,
    Weights,
    first_codec,
    read_verified,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto, NodeProto

    Arrays = dict[str, NDArray[Any]]

OPSET = 20
CELLS = 40  # of the coarsest map along each axis of the example that is traced
CHANCE = 16  # numbers that may be alike by chance


class _Encoder(nn.Module):
    """Signals as media have them to index maps."""

    def __init__(self, engine: TorchEngine) -> None:
        super().__init__()
        self.model, self.pixels = engine.model, engine.pixels

    def forward(self, signal: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = to_signal(signal.movedim(-1, 1)) if self.pixels else signal[:, None]
        return tuple(i.to(torch.uint16) for i in self.model.encode(x))


class _Decoder(nn.Module):
    """Index maps, and where the model takes one a vector, to signals as media have them."""

    def __init__(self, engine: TorchEngine) -> None:
        super().__init__()
        self.model, self.pixels = engine.model, engine.pixels

    def forward(self, *given: torch.Tensor) -> torch.Tensor:
        number = len(self.model.maps)
        maps, cond = tuple(g.long() for g in given[:number]), given[number:]
        x = self.model.decode(maps, *cond)
        return to_pixels(x).movedim(1, -1) if self.pixels else x[:, 0]


class _Speaker(nn.Module):
    """Sound to the vector of who speaks, as files keep it."""

    def __init__(self, conditioner: nn.Module) -> None:
        super().__init__()
        self.conditioner = conditioner

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        return quantize(self.conditioner(samples[:, None]))


class _Refiner(nn.Module):
    """Pictures as media have them, and vectors of their errors, to better pictures."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, pixels: torch.Tensor, z_q: torch.Tensor) -> torch.Tensor:
        y = self.network(to_signal(pixels.movedim(-1, 1)), z_q.movedim(-1, 1))
        return to_pixels(y).movedim(1, -1)


def make_refiner(weights: Weights) -> dict[str, bytes]:
    """Return the content of the file that holds the graph of weights that refine, by name.

    It takes `pixels`, (N, H, W, 3) uint8, and `z_q`, (N, h, w, D) float32, and gives pixels.

    Raises:
        WeightsError: the weights are damaged.
        ModuleNotFoundError: what makes graphs is not installed.
    """
    import onnx  # noqa: F401
    import onnxscript  # noqa: F401

    network = load_refiner(weights)
    number = torch.export.Dim("number")
    cells = [torch.export.Dim(f"cells_{axis}") for axis in range(2)]
    step, dim = network.config.stride, network.config.dim
    example = (
        torch.zeros(2, CELLS * step, CELLS * step, 3, dtype=torch.uint8),
        torch.zeros(2, CELLS, CELLS, dim),
    )
    axes = ({0: number, 1: step * cells[0], 2: step * cells[1]}, dict(enumerate([number, *cells])))
    proto = _exported(_Refiner(network), example, axes, ["pixels", "z_q"], ["refined"])
    told = {"model": weights.name, "codebook_id": weights.config["codebook_id"]}
    return {REFINER: _content(proto, told, _tensors(weights))}


def make_graphs(engine: TorchEngine) -> dict[str, bytes]:
    """Return the content of the files that hold a model's graphs, by name.

    Signals, maps and vectors are what an `Engine` takes and gives; to decoders vectors are
    `speaker`, (N, S) float32, and of what is measured they are int8.

    Args:
        engine: with the model, on the CPU.

    Raises:
        UsageError: the decoder draws.
        ModuleNotFoundError: what makes graphs is not installed.
    """
    if engine.draws:
        raise UsageError(f"'{engine.weights.name}' draws what it decodes, and graphs cannot")
    import onnx  # noqa: F401
    import onnxscript  # noqa: F401

    maps, model = engine.maps, engine.model
    signal, names = "pixels" if engine.pixels else "samples", [f"map_{i}" for i in range(len(maps))]
    number, length = torch.export.Dim("number"), torch.export.Dim("length")
    sizes = [torch.export.Dim(f"cells_{axis}") for axis in range(len(maps[0].stride))]

    def axes(ratio: tuple[int, ...]) -> dict[int, Any]:
        """Return what is open of an array with so many elements to a cell of the coarsest map."""
        along = [d if r == 1 else r * d for r, d in zip(ratio, sizes, strict=True)]
        return dict(enumerate([number, *along]))

    coarse = maps[0].stride
    shape = [CELLS * step for step in coarse]
    x = torch.zeros(2, *shape, 3, dtype=torch.uint8) if engine.pixels else torch.zeros(2, *shape)
    files = {ENCODER: _exported(_Encoder(engine), (x,), (axes(coarse),), [signal], names)}
    ratios = [ratio(maps[0], spec) for spec in maps]
    given = [torch.zeros(2, *(CELLS * n for n in r), dtype=torch.uint16) for r in ratios]
    opened = [axes(r) for r in ratios]
    if model.conditioner is not None:
        samples, both = torch.zeros(2, 1 << 14), {0: number, 1: length}
        speaker = _Speaker(model.conditioner)
        files[SPEAKER] = _exported(speaker, (samples,), (both,), ["samples"], ["speaker"])
        given.append(torch.zeros(2, engine.speaker_size))
        opened.append({0: number})
        names = [*names, "speaker"]
    decoder = _Decoder(engine)
    files[DECODER] = _exported(decoder, tuple(given), (tuple(opened),), names, [signal])
    told = {"model": engine.weights.name, "codebook_id": engine.weights.config["codebook_id"]}
    told |= {key: json.dumps(value) for key, value in facts_of(engine).items()}
    tensors = _tensors(engine.weights)
    return {name: _content(proto, told, tensors) for name, proto in files.items()}


def facts_of(engine: Engine) -> Tree:
    """Return what an engine has to know of graphs; see `Engine`."""
    return {
        "maps": [asdict(spec) for spec in engine.maps],
        "encoder_halo": engine.encoder_halo,
        "decoder_halo": engine.decoder_halo,
        "speaker_size": engine.speaker_size,
    }


@torch.no_grad()
def _exported(
    module: nn.Module,
    example: tuple[torch.Tensor, ...],
    axes: tuple[Any, ...],
    inputs: list[str],
    outputs: list[str],
) -> "ModelProto":
    """Trace a module on an example whose `axes` are open."""
    module.eval()(*example)  # what it keeps for later shall be real, and not what tracing makes
    with _quiet():
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=axes,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what the exporter says of its own insides."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _content(proto: "ModelProto", told: dict[str, str], tensors: "Arrays") -> bytes:
    """Return the file of a graph: with what is `told`, and without where it was made."""
    graph = proto.graph
    del graph.value_info[:]
    for part in (proto, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("doc_string")
        del part.metadata_props[:]
    for key, value in told.items():
        proto.metadata_props.add(key=key, value=value)
    _trace(graph, tensors)
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def _tensors(weights: Weights) -> "Arrays":
    """Return the tensors that a model is built of, by name, as files keep them."""
    import safetensors.numpy

    first = None if weights.refiner else first_codec(weights)
    before = {FIRST + name: array for name, array in _tensors(first).items()} if first else {}
    return before | safetensors.numpy.load(read_verified(weights, MODEL))


def _trace(graph: Any, tensors: "Arrays") -> None:
    """Let a graph begin with tensors as files keep them: under their names, most in float16.

    Tracing names tensors as it likes, and turns matrices. A runtime makes float32 of them and turns
    them when it starts, and computes the same. What is found nowhere stays.
    """
    from onnx import TensorProto, helper, numpy_helper

    floats = {name: array.astype(np.float32) for name, array in tensors.items()}
    kept: dict[str, TensorProto] = {}
    made: dict[str, NodeProto] = {}
    names: dict[str, str] = {}
    for initializer in graph.initializer:
        found = _source(initializer.name, numpy_helper.to_array(initializer), floats)
        if found is None:
            kept[initializer.name] = initializer
            continue
        name, turned = found
        kept[name] = numpy_helper.from_array(tensors[name], name)
        if turned:  # first, for halves are less to turn
            made[f"{name}.turned"] = helper.make_node(
                "Transpose", [name], [f"{name}.turned"], perm=[1, 0]
            )
            name += ".turned"
        if tensors[found[0]].dtype != np.float32:
            made[f"{name}.float"] = helper.make_node(
                "Cast", [name], [f"{name}.float"], to=TensorProto.FLOAT
            )
            name += ".float"
        names[initializer.name] = name
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    nodes = [*made.values(), *graph.node]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept.values())
    graph.node.extend(nodes)


def _source(name: str, array: "NDArray[Any]", tensors: "Arrays") -> tuple[str, bool] | None:
    """Return which tensor an array is, and whether it is turned; None if nothing tells that."""
    if array.dtype != np.float32:
        return None
    same = {
        key: turned
        for key, tensor in tensors.items()
        for turned in ((True, False) if tensor.ndim == 2 else (False,))
        if np.array_equal(tensor.T if turned else tensor, array)
    }
    named = {key: turned for key, turned in same.items() if name.endswith(key)}
    found = named or (same if array.size > CHANCE else {})
    return next(iter(found.items())) if len(found) == 1 else None


def write_graphs(weights: Weights, folder: Path, *, force: bool) -> list[Path]:
    """Write the graphs of weights as files that need no other, and return these.

    Args:
        weights: of the model.
        folder: where to, made if need be.
        force: replace files that are there.

    Raises:
        WeightsError: the weights are damaged.
        OutputError: a file is there and `force` is not given, or it cannot be written.
        ModuleNotFoundError: what makes graphs is not installed.
    """
    for name in (REFINER,) if weights.refiner else GRAPHS:
        check_absent(folder / name, force=force)
    files = _make(weights)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror})") from None
    for name, data in files.items():
        with writing(folder / name, force=force) as file:
            file.write(data)
    return [folder / name for name in files]


def add_graphs(weights: Weights) -> None:
    """Add to weights their graphs, or replace those that they have; errors as of `write_graphs`.

    They take from `MODEL` what it has: see `vqcodec.codec.graphfiles`.
    """
    model = read_verified(weights, MODEL)
    files = {name: strip(data, model) for name, data in _make(weights).items()}
    for name, data in files.items():
        with writing(weights.folder / name, force=True) as file:
            file.write(data)
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    config = {**weights.config, "files": {**weights.config["files"], **sums}}
    if not weights.refiner:
        config[GRAPHS_KEY] = facts_of(_engine_of(weights))
    with writing(weights.folder / CONFIG, force=True) as file:
        file.write(to_json(config).encode())


def _make(weights: Weights) -> dict[str, bytes]:
    return make_refiner(weights) if weights.refiner else make_graphs(_engine_of(weights))


def _engine_of(weights: Weights) -> TorchEngine:
    pixels: bool = load(by_name(weights.modality).codec).pixels
    return TorchEngine(weights, "cpu", "fp32", pixels=pixels)
