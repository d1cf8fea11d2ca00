"""`vqcodec evaluate --phones`: marked recordings in, a folder with figures and a picture out."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vqcodec.codec.speech import SpeechCodec
from vqcodec.data.corpora import Catalogue
from vqcodec.data.sources import Source, find_sources
from vqcodec.data.tables import MARKS, read_table
from vqcodec.errors import MediaError, OutputError
from vqcodec.evaluate.phones import phonetable
from vqcodec.evaluate.phones.phones import (
    PAUSE,
    Labelled,
    Marked,
    PhoneTable,
    phone_accuracy,
    read_marks,
)
from vqcodec.evaluate.phones.probe import histograms, probe
from vqcodec.evaluate.runs import made_with
from vqcodec.evaluate.speech.meter import open_recording
from vqcodec.files.atomic import writing
from vqcodec.media.audio import Audio
from vqcodec.metrics.basic import perplexity
from vqcodec.voice.frames import RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FIGURES, PICTURE = "phones.json", "phones.png"
SPLITS = ("train", "test")


@dataclass(frozen=True)
class Spoken:
    """A marked recording and its codes.

    Attributes:
        marked: its marks.
        speaker: who speaks.
        samples: (T,) at 16 kHz.
        codes: (n,).
        phones: the name of the phone at each; "" where none is marked.
    """

    marked: Marked
    speaker: str
    samples: "NDArray[np.float32]"
    codes: "NDArray[np.uint16]"
    phones: list[str]


def evaluate_phones(
    data: Path,
    folder: Path,
    *,
    model: str,
    force: bool = False,
    progress: Callable[[float], None] = lambda done: None,
) -> dict[str, Any]:
    """Measure what codes tell of phones and speakers; write ``phones.json`` and ``phones.png``.

    Args:
        data: a folder or an uncompressed tar with a ``phones.csv``: columns ``file``, ``start``,
            ``end`` (seconds), ``phone`` and ``split`` (train or test).
        folder: to write to; made if missing.
        model: weights, a name or a folder.
        force: write over an earlier result.
        progress: called with the fraction done.

    Returns:
        What ``phones.json`` holds.

    Raises:
        MediaError: there are no marks, or recordings are missing or cannot be read.
        OutputError: the folder cannot be written, or holds a result.
        WeightsError: no such weights.
    """
    name = f"{data}: its {MARKS}"
    marked = read_marks(read_table(data, MARKS), name)
    lacking = [split for split in SPLITS if not any(m.split == split for m in marked)]
    if lacking:
        raise MediaError(f"{name} marks nothing of split {' or '.join(lacking)}, or is missing")
    if (folder / FIGURES).exists() and not force:
        raise OutputError(f"{folder / FIGURES}: exists; --force overwrites it")
    codec = SpeechCodec.load(model)
    spoken = _coded(codec, marked, _sources(data), progress)
    found, tables = _measured(codec, spoken)
    tree = {
        **made_with(codec),
        **found,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror})") from None
    with writing(folder / FIGURES, force=True) as file:
        file.write((json.dumps(tree, indent=2, ensure_ascii=False) + "\n").encode())
    example = next(s for s in spoken if s.marked.split == "test")
    page = phonetable.draw(tree, tables, example.samples, example.codes, example.phones)
    with writing(folder / PICTURE, force=True) as file:
        page.write(file, "png")
    return tree


def _sources(data: Path) -> dict[str, Source]:
    return {source.name: source for source in find_sources([data], "audio")}


def _coded(
    codec: SpeechCodec,
    marked: list[Marked],
    sources: dict[str, Source],
    progress: Callable[[float], None],
) -> list[Spoken]:
    catalogue, spoken = Catalogue(), []
    for number, one in enumerate(marked, 1):
        if one.path not in sources:
            raise MediaError(f"{one.path}: is marked, and is not in the data")
        samples = open_recording(sources[one.path], one.path)
        (grid,) = codec.encode(Audio(samples[None], RATE)).grids
        phones = one.phones_at(grid.shape[1], codec.stride)
        speaker = catalogue.speaker(sources[one.path])
        spoken.append(Spoken(one, speaker, samples, grid[0], phones))
        progress(number / len(marked))
    return spoken


def _measured(codec: SpeechCodec, spoken: list[Spoken]) -> tuple[dict[str, Any], PhoneTable]:
    """Return the figures, and the table of codes and phones on train."""
    import numpy as np

    (k,) = codec.codebook_sizes
    names = sorted({p for s in spoken for p in s.phones if p})
    parts = {split: [s for s in spoken if s.marked.split == split] for split in SPLITS}
    train, test = (_labelled(parts[split], names) for split in SPLITS)
    table = PhoneTable.count(train.codes, train.phones, names, k)
    found: dict[str, Any] = {
        "indices_per_second": RATE / codec.stride,
        "codebook_size": k,
        "recordings": {split: len(parts[split]) for split in SPLITS},
        "indices": {"train": len(train.codes), "test": len(test.codes)},
        "phones": len(names),
        "perplexity": round(perplexity(np.bincount(train.codes, minlength=k)), 2),
        "with_pauses": phone_accuracy(train, test, names, k),
    }
    if PAUSE in names:
        one, other = (part.without(names.index(PAUSE)) for part in (train, test))
        found["without_pauses"] = phone_accuracy(one, other, names, k)
    speakers = [[s.speaker for s in parts[split]] for split in SPLITS]
    if len(set(speakers[0])) > 1:
        shares = [histograms([s.codes for s in parts[split]], k) for split in SPLITS]
        found["speakers"] = len(set(speakers[0]))
        found["speaker_probe"] = probe(shares[0], speakers[0], shares[1], speakers[1])
    return found, table


def _labelled(spoken: list[Spoken], names: list[str]) -> Labelled:
    """Return the codes that have a phone, of all recordings."""
    import numpy as np

    numbers = {name: i for i, name in enumerate(names)}
    phones = np.array([numbers.get(p, -1) for s in spoken for p in s.phones], np.int64)
    codes = np.concatenate([s.codes for s in spoken]).astype(np.int64)
    return Labelled(codes[phones >= 0], phones[phones >= 0])
