"""Speech brought nearer to another voice: to its pitch, or to its sounds."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from vqcodec.voice.frames import HEAD, RATE
from vqcodec.voice.pitch import median_pitch, pitch
from vqcodec.voice.pitchshift import shift_pitch
from vqcodec.voice.timbre import FAR, EnvelopeTransfer, Reach, Timbre

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

MAX = 3.0  # the pitch is changed by at most this factor
FOLLOW = (
    0.3  # formants move by the factor of the pitch to this power: lower voices are of larger people
)
PART, FADE = 30 * RATE, RATE // 20  # samples that are shifted at once, and that two parts share


class VoiceShifter:
    """Brings speech at 16 kHz to a median pitch, and to the sounds of a voice, as it comes.

    The pitch of its first ten seconds decides by how much; where there is no voice in them, it is
    left as it is.

    Args:
        channels: of the sound; the pitch of all is shifted alike.
        wanted: the median pitch in Hz; None to leave it.
        timbre: the sounds to take on; None to keep its own.
        coarsely: how; see `EnvelopeTransfer`, also for the last.
        reach: how far.
    """

    def __init__(
        self,
        channels: int,
        wanted: float | None,
        timbre: Timbre | None = None,
        *,
        coarsely: bool = False,
        reach: Reach = FAR,
    ) -> None:
        import numpy as np

        self._wanted = wanted
        self._transfer = (
            None
            if timbre is None
            else [EnvelopeTransfer(timbre, coarsely=coarsely, reach=reach) for _ in range(channels)]
        )
        self._factor: float | None = None
        self._buffer = np.zeros((channels, 0), np.float32)
        self._tail = np.zeros((channels, 0), np.float32)  # of the last part, fading out

    def feed(self, block: "Samples") -> "Samples":
        """Return what is ready, (channels, m), after a block, (channels, n)."""
        import numpy as np

        self._buffer = np.concatenate([self._buffer, block], axis=1)
        ready = [self._buffer[:, :0]]
        while self._buffer.shape[1] >= PART + FADE:
            ready.append(self._joined(self._shifted(self._buffer[:, : PART + FADE])))
            self._tail, ready[-1] = ready[-1][:, PART:], ready[-1][:, :PART]
            self._buffer = self._buffer[:, PART:]
        return np.concatenate(ready, axis=1)

    def finish(self) -> "Samples":
        """Return the rest: in all as many samples as were fed."""
        return self._joined(self._shifted(self._buffer))

    def run(self, blocks: "Iterable[Samples]") -> "Iterator[Samples]":
        """Yield a whole recording, (channels, n), one item for each block and one more."""
        for block in blocks:
            yield self.feed(block)
        yield self.finish()

    def _shifted(self, samples: "Samples") -> "Samples":
        import numpy as np

        if not samples.size:
            return samples
        if self._factor is None:
            found = self._wanted and median_pitch(pitch(samples[:, :HEAD].mean(0)))
            ratio = self._wanted / found if self._wanted and found else 1.0
            self._factor = min(MAX, max(1 / MAX, ratio))
        if self._factor != 1:
            formants = self._factor**FOLLOW
            samples = np.stack([shift_pitch(s, self._factor, formants) for s in samples])
        if self._transfer is not None:
            pairs = zip(self._transfer, samples, strict=True)
            samples = np.stack([likening.apply(s) for likening, s in pairs])
        return samples

    def _joined(self, samples: "Samples") -> "Samples":
        """Fade from the last part to the one that follows."""
        import numpy as np

        shared = self._tail.shape[1]
        if shared:
            rising = np.linspace(0, 1, shared + 2, dtype=np.float32)[1:-1]
            samples = samples.copy()
            samples[:, :shared] = samples[:, :shared] * rising + self._tail * (1 - rising)
        return samples
