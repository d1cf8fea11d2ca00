"""Sound in memory, and the sound files that hold it."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from vqcodec.errors import MediaError
from vqcodec.files.atomic import writing
from vqcodec.media.resample import Resampler, resampled_length
from vqcodec.media.soundfiles import SoundWriter, open_sound
from vqcodec.media.soundformats import check_format, check_suffix

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

MAX_IN_MEMORY = 1 << 28  # samples of an `Audio`: 1 GiB; files are read block by block


@dataclass(frozen=True)
class Audio:
    """Sound.

    Attributes:
        samples: (channels, T) float32 in [-1, 1].
        sample_rate: in Hz.
        notes: what a user should know about how the file was read.
    """

    samples: "Samples"
    sample_rate: int
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        """Raise MediaError unless this is sound that can be coded."""
        if self.samples.ndim != 2 or self.samples.dtype != "float32" or not self.samples.size:
            raise MediaError("samples must be float32 of shape (channels, T), not empty")
        check_format(len(self.samples), self.sample_rate, "the sound")

    @property
    def size(self) -> tuple[int, int]:
        """Channels and samples of each."""
        return self.samples.shape[0], self.samples.shape[1]

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.samples.shape[1] / self.sample_rate

    @classmethod
    def open(cls, file: str | Path | BinaryIO, name: str | None = None) -> "Audio":
        """Read all of a sound file: WAV, FLAC, OGG, Opus, MP3 and whatever else libsndfile opens.

        Args:
            file: a path or a binary file object; WAV need not be seekable.
            name: what messages call it; the path by default.

        Raises:
            MediaError: it is no sound, empty, damaged, or of more than `MAX_IN_MEMORY` samples.
        """
        import numpy as np

        with open_sound(file, name) as sound:
            blocks, total = [], 0
            for block in sound.blocks():
                total += block.size
                if total > MAX_IN_MEMORY:
                    raise MediaError(f"{sound.name}: too long to be held in memory at once")
                blocks.append(block)
            return cls(np.concatenate(blocks, axis=1), sound.sample_rate, sound.notes)

    @classmethod
    def of(cls, source: "Audio | str | Path") -> "Audio":
        """Return what is sound already, or a file as sound.

        Raises:
            TypeError: it is nothing of the kind; an array alone does not tell its rate.
            MediaError: see `open`.
        """
        if isinstance(source, Audio):
            return source
        if isinstance(source, str | Path):
            return cls.open(source)
        raise TypeError(
            "sound must be a path, or vqcodec.Audio(samples, sample_rate) of samples (channels, T) "
            f"float32 in [-1, 1]; this is {type(source).__name__}"
        )

    @classmethod
    def from_tensor(cls, tensor: "torch.Tensor", sample_rate: int) -> "Audio":
        """Return the sound in a tensor as torchaudio has them.

        As in files, what is no number is taken as silence, and what lies beyond [-1, 1] is clipped.

        Args:
            tensor: (channels, T), of any floating type and on any device; it is copied.
            sample_rate: in Hz.

        Raises:
            MediaError: it has another shape or type, is empty, or nobody's sound has such a rate.
        """
        import numpy as np

        if not tensor.is_floating_point():
            raise MediaError(f"a tensor of {tensor.dtype} is no sound; it must be in [-1, 1]")
        samples = tensor.detach().cpu().float().numpy()
        samples = np.clip(np.where(np.isnan(samples), np.float32(0), samples), -1, 1)
        return cls(samples, sample_rate)

    def to_tensor(self) -> "torch.Tensor":
        """Return a copy of the samples as a tensor, (channels, T) float32, as torchaudio has them.

        torchaudio itself (the extra ``torchaudio``) is for those who go on with it: its resampling
        and its mel spectrograms run on a GPU, inside a model or a training loop. Nothing here needs
        it; reading files, for one, it has left to others since version 2.9, and its build on PyPI
        does not import beside a torch that is built for CPUs only.
        """
        import torch

        return torch.from_numpy(self.samples.copy())

    def save(self, path: str | Path, *, force: bool = False) -> None:
        """Write the sound in the format that the suffix of `path` names; WAV and FLAC in 16 bits.

        Raises:
            UsageError: unknown suffix.
            MediaError: the format cannot hold the sound.
            OutputError: `path` exists and `force` is not given, or cannot be written.
        """
        suffix = check_suffix(Path(path).suffix, str(path))
        with writing(Path(path), force=force) as file:
            channels, frames = self.size
            with SoundWriter(file, suffix, channels, self.sample_rate, str(path), frames) as writer:
                writer.write(self.samples)

    def mix(self) -> "Audio":
        """Return the mean of all channels as one."""
        return replace(self, samples=self.samples.mean(axis=0, keepdims=True))

    def resample(self, sample_rate: int) -> "Audio":
        """Return the sound at another rate, ``ceil(T * sample_rate / self.sample_rate)`` long."""
        import numpy as np

        resampler = Resampler(len(self.samples), self.sample_rate, sample_rate)
        length = resampled_length(self.samples.shape[1], self.sample_rate, sample_rate)
        parts = [resampler.feed(self.samples), resampler.finish(length)]
        return replace(self, samples=np.concatenate(parts, axis=1), sample_rate=sample_rate)

    def blocks(self, length: int) -> Iterator["Samples"]:
        """Yield the samples, (channels, up to `length`), in order."""
        for start in range(0, self.samples.shape[1], length):
            yield self.samples[:, start : start + length]
