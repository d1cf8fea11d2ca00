"""Sound files that libsndfile reads."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vqcodec.errors import MediaError
from vqcodec.files.contents import MAX_SAMPLES
from vqcodec.media.channels import from_file
from vqcodec.media.soundreader import SoundReader
from vqcodec.media.spans import Spans
from vqcodec.media.stderr import complaints

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]


class NotRead(MediaError):
    """libsndfile does not know what this is."""


@contextlib.contextmanager
def open_libsndfile(
    file: Path | BinaryIO | Spans,
    name: str,
    notes: Sequence[str] = (),
    frames: int | None = None,
) -> Iterator[SoundReader]:
    """Open a file.

    Args:
        file: its path, or a file that can seek.
        name: what messages call it.
        notes: what a user should know of it.
        frames: samples of each channel, where that is known better than libsndfile does.

    Raises:
        NotRead: libsndfile does not know what it is.
        MediaError: it says nothing of its rate.
    """
    errors = 0

    def hear(more: int) -> None:
        nonlocal errors
        errors += more

    with complaints(hear):  # whatever is no other kind may be MPEG
        opened = _open(file, name)
    with opened as sound:
        mpeg = sound.format == "MP3"

        def read(count: int) -> "Samples":
            import soundfile

            try:
                with complaints(hear) if mpeg else contextlib.nullcontext():
                    samples = sound.read(count, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError as error:
                raise MediaError(f"{name}: damaged sound file ({error.error_string})") from None
            return from_file(samples, sound.subtype)

        def remarks() -> tuple[str, ...]:
            damage = (f"damaged in {errors:,} places, where sound may be missing",)
            return (*notes, *(damage if errors else ()))

        if frames is None and 0 <= sound.frames <= MAX_SAMPLES:
            frames = sound.frames
        exact = sound.format == "FLAC"  # of the others, some only estimate it
        yield SoundReader(
            name,
            sound.channels,
            sound.samplerate,
            frames,
            read,
            exact=exact,
            remarks=remarks,
        )


def _open(file: Path | BinaryIO | Spans, name: str) -> Any:
    import soundfile

    class Onward(soundfile.SoundFile):  # type: ignore[misc]
        """A file that is read from its beginning to its end.

        soundfile would seek before and after every read of a file that it may seek in. In MP3 that
        loses what later frames need of earlier ones; where the length is not known, it fails.
        """

        def seekable(self) -> bool:
            return False

    if not isinstance(file, Path | Spans):  # a callback must not raise: see `Spans`
        start = file.tell()
        file = Spans(file, [(start, file.seek(0, os.SEEK_END))])
    try:
        return Onward(os.fsencode(file) if isinstance(file, Path) else file)
    except soundfile.LibsndfileError:
        raise NotRead(f"{name}: not a sound file that libsndfile can read") from None
    except TypeError:  # by its suffix, a file of bare samples
        raise MediaError(f"{name}: says nothing of its sample rate and channels") from None
