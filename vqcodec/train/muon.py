"""Muon: momentum whose matrices are made orthogonal (Jordan et al. 2024, Moonshot 2502.16982).

PyTorch has one since 2.9, for 2-D parameters only and with its iteration fixed to bfloat16, which
is a hundred times slower than float32 on CPUs without bfloat16 units. This one takes convolution
kernels, as matrices (first axis x rest), and iterates in float32.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

# Coefficients of the quintic Newton-Schulz iteration, from Jordan's note: few rounds suffice
# because singular values need only come near one.
QUINTIC = (3.4445, -4.7750, 2.0315)
ROUNDS = 5


def orthogonalize(matrix: torch.Tensor) -> torch.Tensor:
    """Return a matrix with the singular vectors of `matrix`, (m, n), and singular values near one.

    The values land between about 0.7 and 1.2. Each round multiplies x by a polynomial of x x^T from
    the left; the rounds run on that small Gram matrix alone, and their product meets x once.
    """
    x = matrix.float()
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    a, b, c = QUINTIC
    gram = x @ x.T
    identity = torch.eye(len(gram), device=gram.device)
    product = identity
    for _ in range(ROUNDS):
        polynomial = a * identity + b * gram + c * gram @ gram
        product = polynomial @ product
        gram = polynomial @ gram @ polynomial
    x = product @ x
    return (x.T if tall else x).to(matrix.dtype)


class Muon(Optimizer):
    """Muon with decoupled weight decay, scaled so that learning rates are those of AdamW.

    An update has root-mean-square 0.2 x rate, as Moonshot's report proposes.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all parameters from their gradients."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def _update(self, parameter: torch.Tensor, group: dict[str, Any]) -> None:
        grad, state = parameter.grad, self.state[parameter]
        assert grad is not None
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].mul_(group["momentum"]).add_(grad)
        matrix = (grad + group["momentum"] * momentum).flatten(1)  # Nesterov's look ahead
        update = orthogonalize(matrix) * (0.2 * math.sqrt(max(matrix.shape)))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.sub_(update.view_as(parameter), alpha=group["lr"])


def split_parameters(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return (matrices for Muon, the rest for AdamW) of a model.

    Muon suits inner layers: kernels with at least 16 rows and columns. Layers at the pixels or
    with few channels, biases, scales and codebooks go to AdamW, and so does the last layer of a
    classifier, by its name `head`.
    """
    matrices: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            inner = parameter.ndim >= 3 or isinstance(module, nn.Linear)
            wide = parameter.ndim >= 2 and min(parameter.shape[:2]) >= 16
            hidden = inner and wide and name == "weight" and path.split(".")[-1] != "head"
            (matrices if hidden else rest).append(parameter)
    return matrices, rest
