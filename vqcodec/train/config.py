"""Settings of the training loop."""

from dataclasses import dataclass, fields
from typing import TypeVar

from vqcodec.config import Tree, check_range, parse

Data = TypeVar("Data")


@dataclass(frozen=True)
class Config:
    """Settings of the loop; the ``train`` table of a preset also holds those of the data.

    Attributes:
        steps: optimizer steps of the whole schedule.
        batch_size: samples per step and process.
        accumulation: batches per optimizer step.
        optimizer: ``muon`` (inner matrices; the rest AdamW) or ``adamw``.
        learning_rate: AdamW's peak.
        muon_learning_rate: Muon's peak.
        prior_learning_rate: AdamW's peak for all of a prior that learns along; 0 for what the rest
            of the model has.
        weight_decay: decoupled, for both; none of such a prior.
        warmup_steps: steps of linear warm-up.
        final_rate: the cosine schedule ends at this fraction of the peak; 1 for no schedule.
        ema_decay: of the averaged weights that are evaluated and exported; 0 for none.
        precision: ``fp32``, ``bf16``, or ``auto``: bf16 where the hardware multiplies it.
        restart_every: steps between looks for dead codes; none in the last fifth of the schedule,
            so that the average forgets them.
        evaluate_every: steps between evaluations and checkpoints.
        seed: of the weights, the crops and the restarts.
    """

    steps: int
    batch_size: int
    accumulation: int
    optimizer: str
    learning_rate: float
    muon_learning_rate: float
    weight_decay: float
    warmup_steps: int
    final_rate: float
    ema_decay: float
    precision: str
    restart_every: int
    evaluate_every: int
    seed: int
    prior_learning_rate: float = 0.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulation", "restart_every", "evaluate_every"):
            check_range(name, getattr(self, name), 1, 10**9)
        check_range("learning_rate", self.learning_rate, 0, 10)
        check_range("muon_learning_rate", self.muon_learning_rate, 0, 10)
        check_range("prior_learning_rate", self.prior_learning_rate, 0, 10)
        check_range("weight_decay", self.weight_decay, 0, 10)
        check_range("warmup_steps", self.warmup_steps, 0, 10**9)
        check_range("final_rate", self.final_rate, 0, 1)
        check_range("ema_decay", self.ema_decay, 0, 0.999999)
        check_range("seed", self.seed, 0, 2**31)
        if self.optimizer not in ("muon", "adamw"):
            raise ValueError("optimizer must be muon or adamw")
        if self.precision not in ("auto", "fp32", "bf16"):
            raise ValueError("precision must be auto, fp32 or bf16")


def split(config: Tree, data: type[Data]) -> tuple[Data, Config]:
    """Return the settings of the data and of the loop, which share the table ``train``."""
    table = config.get("train", {})
    keys = {f.name for f in fields(data)}  # type: ignore[arg-type]
    own = parse(data, {k: v for k, v in table.items() if k in keys}, "train")
    return own, parse(Config, {k: v for k, v in table.items() if k not in keys}, "train")
