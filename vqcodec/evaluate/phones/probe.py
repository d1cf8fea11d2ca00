"""How much codes tell of the speaker: what a linear classifier makes of how often each is used.

NumPy only.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STEPS = 500
PENALTY = 1e-3  # on squared weights: there are more codes than recordings


def histograms(codes: "Sequence[NDArray[np.integer]]", k: int) -> "NDArray[np.float64]":
    """Return the share of each code in each recording, (N, k), square roots taken.

    The root makes Euclidean distances those of Hellinger: rare codes count as well.
    """
    import numpy as np

    shares = np.stack([np.bincount(c.ravel(), minlength=k) / c.size for c in codes])
    return np.sqrt(shares)


def probe(
    train: "NDArray[np.float64]",
    speakers: list[str],
    test: "NDArray[np.float64]",
    true: list[str],
) -> dict[str, float]:
    """Return how often multinomial logistic regression names the speaker of a test recording.

    Args:
        train: features, (N, D).
        speakers: of the N.
        test: features, (M, D).
        true: speakers of the M; those that are not in `speakers` are wrong whatever is said.

    Returns:
        ``accuracy``; ``chance``: of always saying the speaker who is commonest on train.
    """
    import numpy as np

    names = sorted(set(speakers))
    middle, spread = train.mean(0), train.std(0).mean() + 1e-9
    weight = _fit((train - middle) / spread, np.array([names.index(s) for s in speakers]))
    said = (_with_bias((test - middle) / spread) @ weight).argmax(1).tolist()
    correct = sum(names[i] == s for i, s in zip(said, true, strict=True))
    commonest = max(names, key=speakers.count)
    return {
        "accuracy": round(correct / len(true), 4),
        "chance": round(true.count(commonest) / len(true), 4),
    }


def _fit(x: "NDArray[np.float64]", y: "NDArray[np.intp]") -> "NDArray[np.float64]":
    """Return the weights, (D + 1, classes), of multinomial logistic regression.

    Nesterov's accelerated gradient, at the step that the largest curvature allows.
    """
    import numpy as np

    x = _with_bias(x)
    wanted = np.eye(int(y.max()) + 1)[y]
    penalty = np.full((x.shape[1], 1), 2 * PENALTY)
    penalty[-1] = 0  # the bias is free
    step = 1 / (0.5 * np.linalg.norm(x, 2) ** 2 / len(x) + 2 * PENALTY)
    weight = ahead = np.zeros((x.shape[1], wanted.shape[1]))
    for turn in range(STEPS):
        logits = x @ ahead
        odds = np.exp(logits - logits.max(1, keepdims=True))
        error = odds / odds.sum(1, keepdims=True) - wanted
        moved = ahead - step * (x.T @ error / len(x) + penalty * ahead)
        ahead = moved + turn / (turn + 3) * (moved - weight)
        weight = moved
    return weight


def _with_bias(x: "NDArray[np.float64]") -> "NDArray[np.float64]":
    import numpy as np

    return np.concatenate([x, np.ones((len(x), 1))], 1)
