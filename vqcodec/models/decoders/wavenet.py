"""WaveNet (arXiv:1609.03499): sound, sample by sample, given codes and speaker.

Of one band, as in the paper, or of four (arXiv:1909.01700), of which each step gives one value: a
quarter of the steps, and what a network of a given size sees is four times as long.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from vqcodec.config import check_range
from vqcodec.models.decoders.base import Density
from vqcodec.models.generation.chunks import generate
from vqcodec.models.generation.network import Network
from vqcodec.models.nn import convnext
from vqcodec.models.nn.condition import spread
from vqcodec.models.nn.emphasis import deemphasize, emphasize
from vqcodec.models.nn.mulaw import LEVELS, SILENCE, to_levels, to_samples
from vqcodec.models.nn.pqmf import BANDS, Pqmf

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMOOTH = 7  # cells that the first convolution of the conditioning sees


@dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        dim: D, numbers per code vector.
        stride: samples per code.
        cond_dim: S, numbers of the speaker vector; 0 for none.
        width: channels of the conditioning network, which works at the codes' rate.
        blocks: residual blocks of it.
        expansion: of these blocks.
        frames: conditioning vectors per code; each serves stride / frames samples.
        bands: 1 or 4.
        layers: dilated convolutions.
        cycle: dilations are 1, 2, 4, ..., 2^(cycle - 1), then again from 1.
        residual: channels between layers, a multiple of 4.
        skip: channels from all layers to the head, a multiple of 4.
        hidden: channels of the head, per band, a multiple of 4.
        emphasis: of high frequencies, before samples are quantised.
        noise: added to the past in training, up to this standard deviation, in levels.
        codes: whether it hears codes; without them it babbles in the voice of the speaker, as long
            as there are codes.
    """

    dim: int
    stride: int
    cond_dim: int = 0
    width: int = 256
    blocks: int = 6
    expansion: int = 2
    frames: int = 4
    bands: int = 1
    layers: int = 20
    cycle: int = 10
    residual: int = 32
    skip: int = 64
    hidden: int = 64
    emphasis: float = 0.85
    noise: float = 0.0
    codes: bool = True

    def __post_init__(self) -> None:
        check_range("dim", self.dim, 1, 1024)
        check_range("stride", self.stride, 1, 4096)
        check_range("cond_dim", self.cond_dim, 0, 1024)
        check_range("width", self.width, 1, 2048)
        check_range("blocks", self.blocks, 0, 64)
        check_range("expansion", self.expansion, 1, 8)
        check_range("frames", self.frames, 1, 64)
        check_range("layers", self.layers, 2, 64)
        check_range("cycle", self.cycle, 1, 12)
        check_range("emphasis", self.emphasis, 0, 0.99)
        check_range("noise", self.noise, 0, LEVELS)
        for name in ("residual", "skip", "hidden"):
            check_range(name, getattr(self, name), 4, 1024)
            if getattr(self, name) % 4:
                raise ValueError(f"{name} is {getattr(self, name)}, must be a multiple of 4")
        if self.bands not in (1, BANDS):
            raise ValueError(f"bands is {self.bands}, must be 1 or {BANDS}")
        if self.stride % (self.frames * self.bands):
            raise ValueError("frames * bands must divide stride")

    @property
    def dilations(self) -> tuple[int, ...]:
        """Steps back that each layer looks."""
        return tuple(2 ** (i % self.cycle) for i in range(self.layers))

    @property
    def min_parameters(self) -> int:
        """A lower bound of the numbers to learn."""
        layer = 2 * self.residual * (self.width + 2 * self.residual) + self.residual * self.skip
        head = self.hidden * (self.skip + LEVELS) * self.bands
        blocks = convnext.min_parameters(self.width, self.blocks, self.expansion)
        return self.layers * layer + head + blocks + self.frames * self.width * self.width

    def build(self) -> "WaveNet":
        """Make the decoder with fresh weights."""
        return WaveNet(self)


class Conditioning(nn.Module):
    """z_q (B, D, N) and a speaker (B, S) to what the gates of all layers add, (B, F, layers, 2R).

    F is N * frames. It looks both ways; its parts are named as in the istft decoder, whose trained
    weights are a good start.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.width
        self.layers, self.frames, self.codes = config.layers, config.frames, config.codes
        self.first = nn.Conv1d(config.dim, width, SMOOTH, padding=SMOOTH // 2)
        self.speaker = nn.Linear(config.cond_dim, width) if config.cond_dim else None
        self.blocks = nn.Sequential(
            *(convnext.ConvNextBlock1d(width, config.expansion) for _ in range(config.blocks))
        )
        self.norm = nn.LayerNorm(width)
        self.upsample = nn.Linear(width, config.frames * width)  # a transposed convolution
        self.project = nn.Linear(width, config.layers * 2 * config.residual)
        self.halo = SMOOTH // 2 + config.blocks * convnext.HALO

    def forward(self, z_q: torch.Tensor, cond: torch.Tensor | None = None) -> torch.Tensor:
        """Return (B, N * frames, layers, 2R)."""
        x: torch.Tensor = self.first(z_q if self.codes else torch.zeros_like(z_q))
        if self.speaker is not None and cond is not None:
            x = x + spread(self.speaker, cond, x.shape[2])
        y = self.upsample(self.norm(self.blocks(x).transpose(1, 2)))
        y = F.silu(y.unflatten(2, (self.frames, -1)).flatten(1, 2))
        return self.project(y).unflatten(2, (self.layers, -1))


class DilatedLayer(nn.Module):
    """A gated convolution over a step and one `dilation` steps earlier.

    Shapes: (B, L, R) to (B, L, R), twice: for the next layer, and for the head.
    """

    def __init__(self, residual: int, dilation: int, *, last: bool) -> None:
        super().__init__()
        self.dilation = dilation
        self.gate = nn.Linear(2 * residual, 2 * residual, bias=False)
        self.mix = None if last else nn.Linear(residual, residual)

    def forward(
        self, x: torch.Tensor, conditioning: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return x + f(x) and f's gated values; `conditioning` is (B, F, 2R), L a multiple of F."""
        past = F.pad(x, (0, 0, self.dilation, 0))[:, : x.shape[1]]
        frames = (conditioning.shape[1], -1)
        sums = self.gate(torch.cat([past, x], 2)).unflatten(1, frames)
        a, b = (sums + conditioning[:, :, None]).flatten(1, 2).chunk(2, 2)
        z = a.tanh() * b.sigmoid()
        return (x if self.mix is None else x + self.mix(z)), z


class WaveNet(Density):
    """p(x | z_q, speaker) as a product over steps, of the mu-law levels of x.

    With four bands, a step's values follow one another too: the head of each knows those before.
    The density is that of the levels, which `log_prob` and `loss` turn x into first.

    Attributes:
        memory: samples back that a sample depends on.
    """

    draws = True

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        bands, residual, hidden = config.bands, config.residual, config.hidden
        self.conditioning = Conditioning(config)
        self.embedding = nn.Parameter(_ramps(bands, residual))
        last = config.layers - 1
        self.layers = nn.ModuleList(
            DilatedLayer(residual, d, last=i == last) for i, d in enumerate(config.dilations)
        )
        self.skip = nn.Linear(config.layers * residual, config.skip)
        self.hidden = nn.Linear(config.skip, bands * hidden)
        chained = bands * (bands - 1) // 2
        self.chain = nn.Parameter(_ramps(chained, hidden), requires_grad=chained > 0)
        self.out = nn.Parameter(torch.randn(bands, hidden, LEVELS) / math.sqrt(hidden))
        self.out_bias = nn.Parameter(torch.zeros(bands, LEVELS))
        self.filters = Pqmf() if bands > 1 else None
        self.stride, self.halo = config.stride, self.conditioning.halo
        self.memory = bands * (sum(config.dilations) + 1)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.out.device

    def levels(self, x: torch.Tensor) -> torch.Tensor:
        """Return the levels, (B, L, bands) int64, of x (B, 1, L * bands) in [-1, 1]."""
        y = emphasize(x.float(), self.config.emphasis)
        y = y if self.filters is None else self.filters.split(y)
        return to_levels(y).transpose(1, 2)

    def signal(self, levels: torch.Tensor) -> torch.Tensor:
        """Return x, (B, 1, L * bands), not clipped, that has the levels (B, L, bands)."""
        y = to_samples(levels.transpose(1, 2))
        y = y if self.filters is None else self.filters.join(y)
        return deemphasize(y, self.config.emphasis)

    def forward(
        self,
        past: torch.Tensor,
        levels: torch.Tensor,
        z_q: torch.Tensor,
        cond: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the logits of each level, (B, L, bands, 256).

        Args:
            past: (B, L, bands), levels as later steps are to see them.
            levels: (B, L, bands), as later bands of the same step are to see them.
            z_q: (B, D, N), L * bands samples of codes.
            cond: (B, S), the speaker.
        """
        frames = self.conditioning(z_q, cond)
        earlier = F.pad(past, (0, 0, 1, 0), value=SILENCE)[:, :-1]
        x = _look_up(self.embedding, earlier).to(frames.dtype)
        gated = []
        for layer, conditioning in zip(self.layers, frames.unbind(2), strict=True):
            x, z = layer(x, conditioning)
            gated.append(z)
        y = self.hidden(F.relu(self.skip(torch.cat(gated, 2))))
        logits, pair = [], 0
        for band, own in enumerate(y.chunk(self.config.bands, 2)):
            others = _look_up(self.chain[pair : pair + band], levels[..., :band])
            pair += band
            h = F.relu(own + others.to(own.dtype))
            logits.append(h @ self.out[band].to(h.dtype) + self.out_bias[band].to(h.dtype))
        return torch.stack(logits, 2)

    def log_prob(
        self, x: torch.Tensor, z_q: torch.Tensor, cond: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return log p of the levels of x, (B, 1, T), in nats, (B,)."""
        levels = self.levels(x)
        logits = self(levels, levels, z_q, cond).float()
        return logits.log_softmax(3).gather(3, levels[..., None]).flatten(1).sum(1)

    def loss(
        self, x: torch.Tensor, z_q: torch.Tensor, cond: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return -log p in nats per sample, in training given a past that is slightly wrong.

        So the network learns to get back from errors of its own, which it sees in generation only.
        """
        levels = past = self.levels(x)
        if self.training and self.config.noise:
            scale = self.config.noise * torch.rand(len(x), 1, 1, device=x.device)
            noise = scale * torch.randn(levels.shape, device=x.device)
            past = (levels + noise.round().long()).clamp(0, LEVELS - 1)
        logits = self(past, levels, z_q, cond)
        return F.cross_entropy(logits.flatten(0, 2).float(), levels.flatten())

    @torch.inference_mode()
    def network(self) -> Network:
        """Return the weights of the loop, as plain arrays."""
        gates, mixes = zip(*((layer.gate, layer.mix) for layer in self.layers), strict=True)
        return Network(
            np.array(self.config.dilations),
            _array(self.embedding),
            _array(torch.stack([gate.weight.T for gate in gates])),
            _array(torch.stack([mix.weight.T for mix in mixes[:-1]])),
            _array(torch.stack([mix.bias for mix in mixes[:-1]])),
            _array(self.skip.weight.T),
            _array(self.skip.bias),
            _array(self.hidden.weight.T),
            _array(self.hidden.bias),
            _array(self.chain),
            _array(self.out),
            _array(self.out_bias),
        )

    def reconstruct(
        self,
        z_q: torch.Tensor,
        cond: torch.Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> torch.Tensor:
        """Return sound in [-1, 1], (B, 1, N * stride), drawn sample by sample."""
        seeds = torch.randint(2**62, (len(z_q),), generator=generator).tolist()
        speakers = [None] * len(z_q) if cond is None else list(cond)
        rows = [
            torch.from_numpy(generate(self, row, speaker, seed=seed, temperature=temperature))
            for row, speaker, seed in zip(z_q, speakers, seeds, strict=True)
        ]
        return torch.stack(rows)[:, None].to(z_q.device)


def _ramps(number: int, channels: int) -> torch.Tensor:
    """Return vectors of levels, (number, 256, C), that begin as straight lines through silence."""
    line = torch.linspace(-1, 1, LEVELS)[:, None] * math.sqrt(3)
    noise = 0.1 * torch.randn(number, LEVELS, channels)
    return line * torch.randn(number, 1, channels) + noise


def _look_up(tables: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Return the sum of vectors, (B, L, C), one of each table (n, 256, C), for levels (B, L, n)."""
    total = tables.new_zeros(*levels.shape[:2], tables.shape[2])
    for table, level in zip(tables, levels.unbind(2), strict=True):
        total = total + F.embedding(level, table)
    return total


def _array(tensor: torch.Tensor) -> "NDArray[np.float32]":
    array: NDArray[np.float32] = tensor.detach().float().cpu().contiguous().numpy()
    return array
