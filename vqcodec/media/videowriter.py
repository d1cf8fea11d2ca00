"""Video files, frame after frame: H.264, AV1, FFV1 through PyAV, GIF, or a folder of pictures."""

import os
import struct
from abc import ABC, abstractmethod
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from vqcodec.errors import MediaError, UsageError
from vqcodec.media.image import Image, format_of_suffix
from vqcodec.media.videoreader import INSTALL, Frame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

MUXERS = {".mp4": "mp4", ".mov": "mov", ".webm": "webm", ".mkv": "matroska"}
AV1 = ("libsvtav1", "libaom-av1", "libvpx-vp9")
# by container, the first that PyAV has been built with; FFV1 loses nothing
CODECS = {
    "mp4": ("libx264", "libopenh264", *AV1, "mpeg4"),
    "mov": ("libx264", "libopenh264", "mpeg4"),
    "webm": AV1,
    "matroska": ("ffv1",),
}
OPTIONS = {
    "libx264": {"crf": "12", "bf": "0"},  # or MP4 could not tell how long the last frame is shown
    "libsvtav1": {"crf": "20", "preset": "8"},
    "libaom-av1": {"crf": "20", "cpu-used": "6"},
    "libvpx-vp9": {"crf": "18", "b": "0"},
    "mpeg4": {"qscale": "2"},
}
SOUND = {"mp4": "aac", "mov": "aac", "webm": "libopus", "matroska": "flac"}
BT709 = 1  # by its number in ITU-T H.273
GIF_LOOP = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
GIF_STEP = Fraction(1, 100)  # of a second, in which GIF tells durations


def check_suffix(suffix: str, name: str) -> str:
    """Return a suffix that videos can be written by, in lower case.

    Raises:
        UsageError: there is no such format.
    """
    suffix = suffix.lower()
    if suffix == ".gif" or suffix in MUXERS:
        return suffix
    try:
        format_of_suffix(suffix, name)
    except UsageError:
        known = ", ".join([*MUXERS, ".gif"])
        raise UsageError(
            f"{name}: no video format '{suffix}'; there are: {known}, and those of pictures, such "
            "as .png, for a folder of them"
        ) from None
    return suffix


def is_folder(suffix: str) -> bool:
    """Tell whether a suffix stands for a folder of pictures."""
    return suffix != ".gif" and suffix not in MUXERS


class VideoWriter(ABC):
    """Takes the frames of a video; to be closed when all of them are written."""

    notes: tuple[str, ...] = ()

    @abstractmethod
    def write(self, frame: Frame) -> None:
        """Write a frame."""

    @abstractmethod
    def close(self) -> None:
        """Write what comes last."""


def open_writer(
    file: BinaryIO, suffix: str, size: tuple[int, int], rate: Fraction, name: str, *, seek: bool
) -> VideoWriter:
    """Begin a video file.

    Args:
        file: to write to.
        suffix: a checked one that `is_folder` is false of.
        size: height and width.
        rate: ticks a second.
        name: what messages call it.
        seek: whether to go back in the file.

    Raises:
        MediaError: PyAV is not installed, or the format cannot hold it.
    """
    if suffix == ".gif":
        return GifWriter(file, size, rate, name)
    return StreamWriter(file, MUXERS[suffix], size, rate, name, seek=seek)


class StreamWriter(VideoWriter):
    """Video as PyAV writes it; times are exact."""

    def __init__(
        self,
        file: BinaryIO,
        muxer: str,
        size: tuple[int, int],
        rate: Fraction,
        name: str,
        *,
        seek: bool,
    ) -> None:
        """Begin the file; see `open_writer`."""
        try:
            import av
        except ImportError:
            raise MediaError(f"{name}: is a video; {INSTALL}") from None
        self._name, self._rate, self._time, self._muxer = name, rate, 0, muxer
        known = [c for c in CODECS[muxer] if c in av.codec.codecs_available]
        if not known:
            raise MediaError(f"{name}: this PyAV writes none of {', '.join(CODECS[muxer])}")
        live = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
        options = live if muxer in ("mp4", "mov") and not seek else {}
        os.environ.setdefault("SVT_LOG", "1")  # errors only
        self._unsought = file if seek else _Forward(file)
        try:
            self._container: Any = av.open(self._unsought, "w", format=muxer, options=options)
            self._stream = self._container.add_stream(known[0], options=OPTIONS.get(known[0], {}))
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(f"{name}: cannot be written ({error})") from None
        height, width = size
        self._stream.height, self._stream.width = height, width
        self._stream.time_base = self._stream.codec_context.time_base = 1 / rate
        odd = height % 2 or width % 2
        self._lossless = known[0] == "ffv1"
        self._stream.pix_fmt = "bgr0" if self._lossless else "yuv444p" if odd else "yuv420p"
        if not self._lossless:
            context = self._stream.codec_context
            context.colorspace = context.color_primaries = context.color_trc = BT709
        self._sound: Any = None
        self._durations: dict[int, int] = {}  # by time, of frames that are being encoded

    def add_sound(self, channels: int, sample_rate: int) -> None:
        """Announce a sound track, before the first frame."""
        import av

        layout = {1: "mono", 2: "stereo"}.get(channels, f"{channels}c")
        name = SOUND[self._muxer]
        rate = 48_000 if name == "libopus" else sample_rate
        self._sound = self._container.add_stream(name, rate=rate, layout=layout)
        context = self._sound.codec_context
        self._resampler = av.AudioResampler(context.format, context.layout, context.sample_rate)
        self._sound_rate, self._sound_done = sample_rate, 0

    def write(self, frame: Frame) -> None:
        """Write a frame."""
        import av

        picture = av.VideoFrame.from_ndarray(frame.pixels, format="rgb24")
        if not self._lossless:
            picture = picture.reformat(format=self._stream.pix_fmt, dst_colorspace=BT709)
            picture.colorspace = BT709
        picture.pts, picture.time_base = self._time, 1 / self._rate
        self._durations[self._time] = frame.duration
        self._time += frame.duration
        self._mux(self._stream, picture)

    def write_sound(self, block: "Samples") -> None:
        """Write some sound, (channels, n)."""
        import av
        import numpy as np

        if not block.shape[1]:
            return
        samples = np.ascontiguousarray(block, np.float32)
        frame = av.AudioFrame.from_ndarray(samples, "fltp", self._sound.layout.name)
        frame.sample_rate, frame.pts = self._sound_rate, self._sound_done
        frame.time_base = Fraction(1, self._sound_rate)
        self._sound_done += block.shape[1]
        for piece in self._resampler.resample(frame):
            self._mux(self._sound, piece)

    def close(self) -> None:
        """Write what the encoders still hold, and the end."""
        self._mux(self._stream, None)
        if self._sound is not None:
            for piece in self._resampler.resample(None):
                self._mux(self._sound, piece)
            self._mux(self._sound, None)
        self._container.close()

    def _mux(self, stream: Any, frame: Any) -> None:
        import av

        try:
            packets = stream.encode(frame)
            for packet in packets if stream is self._stream else ():
                packet.duration = self._durations.pop(packet.pts, packet.duration)
            self._container.mux(packets)
        except (av.FFmpegError, ValueError) as error:
            if getattr(error, "errno", None) and isinstance(error, OSError):
                raise
            raise MediaError(f"{self._name}: cannot be written ({error})") from None


class _Forward:
    """A file that others write to as well, or a pipe: there is no going back in it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        """Write at once: whoever reads it may be waiting."""
        self._file.write(data)
        self._file.flush()
        return len(data)


class GifWriter(VideoWriter):
    """An animated GIF, 256 colours for each frame, times rounded to hundredths of a second."""

    def __init__(self, file: BinaryIO, size: tuple[int, int], rate: Fraction, name: str) -> None:
        """Begin the file; see `open_writer`."""
        height, width = size
        if max(size) > 65535:
            raise MediaError(f"{name}: GIF holds at most 65,535 pixels a side")
        self._file, self._rate, self._ended = file, rate, False
        self._time, self._told = Fraction(0), 0
        file.write(b"GIF89a" + struct.pack("<HHBBB", width, height, 0x70, 0, 0) + GIF_LOOP)

    def write(self, frame: Frame) -> None:
        """Write a frame."""
        from PIL import Image as Pillow
        from PIL.GifImagePlugin import getdata

        self._time += frame.duration / self._rate
        then = max(self._told + 1, round(self._time / GIF_STEP))
        step, self._told = min(then - self._told, 65535), then
        if then * GIF_STEP != self._time:
            self.notes = ("GIF tells times in hundredths of a second; they are rounded",)
        picture = Pillow.fromarray(frame.pixels).quantize(256)
        # Pillow's own writer would make one of frames that are alike
        for part in getdata(picture, include_color_table=True, duration=10 * step):
            self._file.write(part)
        self._file.flush()

    def close(self) -> None:
        """Write the end."""
        self._file.write(b";")


class FolderWriter(VideoWriter):
    """A folder of pictures, and their times in ``times.csv``.

    Args:
        folder: that is there.
        suffix: of the pictures.
        rate: ticks a second.
    """

    def __init__(self, folder: Path, suffix: str, rate: Fraction) -> None:
        self._folder, self._suffix, self._rate = folder, suffix, rate
        self._kind = format_of_suffix(suffix, str(folder))
        self._lines = ["picture,seconds,duration"]
        self._time = Fraction(0)

    def write(self, frame: Frame) -> None:
        """Write a picture."""
        name = f"{len(self._lines):06}{self._suffix}"
        with (self._folder / name).open("wb") as file:
            Image(frame.pixels).write(file, self._kind, name)
        shown = frame.duration / self._rate
        self._lines.append(f"{name},{float(self._time)!r},{float(shown)!r}")
        self._time += shown

    def close(self) -> None:
        """Write the times."""
        text = "\n".join([*self._lines, ""])
        (self._folder / "times.csv").write_text(text, encoding="utf-8")
