"""Measures of quality for speech, those that are installed."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vqcodec.metrics import dnsmos, recogniser, similarity, words
from vqcodec.metrics.measure import Measure, installed, versions
from vqcodec.metrics.spectra import log_mel_distance
from vqcodec.voice.frames import RATE
from vqcodec.voice.pitch import pitch, pitch_correlation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.floating]

SHORTEST = RATE // 2  # samples: in less there is not enough speech to measure


@dataclass(frozen=True)
class SpeechMetric(Measure):
    """A measure of two signals of one length, aligned, at 16 kHz.

    Attributes:
        compute: the function of the original and the other, and of the text where it reads words;
            None where it is not defined.
        packages: what must be installed for it.
        prepare: loads what it needs, and raises ImportError where that does not work.
        less_is_better: of a distance or an error.
        english: whether it reads words, which must be English.
        alone: whether it hears the other only, so that the original has a value of its own.
    """

    compute: "Callable[..., float | None]"
    packages: tuple[str, ...] = ()
    prepare: Callable[[], Any] = lambda: None
    less_is_better: bool = False
    english: bool = False
    alone: bool = False

    def source(self) -> str:
        """Return what computes it here, with its version; nothing where it is not installed."""
        return versions(self.packages)

    def measure(self, original: "Signal", other: "Signal", text: str = "") -> float | None:
        """Return the measure, None for what is too short, or silent, or too damaged for it.

        Args:
            original: (T,).
            other: (T,).
            text: what is said, where that is known.
        """
        import numpy as np

        if len(original) < SHORTEST or not original.any():
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                value = self.compute(original, other, *([text] if self.english else []))
            except ImportError:
                raise
            except Exception:  # packages say in ways of their own that they hear no speech
                return None
        return round(float(value), 6) if value is not None and np.isfinite(value) else None


def find_metrics(
    wanted: "tuple[SpeechMetric, ...] | None" = None,
) -> tuple[list[SpeechMetric], list[str]]:
    """Return the measures, all or those wanted, that work here, and a note for each other."""
    there, notes = installed(METRICS if wanted is None else wanted, "evaluate-speech")
    found = []
    for metric in there:
        try:
            metric.prepare()
        except Exception as error:  # installed, and yet it does not work
            notes.append(f"{metric.label} is left out: {metric.source()} does not load ({error})")
        else:
            found.append(metric)
    return found, notes


def _stoi(original: "Signal", other: "Signal") -> float | None:
    from pystoi import stoi

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # what it says of too little speech
        return float(stoi(original, other, RATE))


def _pesq(original: "Signal", other: "Signal") -> float:
    from pesq import pesq

    return float(pesq(RATE, original, other, "wb"))


def _visqol(original: "Signal", other: "Signal") -> float:
    import numpy as np

    found = load_visqol().measure_from_arrays(
        original.astype(np.float64), other.astype(np.float64), RATE
    )
    return float(found.moslqo)


@lru_cache(maxsize=1)
def load_visqol() -> Any:
    """Return ViSQOL in its speech mode.

    Raises:
        ImportError: it, or what its lattice needs, is not installed.
    """
    from visqol import VisqolApi

    api = VisqolApi()
    # without the lattice it would fall back to a mapping that is 1 to 2 points too kind
    api.create(mode="speech", use_lattice_model=True)
    return api


def _pitch(original: "Signal", other: "Signal") -> float | None:
    return pitch_correlation(pitch(original), pitch(other))


def _import_stoi() -> None:
    import pystoi  # noqa: F401


def _import_pesq() -> None:
    import pesq  # noqa: F401


STOI = SpeechMetric("stoi", "STOI", "", 3, _stoi, ("pystoi",), _import_stoi)
VISQOL = SpeechMetric(
    "visqol", "ViSQOL", "", 2, _visqol, ("visqol-python", "ai-edge-litert"), load_visqol
)
DNSMOS = SpeechMetric(
    "dnsmos",
    "DNSMOS",
    "",
    2,
    lambda _, other: dnsmos.overall(other),
    (dnsmos.PACKAGE,),
    dnsmos.load,
    alone=True,
)
SIMILARITY = SpeechMetric(
    "similarity", "similarity", "", 3, similarity.similarity, ("Resemblyzer",), similarity.load
)
WER, CER = (
    SpeechMetric(
        label.lower(),
        label,
        "",
        3,
        compute,
        (recogniser.PACKAGE,),
        recogniser.load,
        less_is_better=True,
        english=True,
    )
    for label, compute in (
        ("WER", words.word_error_rate),
        ("CER", words.character_error_rate),
    )
)
MEL = SpeechMetric("log-mel", "log-mel distance", "dB", 2, log_mel_distance, less_is_better=True)
PITCH = SpeechMetric("f0-correlation", "F0 correlation", "", 3, _pitch)
PESQ = SpeechMetric("pesq-wb", "PESQ-WB", "", 2, _pesq, ("pesq",), _import_pesq)
METRICS = (STOI, VISQOL, DNSMOS, SIMILARITY, WER, CER, MEL, PITCH, PESQ)
EXPLAINED = {
    STOI.key: "short-time objective intelligibility, 0 to 1",
    VISQOL.key: "estimated opinion of listeners, 1 to 5 (speech mode with its lattice)",
    DNSMOS.key: "opinion of listeners, 1 to 5, estimated from the decoded alone (P.835, overall)",
    SIMILARITY.key: "cosine of the speakers' embeddings (Resemblyzer), 1 for the same",
    WER.key: "edits per word from the text, or where none is known from what is read in the "
    "original, to what Moonshine tiny reads in the decoded, English only; lower is better",
    CER.key: "the same in characters",
    MEL.key: "mean difference of mel spectrograms; lower is better",
    PITCH.key: "of the fundamental's logarithm, where both are voiced",
    PESQ.key: "estimated opinion of listeners, 1 to 4.6; it compares waveforms, so it punishes "
    "decoders that draw samples however good they sound",
}
