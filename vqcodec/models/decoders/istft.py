"""Frames at the codes' rate, each a spectrum, overlapped and added: the fast decoder of speech.

After Vocos (arXiv:2306.00814). It has no likelihood; its loss compares spectra, to which training
can add an `Adversary`.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from vqcodec.config import check_range
from vqcodec.models.decoders.base import Decoder
from vqcodec.models.nn import convnext
from vqcodec.models.nn.condition import spread
from vqcodec.models.nn.spectra import log_mel, spectral_distance

LOSS_WINDOWS = (256, 512, 1024, 2048)  # samples; the longest bounds how short a crop can be
MEL_WINDOW, MEL_BANDS = 1024, 80
LOUDEST = 3.0  # of the logarithm of a magnitude, so that nothing overflows
SMOOTH = 7  # cells that the first convolution sees


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        dim: D, numbers per code vector.
        width: channels inside.
        blocks: residual blocks.
        expansion: of the blocks.
        stride: samples per code.
        frames: spectra per code; they are stride / frames samples apart.
        window: samples of a spectrum; at least twice what lies between two.
        cond_dim: S, numbers of the speaker vector; 0 for none.
        sample_rate: in Hz.
    """

    dim: int
    width: int
    blocks: int
    stride: int
    window: int
    expansion: int = 2
    frames: int = 1
    cond_dim: int = 0
    sample_rate: int = 16000

    def __post_init__(self) -> None:
        check_range("dim", self.dim, 1, 1024)
        check_range("width", self.width, 1, 2048)
        check_range("blocks", self.blocks, 0, 64)
        check_range("expansion", self.expansion, 1, 8)
        check_range("stride", self.stride, 1, 4096)
        check_range("frames", self.frames, 1, 64)
        check_range("window", self.window, 2, 8192)
        check_range("cond_dim", self.cond_dim, 0, 1024)
        check_range("sample_rate", self.sample_rate, 1000, 192000)
        if self.stride % self.frames or self.window % (2 * self.hop):
            raise ValueError("frames must divide stride, and twice the step must divide window")

    @property
    def hop(self) -> int:
        """Samples from one spectrum to the next."""
        return self.stride // self.frames

    @property
    def min_parameters(self) -> int:
        """A lower bound of the numbers to learn."""
        blocks = convnext.min_parameters(self.width, self.blocks, self.expansion)
        return blocks + self.width * (SMOOTH * self.dim + self.window)

    def build(self) -> "IstftDecoder":
        """Make the decoder with fresh weights."""
        return IstftDecoder(self)


class IstftDecoder(Decoder):
    """z_q (B, D, N) and a speaker vector (B, S) to sound (B, 1, N * stride).

    A spectrum is exp(m) (cos p + i sin p), m and p from one linear layer: p may be any number, so
    that phases wrap without a jump.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.stride = config.stride
        self.first = nn.Conv1d(config.dim, config.width, SMOOTH, padding=SMOOTH // 2)
        self.speaker = nn.Linear(config.cond_dim, config.width) if config.cond_dim else None
        self.blocks = nn.Sequential(
            *(
                convnext.ConvNextBlock1d(config.width, config.expansion)
                for _ in range(config.blocks)
            )
        )
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, config.window + 2)
        nn.init.normal_(self.head.weight, std=0.02)
        with torch.no_grad():  # begins quiet, like speech: around -60 dB in every bin
            self.head.bias[: config.window // 2 + 1] = math.log(1e-3)
        # The windows of all frames that cover a sample add up to this power of one.
        hann = torch.hann_window(config.window)
        overlap = hann.square().view(-1, config.hop).sum(0)
        self.register_buffer("_window", hann / overlap.repeat(config.window // config.hop), False)
        self._window: torch.Tensor
        # The convolutions see steps to each side, and half a spectrum overlaps from there.
        steps = SMOOTH // 2 + config.blocks * convnext.HALO + config.window // (2 * config.hop)
        self.halo = math.ceil(steps / config.frames)

    def features(self, z_q: torch.Tensor, cond: torch.Tensor | None = None) -> torch.Tensor:
        """Return what the spectra are made of, (B, width, N * frames)."""
        if self.config.frames > 1:
            z_q = z_q.repeat_interleave(self.config.frames, 2)
        x: torch.Tensor = self.first(z_q)
        if self.speaker is not None and cond is not None:
            x = x + spread(self.speaker, cond, x.shape[2])
        y: torch.Tensor = self.blocks(x)
        return y

    def forward(self, z_q: torch.Tensor, cond: torch.Tensor | None = None) -> torch.Tensor:
        """Return sound, (B, N * stride), not clipped."""
        y = self.head(self.norm(self.features(z_q, cond).transpose(1, 2)))
        with torch.autocast(y.device.type, enabled=False):
            log_magnitude, phase = y.float().chunk(2, -1)
            # A window of w samples has w / 2 such bins that add up.
            magnitude = log_magnitude.clamp(max=LOUDEST).exp() * (self.config.window / 2)
            spectra = torch.polar(magnitude, phase)
            frames = torch.fft.irfft(spectra, self.config.window) * self._window
            return self._overlap(frames)

    def _overlap(self, frames: torch.Tensor) -> torch.Tensor:
        """Add frames, (B, n, window), that are `hop` samples apart: (B, n * hop)."""
        (batch, number, _), hop = frames.shape, self.config.hop
        parts = self.config.window // hop
        pieces = frames.view(batch, number, parts, hop)
        total = sum(
            F.pad(pieces[:, :, part], (0, 0, part, parts - 1 - part)) for part in range(parts)
        )
        assert isinstance(total, torch.Tensor)
        # A frame is centred on the samples that it stands for.
        start = (self.config.window - hop) // 2
        return total.flatten(1)[:, start : start + number * hop]

    def reconstruct(
        self,
        z_q: torch.Tensor,
        cond: torch.Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> torch.Tensor:
        """Return sound in [-1, 1], (B, 1, N * stride); nothing is drawn."""
        return self(z_q, cond).clamp(-1, 1)[:, None]

    def loss(
        self, x: torch.Tensor, z_q: torch.Tensor, cond: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return how far spectra and mel spectra are from those of x, (B, 1, T)."""
        return self.distance(x, self(z_q, cond))

    def distance(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return how far spectra and mel spectra of y, (B, T), are from those of x, (B, 1, T)."""
        x = x.squeeze(1).float()
        rate = self.config.sample_rate
        mel_x, mel_y = (log_mel(s, rate, MEL_WINDOW, MEL_WINDOW // 4, MEL_BANDS) for s in (x, y))
        return spectral_distance(x, y, LOSS_WINDOWS) + F.l1_loss(mel_y, mel_x)
