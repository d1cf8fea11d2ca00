"""Named speakers: those that weights can speak as, and how what they say is labelled.

They are the table ``speakers`` in the ``config.json`` of weights: name -> gender, corpus, licence,
minutes, consent, the vector for the decoder, and the median pitch of their voice. What their voices
sound like is in ``timbres.safetensors``. Of weights that have this file in common, one folder may
hold it for all.
"""

import difflib
import re
from dataclasses import dataclass
from typing import Any

from vqcodec.errors import UsageError, WeightsError
from vqcodec.voice.timbre import Timbre
from vqcodec.weights import (
    CONFIG,
    TIMBRES,
    WAVENET,
    Weights,
    conditioner_of,
    list_weights,
    read_verified,
)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # becomes a part of file names
LOWEST, HIGHEST = 50.0, 600.0  # Hz: what may be told of a voice's pitch
# that sound is converted with unless somebody says otherwise: the first that are installed
CONVERTERS = ("speech-64x-residual", "speech-voice", "speech-64x")


@dataclass(frozen=True)
class Voice:
    """A named speaker.

    Attributes:
        name: unique among those of the weights.
        gender: F, M or whatever the corpus says.
        corpus: where the recordings are from.
        licence: of the corpus.
        minutes: of their speech that the weights were trained on.
        consent: a sentence about what the speaker agreed to.
        vector: int8 numbers, as code files keep it.
        pitch: the median of their voice in Hz, where the weights tell it.
    """

    name: str
    gender: str
    corpus: str
    licence: str
    minutes: float
    consent: str
    vector: bytes
    pitch: float | None


def default_weights(*, drawing: bool = False) -> str:
    """Return the name of the weights that convert best, of those that are installed.

    Args:
        drawing: they must have a WaveNet to draw with.
    """
    return best_weights(None, drawing=drawing) or CONVERTERS[-1]


def best_weights(speaker: str | None, *, drawing: bool = False) -> str | None:
    """Return the name of the installed weights that convert best to a speaker that they name.

    Args:
        speaker: the name; None for anybody.
        drawing: they must have a WaveNet to draw with.
    """
    fit = {
        weights.name
        for weights in list_weights()
        if (speaker is None or _lists(weights, "speakers", speaker))
        and (not drawing or _lists(weights, "files", WAVENET))
    }
    return next((name for name in CONVERTERS if name in fit), None)


def _lists(weights: Weights, table: str, name: str) -> bool:
    """Tell whether a table of the config has an entry; a damaged one has none."""
    entries = weights.config.get(table)
    return isinstance(entries, dict) and name in entries


def voices_of(weights: Weights) -> dict[str, Voice]:
    """Return the speakers that weights name.

    Raises:
        WeightsError: they name none, or the table is damaged.
    """
    table = weights.config.get("speakers")
    if not table:
        others = [w.name for w in list_weights() if w.config.get("speakers")]
        known = f"; these do: {', '.join(others)}" if others else ""
        raise WeightsError(f"the weights '{weights.name}' name no speakers{known}")
    try:
        return {name: _voice(weights, name, entry) for name, entry in table.items()}
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        raise WeightsError(f"{weights.folder / CONFIG}: its table of speakers is damaged") from None


def find_voice(weights: Weights, name: str) -> Voice:
    """Return a speaker that weights name.

    Raises:
        UsageError: there is none of this name; near ones are told.
        WeightsError: the weights name no speakers at all.
    """
    voices = voices_of(weights)
    if name in voices:
        return voices[name]
    sentence = f"the weights '{weights.name}' know no speaker '{name}'"
    folded = {known.casefold(): known for known in voices}
    near = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.5)
    elsewhere = [w.name for w in list_weights() if _lists(w, "speakers", name)]
    if near:
        sentence += f"; did you mean {' or '.join(folded[n] for n in near)}?"
    elif elsewhere:
        sentence += f"; the weights {' and '.join(elsewhere)} do"
    raise UsageError(f"{sentence} (vqcodec speakers lists all)")


def timbre_of(weights: Weights, name: str) -> Timbre | None:
    """Return the sounds of a named speaker's voice; None if the weights do not hold them.

    Raises:
        WeightsError: the file that holds them is missing or damaged.
    """
    files = weights.config.get("files")
    if not isinstance(files, dict) or TIMBRES not in files:
        return None
    import safetensors.numpy
    from safetensors import SafetensorError

    try:
        arrays = safetensors.numpy.load(read_verified(_holder(weights), TIMBRES))
        if f"{name}.features" not in arrays:
            return None
        return Timbre(arrays[f"{name}.features"], arrays[f"{name}.cepstra"])
    except (SafetensorError, AttributeError, KeyError, TypeError, ValueError):
        raise WeightsError(f"{weights.folder / TIMBRES}: not the sounds of voices") from None


def _holder(weights: Weights) -> Weights:
    """Return the weights in whose folder the sounds of the speakers of others lie, or these."""
    if (weights.folder / TIMBRES).is_file():
        return weights
    digest = weights.config["files"][TIMBRES]
    return next(
        (
            other
            for other in list_weights()
            if _lists(other, "files", TIMBRES)
            and other.config["files"][TIMBRES] == digest
            and (other.folder / TIMBRES).is_file()
        ),
        weights,
    )


def synthetic(name: str) -> str:
    """Return the label that converted sound carries, in ASCII, which every format holds."""
    plain = "".join(c if c.isprintable() else "?" for c in name)
    return f"synthetic: converted to {plain.encode('ascii', 'replace').decode()} by vqcodec"


def _voice(weights: Weights, name: str, entry: dict[str, Any]) -> Voice:
    """Read an entry; raises what wrong types raise."""
    vector = bytes(n + 256 if n < 0 else n for n in entry["vector"] if -128 <= n < 128)
    size = conditioner_of(weights.config["model"])["dim"]
    if not NAME.fullmatch(name) or len(vector) != size or len(entry["vector"]) != size:
        raise ValueError(name)
    texts = {key: entry[key] for key in ("gender", "corpus", "licence", "consent")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise TypeError(name)
    pitch = None if entry.get("pitch") is None else float(entry["pitch"])
    if pitch is not None and not LOWEST <= pitch <= HIGHEST:
        raise ValueError(name)
    return Voice(name=name, minutes=float(entry["minutes"]), vector=vector, pitch=pitch, **texts)
