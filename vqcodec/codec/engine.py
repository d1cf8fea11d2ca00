"""What computes: networks that take and give NumPy arrays.

All that codecs know of tensors lies behind an engine. There is one of torch, which can also train,
search and draw, and one of ONNX Runtime, which starts in a fifth of the time.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from vqcodec.codec.sampling import SamplingParams
from vqcodec.errors import FormatError
from vqcodec.files.contents import SPEAKER_STEPS
from vqcodec.maps import Maps
from vqcodec.weights import Weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Indices = NDArray[np.uint16]
    Choose = Callable[[Floats], Indices]


class Engine:
    """A trained model, ready to compute; safe to use from several threads.

    Signals are arrays as media have them: pictures are (N, H, W, 3) uint8, sounds (N, T) float32 in
    [-1, 1]. Index maps are (N, *grid) uint16 each, a tuple of them: one per map, coarse to fine.

    Attributes:
        name: as options have it.
        weights: that were loaded.
        device_type: where it computes, ``cpu`` or ``cuda``.
        bf16: whether in bfloat16.
        chooses: whether `encode` can leave the choice of codes to others.
        maps: what is known of each index map.
        encoder_halo: cells of the coarsest map beyond its own whose signal an index of any map
            depends on, per side.
        decoder_halo: the same beyond which a pixel or a sample depends on no index.
        speaker_size: S, numbers of a speaker vector; 0 if the model takes none.
        draws: whether `decode` draws: with another seed, another signal.
    """

    name: ClassVar[str]
    weights: Weights
    device_type: str
    bf16: bool
    chooses: bool
    maps: Maps
    encoder_halo: int
    decoder_halo: int
    speaker_size: int
    draws: bool = False

    def encode(
        self, signals: "NDArray[Any]", choose: "Choose | None" = None
    ) -> "tuple[Indices, ...]":
        """Return the index maps of signals whose axes are multiples of the coarsest stride.

        Args:
            signals: see above.
            choose: what takes the squared distances of a map's vectors to all codes, (N, *grid, K),
                and returns the codes, (N, *grid), asked for each map, coarse to fine; by default it
                is the nearest ones. Only where `chooses` is true.
        """
        raise NotImplementedError

    def decode(
        self,
        grids: "tuple[Indices, ...]",
        cond: "Floats | None" = None,
        params: SamplingParams | None = None,
    ) -> "NDArray[Any]":
        """Return the signals that index maps stand for.

        Args:
            grids: the maps.
            cond: (S,), is told to all of them.
            params: how to draw, for an engine that `draws`.
        """
        raise NotImplementedError

    def measure_speaker(self, samples: "Floats") -> bytes:
        """Return who speaks in sound, (T,), as a vector that files keep; empty without speakers."""
        raise NotImplementedError

    def for_voices(self) -> "Engine":
        """Return this engine with the decoder of voices, of weights that have one."""
        raise NotImplementedError

    def condition(self, speaker: bytes) -> "Floats | None":
        """Return what `decode` is told of a vector that a file keeps: (S,), None without speakers.

        Raises:
            FormatError: it is one for other weights.
        """
        if not self.speaker_size:
            return None
        if len(speaker) != self.speaker_size:
            raise FormatError(
                f"holds a speaker vector of {len(speaker)} numbers; the weights "
                f"'{self.weights.name}' need one of {self.speaker_size}"
            )
        return np.frombuffer(speaker, np.int8).astype(np.float32) / np.float32(SPEAKER_STEPS)
