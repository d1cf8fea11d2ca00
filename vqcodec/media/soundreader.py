"""A sound file that is being read, from its beginning to its end."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from vqcodec.errors import MediaError
from vqcodec.media.soundformats import check_format

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]


class SoundReader:
    """A sound file from its beginning to its end.

    Attributes:
        name: what messages call it.
        sample_rate: in Hz.
        channels: how many.
        frames: samples of each channel, or None where only reading tells.
    """

    def __init__(
        self,
        name: str,
        channels: int,
        sample_rate: int,
        frames: int | None,
        read: "Callable[[int], Samples]",
        *,
        exact: bool = True,
        remarks: "Callable[[], Sequence[str]]" = tuple,
    ) -> None:
        """Take over an open file.

        Args:
            name: what messages call it.
            channels: how many.
            sample_rate: in Hz.
            frames: samples of each channel, or None where only reading tells.
            read: returns the next samples, (up to so many, channels), none at the end.
            exact: all `frames` must be there.
            remarks: tells what else a user should know of what was read so far.
        """
        check_format(channels, sample_rate, name)
        self.name, self.channels, self.sample_rate = name, channels, sample_rate
        self.frames = frames
        self._read, self._exact, self._remarks = read, exact, remarks
        self._odd = self._loud = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the samples read so far, such as what was mended in them."""
        notes = list(self._remarks())
        if self._odd:
            notes.append(f"{self._odd:,} samples that are no numbers were taken as silence")
        if self._loud:
            notes.append(f"{self._loud:,} samples beyond full scale were clipped")
        return tuple(notes)

    def blocks(self) -> "Iterator[Samples]":
        """Yield all samples, (channels, n) float32 in [-1, 1], a quarter of a second at a time.

        Raises:
            MediaError: the file is empty, damaged, or ends too early.
        """
        empty = True
        for block in self._all():
            empty = False
            yield block
        if empty:
            raise MediaError(f"{self.name}: holds no samples")

    def _all(self) -> "Iterator[Samples]":
        """Yield what there is, if anything."""
        done = 0
        while (block := self._read(max(1, self.sample_rate // 4))).size:
            done += len(block)
            yield self._mend(block.T)
        if self._exact and self.frames is not None and done < self.frames:
            raise MediaError(f"{self.name}: truncated, {done:,} of {self.frames:,} samples")

    def _mend(self, block: "Samples") -> "Samples":
        import numpy as np

        odd, loud = np.isnan(block), np.abs(block) > 1
        if odd.any() or loud.any():
            self._odd += int(odd.sum())
            self._loud += int(loud.sum())
            block = np.clip(np.where(odd, np.float32(0), block), -1, 1)
        return block


class JoinedReader(SoundReader):
    """Several sounds, one after the other in one file, read as one."""

    def __init__(
        self, first: SoundReader, rest: "Sequence[AbstractContextManager[SoundReader]]"
    ) -> None:
        """Take over the first sound, and those behind it, each opened when it is its turn."""
        super().__init__(first.name, first.channels, first.sample_rate, None, first._read)
        self._first, self._rest = first, rest
        self._told: list[str] = [f"{len(rest) + 1} sounds, one after the other, are read as one"]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the samples read so far, each thing once."""
        return tuple(dict.fromkeys((*self._told, *self._first.notes)))

    def _all(self) -> "Iterator[Samples]":
        yield from self._first._all()
        for part in self._rest:
            with part as sound:
                if (sound.channels, sound.sample_rate) != (self.channels, self.sample_rate):
                    raise MediaError(
                        f"{self.name}: sounds of different kinds, one after the other "
                        f"({self.channels} channels at {self.sample_rate:,} Hz, then "
                        f"{sound.channels} at {sound.sample_rate:,} Hz); cut it into its parts"
                    )
                yield from sound._all()
                self._told += sound.notes
