"""A signal in bands: pseudo quadrature mirror filters (Nguyen 1994, DOI 10.1109/78.258122)."""

import math

import torch
from torch import nn
from torch.nn import functional as F

TAPS = 62  # with the cut-off and the window below, four bands come back with an error of -64 dB
CUTOFF = 0.142  # of the prototype, in half the sample rate
BETA = 9.0  # of its Kaiser window
BANDS = 4  # what the figures above are good for


class Pqmf(nn.Module):
    """Four bands at a quarter of the sample rate, without delay.

    Beyond the ends of the signal there is silence; what lies within `halo` samples of an end that
    goes on is not to be relied on.
    """

    halo = TAPS // 2

    def __init__(self) -> None:
        super().__init__()
        time = torch.arange(TAPS + 1, dtype=torch.float64) - TAPS / 2
        window = torch.kaiser_window(TAPS + 1, False, beta=BETA, dtype=torch.float64)
        prototype = CUTOFF * torch.sinc(CUTOFF * time) * window
        band = torch.arange(BANDS, dtype=torch.float64)[:, None]
        angle = (2 * band + 1) * math.pi / (2 * BANDS) * time
        shift = (1 - 2 * (band % 2)) * math.pi / 4
        analysis = 2 * prototype * torch.cos(angle + shift)
        synthesis = 2 * prototype * torch.cos(angle - shift)
        # conv1d runs through its kernel backwards
        self.register_buffer("_analysis", analysis.flip(1).float()[:, None], persistent=False)
        self.register_buffer("_synthesis", BANDS * synthesis.float()[:, None], persistent=False)
        self._analysis: torch.Tensor
        self._synthesis: torch.Tensor

    def split(self, x: torch.Tensor) -> torch.Tensor:
        """Return the bands, low to high, (B, 4, T / 4), of x (B, 1, T), T a multiple of four."""
        with torch.autocast(x.device.type, enabled=False):  # high bands are far below the low ones
            return F.conv1d(x.float(), self._analysis, stride=BANDS, padding=self.halo)

    def join(self, bands: torch.Tensor) -> torch.Tensor:
        """Return the signal, (B, 1, T), of which bands, (B, 4, T / 4), are the split."""
        with torch.autocast(bands.device.type, enabled=False):
            return F.conv_transpose1d(
                bands.float(),
                self._synthesis,
                stride=BANDS,
                padding=self.halo,
                output_padding=BANDS - 1,
            )
