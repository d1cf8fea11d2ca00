"""ONNX Runtime as an engine: the graphs of some weights, on the CPU, without torch."""

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from vqcodec.codec.engine import Engine
from vqcodec.codec.onnxgraphs import Graphs
from vqcodec.codec.sampling import SamplingParams
from vqcodec.config import check_range
from vqcodec.errors import WeightsError
from vqcodec.maps import Maps, MapSpec
from vqcodec.weights import CONFIG, DECODER, ENCODER, GRAPHS_KEY, SPEAKER, Weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
        self._graphs = Graphs(weights)

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
        grids = self._graphs.run(ENCODER, given, shapes, np.uint16)
        for grid, spec in zip(grids, self.maps, strict=True):
            if int(grid.max()) >= spec.codebook_size:
                raise self._graphs.unfit(ENCODER)
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
            return self._graphs.run(DECODER, given, [(*shape, 3)], np.uint8)[0]
        return self._graphs.run(DECODER, given, [shape], np.float32)[0]

    def measure_speaker(self, samples: "Floats") -> bytes:
        """Return who speaks in sound; see `Engine`."""
        if not self.speaker_size:
            return b""
        given = {"samples": samples[None]}
        return self._graphs.run(SPEAKER, given, [(1, self.speaker_size)], np.int8)[0].tobytes()

    def for_voices(self) -> "OnnxEngine":
        """Return this engine with the decoder of voices; see `Engine`."""
        engine = copy.copy(self)
        engine._graphs = Graphs(self.weights, voices=True)
        return engine
