"""What all codecs have in common: trained weights, loaded."""

import functools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from vqcodec.errors import FormatError, VqcodecError, WeightsError
from vqcodec.files.codes import Codes
from vqcodec.maps import Maps, MapSpec
from vqcodec.modality import NAMES, Modality
from vqcodec.weights import Weights, find_named, find_weights

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from vqcodec.codec.engine import Engine
    from vqcodec.codec.engine_torch import TorchEngine
    from vqcodec.models.vqvae import VQVAE

Report = Callable[[float], None]  # is told the fraction done, for progress bars
Kind = TypeVar("Kind", bound="BaseCodec")


class BaseCodec:
    """Trained weights, and an engine that runs them.

    Safe to use from several threads, and picklable: it carries where its weights lie, not them.
    """

    modality: ClassVar[Modality]
    pixels: ClassVar[bool]  # whether signals are pictures; see `Engine`

    def __init__(
        self,
        weights: Weights,
        device: str = "auto",
        precision: str = "auto",
        engine: str = "auto",
        work: int | None = None,
    ) -> None:
        """Load the model of `weights`; see `load` for the arguments."""
        weights.check(self.modality)
        self.weights = weights
        self._settings = device, precision
        self.engine = self._open(engine, work)

    def _open(self, engine: str, work: int | None) -> "Engine":
        """Return what computes; the arguments are those of `load`."""
        from vqcodec.codec.engines import open_engine

        return open_engine(self.weights, engine, *self._settings, work, pixels=self.pixels)

    @classmethod
    def load(
        cls,
        name: str | Path,
        device: str = "auto",
        precision: str = "auto",
        engine: str = "auto",
        work: int | None = None,
    ) -> Self:
        """Load weights by name or path.

        Args:
            name: a published name such as ``image-f4``, or a folder of weights.
            device: ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``.
            precision: ``fp32``, ``bf16``, or ``auto``: bf16 where torch computes and the hardware
                multiplies it.
            engine: ``onnx`` (ONNX Runtime: on the CPU, in fp32, at once), ``torch``, or ``auto``:
                whichever is faster, see `vqcodec.codec.engines.choose_engine`. To search, and to
                draw with a WaveNet, there is only torch.
            work: bytes of the files that there are to code, where that is known, for ``auto``.

        Raises:
            WeightsError: there are no such weights, or they are damaged.
            UsageError: an unknown or unavailable device, precision or engine.
        """
        weights = find_weights(str(name))
        return cls._kind(weights)(weights, device, precision, engine, work)

    @classmethod
    def load_named(
        cls,
        name: str,
        device: str = "auto",
        precision: str = "auto",
        engine: str = "auto",
        work: int | None = None,
    ) -> Self:
        """Load weights by published name only: for names that come from a file, not from a user."""
        weights = find_named(name)
        return cls._kind(weights)(weights, device, precision, engine, work)

    @classmethod
    def _kind(cls, weights: Weights) -> type[Self]:
        """Return the class of codecs with these weights: this one, or one that is made for them."""
        return cls

    def turned_into(self, kind: "type[Kind]") -> "Kind":
        """Return a codec of another kind of media that has the weights and the engine of this one.

        A video is coded picture by picture.
        """
        found = kind.__new__(kind)
        vars(found).update(vars(self))
        return found

    def encode_files(self, files: Iterable[tuple[str, Any]]) -> Iterator[Codes | VqcodecError]:
        """Yield the codes of many media files, in their order, or what is wrong with one of them.

        What can be computed together is, and so a few files are read ahead of what is yielded.

        Args:
            files: what messages call each, and its bytes; or, of pictures, what `Image.of` takes.
        """
        raise NotImplementedError

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the weights' folder and the settings."""
        return type(self), (self.weights, *self._settings, self.engine.name)

    def __repr__(self) -> str:
        """Tell the weights, the codes and where it computes, in a line."""
        codes = f"codebook_sizes={self.codebook_sizes}, stride={self.stride}"
        place = f"device={self.engine.device_type!r}, precision={self.precision!r}"
        return f"{type(self).__name__}({self.weights.name!r}, {codes}, {place})"

    @property
    def maps(self) -> Maps:
        """What is known of each index map; strides are along the axes of `Codes`.

        What the model does not see as an axis, channels of sound, is coded apart.
        """
        return tuple(
            MapSpec(m.codebook_size, (1,) * (len(self.modality.axes) - len(m.stride)) + m.stride)
            for m in self.engine.maps[: self.weights.number]
        )

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """K of each index map."""
        return tuple(spec.codebook_size for spec in self.maps)

    @property
    def stride(self) -> int:
        """Pixels per index of the finest map, along each axis, or samples."""
        return self.maps[-1].stride[-1]

    @property
    def decoder_halo(self) -> int:
        """Cells of the coarsest map beyond its own that a pixel or sample depends on, per side."""
        return self.engine.decoder_halo

    def code_vectors(self, level: int = 0) -> "NDArray[np.float32]":
        """Return the code vectors of a map, (K, D)."""
        book = self.model.quantizer.codebooks[level].codebook
        vectors: NDArray[np.float32] = book.detach().float().cpu().numpy()
        return vectors

    @property
    def device(self) -> "torch.device":
        """Where it computes, for torch."""
        from vqcodec.codec.device import choose_device

        return choose_device(self.engine.device_type)

    @property
    def precision(self) -> str:
        """What it computes in: ``fp32`` or ``bf16``."""
        return "bf16" if self.engine.bf16 else "fp32"

    @property
    def model(self) -> "VQVAE":
        """The network itself, of torch."""
        return self.torch_engine.model

    @functools.cached_property
    def torch_engine(self) -> "TorchEngine":
        """The engine if it is torch's, or else one of torch beside it: to search or to draw."""
        from vqcodec.codec.engine_torch import TorchEngine

        if isinstance(self.engine, TorchEngine):
            return self.engine
        return TorchEngine(self.weights, *self._settings, pixels=self.pixels)

    def check_codebook(self, axes: str, model: str, codebook_id: bytes) -> None:
        """Check that codes are such as this codec makes; the arguments are those of `Codes`.

        Raises:
            FormatError: they are of another kind.
            WeightsError: they were made with another codebook.
        """
        if axes != self.modality.axes:
            raise FormatError(f"these are codes of {NAMES[axes]}, not of {self.modality.codes}")
        if codebook_id != self.weights.codebook_id:
            raise WeightsError(
                f"these codes were made with '{model}', codebook {codebook_id.hex()}; the weights "
                f"'{self.weights.name}' have {self.weights.codebook_id.hex()}"
            )
