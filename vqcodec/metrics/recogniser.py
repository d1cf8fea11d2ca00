"""What a recogniser reads, and how much of it changes: pocketsphinx, English only.

It makes many mistakes of its own, so what it reads in a copy is compared with what it reads in the
original, not with the truth. In sound without words it can still read phones.
"""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from vqcodec.voice.frames import RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.floating]

PACKAGE = "pocketsphinx"
SILENCE = "SIL"


def character_error_rate(original: "Signal", other: "Signal") -> float | None:
    """Return edits per character between two readings; None where the original has no words.

    Insertions count, so that it can be above 1.
    """
    reference = read(original)
    return edits(reference, read(other)) / len(reference) if reference else None


def read(samples: "Signal") -> str:
    """Return the words that pocketsphinx reads in speech at 16 kHz."""
    return _read(_pcm(samples))


def read_phones(samples: "Signal") -> tuple[str, ...]:
    """Return the phones of English that pocketsphinx reads in sound at 16 kHz, in ARPAbet.

    Any may follow any, some likelier than others; silence and noises are not among them.
    """
    return _read_phones(_pcm(samples))


def edits(a: str, b: str) -> int:
    """Return the fewest insertions, deletions and substitutions that turn `a` into `b`."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            best = min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
            diagonal, row[j] = row[j], best
    return row[-1]


def _pcm(samples: "Signal") -> bytes:
    import numpy as np

    return (np.clip(samples, -1, 1) * 32767).round().astype("<i2").tobytes()


@lru_cache(maxsize=256)  # an original meets many copies
def _read(pcm: bytes) -> str:
    found = _decoded(load(), pcm).hyp()
    return "" if found is None else str(found.hypstr)


@lru_cache(maxsize=1)  # for the measures of one reading
def _read_phones(pcm: bytes) -> tuple[str, ...]:
    found = _decoded(load_phones(), pcm).seg() or ()  # of nothing at all there is none
    return tuple(s.word for s in found if s.word.isalpha() and s.word != SILENCE)


def _decoded(decoder: Any, pcm: bytes) -> Any:
    """Return the recogniser when it has heard all of a signal."""
    decoder.reinit_feat()  # forget the level of what was read before
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()
    return decoder


@lru_cache(maxsize=1)
def load() -> Any:
    """Return the recogniser, its models read.

    Raises:
        ImportError: it is not installed.
    """
    from pocketsphinx import Decoder

    return Decoder(samprate=RATE, loglevel="FATAL")


@lru_cache(maxsize=1)
def load_phones() -> Any:
    """Return the recogniser of phones instead of words, its models read.

    Raises:
        ImportError: it is not installed.
    """
    from pocketsphinx import Decoder, get_model_path

    sequences = get_model_path("en-us/en-us-phone.lm.bin")
    return Decoder(samprate=RATE, loglevel="FATAL", lm=None, allphone=sequences)
