"""Recordings beside babble that is as long, and how like speech all of it is."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vqcodec.codec.sampling import SamplingParams
from vqcodec.codec.speech import SpeechCodec
from vqcodec.data.sources import Source
from vqcodec.evaluate.intervals import interval, resampled_means
from vqcodec.evaluate.record import OURS, Measured, Record
from vqcodec.evaluate.speech.meter import open_recording
from vqcodec.media.audio import Audio
from vqcodec.metrics.speech import SpeechMetric
from vqcodec.metrics.speechlike import F0
from vqcodec.sampling.speech import LEAST, CodelessSampler, SpeechSampler
from vqcodec.voice.frames import RATE
from vqcodec.weights import SAMPLING_PRIOR, WAVENET_ALONE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.float32]

SECONDS = 10  # of a recording that are heard, its beginning
RECORDING, PRIOR, CODELESS = "recording", "prior", "without-codes"
LABELS = {
    RECORDING: "recordings",
    OURS: "reconstructions",
    PRIOR: "babble of prior and decoder",
    CODELESS: "babble of a WaveNet without codes",
}
Draw = Callable[[float, int], tuple[Audio, str]]  # so many seconds, with this seed


def find_samplers(codec: SpeechCodec) -> tuple[dict[str, Draw], list[str]]:
    """Return what babble can be drawn from, and a note for what the weights lack.

    Raises:
        WeightsError: a part of the weights is damaged.
    """
    files = codec.weights.config.get("files") or {}
    found: dict[str, Draw] = {}
    if SAMPLING_PRIOR in files:
        prior = SpeechSampler(codec)
        found[PRIOR] = lambda seconds, seed: prior.sample(seconds, SamplingParams(seed))
    if WAVENET_ALONE in files:
        alone = CodelessSampler(codec)
        found[CODELESS] = lambda seconds, seed: alone.sample(seconds, SamplingParams(seed))
    notes = [
        f"{LABELS[kind]} is left out: the weights '{codec.weights.name}' have no such part"
        for kind in (PRIOR, CODELESS)
        if kind not in found
    ]
    return found, notes


@dataclass(frozen=True)
class Sound:
    """One sound to be heard.

    Attributes:
        kind: a key of `LABELS`.
        samples: (T,) at 16 kHz.
        speaker: whose voice it was drawn in; "" for what was recorded.
    """

    kind: str
    samples: "Signal"
    speaker: str = ""


@dataclass(frozen=True)
class BabbleMeter:
    """Draws babble as long as each recording, as shorter sound holds fewer phones, and measures it.

    Attributes:
        codec: with what.
        samplers: what to draw from.
        seeds: of what is drawn beside each recording, by its name.
        metrics: what to measure.
    """

    codec: SpeechCodec
    samplers: dict[str, Draw]
    seeds: dict[str, int]
    metrics: list[SpeechMetric]

    def sounds(self, source: Source, name: str) -> list[Sound]:
        """Return the beginning of a recording, its reconstruction, and the babble.

        Raises:
            MediaError: it cannot be read.
        """
        samples = open_recording(source, name)[: SECONDS * RATE]
        plain = self.codec.decode(self.codec.encode(Audio(samples[None], RATE))).samples[0]
        found = [Sound(RECORDING, samples), Sound(OURS, plain)]
        for kind, draw in self.samplers.items():
            audio, who = draw(max(LEAST, len(samples) / RATE), self.seeds[name])
            found.append(Sound(kind, audio.samples[0, : len(samples)], who))
        return found

    def measure(self, source: Source, name: str) -> Record:
        """Measure one recording and what is heard beside it.

        Raises:
            MediaError: it cannot be read.
        """
        sounds = self.sounds(source, name)
        samples, setting = sounds[0].samples, {"seed": float(self.seeds[name])}
        return Record(
            name=name,
            identity=hashlib.sha256(samples.tobytes()).hexdigest()[:32],
            input_bytes=source.length,
            shape=(max(1, round(1000 * len(samples) / RATE)),),
            bits={},
            usage={},
            measured=tuple(
                Measured(
                    sound.kind,
                    0,
                    0,
                    setting if sound.kind in self.samplers else {},
                    {m.key: m.measure(sound.samples, sound.samples) for m in self.metrics},
                )
                for sound in sounds
            ),
        )


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
