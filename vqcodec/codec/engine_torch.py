"""Torch as an engine, on CPU or GPU, in float32 or bfloat16."""

import copy
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vqcodec.codec.device import choose_bf16, choose_device
from vqcodec.codec.engine import Engine
from vqcodec.codec.sampling import SamplingParams
from vqcodec.models.conditioners.base import quantize
from vqcodec.models.decoders.wavenet import WaveNet
from vqcodec.models.nn.pixels import to_pixels, to_signal
from vqcodec.models.pretrained import load_decoder, load_model, load_voice_decoder
from vqcodec.models.vqvae import VQVAE
from vqcodec.weights import Weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Indices = NDArray[np.uint16]
    Choose = Callable[[Floats], Indices]


class TorchEngine(Engine):
    """A trained model on a device.

    Attributes:
        device: where torch computes.
        model: torch's own, for those who need more than codes: gradients, to search or to train.
    """

    name, chooses = "torch", True

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
        self.device_type = self.device.type
        self.bf16 = choose_bf16(precision, self.device)
        self.model = load_model(weights).to(self.device)
        if pixels:
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.maps = self.model.maps
        coarse, fine = min(self.maps[0].stride), max(self.maps[-1].stride)
        around = self.model.quantizer.halo  # cells of the finest map, as the decoder's are
        self.encoder_halo = -(-around * fine // coarse) + -(-self.model.encoder.halo // coarse)
        self.decoder_halo = -(-(around + self.model.decoder.halo) * fine // coarse)
        self.draws = self.model.decoder.draws
        conditioner = self.model.conditioner
        self.speaker_size = 0 if conditioner is None else conditioner.dim

    @torch.inference_mode()
    def encode(
        self, signals: "NDArray[Any]", choose: "Choose | None" = None
    ) -> "tuple[Indices, ...]":
        """Return the index maps of signals; see `Engine`."""
        x = self._tensor(signals)
        x = to_signal(x.movedim(-1, 1)) if self.pixels else x[:, None]

        def chosen(distances: torch.Tensor) -> torch.Tensor:
            assert choose is not None
            codes = choose(distances.movedim(1, -1).float().cpu().numpy())
            return self._tensor(codes.astype(np.int64))

        with self._precision():
            indices = self.model.encode(x, choose=None if choose is None else chosen)
        return tuple(i.to("cpu", torch.int32).numpy().astype(np.uint16) for i in indices)

    @torch.inference_mode()
    def decode(
        self,
        grids: "tuple[Indices, ...]",
        cond: "Floats | None" = None,
        params: SamplingParams | None = None,
    ) -> "NDArray[Any]":
        """Return the signals that index maps stand for; see `Engine`."""
        indices = tuple(self._tensor(g.astype(np.int64)) for g in grids)
        told = None if cond is None else self._tensor(cond).expand(len(grids[0]), -1)
        params = params or SamplingParams()
        generator = torch.Generator().manual_seed(params.seed)
        with self._precision():
            x = self.model.decode(
                indices, told, generator=generator, temperature=params.temperature
            )
        x = to_pixels(x).movedim(1, -1).contiguous() if self.pixels else x[:, 0].float()
        signals: NDArray[Any] = x.cpu().numpy()
        return signals

    @torch.inference_mode()
    def measure_speaker(self, samples: "Floats") -> bytes:
        """Return who speaks in sound; see `Engine`."""
        if self.model.conditioner is None:
            return b""
        vector = self.model.conditioner(self._tensor(samples)[None, None])
        return quantize(vector)[0].cpu().numpy().tobytes()

    def for_voices(self) -> "TorchEngine":
        """Return this engine with the decoder of voices; see `Engine`."""
        engine, own = copy.copy(self), self.model
        decoder = load_voice_decoder(self.weights)
        model = VQVAE(own.encoder, own.quantizer, decoder, conditioner=own.conditioner)
        engine.model = model.eval().to(self.device)
        return engine

    @functools.cached_property
    def wavenet(self) -> WaveNet:
        """The second decoder of the weights; raises WeightsError if they have none."""
        return load_decoder(self.weights).to(self.device)

    def _tensor(self, array: "NDArray[Any]") -> torch.Tensor:
        # torch shares the memory, and warns of what it must not write to
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self.device)

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)
