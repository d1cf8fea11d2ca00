"""Stage two of speech: a decoder on the frozen codes of a finished codec."""

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from vqcodec.codec.speech import SpeechCodec
from vqcodec.config import Tree
from vqcodec.errors import UsageError
from vqcodec.files.contents import SPEAKER_STEPS
from vqcodec.models.decoders.base import Decoder, Density
from vqcodec.models.vqvae import build_decoder
from vqcodec.train.config import split
from vqcodec.train.loop import Progress
from vqcodec.train.run import Ready, TrainingJob, claim, train
from vqcodec.train.speech.codes import CodedCrops, CodedSpeech, find_or_encode
from vqcodec.train.speech.task import SpeechData, to_sound
from vqcodec.train.tasks import Evaluation, Loss, Tensors, maps_of, named_maps

if TYPE_CHECKING:
    from numpy.typing import NDArray

HELD_OUT_CELLS = 500  # codes of a held-out recording that are measured, from its start: 2 s at 64x


class DecoderLoss(nn.Module):
    """What is trained: the decoder's parameters, called for its loss."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(
        self, x: torch.Tensor, z_q: torch.Tensor, cond: torch.Tensor | None
    ) -> torch.Tensor:
        """Return `Decoder.loss`."""
        return self.decoder.loss(x, z_q, cond)


class SpeechDecoding:
    """A decoder of frozen codes.

    Args:
        model: the decoder to train.
        codec: whose codes they are.
        train: recordings to learn from.
        held_out: recordings to measure on.
        batch_size: crops per batch.
        crop_size: samples of a crop.
        seed: of the choice of crops.
    """

    def __init__(
        self,
        model: Decoder,
        codec: SpeechCodec,
        train: CodedSpeech,
        held_out: CodedSpeech,
        batch_size: int,
        crop_size: int,
        seed: int,
    ) -> None:
        self.model, self.train, self.held_out = DecoderLoss(model), train, held_out
        self.stride, self.cells = codec.stride, crop_size // codec.stride
        self._quantizer = codec.model.quantizer
        self.crops = CodedCrops(train, self.cells, batch_size, seed)

    def batch(self, number: int) -> "dict[str, NDArray[Any]]":
        """Return training batch `number`: samples, their indices, and who speaks, if that is told.

        Shapes are (B, cells * stride), (B, cells) and (B, S).
        """
        return self._cut(self.train, self.crops.batch(number), self.cells)

    def _cut(
        self, coded: CodedSpeech, places: list[tuple[int, int]], cells: int
    ) -> "dict[str, NDArray[Any]]":
        """Return what lies in so many cells of recordings, from (recording, first cell) on."""
        import numpy as np

        samples = [coded.samples[n * self.stride : (n + cells) * self.stride] for _, n in places]
        indices = np.stack([coded.indices[:, n : n + cells] for _, n in places], axis=1)
        batch: dict[str, NDArray[Any]] = {"x": np.stack(samples), **named_maps(list(indices))}
        cond = coded.vectors[[which for which, _ in places]].astype(np.float32)
        return {**batch, "cond": cond / np.float32(SPEAKER_STEPS)} if cond.size else batch

    def _inputs(self, batch: Tensors) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Return x (B, 1, T), z_q (B, D, N) and cond (B, S) of a batch."""
        x = to_sound(batch["x"])
        self._quantizer.to(x.device)
        return x, self._quantizer.lookup(maps_of(batch)), batch.get("cond")

    def loss(self, model: nn.Module, batch: Tensors) -> Loss:
        """Return the decoder's own loss."""
        total = model(*self._inputs(batch))
        return Loss(total, {"reconstruction": total.detach()})

    def quantizer(self) -> None:
        """Return None: the codes are frozen."""
        return

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> Evaluation:
        """Return bits per sample of a density, and the loss of any decoder."""
        import numpy as np

        assert isinstance(model, DecoderLoss)
        decoder = model.decoder
        device = next(model.parameters()).device
        lengths = np.diff(self.held_out.ends, prepend=0)
        total, samples = 0.0, 0
        for which, (end, length) in enumerate(zip(self.held_out.ends, lengths, strict=True)):
            cells = min(HELD_OUT_CELLS, int(length))
            cut = self._cut(self.held_out, [(which, int(end - length))], cells)
            x, z_q, cond = self._inputs(
                {name: torch.from_numpy(array).to(device) for name, array in cut.items()}
            )
            if isinstance(decoder, Density):
                total -= float(decoder.log_prob(x, z_q, cond)) / math.log(2)
            else:
                total += float(decoder.loss(x, z_q, cond)) * x.numel()
            samples += x.numel()
        name = "bits_per_sample" if isinstance(decoder, Density) else "loss"
        return Evaluation({name: total / samples})


def train_decoder(job: TrainingJob, codec_name: str) -> Progress:
    """Train a decoder on the codes of recordings, or continue the run in the job's folder.

    Recordings are encoded once; their codes are kept in the folder.

    Args, errors: those of `vqcodec.train.priors.train_prior`, for recordings.
    """
    settings, loop_config = split(job.config, SpeechData)
    codec = SpeechCodec.load(codec_name, job.device)
    table = job.config.get("decoder")
    if not isinstance(table, dict):
        raise UsageError("the preset lacks the table 'decoder'")
    torch.manual_seed(loop_config.seed)
    model = build_decoder(table)
    check_decoder(table, codec)
    _start_from(model, codec)
    claim(job, codec=codec.weights.name, codebook_id=codec.weights.codebook_id.hex())
    coded, test, skipped = find_or_encode(codec, job)
    task = SpeechDecoding(
        model, codec, coded, test, loop_config.batch_size, settings.crop_size, loop_config.seed
    )
    ready = Ready(task, len(coded.ends), len(test.ends), skipped, "recordings")
    return train(job, loop_config, ready)


def check_decoder(table: Tree, codec: SpeechCodec) -> None:
    """Raise UsageError unless a ``decoder`` table fits the codes of `codec`."""
    model = codec.weights.config["model"]
    wanted = {
        "dim": model["quantizer"]["dim"],
        "stride": codec.stride,
        "cond_dim": codec.model.conditioner.dim if codec.model.conditioner is not None else 0,
    }
    for key, value in wanted.items():
        if table.get(key) != value:
            raise UsageError(f"decoder.{key} must be {value} for the codes of this codec")


def _start_from(decoder: Decoder, codec: SpeechCodec) -> None:
    """Begin with what the codec's fast decoder has learned of the codes, where sizes agree."""
    conditioning = getattr(decoder, "conditioning", None)
    if conditioning is None:
        return
    own, learned = conditioning.state_dict(), codec.model.decoder.state_dict()
    fitting = {k: v for k, v in learned.items() if k in own and own[k].shape == v.shape}
    conditioning.load_state_dict(own | fitting)
