"""What the codecs of pictures and of speech have in common: trained weights, loaded."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from vqcodec.errors import FormatError, WeightsError
from vqcodec.maps import Maps, MapSpec
from vqcodec.modality import NAMES, Modality
from vqcodec.weights import Weights, find_named, find_weights

if TYPE_CHECKING:
    import torch

    from vqcodec.models.vqvae import VQVAE

Report = Callable[[float], None]  # is told the fraction done, for progress bars


class BaseCodec:
    """Trained weights, and an engine that runs them.

    Safe to use from several threads, and picklable: it carries where its weights lie, not them.
    """

    modality: ClassVar[Modality]
    pixels: ClassVar[bool]  # whether signals are pictures; see `Engine`

    def __init__(self, weights: Weights, device: str = "auto", precision: str = "auto") -> None:
        """Load the model of `weights`; see `load` for the arguments."""
        weights.check(self.modality)
        from vqcodec.codec.engine import Engine

        self.weights = weights
        self.engine: Engine = Engine(weights, device, precision, pixels=self.pixels)

    @classmethod
    def load(cls, name: str | Path, device: str = "auto", precision: str = "auto") -> Self:
        """Load weights by name or path.

        Args:
            name: a published name such as ``image-f4``, or a folder of weights.
            device: ``auto`` (CUDA where there is one), ``cpu`` or ``cuda``.
            precision: ``fp32``, ``bf16``, or ``auto``: bf16 where the hardware multiplies it.

        Raises:
            WeightsError: there are no such weights, or they are damaged.
            UsageError: an unknown or unavailable device or precision.
        """
        return cls(find_weights(str(name)), device, precision)

    @classmethod
    def load_named(cls, name: str, device: str = "auto", precision: str = "auto") -> Self:
        """Load weights by published name only: for names that come from a file, not from a user."""
        return cls(find_named(name), device, precision)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the weights' folder and the settings."""
        return type(self), (self.weights, self.device.type, self.precision)

    def __repr__(self) -> str:
        """Tell the weights, the codes and where it computes, in a line."""
        codes = f"codebook_sizes={self.codebook_sizes}, stride={self.stride}"
        place = f"device={self.device.type!r}, precision={self.precision!r}"
        return f"{type(self).__name__}({self.weights.name!r}, {codes}, {place})"

    @property
    def maps(self) -> Maps:
        """What is known of each index map; strides are along the axes of `Codes`.

        What the model does not see as an axis, channels of sound, is coded apart.
        """
        return tuple(
            MapSpec(m.codebook_size, (1,) * (len(self.modality.axes) - len(m.stride)) + m.stride)
            for m in self.engine.maps
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
    def device(self) -> "torch.device":
        """Where it computes."""
        return self.engine.device

    @property
    def precision(self) -> str:
        """What it computes in: ``fp32`` or ``bf16``."""
        return "bf16" if self.engine.bf16 else "fp32"

    @property
    def model(self) -> "VQVAE":
        """The network itself."""
        return self.engine.model

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
