"""Recordings to codes, encoded once and kept."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from accelerate import PartialState

from vqcodec.codec.speech import SpeechCodec
from vqcodec.errors import TrainingError
from vqcodec.files.atomic import writing
from vqcodec.media.audio import Audio
from vqcodec.modality import AUDIO
from vqcodec.train.run import TrainingJob, hold_out
from vqcodec.train.speech.data import Sounds, read_recording
from vqcodec.voice.frames import RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CACHE = "codes.npz"


@dataclass(frozen=True)
class CodedSpeech:
    """Recordings with their codes, one behind the other.

    Attributes:
        samples: (T,) int16 at 16 kHz, at the level that the codec brings sound to.
        indices: (codebooks, T / stride) uint16.
        vectors: (N, S) int8, a speaker vector of each recording.
        ends: (N,) in codes.
    """

    samples: "NDArray[np.int16]"
    indices: "NDArray[np.uint16]"
    vectors: "NDArray[np.int8]"
    ends: "NDArray[np.int64]"


def encode_sounds(
    codec: SpeechCodec, sounds: Sounds, report: Callable[[int], None] | None = None
) -> CodedSpeech:
    """Encode recordings as a user would; `report` is called with the number done."""
    import numpy as np

    samples, indices, vectors = [], [], []
    for number in range(len(sounds)):
        sound = sounds[number].astype(np.float32)[None] / np.float32(32768)
        codes = codec.encode(Audio(sound, RATE))
        gain = 10 ** (codes.audio.level / 20)
        cells = codes.grids[0].shape[1]
        padded = np.pad(sound[0] * gain, (0, cells * codec.stride - sound.shape[1]))
        samples.append(np.round(padded.clip(-1, 1) * 32767).astype(np.int16))
        indices.append(np.concatenate(codes.grids))  # of one channel each
        vectors.append(np.frombuffer(codes.audio.speaker, np.int8))
        if report:
            report(number + 1)
    ends = np.cumsum([i.shape[1] for i in indices])
    together = np.concatenate(indices, axis=1)
    return CodedSpeech(np.concatenate(samples), together, np.stack(vectors), ends)


def find_or_encode(
    codec: SpeechCodec, job: TrainingJob, *, samples: bool = True
) -> tuple[CodedSpeech, CodedSpeech, list[str]]:
    """Return the codes that a run's folder holds; where it holds none, encode and keep them.

    Args:
        codec: the encoder.
        job: whose data.
        samples: whether the samples are kept too.

    Returns:
        What to learn from, what to measure on, and a sentence for each file that was unreadable.
    """
    with PartialState().main_process_first():  # the others find what it has made
        kept = load_coded(job.folder)
        if kept is not None:
            return *kept, []
        sources, measured, passed = hold_out(job.data, job.held_out, read_recording, AUDIO)
        sounds, test = Sounds(sources), Sounds(measured)
        total, report, parts = len(sounds) + len(test), job.on_encode, []
        for part, before in ((sounds, 0), (test, len(sounds))):
            tell = (lambda n, b=before: report((b + n) / total)) if report else None
            coded = encode_sounds(codec, part, tell)
            parts.append(coded if samples else replace(coded, samples=coded.samples[:0]))
        save_coded(job.folder, *parts)
    return parts[0], parts[1], passed + sounds.skipped + test.skipped


def save_coded(folder: Path, train: CodedSpeech, held_out: CodedSpeech) -> None:
    """Keep codes in the folder of a run."""
    import numpy as np

    arrays = {f"train_{k}": v for k, v in vars(train).items()}
    arrays |= {f"held_out_{k}": v for k, v in vars(held_out).items()}
    with writing(folder / CACHE, force=True) as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_coded(folder: Path) -> tuple[CodedSpeech, CodedSpeech] | None:
    """Return the codes to learn from, and to measure on, that a run's folder holds, if it does.

    Raises:
        TrainingError: the file is damaged.
    """
    import numpy as np

    try:
        with np.load(folder / CACHE) as arrays:
            names = CodedSpeech.__dataclass_fields__
            found = [
                CodedSpeech(**{n: arrays[f"{part}_{n}"] for n in names})
                for part in ("train", "held_out")
            ]
            # older ones are of one codebook, and say so by their shape
            train, test = (replace(f, indices=np.atleast_2d(f.indices)) for f in found)
            return train, test
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        raise TrainingError(f"{folder / CACHE}: is damaged; remove it to encode again") from None


class CodedCrops:
    """Random crops of recordings, a pure function of (seed, number)."""

    def __init__(self, coded: CodedSpeech, cells: int, batch_size: int, seed: int) -> None:
        """Cut crops of so many codes.

        Raises:
            TrainingError: no recording is that long.
        """
        import numpy as np

        self.coded, self.cells, self.batch_size, self.seed = coded, cells, batch_size, seed
        room = np.maximum(0, np.diff(coded.ends, prepend=0) - cells + 1)
        if not room.any():
            raise TrainingError(f"every recording is shorter than a crop of {cells} codes")
        self._share = room / room.sum()

    def batch(self, number: int) -> list[tuple[int, int]]:
        """Return the recording of each crop, and where in `coded` the crop starts."""
        import numpy as np

        rng = np.random.default_rng([self.seed, number])
        found = []
        for which in rng.choice(len(self._share), self.batch_size, p=self._share).tolist():
            first = int(self.coded.ends[which - 1]) if which else 0
            last = int(self.coded.ends[which]) - self.cells
            found.append((which, int(rng.integers(first, last + 1))))
        return found
