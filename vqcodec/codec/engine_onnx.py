"""ONNX Runtime as an engine: the graphs of some weights, on the CPU, without torch."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from vqcodec.codec.engine import Engine
from vqcodec.codec.onnxfile import check_graph
from vqcodec.codec.sampling import SamplingParams
from vqcodec.coding.threads import usable_cores
from vqcodec.config import check_range
from vqcodec.errors import WeightsError
from vqcodec.maps import Maps, MapSpec
from vqcodec.weights import CONFIG, DECODER, ENCODER, GRAPHS_KEY, SPEAKER, Weights, read_verified

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession

    Floats = NDArray[np.float32]
    Indices = NDArray[np.uint16]
    Choose = Callable[[Floats], Indices]

MAX = 4096  # samples per index along an axis, and cells of a halo
MAX_SPEAKER = 255  # numbers of a vector


class OnnxEngine(Engine):
    """Graphs of a trained model, each read when it is first needed."""

    name, device_type, bf16, chooses = "onnx", "cpu", False, False

    def __init__(self, weights: Weights, *, pixels: bool) -> None:
        """Look up what `weights` say of their graphs.

        Args:
            weights: what to load.
            pixels: its signals are pictures, not sounds.

        Raises:
            WeightsError: they say nothing of them, or what cannot be.
        """
        self.weights, self.pixels = weights, pixels
        try:
            facts = weights.config[GRAPHS_KEY]
            self.maps: Maps = tuple(
                MapSpec(int(m["codebook_size"]), tuple(int(s) for s in m["stride"]))
                for m in facts["maps"]
            )
            self.encoder_halo = int(facts["encoder_halo"])
            self.decoder_halo = int(facts["decoder_halo"])
            self.speaker_size = int(facts["speaker_size"])
            self._check()
        except (KeyError, TypeError, ValueError):
            raise WeightsError(f"{weights.folder / CONFIG}: does not fit its graphs") from None
        self._sessions: dict[tuple[int, int, str], InferenceSession] = {}

    def _check(self) -> None:
        """Raise ValueError for numbers that no graph can have."""
        check_range("encoder_halo", self.encoder_halo, 0, MAX)
        check_range("decoder_halo", self.decoder_halo, 0, MAX)
        check_range("speaker_size", self.speaker_size, 0, MAX_SPEAKER)
        for spec in self.maps:
            for step in spec.stride:
                check_range("stride", step, 1, MAX)
        sizes = tuple(spec.codebook_size for spec in self.maps)
        axes = {len(spec.stride) for spec in self.maps}
        if sizes != self.weights.all_codebook_sizes or axes != {2 if self.pixels else 1}:
            raise ValueError("other maps than those of the weights")

    def encode(
        self, signals: "NDArray[Any]", choose: "Choose | None" = None
    ) -> "tuple[Indices, ...]":
        """Return the index maps of signals; see `Engine`."""
        assert choose is None
        size = signals.shape[1:3] if self.pixels else signals.shape[1:]
        shapes = [(len(signals), *spec.shape(size)) for spec in self.maps]
        given = {"pixels" if self.pixels else "samples": signals}
        grids = self._run(ENCODER, given, shapes, np.uint16)
        for grid, spec in zip(grids, self.maps, strict=True):
            if int(grid.max()) >= spec.codebook_size:
                raise self._unfit(ENCODER)
        return tuple(grids)

    def decode(
        self,
        grids: "tuple[Indices, ...]",
        cond: "Floats | None" = None,
        params: SamplingParams | None = None,
    ) -> "NDArray[Any]":
        """Return the signals that index maps stand for; see `Engine`."""
        number = len(grids[0])
        missing = self.maps[len(grids) :]  # to graphs an index K says that there is none
        grids += tuple(np.full_like(grids[-1], spec.codebook_size) for spec in missing)
        given: dict[str, NDArray[Any]] = {f"map_{i}": grid for i, grid in enumerate(grids)}
        if cond is not None:
            given["speaker"] = np.broadcast_to(cond, (number, len(cond)))
        shape = number, *self.maps[-1].covers(grids[-1].shape[1:])
        if self.pixels:
            return self._run(DECODER, given, [(*shape, 3)], np.uint8)[0]
        return self._run(DECODER, given, [shape], np.float32)[0]

    def measure_speaker(self, samples: "Floats") -> bytes:
        """Return who speaks in sound; see `Engine`."""
        if not self.speaker_size:
            return b""
        given = {"samples": samples[None]}
        return self._run(SPEAKER, given, [(1, self.speaker_size)], np.int8)[0].tobytes()

    def _run(
        self,
        file: str,
        given: "dict[str, NDArray[Any]]",
        shapes: list[tuple[int, ...]],
        dtype: type[np.generic],
    ) -> "list[NDArray[Any]]":
        """Return what a graph makes of arrays, by the names of its inputs.

        Raises:
            WeightsError: it makes nothing of them, or arrays of other shapes or another type.
        """
        arrays = {name: np.ascontiguousarray(array) for name, array in given.items()}
        session = self._session(file)
        try:
            found: list[NDArray[Any]] = session.run(None, arrays)
        except Exception as error:  # each kind of its failures is a class of its own
            if "allocate" in str(error):
                raise MemoryError from None
            raise self._unfit(file) from None
        if [f.shape for f in found] != shapes or any(f.dtype != dtype for f in found):
            raise self._unfit(file)
        return found

    def _session(self, file: str) -> "InferenceSession":
        """Return what runs a graph in this process: in a forked one its threads are missing."""
        key = os.getpid(), _threads(), file
        if key not in self._sessions:
            self._sessions.setdefault(key, self._opened(file, _threads()))
        return self._sessions[key]

    def _opened(self, file: str, threads: int) -> "InferenceSession":
        # ONNX Runtime holds a telemetry client, which keeps an identifier in the user's home from
        # its import on, unless it is told not to before. A codec tells nobody anything.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        import onnxruntime

        path, data = self.weights.folder / file, read_verified(self.weights, file)
        try:
            check_graph(data)
        except ValueError as error:
            raise WeightsError(f"{path}: {error}") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        # Threads that wait for work must not take the time of others that have some.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.load_model_format", "ONNX")  # as was checked
        options.log_severity_level = 4  # failures are raised
        try:
            session = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"]
            )
        except Exception:  # as above
            raise WeightsError(f"{path}: not a graph that ONNX Runtime can compute") from None
        told = session.get_modelmeta().custom_metadata_map.get("codebook_id")
        if told != self.weights.config["codebook_id"]:
            raise WeightsError(f"{path}: a graph of other weights")
        return session

    def _unfit(self, file: str) -> WeightsError:
        return WeightsError(
            f"{self.weights.folder / file}: does not compute what {CONFIG} says of it"
        )


def _threads() -> int:
    """Return how many threads to compute with: torch's where it is loaded, else by its rule.

    That is OMP_NUM_THREADS, or all cores.
    """
    torch = sys.modules.get("torch")
    if torch is not None:
        return int(torch.get_num_threads())
    told = os.environ.get("OMP_NUM_THREADS", "")
    return int(told) if told.isascii() and told.isdigit() and int(told) else usable_cores()
