"""Named speakers: vectors of those that a codec may speak as."""

import contextlib
import csv
import hashlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy

from vqcodec.codec.convert import speaker_of
from vqcodec.codec.speech import SpeechCodec
from vqcodec.config import Tree, to_json
from vqcodec.data.corpora import Catalogue
from vqcodec.errors import TrainingError
from vqcodec.files.atomic import writing
from vqcodec.modality import AUDIO
from vqcodec.train.run import hold_out, read_run
from vqcodec.train.speech.condensing import condensed
from vqcodec.train.speech.data import Sounds, read_recording
from vqcodec.voice.frames import RATE
from vqcodec.voice.named import NAME
from vqcodec.voice.pitch import median_pitch, pitch
from vqcodec.voice.timbre import Timbre
from vqcodec.weights import CONFIG, TIMBRES, Weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

MAX_SPEAKERS = 1000
MAX_HEARD = 45_000  # frames of a speaker that these are found from: six minutes


@dataclass(frozen=True)
class Speaker:
    """One row of the table of speakers.

    Attributes:
        speaker: the name, by which `media.corpora` knows their recordings.
        gender: F, M or whatever the corpus says.
        corpus: where the recordings are from.
        licence: of the corpus.
        consent: a sentence about what the speaker agreed to.
    """

    speaker: str
    gender: str
    corpus: str
    licence: str
    consent: str


def read_table(path: Path) -> list[Speaker]:
    """Read a CSV file with a column for each attribute of `Speaker`; others are ignored.

    Raises:
        TrainingError: it is none, or lacks a column.
    """
    names = [f.name for f in fields(Speaker)]
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error):
        raise TrainingError(f"{path}: cannot be read as a CSV file") from None
    lacking = [n for n in names if not rows or not all(row.get(n) for row in rows)]
    if lacking or len(rows) > MAX_SPEAKERS:
        raise TrainingError(f"{path}: needs 1 to {MAX_SPEAKERS} rows with {', '.join(names)}")
    odd = [row["speaker"] for row in rows if not NAME.fullmatch(row["speaker"])]
    if odd:
        raise TrainingError(f"{path}: '{odd[0]}' is no name: letters, digits, '.', '-' and '_'")
    return [Speaker(**{n: row[n] for n in names}) for row in rows]


def add_speakers(run: Path, weights: Weights, table: Path) -> None:
    """Give weights the vectors of speakers whose recordings a run trained on.

    A speaker's vector is the mean of those of their recordings. The sounds of the voice are added
    too, as means of similar moments in no order: how they sound, and not what they said.

    Args:
        run: the run's folder.
        weights: exported from it; their config is written anew.
        table: see `read_table`.

    Raises:
        MediaError: a manifest of the recordings is damaged.
        TrainingError: the table cannot be read, or a speaker has no recordings.
    """
    wanted = read_table(table)
    description = read_run(run)
    paths = [[Path(p) for p in description[key]] for key in ("data", "held_out")]
    sources, *_ = hold_out(paths[0], paths[1], read_recording, AUDIO)
    codec = SpeechCodec(weights, "cpu")
    catalogue = Catalogue()
    spoken = [(catalogue.speaker(source), source) for source in sources]
    speakers: dict[str, Any] = {}
    timbres: dict[str, NDArray[np.float16]] = {}
    files = dict(weights.config.get("files", {}))
    for speaker in wanted:
        name = speaker.speaker
        own = [source for who, source in spoken if who == name]
        if not own:
            raise TrainingError(f"{table}: the run has no recordings of '{name}'")
        sounds = Sounds(own)
        heard = [sounds[n].astype(np.float32) / np.float32(32768) for n in range(len(sounds))]
        speakers[name] = _entry(speaker, codec, heard)
        with contextlib.suppress(ValueError):  # a voice with less than a second of speech
            timbre = condensed(Timbre.heard(heard, MAX_HEARD))
            timbres[f"{name}.features"] = timbre.features.astype(np.float16)
            timbres[f"{name}.cepstra"] = timbre.cepstra.astype(np.float16)
    data = safetensors.numpy.save(timbres)
    with writing(weights.folder / TIMBRES, force=True) as file:
        file.write(data)
    files[TIMBRES] = hashlib.sha256(data).hexdigest()
    config: Tree = {**weights.config, "speakers": speakers, "files": files}
    with writing(weights.folder / CONFIG, force=True) as file:
        file.write(to_json(config).encode())


def _entry(speaker: Speaker, codec: SpeechCodec, heard: "list[Samples]") -> dict[str, Any]:
    facts = asdict(speaker)
    del facts["speaker"]
    facts["minutes"] = round(sum(map(len, heard)) / RATE / 60, 1)
    voiced = median_pitch(np.concatenate([pitch(x) for x in heard]))
    if voiced is not None:
        facts["pitch"] = round(voiced, 1)
    vector = np.frombuffer(speaker_of(codec, heard), np.int8)
    return {**facts, "vector": vector.tolist()}
