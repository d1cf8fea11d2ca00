"""The training loop: the only one, for every task.

Batches are a pure function of their number and codes are restarted by a seed of the step, so a run
continued from a checkpoint sees what it would have seen. A checkpoint is written beside the old
one and renamed, so that killing the run at any moment leaves a whole one.
"""

import contextlib
import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, ProjectConfiguration, broadcast
from safetensors.torch import save_file
from torch.optim.swa_utils import AveragedModel

from vqcodec.errors import TrainingError
from vqcodec.metrics.basic import perplexity
from vqcodec.train.config import Config
from vqcodec.train.image.data import Prefetcher
from vqcodec.train.log import Log
from vqcodec.train.schedule import averaging, learning_rate, optimizers
from vqcodec.train.tasks import Loss, Task, Tensors, each_map

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CHECKPOINT = "checkpoint"
AVERAGE = "average.safetensors"  # in it: the weights to export
FIRST_BATCHES = 64  # that codebooks are set from, at most
COLLAPSED = 100  # a codebook is collapsed when its perplexity is below what it could be over this


@dataclass
class Progress:
    """Where a run stands; saved with every checkpoint."""

    step: int = 0
    seconds: float = 0.0
    started: bool = False  # whether the codebook has been set from data
    collapsed: int = 0
    measured: int = 0  # evaluations since it began or was continued
    figures: dict[str, float] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what a checkpoint held."""
        vars(self).update(state)


class Loop:
    """Trains one task in one folder.

    Args:
        task: what to train.
        config: settings.
        folder: where checkpoints and logs go.
        bf16: whether to multiply in bfloat16.
        cpu: whether to leave a CUDA device alone.
        minutes: stop after this much training time, the schedule stretched or shortened to it;
            None to do `config.steps`.
        taken: how many codebooks, coarse to fine, are set already; k-means finds the others.
    """

    def __init__(
        self,
        task: Task,
        config: Config,
        folder: Path,
        *,
        bf16: bool,
        cpu: bool = False,
        minutes: float | None = None,
        taken: int = 0,
    ) -> None:
        self.task, self.config, self.folder, self.minutes = task, config, folder, minutes
        self.taken = taken
        AcceleratorState._reset_state()  # or a second loop could not choose its own precision
        self.accelerator = Accelerator(
            cpu=cpu or not torch.cuda.is_available(),
            mixed_precision="bf16" if bf16 else "no",
            gradient_accumulation_steps=config.accumulation,
            project_config=ProjectConfiguration(project_dir=str(folder)),
            # Codebooks agree because their statistics are summed, not because one is copied.
            kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
        )
        task.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model, *self.optimizers = self.accelerator.prepare(
            task.model, *optimizers(task.model, config)
        )
        self.average = None
        if config.ema_decay:
            # codebooks are averaged too (buffers), so that they fit the averaged encoder
            average = averaging(config.ema_decay)
            self.average = AveragedModel(task.model, avg_fn=average, use_buffers=True)
        _recover(folder)
        self.accelerator.wait_for_everyone()
        self.progress = Progress()
        self.accelerator.register_for_checkpointing(self.progress)
        if self.average is not None:
            self.accelerator.register_for_checkpointing(self.average)

    def run(
        self,
        on_step: Callable[[Progress, float], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Progress:
        """Train to the end of the schedule, from the last checkpoint if there is one.

        Args:
            on_step: called after each step with the progress and the fraction done.
            stop: asked after each step whether to keep what there is, and end; of one process.

        Raises:
            TrainingError: the loss is no longer finite, or the codebook has collapsed.
        """
        if (self.folder / CHECKPOINT).is_dir():
            self.accelerator.load_state(str(self.folder / CHECKPOINT))
            self.progress.measured = 0
        log = Log(self.folder, self.progress.step) if self.accelerator.is_main_process else None
        batches = Prefetcher(self._batch, self.progress.step * self.config.accumulation)
        try:
            if not self.progress.started:
                self._start()
            self._steps(batches, log, on_step, stop)
        finally:
            batches.close()
            if log:
                log.close()
        return self.progress

    def _steps(
        self,
        batches: Prefetcher[Tensors],
        log: Log | None,
        on_step: Callable[[Progress, float], None] | None,
        stop: Callable[[], bool] | None,
    ) -> None:
        progress, config = self.progress, self.config
        usage = Usage(self.task)
        before = time.monotonic() - progress.seconds
        while (done := self._done()) < 1:
            rate = learning_rate(done, progress.step, config)
            loss = self._step(batches, rate)
            progress.step += 1
            usage.add(loss.indices)
            if progress.step % config.restart_every == 0 and done < 0.8:
                self._restart(loss.latents)
            progress.seconds = time.monotonic() - before
            due = progress.step % config.evaluate_every == 0 or self._done() >= 1
            if due:
                self._report(loss, rate, usage, log)
                usage = Usage(self.task)
                progress.seconds = time.monotonic() - before
                self._save()
            elif progress.step % 50 == 0:
                self._check(loss)
            if on_step:
                on_step(progress, done)
            if stop and stop():
                if not due:
                    self._check(loss)
                    self._save()  # now, for whoever asked may not wait for the figures
                    self._report(loss, rate, usage, log)
                    self._save()
                break

    def _done(self) -> float:
        """Return the fraction of the schedule that has passed, agreed on by all processes."""
        if self.minutes is None:
            return self.progress.step / self.config.steps
        done = torch.tensor(self.progress.seconds / (60 * self.minutes))
        return float(broadcast(done.to(self.accelerator.device)))

    def _batch(self, number: int) -> Tensors:
        """Return batch `number` of this process."""
        a = self.accelerator
        batch = self.task.batch(number * a.num_processes + a.process_index)
        return {name: torch.from_numpy(array) for name, array in batch.items()}

    def _moved(self, batch: Tensors) -> Tensors:
        return {name: tensor.to(self.accelerator.device) for name, tensor in batch.items()}

    def _step(self, batches: Prefetcher[Tensors], rate: float) -> Loss:
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * rate
        for _ in range(self.config.accumulation):
            with self.accelerator.accumulate(self.model):
                batch = self._moved(batches.get())
                with self.accelerator.autocast():
                    loss = self.task.loss(self.model, batch)
                self.accelerator.backward(loss.total)
                if self.accelerator.sync_gradients:
                    self.accelerator.clip_grad_norm_(self.model.parameters(), 1.0)
                for optimizer in self.optimizers:
                    optimizer.step()
                    optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.task.model)
        return loss

    @torch.no_grad()
    def _start(self) -> None:
        """Set each codebook that is not, from the first batches of all processes."""
        quantizer = self.task.quantizer()
        if quantizer is not None:
            self.task.model.eval()
            each = 256 if self.taken else 16  # latents; beside some that are set, these may stay
            for level, book in enumerate(quantizer.codebooks[self.taken :], self.taken):
                latents = self._first_latents(level, each * len(book.codebook))
                book.initialize(latents, self.config.seed)
            self.task.model.train()
        if self.average is not None:
            self.average.module.load_state_dict(self.task.model.state_dict())
        self.progress.started = True

    def _first_latents(self, level: int, wanted: int) -> torch.Tensor:
        """Return so many latents of a map, as codebooks now make them, (N, D).

        At least, but of `FIRST_BATCHES` at most: where a picture has a single code they are fewer.
        """
        found: list[torch.Tensor] = []
        while sum(map(len, found)) < wanted and len(found) < FIRST_BATCHES:
            batch = self._moved(self._batch(len(found)))
            latents = self.task.loss(self.task.model, batch).latents[level]
            found.append(self.accelerator.gather(latents))
        return torch.cat(found)

    def _restart(self, latents: tuple[torch.Tensor, ...]) -> None:
        quantizer = self.task.quantizer()
        if quantizer is not None:
            for book, own in zip(quantizer.codebooks, latents, strict=True):
                book.restart(self.accelerator.gather(own), self.config.seed + self.progress.step)

    def _check(self, loss: Loss) -> None:
        if not math.isfinite(loss.total.item()):
            kept = "the last checkpoint is kept" if self.progress.figures else "nothing was saved"
            raise TrainingError(
                f"{self.folder}: the loss is {loss.total.item()} at step {self.progress.step}; "
                f"{kept}; try a lower learning rate"
            )

    def _report(self, loss: Loss, rate: float, usage: "Usage", log: Log | None) -> None:
        """Evaluate, look after the codebook's health, and log."""
        self._check(loss)
        counts = usage.counts(self.accelerator)
        used = [perplexity(own) for own in counts]
        progress = self.progress
        if log is None:
            return
        model = self.average.module if self.average is not None else self.task.model
        was_training = model.training
        model.eval()
        evaluation = self.task.evaluate(model)
        model.train(was_training)
        progress.figures = evaluation.figures
        progress.measured += 1
        figures = {f"train/{k}": v.item() for k, v in loss.terms.items()}
        figures |= {f"held_out/{k}": v for k, v in evaluation.figures.items()}
        figures["train/loss"] = loss.total.item()
        figures["train/learning_rate_factor"] = rate
        figures |= each_map("train/perplexity", used)
        log.write(progress.step, progress.seconds, figures, evaluation)
        # few indices cannot be of many codes
        most = [min(len(own), own.sum()) for own in counts]
        low = [u for u, n in zip(used, most, strict=True) if u < max(1.5, n / COLLAPSED)]
        progress.collapsed = progress.collapsed + 1 if low else 0
        if progress.collapsed >= 3:
            raise TrainingError(
                f"{self.folder}: the codebook has collapsed (perplexity {min(low):.1f} at step "
                f"{progress.step}); try update = ema, restart_every = 20, or a lower learning rate"
            )

    def _save(self) -> None:
        """Replace the checkpoint by the present state."""
        fresh, old = self.folder / f"{CHECKPOINT}.new", self.folder / f"{CHECKPOINT}.old"
        main = self.accelerator.is_main_process
        if main and fresh.exists():
            shutil.rmtree(fresh)
        self.accelerator.wait_for_everyone()
        self.accelerator.save_state(str(fresh))
        self.accelerator.wait_for_everyone()
        if main:
            model = self.average.module if self.average is not None else self.task.model
            state = {
                "step": self.progress.step,
                "seconds": self.progress.seconds,
                "figures": self.progress.figures,
                "device": self._describe_device(),
            }
            (fresh / "progress.json").write_text(json.dumps(state))
            state_dict = {k: v.detach().contiguous() for k, v in model.state_dict().items()}
            save_file(state_dict, fresh / AVERAGE)
            if (self.folder / CHECKPOINT).exists():
                (self.folder / CHECKPOINT).rename(old)
            fresh.rename(self.folder / CHECKPOINT)
            shutil.rmtree(old, ignore_errors=True)
        self.accelerator.wait_for_everyone()

    def _describe_device(self) -> str:
        if self.accelerator.device.type == "cuda":
            return torch.cuda.get_device_name(self.accelerator.device)
        return f"{torch.get_num_threads()} CPU threads ({torch.backends.cpu.get_cpu_capability()})"


def _recover(folder: Path) -> None:
    """Put back the old checkpoint if the run was killed between the two renames of `_save`."""
    with contextlib.suppress(OSError):  # another process may be first
        if not (folder / CHECKPOINT).exists():
            (folder / f"{CHECKPOINT}.old").rename(folder / CHECKPOINT)


class Usage:
    """Counts codes between reports, so that perplexity is that of many batches, not of one.

    Attributes:
        sizes: K of each map, none where no codes are learned. Maps are counted apart, or a dead
            codebook could hide behind a live one.
    """

    def __init__(self, task: Task) -> None:
        quantizer = task.quantizer()
        self.sizes = () if quantizer is None else quantizer.codebook_sizes
        self._counts: list[torch.Tensor] = []  # nothing yet

    def add(self, indices: tuple[torch.Tensor, ...]) -> None:
        """Count the indices of each map."""
        pairs = zip(indices, self.sizes, strict=True)
        counts = [torch.bincount(i.flatten(), minlength=k) for i, k in pairs]
        before = self._counts or [torch.zeros_like(c) for c in counts]
        self._counts = [a + b for a, b in zip(before, counts, strict=True)]

    def counts(self, accelerator: Accelerator) -> "list[NDArray[np.int64]]":
        """Return how often each code of each map occurred, over all processes."""
        reduced = [accelerator.reduce(counts, "sum") for counts in self._counts]
        return [counts.cpu().numpy() for counts in reduced]
