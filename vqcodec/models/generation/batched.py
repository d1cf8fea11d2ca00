"""The loop that draws samples of many streams at once, on any device."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from vqcodec.models.generation.network import Network
from vqcodec.models.nn.mulaw import LEVELS, SILENCE


class BatchedLoop:
    """Draws as `vqcodec.models.generation.loop.generate` does, for several streams in step.

    Everything that changes from step to step lies in tensors of its own, the number of the step
    too, so that a GPU can record one step (a CUDA graph) and repeat it without the interpreter.

    Args:
        network: the weights.
        conditioning: (B, frames, layers, 2R).
        uniforms: (B, steps, bands) in [0, 1); steps a multiple of frames.
        temperature: logits are divided by it.
    """

    def __init__(
        self,
        network: Network,
        conditioning: torch.Tensor,
        uniforms: torch.Tensor,
        temperature: float = 1.0,
    ) -> None:
        device = conditioning.device
        tensors: Any = [torch.from_numpy(array).to(device) for array in network]
        self._weights: Any = Network(*tensors)  # under the names of the arrays
        self._conditioning, self._uniforms = conditioning, uniforms
        self._temperature = temperature
        batch, self._steps, bands = uniforms.shape
        self._hop = self._steps // max(1, conditioning.shape[1])
        residual = network.embedding.shape[2]
        self._rings = [
            torch.zeros(d, batch, residual, device=device) for d in network.dilations.tolist()
        ]
        self._step = torch.zeros(1, dtype=torch.long, device=device)
        self._drawn = torch.full((batch, bands), SILENCE, device=device)
        self.levels = torch.zeros((batch, self._steps, bands), dtype=torch.long, device=device)
        self.logits = torch.zeros(batch, bands, LEVELS, device=device)

    @torch.inference_mode()
    def run(self) -> torch.Tensor:
        """Return all levels, (B, steps, bands) int64."""
        repeat = self._record() if self._step.is_cuda else self._advance
        for _ in range(self._steps):
            repeat()
        return self.levels

    def _record(self) -> Callable[[], None]:
        """Return one step as a CUDA graph."""
        state = [*self._rings, self._step, self._drawn, self.levels, self.logits]
        before = [tensor.clone() for tensor in state]
        stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # a step outside of the graph, so that libraries are up
            self._advance()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._advance()
        for tensor, value in zip(state, before, strict=True):
            tensor.copy_(value)
        return graph.replay

    def _advance(self) -> None:
        """Draw the values of one step."""
        w = self._weights
        residual, layers = w.embedding.shape[2], len(self._rings)
        frame = self._conditioning.index_select(1, self._step // self._hop)[:, 0]
        x = sum(w.embedding[b][self._drawn[:, b]] for b in range(w.bands))
        gated = []
        for layer, ring in enumerate(self._rings):
            slot = self._step % len(ring)
            past = ring.index_select(0, slot)[0]
            sums = torch.cat([past, x], 1) @ w.gate[layer] + frame[:, layer]
            ring.index_copy_(0, slot, x[None])
            gated.append(sums[:, :residual].tanh() * sums[:, residual:].sigmoid())
            if layer + 1 < layers:
                x = x + w.mix_bias[layer] + gated[-1] @ w.mix[layer]
        skip = F.relu(torch.cat(gated, 1) @ w.skip + w.skip_bias)
        hidden = (skip @ w.hidden + w.hidden_bias).chunk(w.bands, 1)
        uniforms = self._uniforms.index_select(1, self._step)[:, 0]
        pair = 0
        for band in range(w.bands):
            h = hidden[band]
            for earlier in range(band):
                h = h + w.chain[pair][self._drawn[:, earlier]]
                pair += 1
            self.logits[:, band] = F.relu(h) @ w.out[band] + w.out_bias[band]
            self._drawn[:, band] = self._draw(self.logits[:, band], uniforms[:, band])
        self.levels.index_copy_(1, self._step, self._drawn[:, None])
        self._step += 1

    def _draw(self, logits: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        """Return the first level up to which more than `uniforms` of the probability lies."""
        total = (logits / self._temperature).softmax(1).cumsum(1)
        return (total <= uniforms[:, None] * total[:, -1:]).sum(1).clamp(max=LEVELS - 1)
