"""How good speech sounds to listeners, as a network guesses from the sound alone: DNSMOS P.835.

Reddy, Gopal, Cutler (arXiv:2110.01763). Its weights come in the package ``speechmos`` (MIT), and
are run by ONNX Runtime here: the package itself asks for far more than that.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vqcodec.metrics.packaged import locate, network
from vqcodec.voice.frames import RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.floating]

PACKAGE = "speechmos"
FILE = "speechmos/dnsmos_models/sig_bak_ovr.onnx"
HEARD = int(9.01 * RATE)  # samples that the network hears at a time, a second after one another
OVERALL = 2  # of its outputs; before it come the voice's and the background's
SCALE = (-0.06766283, 1.11546468, 0.04602535)  # a polynomial from it to opinions of 1 to 5


def overall(samples: "Signal") -> float:
    """Return the overall opinion of speech at 16 kHz, (T,) in [-1, 1], 1 to 5.

    Less than 9 s are repeated. Up to 16 s it is what the package gives, which leaves out some of
    what comes later, by rounding.
    """
    import numpy as np

    heard = load()
    x = np.asarray(samples, np.float32).clip(-1, 1)
    while len(x) < HEARD:
        x = np.concatenate([x, x])
    number = max(1, len(x) // RATE - HEARD // RATE)  # so counts the package
    parts = [x[start : start + HEARD] for start in range(0, number * RATE, RATE)]
    raw = [heard.run(None, {"input_1": part[None]})[0][0, OVERALL] for part in parts]
    return float(np.polyval(SCALE, raw).mean())


@lru_cache(maxsize=1)
def load() -> Any:
    """Return the network, of ONNX Runtime.

    Raises:
        ImportError: its package is not installed, or holds no weights.
    """
    return network(locate(PACKAGE, FILE))
