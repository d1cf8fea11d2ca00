"""What tasks on pictures have in common."""

from typing import TYPE_CHECKING, Generic, TypeVar

from torch import nn

from vqcodec.train.image.data import Crops

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

MEASURED_AT_ONCE = 8  # pictures
Model = TypeVar("Model", bound=nn.Module)


class PictureTask(Generic[Model]):
    """A model of pictures.

    Args:
        model: the network to train.
        crops: training crops.
        held_out: (N, 3, S, S) uint8 pictures to measure on.
    """

    def __init__(self, model: Model, crops: Crops, held_out: "Pixels") -> None:
        self.model = model
        self.crops = crops
        self.held_out = held_out

    def batch(self, number: int) -> "dict[str, Pixels]":
        """Return training batch `number`: x, (B, 3, H, W) uint8."""
        return {"x": self.crops.batch(number)}


def side_by_side(pixels: "Pixels") -> "Pixels":
    """Lay pictures, (N, 3, H, W), side by side: (H, N W, 3)."""
    import numpy as np

    return np.concatenate(list(pixels.transpose(0, 2, 3, 1)), axis=1)
