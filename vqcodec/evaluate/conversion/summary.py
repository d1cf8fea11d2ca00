"""What an evaluation of conversions comes to: means over pairs of a recording and a target."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vqcodec.evaluate.conversion.measures import MEASURES, PITCH, TO_SOURCE, TO_TARGET
from vqcodec.evaluate.intervals import interval, resampled_means
from vqcodec.evaluate.journal import OURS, Record

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

KEYS = [m.key for m in MEASURES]
SHARE = "share"  # of pairs that are nearer to the target than to the source


@dataclass(frozen=True)
class Pairs:
    """Values of all pairs, NaN where there is none.

    Attributes:
        targets: names.
        values: (recordings, targets, measures), in the order of `KEYS`.
        plain: (recordings, measures) of plain reconstructions.
    """

    targets: list[str]
    values: "Values"
    plain: "Values"

    @classmethod
    def collect(cls, records: Iterable[Record], targets: list[str]) -> "Pairs":
        """Read the values of records."""
        import numpy as np

        rows = []
        for record in records:
            found = [record.find(name, 0) for name in (OURS, *targets)]
            rows.append([[_number(m.values.get(k) if m else None) for k in KEYS] for m in found])
        values = np.array(rows, np.float64)
        return cls(targets, values[:, 1:], values[:, 0])

    def overall(self) -> dict[str, Any]:
        """Return means over all pairs, with intervals from drawing recordings anew."""
        import numpy as np

        all_pairs = self.values.reshape(-1, len(KEYS))
        found = _means(all_pairs)
        each = np.array([_row(_means(v)) for v in self.values])
        drawn = resampled_means(each)
        found["intervals"] = {
            key: [round(end, 4) for end in interval(drawn[:, i])]
            for i, key in enumerate([*KEYS, SHARE])
            if found[key] is not None and key != PITCH.key  # whose median mixes the targets
        }
        return found

    def by_target(self) -> dict[str, dict[str, Any]]:
        """Return means over the recordings of others, for each target."""
        return {name: _means(self.values[:, i]) for i, name in enumerate(self.targets)}

    def reconstruction(self) -> dict[str, Any]:
        """Return means of plain reconstructions."""
        found = _means(self.plain)
        return {key: found[key] for key in ("pairs", *KEYS) if found[key] is not None}


def _means(pairs: "Values") -> dict[str, Any]:
    """Return means of (N, measures) over what is known, the median of pitch; None for nothing."""
    import numpy as np

    found: dict[str, Any] = {"pairs": int((~np.isnan(pairs)).any(1).sum())}
    for i, key in enumerate(KEYS):
        known = pairs[~np.isnan(pairs[:, i]), i]
        middle = np.median if key == PITCH.key else np.mean
        found[key] = round(float(middle(known)), 4) if len(known) else None
    near, far = (pairs[:, KEYS.index(m.key)] for m in (TO_TARGET, TO_SOURCE))
    both = ~np.isnan(near) & ~np.isnan(far)
    found[SHARE] = round(float((near > far)[both].mean()), 4) if both.any() else None
    return found


def _row(means: dict[str, Any]) -> list[float]:
    return [_number(means[key]) for key in (*KEYS, SHARE)]


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
