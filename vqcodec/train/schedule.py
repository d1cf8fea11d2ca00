"""Optimizers, learning rates and averaging, by the settings."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from vqcodec.train.config import Config
from vqcodec.train.muon import Muon, split_parameters


def optimizers(model: nn.Module, config: Config) -> list[torch.optim.Optimizer]:
    """Return AdamW, and Muon where it is asked for, each group with its peak rate as `peak`."""
    matrices, rest = split_parameters(model)
    if config.optimizer == "adamw":
        matrices, rest = [], list(model.parameters())
    apart = []
    if config.prior_learning_rate:
        apart = [p for name, p in model.named_parameters() if name.startswith("prior.")]
        own = set(apart)
        matrices, rest = ([p for p in part if p not in own] for part in (matrices, rest))
    adamw = torch.optim.AdamW(
        rest, lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=config.weight_decay
    )
    if apart:
        rate = config.prior_learning_rate
        adamw.add_param_group({"params": apart, "lr": rate, "weight_decay": 0.0})
    optimizers: list[torch.optim.Optimizer] = [adamw]
    if matrices:
        muon = Muon(matrices, lr=config.muon_learning_rate, weight_decay=config.weight_decay)
        optimizers.append(muon)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


def averaging(decay: float) -> Callable[[torch.Tensor, torch.Tensor, Any], torch.Tensor]:
    """Return a moving average that is short at first: of a tenth of the steps so far.

    Integers, such as where a kernel's taps lie, are taken as they are.
    """

    def average(
        averaged: torch.Tensor, current: torch.Tensor, number: torch.Tensor | int
    ) -> torch.Tensor:
        if not averaged.is_floating_point():
            return current
        n = float(number)
        return averaged.lerp(current, 1 - min(decay, (1 + n) / (10 + n)))

    return average


def learning_rate(done: float, step: int, config: Config) -> float:
    """Return the learning rate as a fraction of its peak: linear warm-up, then a cosine."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    factor = config.final_rate + (1 - config.final_rate) * cosine
    return factor * min(1.0, (step + 1) / (config.warmup_steps + 1))
