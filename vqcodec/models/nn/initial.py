"""How convolutions start where depth matters."""

import torch
from torch import nn


@torch.no_grad()
def keep_variance(network: nn.Module) -> None:
    """Draw the convolutions of a network so that signals keep their size (arXiv:1502.01852).

    Biases start at zero. torch's own start shrinks what differs between pictures at every layer,
    and adds biases that do not: deep in a pyramid all vectors are nearly one, their codes say
    nothing, and the decoder learns to do without them before they could. What starts at zero stays.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            inputs = layer.weight[0].numel()  # of an output value
            if isinstance(layer, nn.ConvTranspose2d):
                inputs = layer.weight[:, 0].numel() // (layer.stride[0] * layer.stride[1])
            if layer.weight.any():
                nn.init.normal_(layer.weight, std=(2 / inputs) ** 0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
