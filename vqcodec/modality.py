"""The kinds of media that vqcodec codes, a row each: whoever must tell them apart asks the row.

What belongs to one kind alone is named by where it lies, ``module:name``, and imported only when
`load` is called: this module stands at the bottom of the house, and ``vqcodec --help`` must not
load torch.
"""

import contextlib
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vqcodec.errors import FormatError, WeightsError

HEAD = 4096  # bytes of a file that tell what it holds


@dataclass(frozen=True)
class Modality:
    """One kind of media.

    Attributes:
        name: as presets and the configs of weights write it.
        axes: of its index maps, as code files write them.
        codes: what its codec codes, as messages say it.
        media: what such files hold, as messages say it.
        file: what one such file is called.
        weights: the name of those that are used where nobody names any.
        rated: the name of those where a rate is asked for, if there are others for that.
        suffix: of the files to write where nobody names any.
        prior_preset: of a prior to sample from.
        maps_preset: of a prior for models of several maps.
        suffixes: a function without arguments: those of the files that can be read.
        sniff: a function of the first `HEAD` bytes of a file, its suffix, and where it lies if that
            is known: whether it is such a file; empty for the kind that a file is of which no other
            kind claims.
        codec: a subclass of `BaseCodec`.
        handler: a subclass of `cli.handlers.base.Handler`.
        training: a `train.tasks.Training`.
        also: the names of other kinds whose weights code this one as well.
    """

    name: str
    axes: str
    codes: str
    media: str
    file: str
    weights: str
    suffix: str
    prior_preset: str
    maps_preset: str
    suffixes: str
    sniff: str
    codec: str
    handler: str
    training: str
    also: tuple[str, ...] = ()
    rated: str = ""

    def coded_by(self, name: str) -> bool:
        """Tell whether weights of the kind of this name code it."""
        return name == self.name or name in self.also


IMAGE = Modality(
    name="image",
    axes="hw",
    codes="pictures",
    media="pictures",
    file="picture",
    weights="image-f4",
    suffix=".png",
    prior_preset="prior-image",
    maps_preset="prior-lattice",
    suffixes="vqcodec.media.image:picture_suffixes",
    sniff="",
    codec="vqcodec.codec.image:Codec",
    handler="vqcodec.cli.handlers.image.handler:ImageHandler",
    training="vqcodec.train.image.training:TRAINING",
    rated="image",
)
AUDIO = Modality(
    name="audio",
    axes="ct",
    codes="speech",
    media="sound",
    file="recording",
    weights="speech-64x",
    suffix=".wav",
    prior_preset="prior-speech",
    maps_preset="prior-speech",
    suffixes="vqcodec.media.soundformats:sound_suffixes",
    sniff="vqcodec.media.soundformats:is_sound",
    codec="vqcodec.codec.speech:SpeechCodec",
    handler="vqcodec.cli.handlers.speech.handler:SpeechHandler",
    training="vqcodec.train.speech.training:TRAINING",
)
VIDEO = Modality(
    name="video",
    axes="thw",
    codes="videos",
    media="video",
    file="video",
    weights="image-f4",
    rated="video",
    suffix=".mp4",
    prior_preset="prior-frames",
    maps_preset="prior-frames",
    suffixes="vqcodec.media.videoformats:video_suffixes",
    sniff="vqcodec.media.videoformats:is_video",
    codec="vqcodec.codec.video:VideoCodec",
    handler="vqcodec.cli.handlers.video.handler:VideoHandler",
    training="vqcodec.train.video.training:TRAINING",
    also=("image",),  # frame by frame
)
MODALITIES = (IMAGE, AUDIO, VIDEO)  # of data that hold several, the first is meant

# what code files call their axes
NAMES = {modality.axes: modality.name for modality in MODALITIES}


def load(place: str) -> Any:
    """Import what lies at ``module:name``."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def by_name(name: str) -> Modality:
    """Return the row of a name that the config of weights tells.

    Raises:
        WeightsError: there is none.
    """
    for modality in MODALITIES:
        if modality.name == name:
            return modality
    known = ", ".join(m.name for m in MODALITIES)
    raise WeightsError(f"unknown modality '{name}'; there are: {known}")


def by_axes(axes: str) -> Modality:
    """Return the row of the axes that a code file tells.

    Raises:
        FormatError: no codec makes such codes.
    """
    for modality in MODALITIES:
        if modality.axes == axes:
            return modality
    raise FormatError(f"holds codes of {NAMES.get(axes, axes)}, which cannot be decoded")


def kinds_coded_by(name: str) -> list[Modality]:
    """Return the kinds of media that weights of the kind of this name code, their own first."""
    kinds = [modality for modality in MODALITIES if modality.coded_by(name)]
    return sorted(kinds, key=lambda modality: modality.name != name)


def sniff(head: bytes, suffix: str, path: Path | None = None) -> Modality:
    """Tell what a media file should hold by its first `HEAD` bytes, or else its suffix.

    Args:
        head: the bytes, or fewer.
        suffix: of its name.
        path: where it lies, if that is known: some containers hold video or sound alone.
    """
    for modality in reversed(MODALITIES):  # what has pictures and sound is video
        if modality.sniff and load(modality.sniff)(head, suffix, path):
            return modality
    return next(modality for modality in MODALITIES if not modality.sniff)


def sniff_file(path: Path) -> Modality:
    """Tell what a media file should hold; of one that cannot be read, its suffix tells it."""
    head = b""
    if path.is_file():  # a pipe must not be read twice
        with contextlib.suppress(OSError), path.open("rb") as file:
            head = file.read(HEAD)
    return sniff(head, path.suffix, path if head else None)


def readable_suffixes() -> frozenset[str]:
    """Return the suffixes, in lower case, of all media files that can be read."""
    return frozenset().union(*(load(modality.suffixes)() for modality in MODALITIES))
