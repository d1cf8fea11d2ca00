"""The loop that draws samples on a CPU: one stream, one step at a time, in one thread."""

from typing import TYPE_CHECKING

import numpy as np

from vqcodec.models.generation.jit import compiled
from vqcodec.models.generation.network import Network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

SILENCE = 128  # the level before the first
# A rational function that is tanh to single precision within its bounds (as in Eigen).
_BOUND = np.float32(7.9)
_P = tuple(
    np.float32(c)
    for c in (
        4.89352455891786e-03,
        6.37261928875436e-04,
        1.48572235717979e-05,
        5.12229709037114e-08,
        -8.60467152213735e-11,
        2.00018790482477e-13,
        -2.76076847742355e-16,
    )
)
_Q = tuple(
    np.float32(c)
    for c in (
        4.89352518554385e-03,
        2.26843463243900e-03,
        1.18534705686654e-04,
        1.19825839466702e-06,
    )
)
# The series of exp on [-1, 0], which is then squared five times: exp on [-32, 0].
_E = tuple(np.float32(c) for c in (1.0, 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040))
_ZERO, _ONE, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
_LOWEST, _SHRINK = np.float32(-32), np.float32(1 / 32)


@compiled
def _add_product(vector: "Floats", matrix: "Floats", total: "Floats") -> None:
    """Add vector @ matrix to `total`; the vector's length is a multiple of four.

    Four rows at a time halve and halve again how often `total` goes through memory.
    """
    inputs, outputs = matrix.shape
    for i in range(0, inputs, 4):
        a, b, c, d = vector[i], vector[i + 1], vector[i + 2], vector[i + 3]
        p, q, r, s = matrix[i], matrix[i + 1], matrix[i + 2], matrix[i + 3]
        for j in range(outputs):
            total[j] += a * p[j] + b * q[j] + c * r[j] + d * s[j]


@compiled
def _gate(sums: "Floats", result: "Floats") -> None:
    """Set result to tanh(a) sigmoid(b), a and b the halves of `sums`."""
    size = result.size
    for i in range(size):
        a = min(max(sums[i], -_BOUND), _BOUND)
        b = min(max(_HALF * sums[size + i], -_BOUND), _BOUND)
        s, t = a * a, b * b
        p = a * (
            _P[0] + s * (_P[1] + s * (_P[2] + s * (_P[3] + s * (_P[4] + s * (_P[5] + s * _P[6])))))
        )
        q = b * (
            _P[0] + t * (_P[1] + t * (_P[2] + t * (_P[3] + t * (_P[4] + t * (_P[5] + t * _P[6])))))
        )
        u = _Q[0] + s * (_Q[1] + s * (_Q[2] + s * _Q[3]))
        v = _Q[0] + t * (_Q[1] + t * (_Q[2] + t * _Q[3]))
        result[i] = _HALF * p * (v + q) / (u * v)  # sigmoid(b) = (1 + tanh(b / 2)) / 2


@compiled
def _draw(logits: "Floats", sharpness: np.float32, uniform: np.float32, weights: "Floats") -> int:
    """Return the first level up to which more than `uniform` of the probability lies.

    Args:
        logits: (256,).
        sharpness: one over the temperature.
        uniform: from 0 to below 1.
        weights: (256,), to work in.
    """
    highest = logits[0]
    for i in range(1, logits.size):
        highest = max(highest, logits[i])
    total = _ZERO
    for i in range(logits.size):
        x = max((logits[i] - highest) * sharpness, _LOWEST) * _SHRINK
        y = _ONE + x * (
            _E[0] + x * (_E[1] + x * (_E[2] + x * (_E[3] + x * (_E[4] + x * (_E[5] + x * _E[6])))))
        )
        y *= y
        y *= y
        y *= y
        y *= y
        y *= y
        weights[i] = y
        total += y
    left = uniform * total
    for i in range(logits.size):
        left -= weights[i]
        if left < _ZERO:
            return i
    return int(np.argmax(logits))  # only where rounding ate the rest


@compiled
def _copy(source: "Floats", target: "Floats") -> None:
    for i in range(target.size):
        target[i] = source[i]


@compiled
def _add(source: "Floats", target: "Floats") -> None:
    for i in range(target.size):
        target[i] += source[i]


@compiled
def _relu(values: "Floats") -> None:
    for i in range(values.size):
        values[i] = max(values[i], _ZERO)


@compiled
def _run(
    network: Network,
    conditioning: "Floats",
    hop: int,
    uniforms: "Floats",
    sharpness: np.float32,
    levels: "NDArray[np.int64]",
    logits: "Floats",
) -> None:
    """Fill `levels`, (steps, bands); `logits`, (bands, 256), are left as of the last step."""
    layers, gates = network.gate.shape[0], network.gate.shape[2]
    residual, bands = gates // 2, network.embedding.shape[0]
    starts = np.cumsum(network.dilations) - network.dilations
    rings = np.zeros((np.sum(network.dilations), residual), np.float32)  # each layer's past inputs
    x, sums = np.zeros(residual, np.float32), np.zeros(gates, np.float32)
    gated = np.zeros(layers * residual, np.float32)
    skip, hidden = np.zeros_like(network.skip_bias), np.zeros_like(network.hidden_bias)
    weights = np.zeros(logits.shape[1], np.float32)
    width = hidden.size // bands
    drawn = np.full(bands, SILENCE)
    for step in range(levels.shape[0]):
        _copy(network.embedding[0, drawn[0]], x)
        for band in range(1, bands):
            _add(network.embedding[band, drawn[band]], x)
        for layer in range(layers):
            past = rings[starts[layer] + step % network.dilations[layer]]
            z = gated[layer * residual : (layer + 1) * residual]
            _copy(conditioning[step // hop, layer], sums)
            _add_product(past, network.gate[layer, :residual], sums)
            _add_product(x, network.gate[layer, residual:], sums)
            _copy(x, past)
            _gate(sums, z)
            if layer + 1 < layers:
                _add(network.mix_bias[layer], x)
                _add_product(z, network.mix[layer], x)
        _copy(network.skip_bias, skip)
        _add_product(gated, network.skip, skip)
        _relu(skip)
        _copy(network.hidden_bias, hidden)
        _add_product(skip, network.hidden, hidden)
        pair = 0
        for band in range(bands):
            h = hidden[band * width : (band + 1) * width]
            for earlier in range(band):
                _add(network.chain[pair, drawn[earlier]], h)
                pair += 1
            _relu(h)
            _copy(network.out_bias[band], logits[band])
            _add_product(h, network.out[band], logits[band])
            drawn[band] = _draw(logits[band], sharpness, uniforms[step, band], weights)
            levels[step, band] = drawn[band]


def generate(
    network: Network,
    conditioning: "Floats",
    uniforms: "Floats",
    temperature: float = 1.0,
) -> "tuple[NDArray[np.int64], Floats]":
    """Draw levels from silence on; the interpreter is free for other threads meanwhile.

    Args:
        network: the weights.
        conditioning: (frames, layers, 2R), what to add to the gates; a frame serves as many steps
            as there are for each.
        uniforms: (steps, bands) in [0, 1), one number for each draw; steps a multiple of frames.
        temperature: logits are divided by it.

    Returns:
        The levels, (steps, bands), and the logits of the last step, (bands, 256).
    """
    levels = np.zeros(uniforms.shape, np.int64)
    logits = np.zeros((network.bands, network.out.shape[2]), np.float32)
    hop = len(uniforms) // max(1, len(conditioning))
    _run(network, conditioning, hop, uniforms, np.float32(1 / temperature), levels, logits)
    return levels, logits
