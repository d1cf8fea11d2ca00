"""From one sample rate to another, as the samples come."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]


def resampled_length(samples: int, rate: int, new_rate: int) -> int:
    """Return how many samples `samples` at `rate` become at `new_rate`: at least one of one."""
    return -(-samples * new_rate // rate)


class Resampler:
    """Resamples a stream; how it is cut into blocks changes no bit of what comes out."""

    def __init__(self, channels: int, rate: int, new_rate: int) -> None:
        self.channels = channels
        self.given = 0  # samples of each channel that have come out
        self._stream: Any = None
        if rate != new_rate:
            import soxr

            self._stream = soxr.ResampleStream(rate, new_rate, channels, dtype="float32")

    def feed(self, block: "Samples") -> "Samples":
        """Return what is ready, (channels, m), after a block, (channels, n)."""
        return self._run(block, last=False)

    def finish(self, length: int) -> "Samples":
        """Return the rest, cut or filled with silence so that `length` samples come out in all."""
        import numpy as np

        left = max(0, length - self.given)
        rest = self._run(np.zeros((self.channels, 0), np.float32), last=True)[:, :left]
        return np.pad(rest, ((0, 0), (0, left - rest.shape[1])))

    def _run(self, block: "Samples", *, last: bool) -> "Samples":
        import numpy as np

        if self._stream is not None:
            block = self._stream.resample_chunk(np.ascontiguousarray(block.T), last=last).T
        self.given += block.shape[1]
        return block
