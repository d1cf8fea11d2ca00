"""Videos to codes and back, some frames at a time."""

import io
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from vqcodec.codec.base import BaseCodec, Report
from vqcodec.codec.framerates import FrameRates
from vqcodec.codec.image import ImageCodec
from vqcodec.coding.movingmodel import FramePrior
from vqcodec.errors import FormatError, MediaError, UsageError, VqcodecError
from vqcodec.files.codes import Codes
from vqcodec.files.contents import MAX_CODES, VideoInfo, check_size, ticks_a_second
from vqcodec.files.header import Header
from vqcodec.files.videoframes import VideoFrames
from vqcodec.files.videostream import (
    Group,
    Priors,
    VideoWriter,
    fitting,
    frames_of,
    identities_of,
)
from vqcodec.media.image import Image
from vqcodec.media.image import check_size as check_picture
from vqcodec.media.video import Video, open_video
from vqcodec.media.videoreader import Frame, VideoReader
from vqcodec.modality import VIDEO, load
from vqcodec.weights import Weights

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Grids = tuple[NDArray[np.uint16], ...]

Told = Callable[[int], None]  # is told how many frames are done
MEMORY = 1 << 31  # bytes of pictures that are decoded into memory


MOVING = "vqcodec.codec.moving:MovingCodec"  # of weights that code frames by those before


class VideoCodec(BaseCodec):
    """Turns videos into index maps and back, each frame as a picture."""

    modality, pixels = VIDEO, True
    figure = "vqcodec.figures.video:draw_video"  # what explains its codes

    @classmethod
    def _kind(cls, weights: Weights) -> type[Self]:
        return cast(type[Self], load(MOVING)) if weights.refiner else cls

    @property
    def pictures(self) -> ImageCodec:
        """The codec of its frames."""
        return self.turned_into(ImageCodec)

    def weight_of(self, quality: float) -> float:
        """Return the rate weight of a quality from 1 to 100.

        Raises:
            UsageError: the weights were not trained for every quality.
        """
        raise UsageError(f"'{self.weights.name}' has no qualities of video: give a --rate-weight")

    def encode(
        self,
        video: "Video | str | Path | NDArray[np.uint8]",
        *,
        rate: Fraction | int = 25,
        scale: float = 1.0,
        rate_weight: float | None = None,
        report: Report | None = None,
    ) -> Codes:
        """Return the codes of a video that fits into memory.

        Args:
            video: a path, or frames (T, H, W, 3) uint8.
            rate: frames a second, where that is an array.
            scale: code frames smaller by this factor (0 to 1); decoding enlarges them again.
            rate_weight: the squared error, in 8-bit levels summed over pixels and colours, that
                saving a bit under the coding prior of frames may cost; 0 for the best picture, the
                default where frames are coded one by one.
            report: called with the fraction done, for progress bars.

        Raises:
            MediaError: it cannot be read, or has too many indices.
            UsageError: there is a rate weight, and the weights have no coding prior of frames.
        """
        if isinstance(video, str | Path):
            with open_video(video) as reader:
                return self.encode_reader(
                    reader, scale=scale, rate_weight=rate_weight, report=report
                )
        durations = [1] * len(video.pixels if isinstance(video, Video) else video)
        if isinstance(video, Video):
            durations, rate, pixels = video.durations.tolist(), video.rate, video.pixels
        else:
            pixels = video
        if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.dtype != "uint8" or not pixels.size:
            raise UsageError("frames must be a uint8 array of shape (T, H, W, 3), not empty")
        frames = map(Frame, pixels, durations)
        told = _told(report, len(pixels))
        groups = self.encoded(frames, pixels.shape[1:3], scale, rate_weight, told)
        return self._codes(groups, self.info(pixels.shape[1:3], Fraction(rate), scale))

    def encode_reader(
        self,
        reader: VideoReader,
        *,
        scale: float = 1.0,
        rate_weight: float | None = None,
        report: Report | None = None,
    ) -> Codes:
        """Return the codes of a video that is being read; see `encode`."""
        told = _told(report, reader.expected)
        groups = self.encoded(reader.frames(), reader.size, scale, rate_weight, told)
        return self._codes(groups, self.info(reader.size, reader.rate, scale))

    def encode_files(self, files: Iterable[tuple[str, bytes]]) -> Iterator[Codes | VqcodecError]:
        """See `BaseCodec.encode_files`."""
        for name, data in files:
            try:
                with open_video(io.BytesIO(data), name) as reader:
                    yield self.encode_reader(reader)
            except VqcodecError as error:
                yield error

    def info(self, size: tuple[int, int], rate: Fraction, scale: float) -> VideoInfo:
        """Return what is told of a video before its first frame; 0 stands for their number."""
        return VideoInfo((0, *size), (0, *_scaled(size, scale)), (rate.numerator, rate.denominator))

    def encoded(
        self,
        frames: Iterable[Frame],
        size: tuple[int, int],
        scale: float = 1.0,
        rate_weight: float | None = None,
        told: Told | None = None,
    ) -> Iterator[Group]:
        """Yield the codes of frames, some at a time, as they come.

        Args:
            frames: all of one size.
            size: that.
            scale: see `encode`.
            rate_weight: see there.
            told: called with the number of frames done.
        """
        import numpy as np

        code = self._coder(rate_weight)
        coded_size, done = _scaled(size, scale), 0
        coded = (Frame(Image(f.pixels).resize(coded_size).pixels, f.duration) for f in frames)
        for some in _some(coded, frames_of(self.maps, coded_size)):
            grids, condition = code(np.stack([f.pixels for f in some]))
            yield Group(grids, tuple(f.duration for f in some), condition)
            done += len(some)
            if told:
                told(done)

    def encode_stream(
        self,
        frames: Iterable[Frame],
        info: VideoInfo,
        file: BinaryIO,
        priors: Priors = (),
        *,
        scale: float = 1.0,
        rate_weight: float | None = None,
        told: Told | None = None,
    ) -> VideoWriter:
        """Write the codes of frames to a ``.vqc`` file as they come.

        Args:
            frames: all of one size.
            info: of them, as `info` returns it.
            file: which need not seek.
            priors: of each map, or one of successive frames, to range-code them; none packs them.
            scale: see `encode`.
            rate_weight: see there.
            told: called with the number of frames done.

        Returns:
            What wrote it, which tells how much.
        """
        priors = fitting(priors, self.codebook_sizes)
        writer = VideoWriter(file, self._header(info, priors), priors)
        for group in self.encoded(frames, info.size[1:], scale, rate_weight, told):  # type: ignore[arg-type]
            writer.write(group)
        writer.finish()
        return writer

    def decode(self, codes: Codes, *, report: Report | None = None) -> Video:
        """Return the video, of its original size and times, that codes stand for.

        Raises:
            WeightsError: the codes were made with another codebook.
            FormatError: the codes are not those of a video of the size that they claim.
            UsageError: it would take too much memory; `decoded` gives it frame by frame.
        """
        import numpy as np

        media = codes.video
        length, height, width = media.size
        if 3 * length * height * width > MEMORY:
            raise UsageError("the video is too large to be held in memory; decode it to a file")
        told = _told(report, length)
        pixels = np.empty((*media.size, 3), np.uint8)
        for number, frame in enumerate(self.decoded(codes)):
            pixels[number] = frame.pixels
            if told:
                told(number + 1)
        durations = np.array(media.durations or (1,) * length, np.int64)
        return Video(pixels, ticks_a_second(media), durations)

    def decoded(self, source: "Codes | VideoFrames") -> Iterator[Frame]:
        """Yield the frames that codes, or a stream of them, stand for."""
        groups = source if isinstance(source, VideoFrames) else self._groups(source)
        if isinstance(source, VideoFrames):
            header = source.header
            self.check_codebook(header.axes, header.model, header.codebook_id)
            one = (1, *source.media.coded_size[1:])
            shapes = [[spec.shape(one) for spec in maps] for maps in (header.maps, self.maps)]
            # of small frames strides are not known from the shapes of maps
            if header.codebook_sizes != self.codebook_sizes or shapes[0] != shapes[1]:
                raise FormatError("its maps are not those of the weights")
        _, *coded_size = source.media.coded_size
        _, *size = source.media.size
        for shown in (coded_size, size):
            check_picture(shown[0], shown[1], "a frame")
        for group in groups:
            pictures = self._decoded(group.grids, (coded_size[0], coded_size[1]))
            for picture, duration in zip(pictures, group.durations, strict=True):
                yield Frame(Image(picture).resize((size[0], size[1])).pixels, duration)

    def _coder(self, weight: float | None) -> "Callable[[Pixels], tuple[Grids, int]]":
        """Return what makes of a group of frames its maps, (n, h, w) each, and their condition."""
        if not weight:
            return lambda pixels: (self.pictures.encode_batch(pixels), 0)
        rates = FrameRates(self.pictures, weight)
        return lambda pixels: ((rates.encode(pixels),), 0)

    def _decoded(self, grids: "Grids", size: tuple[int, int]) -> "Iterator[Pixels]":
        """Yield the frames, (H, W, 3), of a group."""
        yield from self.pictures.decode_batch(grids)[:, : size[0], : size[1]]

    def _groups(self, codes: Codes) -> Iterator[Group]:
        media = codes.video
        self.check_codebook(codes.axes, codes.model, codes.codebook_id)
        shapes = [spec.shape(media.coded_size) for spec in self.maps]
        fits = [g.shape for g in codes.grids] == shapes and media.size[0] == media.coded_size[0]
        if codes.codebook_sizes != self.codebook_sizes or not fits:
            raise FormatError("the index maps do not fit a video of the size that they claim")
        durations = media.durations or (1,) * media.size[0]
        step = frames_of(self.maps, media.coded_size[1:])
        for start in range(0, len(durations), step):
            some = slice(start, start + step)
            yield Group(tuple(grid[some] for grid in codes.grids), durations[some])

    def _codes(self, groups: Iterable[Group], info: VideoInfo) -> Codes:
        import numpy as np

        found: list[Group] = []
        cells = 0
        for group in groups:
            found.append(group)
            cells += sum(grid.size for grid in group.grids)
            if cells > MAX_CODES:
                raise MediaError(
                    f"has more than {MAX_CODES:,} indices, too many for an array; write a .vqc"
                )
        if not found:
            raise MediaError("the video holds no frames")
        grids = tuple(np.concatenate(maps) for maps in zip(*(g.grids for g in found), strict=True))
        durations = tuple(d for group in found for d in group.durations)
        sizes = ((len(durations), *size[1:]) for size in (info.size, info.coded_size))
        size, coded_size = sizes
        check_size(size, VIDEO.axes)
        media = VideoInfo(size, coded_size, *simplest(info.frame_rate, durations))
        name, identity = self.weights.name, self.weights.codebook_id
        books, condition = self.codebook_sizes, found[0].condition
        return Codes(grids, books, VIDEO.axes, name, identity, media, condition)

    def _header(self, info: VideoInfo, priors: Priors) -> Header:
        name, identity = self.weights.name, self.weights.codebook_id
        ids, joint = identities_of(priors, len(self.maps)), isinstance(priors, FramePrior)
        return Header(VIDEO.axes, name, identity, self.maps, info, ids, stream=True, joint=joint)


def simplest(
    rate: tuple[int, int], durations: tuple[int, ...]
) -> tuple[tuple[int, int], tuple[int, ...]]:
    """Return frame rate and durations of `VideoInfo`: without durations if all are alike."""
    if len(set(durations)) > 1:
        return rate, durations
    frames = Fraction(*rate) / durations[0]
    told = frames.numerator, frames.denominator
    limit = 1 << 31
    return (told, ()) if max(told) <= limit else (rate, durations)


def _scaled(size: tuple[int, ...], scale: float) -> tuple[int, int]:
    if not 0 < scale <= 1:
        raise UsageError(f"scale is {scale}, must be above 0 and at most 1")
    height, width = (max(1, round(n * scale)) for n in size)
    return height, width


def _some(frames: Iterable[Frame], number: int) -> Iterator[list[Frame]]:
    """Yield frames so many at a time."""
    some: list[Frame] = []
    for frame in frames:
        some.append(frame)
        if len(some) == number:
            yield some
            some = []
    if some:
        yield some


def _told(report: Report | None, total: int | None) -> Told | None:
    if report is None or not total:
        return None
    return lambda done: report(min(1.0, done / total))
