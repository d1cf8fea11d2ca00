"""TensorBoard and a plain JSON-lines log."""

import json
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from vqcodec.train.tasks import Evaluation
from vqcodec.voice.frames import RATE

EVENTS = "tensorboard"


class Log:
    """Writes figures, the code histogram, pictures and sounds of a run.

    Args:
        folder: the run's; events go to its ``tensorboard`` folder, figures to ``log.jsonl``.
        step: where the run continues; events of later steps, of a run that was killed, are hidden.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._writer = SummaryWriter(str(folder / EVENTS), purge_step=step)
        self._path = folder / "log.jsonl"

    def write(
        self, step: int, seconds: float, figures: dict[str, float], evaluation: Evaluation
    ) -> None:
        """Log what was measured after `step` steps and `seconds` of training."""
        import numpy as np

        for name, value in figures.items():
            self._writer.add_scalar(name, value, step)
        for number, histogram in enumerate(evaluation.histograms):
            codes = "codes" if len(evaluation.histograms) == 1 else f"codes_{number}"
            share = histogram / histogram.sum()
            used = np.repeat(np.arange(len(share)), histogram)
            self._writer.add_histogram(f"{codes}/index", used, step)
            self._writer.add_histogram(f"{codes}/share", share, step)
        if evaluation.picture is not None:
            self._writer.add_image("held_out", evaluation.picture, step, dataformats="HWC")
        for name, samples in evaluation.sounds.items():
            self._writer.add_audio(name, samples, step, RATE)
        rounded = {k: round(v, 5) for k, v in figures.items()}
        line = {"step": step, "seconds": round(seconds, 1), **rounded}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        """Flush and close the files."""
        self._writer.close()
