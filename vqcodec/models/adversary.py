"""What a decoder of speech learns to deceive: small networks that tell recordings from its sound.

Comparing spectra asks for the middle of all that codes leave open, which sounds dull and buzzing;
whoever can tell the two apart hears that. Each network sees complex spectra of one window, as in
EnCodec (arXiv:2210.13438) and Vocos (arXiv:2306.00814), with the hinge loss. They are learned along
and needed in training only.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from vqcodec.config import check_range
from vqcodec.models.nn.spectra import FLOOR, spectra

KERNEL = (3, 9)  # frames and bins that a layer sees
STEPS = (4, 4, 2)  # bins between those that its outputs stand for
POWER = 0.3  # of magnitudes: what is quiet is heard as well
SLOPE = 0.2  # of the rectifiers below zero


@dataclass(frozen=True)
class Config:
    """Settings of an `Adversary`.

    Attributes:
        weight: of deceiving, beside the decoder's own loss.
        matching: of coming near to what the networks' layers make of the recording, beside that.
        windows: samples of a spectrum, of each network; a quarter of it lies between two.
        width: channels of the first layer; those that follow have twice as many.
    """

    weight: float
    matching: float
    windows: tuple[int, ...] = (256, 512, 1024)
    width: int = 16

    def __post_init__(self) -> None:
        check_range("weight", self.weight, 0, 1000)
        check_range("matching", self.matching, 0, 1000)
        check_range("width", self.width, 1, 256)
        for window in self.windows:
            check_range("windows", window, 64, 2048)
        if not self.windows:
            raise ValueError("windows must name one at least")

    def build(self) -> "Adversary":
        """Make the networks with fresh weights."""
        return Adversary(self)


class Adversary(nn.Module):
    """Tells sounds, (B, T), apart, and is deceived."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.judges = nn.ModuleList(Judge(window, config.width) for window in config.windows)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what a decoder has to minimise, and what the networks have to: scalars.

        The first has a gradient for y alone, the second for the networks alone, so that their sum
        is both.

        Args:
            x: recordings.
            y: what a decoder makes of their codes.
        """
        deceit = matched = told = x.new_zeros(())
        for judge, window in zip(self.judges, self.config.windows, strict=True):
            shown_x, shown_y = compressed(x, window), compressed(y, window)
            real, *layers = judge(shown_x)
            seen, *_ = judge(shown_y.detach())
            told = told + F.relu(1 - real).mean() + F.relu(1 + seen).mean()
            held = {name: p.detach() for name, p in judge.named_parameters()}
            seen, *made = torch.func.functional_call(judge, held, (shown_y,))
            deceit = deceit - seen.mean()
            for a, b in zip(layers, made, strict=True):
                matched = matched + F.l1_loss(b, a.detach()) / a.detach().abs().mean()
        number = len(self.judges)
        weighted = self.config.weight * deceit + self.config.matching * matched / len(STEPS)
        return weighted / number, told / number


class Judge(nn.Module):
    """Spectra, as `compressed` gives them, to a score for each: above 0 for a recording's."""

    def __init__(self, window: int, width: int) -> None:
        super().__init__()
        channels = (2, width, *[2 * width] * (len(STEPS) - 1))
        padding = (KERNEL[0] // 2, KERNEL[1] // 2)
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, KERNEL, (1, step), padding)
            for before, after, step in zip(channels, channels[1:], STEPS, strict=False)
        )
        bins = window // 2
        for step in STEPS:
            bins //= step
        # all that is left of the bins at once: only so does it know which are high
        self.head = nn.Conv2d(channels[-1], 1, (KERNEL[0], bins), padding=(KERNEL[0] // 2, 0))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the scores, (B, frames), and what each layer makes of x, (B, 2, frames, bins)."""
        layers = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            layers.append(x)
        return [self.head(x).flatten(1).float(), *layers]


def compressed(x: torch.Tensor, window: int) -> torch.Tensor:
    """Return complex spectra of x, (B, T), with magnitudes to the power of `POWER`.

    Real and imaginary parts are channels: (B, 2, frames, window / 2).
    """
    found = spectra(x, window, window // 4)[:, :-1]  # an even number of bins
    parts = torch.view_as_real(found) / (window / 2)
    power = parts.square().sum(-1, keepdim=True) + FLOOR**2
    return (parts * power ** ((POWER - 1) / 2)).permute(0, 3, 2, 1)
