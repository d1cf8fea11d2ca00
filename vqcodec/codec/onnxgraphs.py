"""ONNX graphs of weights, run on the CPU by ONNX Runtime."""

import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from vqcodec.codec.graphfiles import read_graph
from vqcodec.coding.threads import usable_cores
from vqcodec.errors import WeightsError
from vqcodec.weights import CONFIG, Weights

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnxruntime import InferenceSession


class Graphs:
    """The graphs of some weights, each read when it is first needed.

    Args:
        weights: whose.
        voices: the decoder is that of voices.
    """

    def __init__(self, weights: Weights, *, voices: bool = False) -> None:
        self.weights, self._voices = weights, voices
        self._sessions: dict[tuple[int, int, str], InferenceSession] = {}

    def run(
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
            raise self.unfit(file) from None
        if [f.shape for f in found] != shapes or any(f.dtype != dtype for f in found):
            raise self.unfit(file)
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

        path = self.weights.folder / file
        data = read_graph(self.weights, file, voices=self._voices)
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

    def unfit(self, file: str) -> WeightsError:
        """Return what is to be raised of a graph that is not what the weights say."""
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
