"""Other codecs of video, through PyAV: the best that fits the bytes of ours."""

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from vqcodec.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

BT709 = 1  # colour space, by its number in ITU-T H.273


@dataclass(frozen=True)
class Baseline:
    """A codec of video.

    Attributes:
        name: as options and results have it.
        label: as tables have it.
        encoder: FFmpeg's name of what makes it.
        options: of that.
        coarsest: the CRF of its smallest files; 0 is the finest.
    """

    name: str
    label: str
    encoder: str
    options: tuple[tuple[str, str], ...]
    coarsest: int

    def version(self) -> str:
        """Return what makes it here."""
        from importlib.metadata import version

        told = " ".join(f"{key} {value}" for key, value in self.options)
        return f"{self.encoder} of PyAV {version('av')}, {told}"

    def encode(self, pixels: "Pixels", most: int) -> "tuple[int, int, Pixels] | None":
        """Return the best that takes no more than `most` bytes; None where nothing does.

        Args:
            pixels: (T, H, W, 3).
            most: bytes of its packets, without a container.

        Returns:
            Its bytes, CRF and frames.
        """
        best = None
        low, high = 0, self.coarsest
        while low <= high:  # the smallest CRF that fits
            middle = (low + high) // 2
            size, packets, context = self._packets(pixels, middle)
            if size <= most:
                best, high = (size, middle, packets, context), middle - 1
            else:
                low = middle + 1
        if best is None:
            return None
        size, crf, packets, context = best
        return size, crf, _decode(packets, context, pixels.shape[1:3])

    def _packets(self, pixels: "Pixels", crf: int) -> tuple[int, list[bytes], Any]:
        """Return the bytes of all packets, the packets, and the codec that made them."""
        import os

        import av

        os.environ.setdefault("SVT_LOG", "1")  # errors only
        context = av.CodecContext.create(self.encoder, "w")
        height, width = pixels.shape[1:3]
        context.height, context.width = height + height % 2, width + width % 2
        context.pix_fmt, context.time_base = "yuv420p", Fraction(1, 25)
        context.framerate = Fraction(25)
        context.options = {**dict(self.options), "crf": str(crf)}
        packets = []
        for number, picture in enumerate(pixels):
            frame = av.VideoFrame.from_ndarray(_even(picture), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=BT709)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            packets += [bytes(p) for p in context.encode(frame)]
        packets += [bytes(p) for p in context.encode(None)]
        return sum(map(len, packets)), packets, context


def _even(pixels: "Pixels") -> "Pixels":
    """Repeat the last row and column where there is an odd number of them."""
    import numpy as np

    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(pixels)


def _decode(packets: list[bytes], encoder: Any, size: tuple[int, ...]) -> "Pixels":
    import av
    import numpy as np

    names = {"libx264": "h264", "libx265": "hevc", "libsvtav1": "libdav1d"}
    decoder = av.CodecContext.create(names[encoder.name], "r")
    if encoder.extradata:
        decoder.extradata = encoder.extradata
    frames = []
    for data in [*packets, None]:
        frames += decoder.decode(None if data is None else av.Packet(data))
    shown = [f.to_ndarray(format="rgb24", src_colorspace=BT709) for f in frames]
    return np.stack(shown)[:, : size[0], : size[1]]


BASELINES = {
    b.name: b
    for b in (
        Baseline("h264", "H.264", "libx264", (("preset", "slow"),), 51),
        Baseline(
            "hevc", "HEVC", "libx265", (("preset", "medium"), ("x265-params", "log-level=0")), 51
        ),
        Baseline("av1", "AV1", "libsvtav1", (("preset", "6"),), 63),
    )
}


def find_baselines(names: list[str]) -> tuple[list[Baseline], list[str]]:
    """Return the codecs of these names that are there, and a note for each that is not.

    Raises:
        UsageError: there is no codec of such a name.
    """
    for name in names:
        if name not in BASELINES:
            raise UsageError(f"no codec '{name}' of video; there are: {', '.join(BASELINES)}")
    try:
        from av.codec import codecs_available
    except ImportError:
        codecs_available = frozenset()
    found = [BASELINES[n] for n in names if BASELINES[n].encoder in codecs_available]
    notes = [
        f"{BASELINES[n].label} is left out: needs a PyAV with {BASELINES[n].encoder}, such as that "
        "of pip install 'vqcodec[video]'"
        for n in names
        if BASELINES[n] not in found
    ]
    return found, notes
