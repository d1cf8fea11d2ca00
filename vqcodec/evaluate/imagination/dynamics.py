"""Inverse dynamics: a small network that tells from two frames which action lay between them.

What it gets right of imagined frames, beside true ones, tells whether imagination obeys.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE = 48  # pixels that frames are shrunk to
STEPS, BATCH = 1000, 64
RATE, DECAY = 2e-3, 0.05  # of AdamW, which falls to nothing
AT_ONCE = 256


class InverseDynamics:
    """Tells the action that led from one frame to the next.

    Args:
        actions: how many there are.
        width: channels of the first layer.
    """

    def __init__(self, actions: int, width: int = 24) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(
            nn.Conv2d(6, width, 5, 2, 2),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, 2, 1),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, 1, 1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d((2, 2)),
            nn.Flatten(),
            nn.Linear(8 * width, actions),
        )

    def learn(
        self,
        frames: "NDArray[np.uint8]",
        pairs: "NDArray[np.int64]",
        actions: "NDArray[np.int64]",
        steps: int | None = None,
        report: Callable[[float], None] | None = None,
    ) -> None:
        """Learn from true frames.

        Args:
            frames: (T, H, W, 3), shrunk by `shrunk`.
            pairs: (N,), the first of each two frames that follow one another.
            actions: (N,), what lies between them, from 0.
            steps: of training; `STEPS` by default.
            report: called with the fraction done.
        """
        optimizer = torch.optim.AdamW(self.network.parameters(), lr=RATE, weight_decay=DECAY)
        generator = torch.Generator().manual_seed(0)
        steps = STEPS if steps is None else steps
        told, first = torch.from_numpy(actions), torch.from_numpy(pairs)
        seen = torch.from_numpy(frames)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = RATE * min(1, (step + 1) / 50) * (1 - step / steps)
            some = torch.randint(len(first), (BATCH,), generator=generator)
            x = _paired(seen[first[some]], seen[first[some] + 1])
            loss = F.cross_entropy(self.network(x), told[some])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            if report:
                report((step + 1) / steps)

    @torch.inference_mode()
    def tell(self, frames: "NDArray[np.uint8]") -> "NDArray[np.int64]":
        """Return the action between every two of some frames, (T - 1,), from 0.

        Args:
            frames: (T, H, W, 3), shrunk by `shrunk`.
        """
        seen = torch.from_numpy(frames)
        told = [
            self.network(_paired(seen[i : i + AT_ONCE], seen[i + 1 : i + AT_ONCE + 1])).argmax(1)
            for i in range(0, len(frames) - 1, AT_ONCE)
        ]
        found: NDArray[np.int64] = torch.cat(told).numpy()
        return found


def shrunk(frames: "NDArray[np.uint8]") -> "NDArray[np.uint8]":
    """Return frames, (T, H, W, 3), at `SIDE` by `SIDE` pixels, each the mean of some."""
    x = torch.from_numpy(frames).movedim(-1, 1).float()
    y = F.interpolate(x, (SIDE, SIDE), mode="area").round().to(torch.uint8)
    found: NDArray[np.uint8] = y.movedim(1, -1).contiguous().numpy()
    return found


def _paired(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Return (N, 6, H, W) in [-1, 1] of two (N, H, W, 3) uint8; the longer one is cut."""
    x = torch.cat([before[: len(after)], after], -1).movedim(-1, 1)
    return x.float() / 127.5 - 1
