"""A VQ-VAE of two index maps, coarse and fine, as small as can be: what the tests build it of.

Its encoder and its quantizer lie in the folders beside, where `vqcodec.models` finds them by their
kind as it finds its own, once `install` was called.
"""

from pathlib import Path

import vqcodec.models.encoders
import vqcodec.models.quantizers
from vqcodec.config import Tree, load_preset, override

SIZES = (24, 32)  # K of each map


def install() -> None:
    """Let models be built of these parts."""
    for package in (vqcodec.models.encoders, vqcodec.models.quantizers):
        folder = str(Path(__file__).parent / package.__name__.rpartition(".")[2])
        if folder not in package.__path__:
            package.__path__.append(folder)


def config() -> Tree:
    """A preset of pictures: a coarse map at stride 8, a fine one at stride 4."""
    decoder = ["model.decoder.widths=[8, 4]", "model.decoder.blocks=[1, 1]", "model.decoder.dim=4"]
    tree = override(load_preset("image-f4"), decoder)
    tree["model"]["encoder"] = {"kind": "pyramid", "width": 6, "dim": 4}
    tree["model"]["quantizer"] = {"kind": "fused", "codebook_sizes": list(SIZES), "dim": 4}
    return tree


def prior_table() -> Tree:
    """A prior to sample from, for each map one."""
    return {
        "kind": "pixelcnn",
        "codebook_size": list(SIZES),
        "width": 8,
        "dilations": [1],
        "embedding": 4,
    }
