"""8-bit pixels to what networks compute with, and back."""

import torch

BIN = 2 / 255  # the width of one of 256 levels when they are scaled to [-1, 1]


def to_signal(pixels: torch.Tensor) -> torch.Tensor:
    """Return uint8 pictures, (B, 3, H, W), as float32 in [-1, 1], stored channels last."""
    x = pixels.float().div(127.5).sub(1)
    return x.contiguous(memory_format=torch.channels_last)


def to_pixels(signal: torch.Tensor) -> torch.Tensor:
    """Return a signal in [-1, 1] as uint8, rounded to the nearest level."""
    return signal.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
