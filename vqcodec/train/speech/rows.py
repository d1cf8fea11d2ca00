"""The codes of recordings that a prior learns from: rows of any length."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from vqcodec.codec.speech import SpeechCodec
from vqcodec.config import check_range
from vqcodec.models.priors.base import Prior
from vqcodec.train.config import split
from vqcodec.train.priortask import PriorTask
from vqcodec.train.run import Ready, TrainingJob
from vqcodec.train.speech.codes import CodedCrops, CodedSpeech, find_or_encode
from vqcodec.train.tasks import Evaluation, each_map, named_maps
from vqcodec.voice.frames import RATE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 4096  # codes that are measured together, as in files


@dataclass(frozen=True)
class RowData:
    """Settings of the data in a preset's ``train`` table.

    Attributes:
        crop_size: codes of a training crop; shorter recordings are left out.
    """

    crop_size: int

    def __post_init__(self) -> None:
        check_range("crop_size", self.crop_size, 16, BLOCK)


class PriorOverRows(PriorTask):
    """A prior on rows of codes.

    Args:
        model: the prior to train.
        train: recordings to learn from.
        held_out: recordings to measure on, whole.
        rate: codes a second.
        cells: of a crop.
        batch_size: crops per batch.
        seed: of the choice of crops.
    """

    def __init__(
        self,
        model: Prior,
        train: CodedSpeech,
        held_out: CodedSpeech,
        rate: float,
        cells: int,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__(model)
        self.train, self.held_out, self.rate = train, held_out, rate
        self.crops = CodedCrops(train, cells, batch_size, seed)

    def batch(self, number: int) -> "dict[str, NDArray[np.uint16]]":
        """Return training batch `number`: maps of one row, (B, 1, n) each."""
        import numpy as np

        starts = [start for _, start in self.crops.batch(number)]
        cuts = [self.train.indices[:, start : start + self.crops.cells] for start in starts]
        return named_maps(list(np.stack(cuts, axis=1)[:, :, None]))

    @torch.inference_mode()
    def evaluate(self, model: nn.Module) -> Evaluation:
        """Return bits per index and per second, in blocks as files have them.

        Of several maps each has bits per index of its own.
        """
        import numpy as np

        assert isinstance(model, Prior)
        device = next(model.parameters()).device
        priors = model.each()
        maps, cells = self.held_out.indices.shape
        nats = [0.0] * len(priors)  # a prior that is no product is of all maps
        for rows in np.split(self.held_out.indices, self.held_out.ends[:-1], axis=1):
            for start in range(0, rows.shape[1], BLOCK):
                block = torch.from_numpy(rows[:, start : start + BLOCK].astype(np.int64)).to(device)
                known = tuple(block[:, None, None])
                for i, prior in enumerate(priors):
                    given = known if len(priors) == 1 else known[i - prior.told : i + 1]
                    nats[i] -= float(prior.log_prob(given))
        bits = [n / cells / math.log(2) for n in nats]
        figures = {"bits_per_index": sum(bits) / maps, "bits_per_second": sum(bits) * self.rate}
        if len(bits) > 1:
            figures |= each_map("bits_per_index", bits)
        return Evaluation(figures)


def prepare(model: Prior, codec: SpeechCodec, job: TrainingJob) -> Ready:
    """Return the task of training a prior on codes of speech; see `train.image.codes.prepare`."""
    settings, loop_config = split(job.config, RowData)
    train, test, skipped = find_or_encode(codec, job, samples=False)
    rate = RATE / codec.stride
    sizes = settings.crop_size, loop_config.batch_size, loop_config.seed
    task = PriorOverRows(model, train, test, rate, *sizes)
    return Ready(task, len(train.ends), len(test.ends), skipped, "recordings")
