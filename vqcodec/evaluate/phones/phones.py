"""How much codes tell of phones: each stands for the one that it most often goes with.

The measure of "Neural Discrete Representation Learning" (van den Oord et al., 2017, section 4.3).
NumPy only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vqcodec.errors import MediaError
from vqcodec.voice.frames import RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Indices = NDArray[np.integer]

PAUSE = "sil"  # the mark of what is no phone
SHUFFLES = 20


@dataclass(frozen=True)
class Mark:
    """A phone in a recording, from `start` to `end`, in seconds."""

    start: float
    end: float
    phone: str


@dataclass(frozen=True)
class Marked:
    """The marks of one recording, in order.

    Attributes:
        path: of the recording, below the folder or in the tar.
        split: ``train`` or ``test``.
        marks: its phones.
    """

    path: str
    split: str
    marks: tuple[Mark, ...]

    def phones_at(self, cells: int, stride: int) -> list[str]:
        """Return the phone at the middle of each of a number of indices; "" where none is marked.

        Args:
            cells: indices of the recording.
            stride: samples at 16 kHz per index.
        """
        import numpy as np

        middles = (np.arange(cells) + 0.5) * stride / RATE
        found = np.searchsorted([m.start for m in self.marks], middles, side="right") - 1
        return [
            self.marks[i].phone if i >= 0 and time < self.marks[i].end else ""
            for i, time in zip(found.tolist(), middles.tolist(), strict=True)
        ]


def read_marks(rows: list[dict[str, str]], name: str) -> list[Marked]:
    """Return the marks of recordings from the rows of a ``phones.csv``.

    Args:
        rows: with the columns ``file``, ``start``, ``end``, ``phone`` and ``split``.
        name: what messages call the table.

    Raises:
        MediaError: columns are missing, or hold something else.
    """
    marks: dict[tuple[str, str], list[Mark]] = {}
    for number, row in enumerate(rows, 2):
        try:
            mark = Mark(float(row["start"]), float(row["end"]), row["phone"])
            marks.setdefault((row["file"], row["split"]), []).append(mark)
        except (KeyError, TypeError, ValueError):
            raise MediaError(
                f"{name}: line {number} is no mark; columns are file, start, end, phone and split"
            ) from None
    return [
        Marked(path, split, tuple(sorted(found, key=lambda m: m.start)))
        for (path, split), found in marks.items()
    ]


@dataclass(frozen=True)
class PhoneTable:
    """How often each code went with each phone.

    Attributes:
        phones: their names, P of them.
        counts: (K, P).
    """

    phones: tuple[str, ...]
    counts: "NDArray[np.int64]"

    @classmethod
    def count(
        cls, codes: "Indices", phones: "Indices", names: Sequence[str], k: int
    ) -> "PhoneTable":
        """Count codes, (N,) below `k`, and the phones with them, (N,) numbers of `names`."""
        import numpy as np

        cells = np.bincount(codes.astype(np.int64) * len(names) + phones, minlength=k * len(names))
        return cls(tuple(names), cells.reshape(k, len(names)))

    @property
    def likeliest(self) -> "NDArray[np.intp]":
        """The phone that each code most often goes with, (K,); of unseen codes the commonest."""
        import numpy as np

        seen = self.counts.sum(1) > 0
        return np.where(seen, self.counts.argmax(1), self.counts.sum(0).argmax())

    def accuracy(self, codes: "Indices", phones: "Indices") -> float:
        """Return the share of codes, (N,), whose likeliest phone is the true one, (N,)."""
        return float((self.likeliest[codes] == phones).mean())


@dataclass(frozen=True)
class Labelled:
    """Codes and the phones that they go with, all recordings of a split in a row.

    Attributes:
        codes: (N,).
        phones: (N,) numbers of names.
    """

    codes: "Indices"
    phones: "Indices"

    def without(self, phone: int) -> "Labelled":
        """Return what remains without one phone."""
        kept = self.phones != phone
        return Labelled(self.codes[kept], self.phones[kept])


def phone_accuracy(
    train: Labelled, test: Labelled, names: Sequence[str], k: int
) -> dict[str, float]:
    """Return how well codes tell phones on test by what they went with on train.

    Returns:
        ``accuracy``; ``chance``: the same with codes that were shuffled, on train and on test, the
        mean of `SHUFFLES` times; ``commonest``: the share of the phone that is commonest on train.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    guessed = []
    for _ in range(SHUFFLES):
        shuffled = PhoneTable.count(rng.permutation(train.codes), train.phones, names, k)
        guessed.append(shuffled.accuracy(rng.permutation(test.codes), test.phones))
    table = PhoneTable.count(train.codes, train.phones, names, k)
    commonest = table.counts.sum(0).argmax()
    return {
        "accuracy": round(table.accuracy(test.codes, test.phones), 4),
        "chance": round(float(np.mean(guessed)), 4),
        "commonest": round(float((test.phones == commonest).mean()), 4),
    }
