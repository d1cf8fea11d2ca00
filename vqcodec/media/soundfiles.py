"""Sound files read and written block by block, so that their length costs no memory."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from vqcodec.errors import MediaError
from vqcodec.media import mp3
from vqcodec.media.channels import to_file
from vqcodec.media.libsndfile import NotRead, open_libsndfile
from vqcodec.media.links import links
from vqcodec.media.pyav import installed, open_pyav
from vqcodec.media.soundformats import FOREIGN, KINDS, MAGICS, MAYBE, Foreign, is_wav
from vqcodec.media.soundreader import JoinedReader
from vqcodec.media.soundreader import SoundReader as SoundReader  # noqa: PLC0414
from vqcodec.media.spans import Spans
from vqcodec.media.wav import UnknownCoding, WavReader, wav_header

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
MAX_SOUNDS = 10_000  # in one file, so that one of nothing but beginnings takes no memory
LOSSY_FRAMES = 1 << 12  # libsndfile's Vorbis writer keeps a whole block on the stack


class _Peeked:
    """A stream that begins with bytes which were read from it before."""

    def __init__(self, head: bytes, file: BinaryIO) -> None:
        self._head, self._file = head, file

    def read(self, count: int = -1) -> bytes:
        """Return the next `count` bytes, or all, fewer only at the end."""
        if count < 0:
            count, rest = len(self._head), -1
        else:
            rest = count - min(count, len(self._head))
        taken, self._head = self._head[:count], self._head[count:]
        return taken + self._file.read(rest)

    def seekable(self) -> bool:
        """Tell that it only goes forward."""
        return False


def peek(file: BinaryIO, count: int = 12) -> tuple[bytes, BinaryIO]:
    """Return the first bytes of a file, and the file as if nothing had been read from it."""
    head = file.read(count)
    if file.seekable():
        file.seek(-len(head), os.SEEK_CUR)
        return head, file
    return head, cast(BinaryIO, _Peeked(head, file))


@contextlib.contextmanager
def open_sound(file: str | Path | BinaryIO, name: str | None = None) -> Iterator[SoundReader]:
    """Open a sound file; its content, not its suffix, says of what format it is.

    Where several sounds lie in it, one after the other, they are read as one.

    Args:
        file: a path or a binary stream. Of streams that cannot seek, WAV is read as it comes; of
            others a temporary copy is made.
        name: what messages call it; the path by default.

    Raises:
        MediaError: there is none, it cannot be read, or is no sound.
    """
    name = name or str(file)
    with contextlib.ExitStack() as stack:
        path = None
        if isinstance(file, str | Path):
            path = Path(file)
            try:
                file = stack.enter_context(path.open("rb"))
            except OSError as error:
                missing = isinstance(error, FileNotFoundError)
                reason = "no such file" if missing else f"cannot be read ({error.strerror})"
                raise MediaError(f"{name}: {reason}") from None
        head, file = peek(file)
        if not head:
            raise MediaError(f"{name}: empty file")
        if not file.seekable():
            path = None
            if is_wav(head):
                try:
                    yield _wav(file, name)
                except UnknownCoding as error:
                    raise MediaError(f"{error}, which cannot be read from a pipe") from None
                return
            copy = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(file, copy)
            copy.seek(0)
            file = cast(BinaryIO, copy)
        yield stack.enter_context(_seekable(file, head, name, path))


@contextlib.contextmanager
def _seekable(file: BinaryIO, head: bytes, name: str, path: Path | None) -> Iterator[SoundReader]:
    """Open a file that can seek, whole or sound by sound."""
    with contextlib.ExitStack() as stack:
        if foreign := _foreign(file):
            yield stack.enter_context(open_pyav(file, foreign.what, foreign.demuxer, name))
            return
        # MP3 may begin anywhere, with a tag, or with what was left of a frame
        known = any(head[at:].startswith(magic) for at, magic in MAGICS)
        parts, notes = ([], []) if known else mp3.parts(file, name, MAX_SOUNDS)
        sounds = [open_libsndfile(part, name, notes, n) for part, n in parts]
        sounds = sounds or [_one(part, name) for part in links(file, head, MAX_SOUNDS)]
        if len(sounds) > MAX_SOUNDS:
            raise MediaError(f"{name}: more than {MAX_SOUNDS:,} sounds in one file; cut it up")
        first = stack.enter_context(sounds[0] if sounds else _one(file, name, path))
        yield JoinedReader(first, sounds[1:]) if len(sounds) > 1 else first


@contextlib.contextmanager
def _one(file: BinaryIO | Spans, name: str, path: Path | None = None) -> Iterator[SoundReader]:
    """Open a single sound, by its path where that is known."""
    with contextlib.ExitStack() as stack:
        yield _known(file, name, path, stack)


def _known(
    file: BinaryIO | Spans, name: str, path: Path | None, stack: contextlib.ExitStack
) -> SoundReader:
    """Return what reads a sound, to be closed by the stack."""
    start, head = file.tell(), file.read(12)
    file.seek(start)
    if is_wav(head):
        try:
            return _wav(file, name)
        except UnknownCoding:
            file.seek(start)
    try:
        return stack.enter_context(open_libsndfile(path or file, name))
    except NotRead:
        demuxer = MAYBE.get(head[:4])
        if demuxer is None or not installed():
            raise
        file.seek(start)
        return stack.enter_context(open_pyav(file, "sound file", demuxer, name))


def _wav(file: BinaryIO | Spans, name: str) -> SoundReader:
    wav = WavReader(file, name)
    return SoundReader(name, wav.channels, wav.sample_rate, wav.frames, wav.read)


def _foreign(file: BinaryIO) -> Foreign | None:
    """Return what kind of file it is that only PyAV reads, if it is one."""
    start = file.tell()
    head = file.read(12)
    if skipped := mp3.tag_length(head):  # streams of AAC have tags of MP3
        file.seek(start + skipped)
        head = file.read(12)
    file.seek(start)
    return next((foreign for foreign in FOREIGN if foreign.fits(head)), None)


class SoundWriter:
    """Writes sound to a file, block by block.

    Args:
        file: a binary file; only WAV can do without seeking.
        suffix: one of `KINDS`.
        channels: how many.
        sample_rate: in Hz.
        name: what messages call it.
        frames: samples of each channel that will come, or None if that is not known.
        seek: whether to go back in the file where it can; never in one that others write to.
        comment: a text, ASCII for all formats to hold it, that the file carries along.

    Raises:
        MediaError: the format cannot hold this sound.
    """

    def __init__(
        self,
        file: BinaryIO,
        suffix: str,
        channels: int,
        sample_rate: int,
        name: str,
        frames: int | None = None,
        *,
        seek: bool = True,
        comment: str = "",
    ) -> None:
        import soundfile

        self._seeks = seek and file.seekable()

        self.kind, coding = KINDS[suffix]
        self._coding = coding
        self.file = file
        self._format, self._comment = (channels, sample_rate), comment
        self._expected, self._done = frames, 0
        if self.kind == "WAV":
            file.write(wav_header(*self._format, frames, comment))
            return
        if coding == "OPUS" and sample_rate not in OPUS_RATES:
            rates = ", ".join(f"{r // 1000}" for r in OPUS_RATES)
            raise MediaError(f"{name}: Opus holds {rates} kHz only, not {sample_rate:,} Hz")
        # libsndfile seeks back to its headers
        self._copy = None if self._seeks else tempfile.TemporaryFile()  # noqa: SIM115
        self._guard = _Guard(self._copy or file)
        try:
            self._sound = soundfile.SoundFile(
                self._guard, "w", sample_rate, channels, coding, format=self.kind
            )
        except soundfile.LibsndfileError:
            if self._copy is not None:
                self._copy.close()
            self._guard.check()
            raise MediaError(
                f"{name}: {self.kind} does not hold {channels} channels of {sample_rate:,} Hz"
            ) from None
        if comment:
            self._sound.comment = comment

    def write(self, block: "Samples") -> None:
        """Write samples, (channels, n); what lies beyond [-1, 1] is clipped."""
        import numpy as np

        self._done += block.shape[1]
        frames = np.clip(block.T, -1, 1)
        if self.kind in ("WAV", "FLAC"):
            frames = np.clip(np.rint(frames * 32768), -32768, 32767).astype("<i2")
        if self.kind == "WAV":
            self.file.write(frames.tobytes())
            if not self._seeks:
                self.file.flush()  # whoever reads it may be waiting
            return
        frames = to_file(frames, self._coding)
        for start in range(0, len(frames), LOSSY_FRAMES):
            self._sound.write(frames[start : start + LOSSY_FRAMES])
            self._guard.check()

    def __enter__(self) -> "SoundWriter":
        """Write on."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write what comes last, if all went well."""
        if self.kind != "WAV":
            self._sound.close()  # in any case, for it must not outlive the file
            with self._copy or contextlib.nullcontext():
                if kind is None:
                    self._guard.check()
                    self._give_back()
        elif kind is None and self._done != self._expected and self._seeks:
            self.file.seek(0)
            self.file.write(wav_header(*self._format, self._done, self._comment))
            self.file.seek(0, os.SEEK_END)

    def _give_back(self) -> None:
        if self._copy is not None:
            self._copy.seek(0)
            shutil.copyfileobj(self._copy, self.file)


class _Guard:
    """A file for libsndfile, in which nothing can be raised: so it is kept for later."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: BaseException | None = None

    def write(self, data: bytes) -> int:
        """Write, or seem to."""
        self._try(lambda: self._file.write(data))
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        return self._try(lambda: self._file.seek(offset, whence))

    def tell(self) -> int:
        """Return the place."""
        return self._try(self._file.tell)

    def read(self, count: int) -> bytes:
        """Return bytes that were written."""
        return self._file.read(count)

    def check(self) -> None:
        """Raise what would have been raised."""
        if self._error is not None:
            raise self._error

    def _try(self, action: Callable[[], int]) -> int:
        try:
            return action() if self._error is None else 0
        except BaseException as error:
            self._error = error
            return 0
