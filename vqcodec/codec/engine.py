"""Networks that take and give NumPy arrays: the only place where codecs touch tensors.

Another runtime can stand in for torch in a file beside this one: it has to offer all that `Engine`
does, but for `model` and `wavenet`.
"""

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vqcodec.codec.device import choose_bf16, choose_device
from vqcodec.errors import FormatError
from vqcodec.models.conditioners.base import STEPS, quantize
from vqcodec.models.decoders.wavenet import WaveNet
from vqcodec.models.nn.pixels import to_pixels, to_signal
from vqcodec.models.pretrained import load_decoder, load_model
from vqcodec.weights import Weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Indices = NDArray[np.uint16]


class Engine:
    """A trained model on a device.

    Signals are arrays as media have them: pictures are (N, H, W, 3) uint8, sounds (N, T) float32 in
    [-1, 1]. Index maps are (N, *grid) uint16 each, a tuple of them: one per map, coarse to fine.

    Attributes:
        weights: that were loaded.
        device: where torch computes.
        bf16: whether in bfloat16.
        model: torch's own, for those who need more than codes: gradients, to search or to train.
        maps: what is known of each index map.
        encoder_halo: cells of the coarsest map beyond its own whose signal an index of any map
            depends on, per side.
        decoder_halo: the same beyond which a pixel or a sample depends on no index.
        speaker_size: S, numbers of a speaker vector; 0 if the model takes none.
    """

    def __init__(self, weights: Weights, device: str, precision: str, *, pixels: bool) -> None:
        """Load the model of `weights`.

        Args:
            weights: what to load.
            device: see `choose_device`.
            precision: see `choose_bf16`.
            pixels: its signals are pictures, not sounds.
        """
        self.weights, self.pixels = weights, pixels
        self.device = choose_device(device)
        self.bf16 = choose_bf16(precision, self.device)
        self.model = load_model(weights).to(self.device)
        if pixels:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.maps = self.model.maps
        coarse, fine = min(self.maps[0].stride), max(self.maps[-1].stride)
        around = self.model.quantizer.reach  # cells of the finest map, as the decoder's are
        self.encoder_halo = -(-around * fine // coarse) + -(-self.model.encoder.reach // coarse)
        self.decoder_halo = -(-(around + self.model.decoder.reach) * fine // coarse)
        conditioner = self.model.conditioner
        self.speaker_size = 0 if conditioner is None else conditioner.dim

    @torch.inference_mode()
    def encode(self, signals: "NDArray[Any]") -> "tuple[Indices, ...]":
        """Return the index maps of signals whose axes are multiples of the coarsest stride."""
        x = self._tensor(signals)
        x = to_signal(x.movedim(-1, 1)) if self.pixels else x[:, None]
        with self._precision():
            indices = self.model.encode(x)
        return tuple(i.to("cpu", torch.int32).numpy().astype(np.uint16) for i in indices)

    @torch.inference_mode()
    def decode(self, grids: "tuple[Indices, ...]", cond: "Floats | None" = None) -> "NDArray[Any]":
        """Return the signals that index maps stand for; `cond`, (S,), is told to all of them."""
        indices = tuple(self._tensor(g.astype(np.int64)) for g in grids)
        told = None if cond is None else self._tensor(cond).expand(len(grids[0]), -1)
        with self._precision():
            x = self.model.decode(indices, told)
        x = to_pixels(x).movedim(1, -1).contiguous() if self.pixels else x[:, 0].float()
        signals: NDArray[Any] = x.cpu().numpy()
        return signals

    @torch.inference_mode()
    def measure_speaker(self, samples: "Floats") -> bytes:
        """Return who speaks in sound, (T,), as a vector that files keep; empty without speakers."""
        if self.model.conditioner is None:
            return b""
        vector = self.model.conditioner(self._tensor(samples)[None, None])
        return quantize(vector)[0].cpu().numpy().tobytes()

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
        return np.frombuffer(speaker, np.int8).astype(np.float32) / np.float32(STEPS)

    @functools.cached_property
    def wavenet(self) -> WaveNet:
        """The second decoder of the weights; raises WeightsError if they have none."""
        return load_decoder(self.weights).to(self.device)

    def _tensor(self, array: "NDArray[Any]") -> torch.Tensor:
        # torch shares the memory, and warns of what it must not write to
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self.device)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)
