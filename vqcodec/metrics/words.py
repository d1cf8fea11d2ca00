"""Word and character error rates of what a recogniser reads.

Texts are compared in lower case, without accents; all that is neither a letter, a digit nor an
apostrophe within a word parts words. Digits stay digits: a recogniser that writes "two" for "2" is
wrong.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vqcodec.metrics.recogniser import read

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.floating]

MISREAD = 0.25  # edits per character of a text; from here on its recording tells nothing of copies


def word_error_rate(original: "Signal", other: "Signal", text: str) -> float | None:
    """Return edits per word from the text of a recording to what is read in a copy of it.

    Where no text is known, what is read in the original stands for it. Insertions count, so that it
    can be above 1.

    Args:
        original: the recording, (T,) at 16 kHz.
        other: the copy.
        text: what is said; "" where that is not known.

    Returns:
        None where the original has no words, or is itself misread: see `MISREAD`.
    """
    return _rate(original, other, text, str.split)


def character_error_rate(original: "Signal", other: "Signal", text: str) -> float | None:
    """Return edits per character; else as `word_error_rate`."""
    return _rate(original, other, text, list)


def normalized(text: str) -> str:
    """Return a text as it is compared: see above."""
    plain = unicodedata.normalize("NFKD", text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    return " ".join(re.findall(r"[a-z0-9]+(?:'[a-z0-9]+)*", _unaccented(plain).lower()))


def edits(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the fewest insertions, deletions and substitutions that turn `a` into `b`."""
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, right in enumerate(b, 1):
            best = min(row[j] + 1, row[j - 1] + 1, diagonal + (left != right))
            diagonal, row[j] = row[j], best
    return row[-1]


def _rate(
    original: "Signal", other: "Signal", text: str, parts: Callable[[str], list[str]]
) -> float | None:
    reference = normalized(read(original))
    if text:
        heard, reference = reference, normalized(text)
        if edits(reference, heard) > MISREAD * len(reference):
            return None
    if not reference:
        return None
    expected = parts(reference)
    return edits(expected, parts(normalized(read(other)))) / len(expected)


def _unaccented(text: str) -> str:
    return "".join(c for c in text if not unicodedata.combining(c))
