"""What the loops of generation need of a WaveNet: plain arrays."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


class Network(NamedTuple):
    """Weights, float32 and contiguous, as (..., inputs, outputs); R, S, H are channels.

    A step of the network gives one value of each band. Biases of the gates are in the conditioning.

    Attributes:
        dilations: (layers,) int64, steps back that each layer looks.
        embedding: (bands, 256, R), what the values of the last step are to the first layer.
        gate: (layers, 2R, 2R), from the past and the present to tanh and sigmoid.
        mix: (layers - 1, R, R), what a layer adds for the next.
        mix_bias: (layers - 1, R).
        skip: (layers * R, S), from all layers to the head.
        skip_bias: (S,).
        hidden: (S, bands * H).
        hidden_bias: (bands * H,).
        chain: (bands * (bands - 1) / 2, 256, H), what earlier bands of this step are to a later.
        out: (bands, H, 256), the logits.
        out_bias: (bands, 256).
    """

    dilations: "NDArray[np.int64]"
    embedding: "Floats"
    gate: "Floats"
    mix: "Floats"
    mix_bias: "Floats"
    skip: "Floats"
    skip_bias: "Floats"
    hidden: "Floats"
    hidden_bias: "Floats"
    chain: "Floats"
    out: "Floats"
    out_bias: "Floats"

    @property
    def bands(self) -> int:
        """Values that a step gives."""
        return self.embedding.shape[0]
