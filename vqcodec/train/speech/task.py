"""Stage one on speech: encoder, codebook, conditioner and the fast decoder."""

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from vqcodec.config import check_range
from vqcodec.errors import UsageError
from vqcodec.modality import AUDIO
from vqcodec.models.nn.spectra import log_mel
from vqcodec.models.pretrained import read_state
from vqcodec.models.quantizers.base import Quantizer
from vqcodec.models.quantizers.residual import ResidualQuantizer
from vqcodec.models.terms import LossTerms
from vqcodec.models.vqvae import VQVAE, build, renamed
from vqcodec.train.config import split
from vqcodec.train.loop import Progress
from vqcodec.train.run import Ready, TrainingJob, claim, hold_out, train
from vqcodec.train.speech.crops import SoundCrops
from vqcodec.train.speech.data import Sounds, middles, read_recording
from vqcodec.train.speech.perturbation import Perturbation, voices_in
from vqcodec.train.tasks import Evaluation, Loss, Tensors, codes_in_use
from vqcodec.voice.frames import RATE
from vqcodec.weights import Weights, find_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.int16]

HELD_OUT_SECONDS = 3
MEASURED_AT_ONCE = 8
MEL_WINDOW, MEL_HOP, MEL_BANDS = 1024, 256, 80


@dataclass(frozen=True)
class SpeechData:
    """Settings of the data in a preset's ``train`` table.

    Attributes:
        crop_size: samples of a training crop, at 16 kHz; a multiple of the codec's stride.
        reference_size: samples of other speech of the same recording, for the conditioner.
        speed: crops are played up to this factor faster or slower, and so higher or lower: few
            recorded speakers become many.
        disguise: the encoder hears crops with their formants moved by up to this factor, so that
            codes tell less of who speaks; the decoder has to give them back as they were.
        likened: the share of these crops that also take on the sounds of another voice.
        frozen: parts of the model, by their tables in the preset, that stay as they start.
    """

    crop_size: int
    reference_size: int
    speed: float = 1.0
    disguise: float = 1.0
    likened: float = 0.0
    frozen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_range("crop_size", self.crop_size, 2048, 1 << 24)
        check_range("reference_size", self.reference_size, 2048, 1 << 24)
        check_range("speed", self.speed, 1, 2)
        check_range("disguise", self.disguise, 1, 2)
        check_range("likened", self.likened, 0, 1)


class SpeechVQVAE:
    """A VQ-VAE on speech.

    Args:
        model: the network to train.
        crops: training crops.
        held_out: (N, T) 16-bit samples to measure on.
    """

    def __init__(self, model: VQVAE, crops: SoundCrops, held_out: "Samples") -> None:
        self.model, self.crops, self.held_out = model, crops, held_out

    def batch(self, number: int) -> "dict[str, Samples]":
        """Return training batch `number`, int16; see `SoundCrops`."""
        return self.crops.batch(number)

    def loss(self, model: nn.Module, batch: Tensors) -> Loss:
        """Return the decoder's spectral distance and the terms of the quantizer."""
        terms: LossTerms = model(**{name: to_sound(samples) for name, samples in batch.items()})
        logged = {"reconstruction": terms.reconstruction, "quantizer": terms.quantizer}
        if terms.told is not None:
            logged["told"] = terms.told
        return Loss(terms.loss, logged, terms.indices, terms.latents)

    def quantizer(self) -> Quantizer:
        """Return the model's quantizer."""
        return self.model.quantizer

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> Evaluation:
        """Return mel distance (dB), STOI where pystoi is installed, perplexity and usage.

        Of several maps, the first two also of their prefixes.
        """
        import numpy as np

        assert isinstance(model, VQVAE)
        device = next(model.parameters()).device
        stoi = _stoi()
        histograms = tuple(np.zeros(size, np.int64) for size in model.quantizer.codebook_sizes)
        prefixes = range(1, len(histograms) + 1)
        distances: dict[int, list[float]] = {n: [] for n in prefixes}
        understood: dict[int, list[float]] = {n: [] for n in prefixes}
        picture, sounds = None, {}
        (stride,) = model.maps[0].stride
        held_out = self.held_out[:, : self.held_out.shape[1] // stride * stride]
        for start in range(0, len(held_out), MEASURED_AT_ONCE):
            x = to_sound(torch.from_numpy(held_out[start : start + MEASURED_AT_ONCE])).to(device)
            cond = None if model.conditioner is None else model.conditioner(x)
            indices = model.encode(x)
            for histogram, grid in zip(histograms, indices, strict=True):
                counts = np.bincount(grid.flatten().cpu().numpy(), minlength=len(histogram))
                histogram[:] += counts
            for number in prefixes:
                y = model.decode(indices[:number], cond)
                a, b = (log_mel(s[:, 0], RATE, MEL_WINDOW, MEL_HOP, MEL_BANDS) for s in (x, y))
                distances[number] += ((a - b).abs().mean((1, 2)) * (20 / math.log(10))).tolist()
                if stoi is not None:
                    pairs = zip(x[:, 0].cpu().numpy(), y[:, 0].cpu().numpy(), strict=True)
                    understood[number] += [float(stoi(r, d, RATE)) for r, d in pairs]
            if picture is None:
                picture = _picture(a[:4], b[:4])
                for name, rows in (("original", x), ("decoded", y)):
                    sounds[f"sound/{name}"] = rows[:4].flatten().float().cpu().numpy()
        figures = _by_prefix("mel_distance", distances) | _by_prefix("stoi", understood)
        return Evaluation(figures | codes_in_use(histograms), histograms, picture, sounds)


def to_sound(samples: torch.Tensor) -> torch.Tensor:
    """Return 16-bit samples, (B, T), as (B, 1, T) in [-1, 1]."""
    return samples.float().div(32768)[:, None]


def _by_prefix(name: str, values: dict[int, list[float]]) -> dict[str, float]:
    """Return the mean of all maps under its name, and those of prefixes; none without values."""
    whole = len(values)
    names = {n: name if n == whole else f"{name}_of_first_{n}" for n in sorted(values)[::-1]}
    return {names[n]: sum(v) / len(v) for n, v in sorted(values.items())[::-1] if v}


def _stoi() -> "Callable[[NDArray[np.float32], NDArray[np.float32], int], float] | None":
    try:
        from pystoi import stoi
    except ImportError:
        return None
    return stoi


def _picture(a: torch.Tensor, b: torch.Tensor) -> "NDArray[np.uint8]":
    """Lay mel spectra, (N, bands, frames), of the originals over those of what was decoded."""
    import numpy as np

    rows = [torch.cat(list(s.flip(1)), 1).float().cpu().numpy() for s in (a, b)]
    grey = np.concatenate(rows)
    low, high = math.log(1e-4), math.log(0.3)
    grey = (255 * ((grey - low) / (high - low)).clip(0, 1)).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, 2)


def train_speech(job: TrainingJob, start_from: str | None = None) -> Progress:
    """Train a VQ-VAE on speech, or continue the run in the job's folder.

    Args, errors: those of `vqcodec.train.image.task.train_image`, for recordings.
    """
    settings, loop_config = split(job.config, SpeechData)
    torch.manual_seed(loop_config.seed)
    model = build(job.config.get("model", {}))
    sources, measured, passed = hold_out(job.data, job.held_out, read_recording, AUDIO)
    claim(job, start_from=start_from)
    sounds, test = Sounds(sources), Sounds(measured)
    taken = 0
    if start_from is not None:
        taken = _start_from(model, find_weights(start_from))
    for part in settings.frozen:
        if not isinstance(module := getattr(model, part, None), nn.Module):
            raise UsageError(f"train.frozen: the model has no part '{part}'")
        module.requires_grad_(False)
    disguise = None
    if settings.disguise > 1 or settings.likened:
        voices = voices_in(sounds, sources) if settings.likened else []
        disguise = Perturbation(sounds, settings.disguise, settings.likened, voices)
    crops = SoundCrops(
        sounds,
        loop_config.batch_size,
        settings.crop_size,
        settings.reference_size,
        loop_config.seed,
        settings.speed,
        disguise,
    )
    task = SpeechVQVAE(model, crops, middles(test, HELD_OUT_SECONDS * RATE))
    skipped = passed + sounds.skipped + test.skipped
    ready = Ready(task, len(sounds), len(test), skipped, "recordings")
    return train(job, loop_config, ready, taken=taken)


def _start_from(model: VQVAE, weights: Weights) -> int:
    """Give a model what it can take of trained weights: all, or the parts that are built alike.

    A codebook is of use only to the encoder that it was learned with. Of residual codebooks there
    may be more than the weights have: one alone is the first.

    Returns:
        How many codebooks are taken.

    Raises:
        UsageError: there is no such part.
    """
    state, own = renamed(read_state(weights)), model.state_dict()
    if isinstance(model.quantizer, ResidualQuantizer):
        state = {
            re.sub(r"^quantizer\.(?!books\.)", "quantizer.books.0.", k): v for k, v in state.items()
        }
    shapes = [{key: value.shape for key, value in values.items()} for values in (state, own)]
    parts = {key.split(".")[0] for key in own}
    alike = {
        part
        for part in parts
        if all(shapes[0].get(key) == shapes[1][key] for key in own if key.startswith(f"{part}."))
    }
    if "encoder" not in alike:
        alike.discard("quantizer")
    if not alike:
        raise UsageError(f"the weights '{weights.name}' are of another shape in every part")
    taken = {key: value for key, value in state.items() if key.split(".")[0] in alike}
    books = len(model.quantizer.codebooks) if "quantizer" in alike else 0
    if not books and "encoder" in alike and isinstance(model.quantizer, ResidualQuantizer):
        while all(shapes[0].get(k) == shapes[1][k] for k in _of_book(own, books)):
            taken |= {key: state[key] for key in _of_book(own, books)}
            books += 1
    model.load_state_dict(own | taken)
    return books


def _of_book(state: "Mapping[str, torch.Tensor]", number: int) -> list[str]:
    return [key for key in state if key.startswith(f"quantizer.books.{number}.")]
