"""The speech codecs that people use now, each behind one call.

Each has its own rate, so unlike pictures they are not brought to the same bytes: a report shows the
rate beside the quality. What is counted are the packets or frames alone, as they would go over a
line, and not the container that they lie in on a disk: a bound in favour of these codecs, since of
vqcodec whole files are counted.
"""

import io
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vqcodec.errors import UsageError
from vqcodec.metrics.measure import versions
from vqcodec.voice.frames import RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Signal = NDArray[np.float32]
    Pcm = NDArray[np.int16]


@dataclass(frozen=True)
class BaselineSound:
    """Speech that went through a codec.

    Attributes:
        bytes: of its packets.
        samples: what comes back at 16 kHz, of about the original's length, perhaps later.
    """

    bytes: int
    samples: "Signal"


class SpeechBaseline(ABC):
    """A codec to compare with.

    Attributes:
        name: what users call it.
        label: what tables call it.
        package: what must be installed for it.
    """

    name: str
    label: str
    package: str

    @abstractmethod
    def encode(self, samples: "Signal") -> BaselineSound:
        """Send a signal, (T,) at 16 kHz, through the codec."""

    @abstractmethod
    def check(self) -> None:
        """Raise ImportError where the codec does not work here."""

    def version(self) -> str:
        """Return what codes, for reports."""
        return versions((self.package,))


class Opus(SpeechBaseline):
    """Opus at 6 kbit/s, its lowest rate, variable; packets of 20 ms.

    It codes speech up to 4 kHz there, and its packets come to about 5.5 kbit/s; pages of Ogg would
    add 1.2, and RTP more.
    """

    name, label, package = "opus-6k", "Opus 6 kbit/s", "av"

    def encode(self, samples: "Signal") -> BaselineSound:
        """Send a signal through libopus, in an Ogg file that is not counted."""
        import av

        file = io.BytesIO()
        size = 0
        options = {"application": "voip", "frame_duration": "20", "vbr": "on"}
        with av.open(file, "w", format="ogg") as container:
            stream = container.add_stream("libopus", rate=RATE, layout="mono", options=options)
            stream.bit_rate = 6000
            frame = av.AudioFrame.from_ndarray(_pcm(samples)[None], format="s16", layout="mono")
            frame.sample_rate = RATE
            for packet in (*stream.encode(frame), *stream.encode(None)):
                size += packet.size
                container.mux(packet)
        file.seek(0)
        return BaselineSound(size, self._decode(file))

    def _decode(self, file: io.BytesIO) -> "Signal":
        import av
        import numpy as np
        import soxr

        container: Any
        with av.open(file) as container:
            frames = [frame.to_ndarray().mean(0) for frame in container.decode(audio=0)]
            rate = container.streams.audio[0].rate
        return np.asarray(soxr.resample(np.concatenate(frames), rate, RATE), np.float32)

    def check(self) -> None:
        """Raise ImportError where PyAV is missing, or was built without libopus."""
        import av

        if "libopus" not in av.codecs_available:
            raise ImportError("built without libopus")


class Codec2(SpeechBaseline):
    """A mode of Codec2: a vocoder for 8 kHz, as used over radio."""

    package = "pycodec2"
    mode: int

    def encode(self, samples: "Signal") -> BaselineSound:
        """Send a signal through Codec2, at 8 kHz inside."""
        import numpy as np
        import pycodec2
        import soxr

        codec = pycodec2.Codec2(self.mode)
        step = codec.samples_per_frame()
        pcm = _pcm(soxr.resample(samples, RATE, RATE // 2))
        pcm = np.pad(pcm, (0, -len(pcm) % step))
        size = 0
        back = []
        for start in range(0, len(pcm), step):
            packet = codec.encode(pcm[start : start + step])
            size += len(packet)
            back.append(codec.decode(packet))
        decoded = np.concatenate(back).astype(np.float32) / 32768
        return BaselineSound(size, soxr.resample(decoded, RATE // 2, RATE))

    def check(self) -> None:
        """Raise ImportError where pycodec2 is missing."""
        import pycodec2  # noqa: F401


class Codec2At2400(Codec2):
    """Codec2 at 2,400 bit/s."""

    name, label, mode = "codec2-2400", "Codec2 2400", 2400


class Codec2At700(Codec2):
    """Codec2 at 700 bit/s, mode C."""

    name, label, mode = "codec2-700c", "Codec2 700C", 700


BASELINES: dict[str, type[SpeechBaseline]] = {b.name: b for b in (Opus, Codec2At2400, Codec2At700)}


def find_baselines(names: list[str]) -> tuple[list[SpeechBaseline], list[str]]:
    """Return the codecs of these names, and a note for each that is not installed.

    Raises:
        UsageError: a name is none of `BASELINES`.
    """
    found, notes = [], []
    for name in names:
        if name not in BASELINES:
            raise UsageError(
                f"no speech codec '{name}' to compare with; there are: {', '.join(BASELINES)}"
            )
        baseline = BASELINES[name]()
        try:
            baseline.check()
        except ImportError as error:
            why = "needs pip install 'vqcodec[evaluate-speech]'"
            if baseline.version():
                why = f"{baseline.version()} does not work here ({error})"
            notes.append(f"{baseline.label} is left out: {why}")
        else:
            found.append(baseline)
    return found, notes


def _pcm(samples: "Signal") -> "Pcm":
    import numpy as np

    return (np.clip(samples, -1, 1) * 32767).round().astype(np.int16)
