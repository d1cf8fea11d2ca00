"""What a study of unconditional samples comes to: means by kind of sound."""

from collections.abc import Sequence
from typing import Any

from vqcodec.evaluate.intervals import interval, resampled_means
from vqcodec.evaluate.journal import Record
from vqcodec.metrics.speech import SpeechMetric
from vqcodec.metrics.speechlike import F0


def summarise(
    records: Sequence[Record], kind: str, metrics: Sequence[SpeechMetric]
) -> dict[str, Any]:
    """Return the means of one kind of sound over what is known, with intervals; of F0 the median.

    Returns:
        By the key of each metric a figure, or None where nothing is known; ``sounds``, how many
        there are; and ``intervals``, the ends of each mean's.
    """
    import numpy as np

    measured = [m for m in (record.find(kind, 0) for record in records) if m is not None]
    rows = [[m.values.get(metric.key) for metric in metrics] for m in measured]
    values = np.array(rows, np.float64).reshape(len(rows), len(metrics))  # None becomes NaN
    drawn = resampled_means(values)
    found: dict[str, Any] = {"sounds": len(rows)}
    ends = {}
    for i, metric in enumerate(metrics):
        known = values[~np.isnan(values[:, i]), i]
        middle = np.median if metric is F0 else np.mean
        found[metric.key] = round(float(middle(known)), 4) if len(known) else None
        if len(known) and metric is not F0:
            ends[metric.key] = [round(end, 4) for end in interval(drawn[:, i])]
    return {**found, "intervals": ends}
