"""Sound files that PyAV reads, where it is installed: those that libsndfile does not know."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from vqcodec.errors import MediaError
from vqcodec.media.soundreader import SoundReader
from vqcodec.media.spans import Spans

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]


def installed() -> bool:
    """Tell whether PyAV is there."""
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


@contextlib.contextmanager
def open_pyav(file: BinaryIO | Spans, what: str, demuxer: str, name: str) -> Iterator[SoundReader]:
    """Open a file; of one that holds pictures as well, the first sound.

    Args:
        file: it can seek.
        what: it is, in words.
        demuxer: FFmpeg's name of that; with none, a file that is a list of others would be
            followed to them.
        name: what messages call it.

    Raises:
        MediaError: it is damaged, holds no sound, or PyAV is not installed.
    """
    if not installed():
        raise MediaError(f"{name}: is {what}; to read it: pip install 'vqcodec[media]'")
    import av

    try:
        container: Any = av.open(file, format=demuxer, metadata_errors="replace")
    except (av.FFmpegError, ValueError, OSError) as error:
        raise _damaged(name, what, error) from None
    with container:
        if not container.streams.audio:
            raise MediaError(f"{name}: is {what}, and holds no sound")
        sound = DecodedSound(container, name, what)
        yield SoundReader(name, sound.channels, sound.sample_rate, None, sound.read)


class DecodedSound:
    """The first sound of a container, as FFmpeg decodes it."""

    def __init__(self, container: Any, name: str, what: str) -> None:
        """Decode the beginning; `what` the file is, messages say."""
        self._name, self._what = name, what
        self._frames = self._decode(container)
        self._rest: list[Samples] = []
        first = next(self._frames, None)
        if first is None:
            raise MediaError(f"{name}: holds no samples")
        # what the container says may not be so: the rate of some AAC is twice that
        self.sample_rate, self.channels = int(first.sample_rate), len(first.layout.channels)
        self._rest.append(_samples(first))

    def read(self, count: int) -> "Samples":
        """Return the next `count` frames, (n, channels), fewer only at the end."""
        import numpy as np

        there = sum(map(len, self._rest))
        while there < count and (frame := next(self._frames, None)) is not None:
            if (frame.sample_rate, len(frame.layout.channels)) != (self.sample_rate, self.channels):
                raise MediaError(f"{self._name}: changes its sample rate or channels on the way")
            self._rest.append(_samples(frame))
            there += len(self._rest[-1])
        samples = np.concatenate(self._rest) if self._rest else np.empty((0, self.channels), "f4")
        self._rest = [samples[count:]] if len(samples) > count else []
        return samples[:count]

    def _decode(self, container: Any) -> Iterator[Any]:
        import av

        try:
            yield from container.decode(audio=0)
        except (av.FFmpegError, ValueError, OSError) as error:
            raise _damaged(self._name, self._what, error) from None


def _damaged(name: str, what: str, error: Exception) -> MediaError:
    reason = getattr(error, "strerror", None) or type(error).__name__
    return MediaError(f"{name}: damaged or unsupported {what} ({reason})")


def _samples(frame: Any) -> "Samples":
    """Return what is in a frame, (n, channels), integers scaled to [-1, 1]."""
    import numpy as np

    values = frame.to_ndarray()
    if not frame.format.is_planar:
        values = values.reshape(-1, len(frame.layout.channels)).T
    if values.dtype == np.uint8:
        values = values.astype(np.float32) / np.float32(128) - np.float32(1)
    elif values.dtype.kind == "i":
        values = values.astype(np.float32) / np.float32(2 ** (8 * values.dtype.itemsize - 1))
    return np.ascontiguousarray(values.T, dtype=np.float32)
