"""What a recogniser reads in speech: Moonshine tiny, English only.

Its weights come in the package ``moonshine-voice`` (MIT), and are run by ONNX Runtime here: the
package itself is not imported, for it wants a sound card's library.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from vqcodec.metrics.packaged import locate, network
from vqcodec.voice.frames import RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.floating]

PACKAGE = "moonshine-voice"
FOLDER = "moonshine_voice/assets/tiny-en"
BEGIN, END = 1, 2  # tokens
SPACE = "\u2581".encode()  # how tokens write it
TOKENS_PER_SECOND = 6.5  # no more are read, whatever the sound is: its makers' limit
SHORTEST = RATE // 10  # samples
LONGEST = 25 * RATE  # samples that are read at a time
SEARCHED = 10 * RATE  # samples at the end of these where a pause is looked for
PAUSE = RATE // 5


class Recogniser(NamedTuple):
    """The two networks, of ONNX Runtime, and the bytes of each token."""

    encoder: Any
    decoder: Any
    tokens: list[bytes]


def read(samples: "Signal") -> str:
    """Return what is read in speech at 16 kHz, (T,), as it is read; long speech in pieces."""
    import numpy as np

    return _read(np.asarray(samples, np.float32).tobytes())


@lru_cache(maxsize=1)
def load() -> Recogniser:
    """Return the recogniser.

    Raises:
        ImportError: its package is not installed, or holds no weights.
    """
    folder = locate(PACKAGE, FOLDER)
    files = (folder / f"{name}.ort" for name in ("encoder_model", "decoder_model_merged"))
    encoder, decoder = map(network, files)
    return Recogniser(encoder, decoder, _tokens((folder / "tokenizer.bin").read_bytes()))


def pieces(samples: "Signal") -> "list[Signal]":
    """Return speech in pieces of at most `LONGEST`, cut where it is quietest."""
    import numpy as np

    found = []
    while len(samples) > LONGEST:
        start = LONGEST - SEARCHED
        power = np.square(samples[start:LONGEST], dtype=np.float64).cumsum()
        cut = start + PAUSE // 2 + int(np.argmin(power[PAUSE:] - power[:-PAUSE]))
        found.append(samples[:cut])
        samples = samples[cut:]
    return [*found, samples]


@lru_cache(maxsize=16)  # an original meets several copies, and each several measures
def _read(data: bytes) -> str:
    import numpy as np

    samples = np.frombuffer(data, np.float32)
    return " ".join(_read_piece(piece) for piece in pieces(samples) if len(piece) >= SHORTEST)


def _read_piece(samples: "Signal") -> str:
    """Return the likeliest words, token after token."""
    import numpy as np

    encoder, decoder, tokens = load()
    mask = np.ones((1, len(samples)), np.int64)
    (heard,) = encoder.run(None, {"input_values": samples[None], "attention_mask": mask})
    memory = {i.name: _empty(i.shape) for i in decoder.get_inputs() if i.name.startswith("past")}
    fixed = {"encoder_hidden_states": heard, "encoder_attention_mask": mask}
    words, token = b"", BEGIN
    for number in range(1 + int(len(samples) / RATE * TOKENS_PER_SECOND)):
        step = {"input_ids": np.array([[token]]), "use_cache_branch": np.array([number > 0])}
        logits, *present = decoder.run(None, {**step, **fixed, **memory})
        token = int(logits[0, -1].argmax())
        if token == END:
            break
        words += tokens[token]
        # what it needs of the encoder comes with the first step only
        kept = zip(memory, present, strict=True)
        memory |= {name: new for name, new in kept if not number or ".decoder." in name}
    return words.replace(SPACE, b" ").decode(errors="ignore").strip()


def _empty(shape: list[Any]) -> "Signal":
    """Return an array of nothing yet, where the shape says numbers: heads and their width."""
    import numpy as np

    _, heads, _, width = shape
    return np.zeros((1, heads, 0, width), np.float32)


def _tokens(data: bytes) -> list[bytes]:
    """Return the bytes of all tokens: of each first their number, in base 128 above 127."""
    found, at = [], 0
    while at < len(data):
        length = data[at]
        at += 1
        if length >= 128:
            length += 128 * (data[at] - 1)
            at += 1
        found.append(data[at : at + length])
        at += length
    return found
