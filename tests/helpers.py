"""Synthetic pictures and tiny models that tests share."""

import copy
import dataclasses
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vqcodec.codec.tint import apply_tint, measure_tint
from vqcodec.coding.layout import of_maps, of_rows
from vqcodec.config import Tree, load_preset, override, parse
from vqcodec.media.audio import Audio
from vqcodec.models import rated
from vqcodec.models import refiner as refiner_settings
from vqcodec.models.nn.pixels import to_signal
from vqcodec.models.pretrained import coding_bytes, write_part
from vqcodec.models.priors import frames as successive
from vqcodec.models.priors import lattice
from vqcodec.models.priors.frames import FramesPrior
from vqcodec.models.priors.lattice import LatticePrior
from vqcodec.models.quantizers.vq import VectorQuantizer
from vqcodec.models.rated import LEVELS
from vqcodec.models.refinement import GAIN
from vqcodec.models.refining import Refining
from vqcodec.models.vqvae import VQVAE, part_config
from vqcodec.weights import CODING_PRIOR, read_weights

Run = Callable[..., "subprocess.CompletedProcess[bytes]"]

# of maps of one row of the codes of `tiny_speech_config`
TINY_PRIOR = {
    "kind": "pixelcnn",
    "codebook_size": 32,
    "width": 8,
    "dilations": [1, 2],
    "embedding": 4,
    "first": [0, 3],
    "kernel": [0, 1],
    "reach": 0,
}


def tiny_config() -> Tree:
    """image-f4's shape in small: same kinds, same stride, K = 32."""
    return override(
        load_preset("image-f4"),
        [
            "model.encoder.widths=[4, 8]",
            "model.encoder.blocks=[0, 2]",
            "model.encoder.dim=4",
            "model.quantizer.codebook_size=32",
            "model.quantizer.dim=4",
            "model.decoder.widths=[8, 4]",
            "model.decoder.blocks=[1, 1]",
            "model.decoder.dim=4",
        ],
    )


def tiny_speech_config() -> Tree:
    """speech-64x's shape in small: same kinds, same stride, K = 32, a speaker vector of 4."""
    tree = override(
        load_preset("speech-64x"),
        [
            "model.encoder.widths=[4, 4, 6, 6, 8, 8]",
            "model.encoder.blocks=1",
            "model.encoder.dim=4",
            "model.quantizer.codebook_size=32",
            "model.quantizer.dim=4",
            "model.decoder.dim=4",
            "model.decoder.width=12",
            "model.decoder.blocks=2",
            "model.decoder.window=128",
            "model.decoder.cond_dim=4",
            "model.conditioner.dim=4",
        ],
    )
    tree["model"]["conditioner"] |= {"width": 8, "bands": 16}
    return tree


def tiny_wavenet() -> Tree:
    """wavenet-bands in small, for the codes of `tiny_speech_config`."""
    table: Tree = load_preset("wavenet-bands")["decoder"]
    small = {"dim": 4, "cond_dim": 4, "width": 8, "blocks": 1, "layers": 3, "cycle": 3}
    return {**table, **small, "residual": 8, "skip": 8, "hidden": 8}


def voice(samples: int, sample_rate: int = 16000, channels: int = 1, seed: int = 0) -> Audio:
    """Something like speech: a gliding tone with overtones, in syllables, and a little noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / sample_rate
    rows = []
    for _ in range(channels):
        pitch = 2 * np.pi * np.cumsum(120 + 40 * np.sin(time * rng.uniform(2, 5))) / sample_rate
        tones = sum(np.sin(pitch * n + rng.uniform(0, 6)) / n for n in range(1, 9))
        syllables = np.maximum(0, np.sin(2 * np.pi * time * rng.uniform(2, 4))) ** 0.5
        rows.append(0.1 * tones * syllables + rng.normal(0, 0.002, samples))
    return Audio(np.clip(np.stack(rows), -1, 1).astype(np.float32), sample_rate)


def lively(model: VQVAE) -> VQVAE:
    """Give residual blocks, which start at zero, something to do."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def lively_speech(model: VQVAE) -> VQVAE:
    """Give a tiny model of speech an encoder that hears, and codes that are all used."""
    lively(model)
    assert isinstance(model.quantizer, VectorQuantizer)
    with torch.no_grad():
        for number, weight in enumerate(p for p in model.encoder.parameters() if p.ndim > 1):
            scale = 2.2 if number else 22.0  # what is heard is about 0.1
            torch.nn.init.normal_(weight, std=scale / weight[0].numel() ** 0.5)
        heard = model.encoder(torch.from_numpy(voice(64_000).samples)[None])
        model.quantizer.initialize(model.quantizer(heard).latents[0], seed=0)
    return model


def cost_of_maps(model: VQVAE, x: torch.Tensor, seed: int = 0) -> list[float]:
    """Return for each map how many dB of PSNR are lost when its indices are random ones.

    A map that costs nothing is decorative: the others do without it.

    Args:
        model: in evaluation mode.
        x: (B, 3, H, W) in [-1, 1].
        seed: of the random indices.
    """
    generator = torch.Generator().manual_seed(seed)

    def quality(indices: tuple[torch.Tensor, ...]) -> float:
        error = (model.decode(indices) - x).square().mean((1, 2, 3))
        return float((10 * torch.log10(4 / error)).mean())

    with torch.no_grad():
        maps = model.encode(x)
        whole, costs = quality(maps), []
        for number, grid in enumerate(maps):
            size = model.maps[number].codebook_size
            noise = torch.randint(size, grid.shape, generator=generator).to(grid.device)
            costs.append(whole - quality((*maps[:number], noise, *maps[number + 1 :])))
    return costs


def tiny_maps_config(preset: str) -> Tree:
    """A preset of several maps in small: same kinds, same strides, K of 32 at most."""
    tree = load_preset(preset)
    encoder, quantizer, decoder = (
        tree["model"][part] for part in ("encoder", "quantizer", "decoder")
    )
    for table in (encoder, decoder):
        table["widths"] = [6] * len(table["widths"])
        table["blocks"] = [min(1, n) for n in table["blocks"]]
    encoder["dim"] = quantizer["dim"] = decoder["dim"] = 4
    if quantizer["kind"] == "hierarchical":
        quantizer["codebook_sizes"] = [24, 32, 20][: len(quantizer["codebook_sizes"])]
        quantizer |= {"width": 6, "blocks": 1, "residual_width": 4}
        encoder["residual_width"] = decoder["residual_width"] = 4
        decoder["dim"] = 8
    return tree


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth random picture, (height, width, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [
        np.sin(x * rng.uniform(0.02, 0.5) + y * rng.uniform(0.02, 0.5) + rng.uniform(0, 6))
        for _ in range(9)
    ]
    channels = np.stack([sum(waves[i::3]) for i in range(3)], axis=-1)
    return np.clip(128 + 40 * channels + rng.normal(0, 8, channels.shape), 0, 255).astype(np.uint8)


def coding_prior_arrays(
    codebook_size: int, seed: int = 0, slope: int = 18, dilations: tuple[int, ...] = ()
) -> "dict[str, NDArray[np.int64]]":
    """Integers of a coding prior that expects small indices, the more so the larger `slope`.

    With two dilations it is one of rows.
    """
    rng = np.random.default_rng(seed)
    embedding, units, blocks = 6, 8, 2

    def weights(*shape: int) -> NDArray[np.int64]:
        return rng.integers(-3000, 3000, shape)

    layout = of_rows(dilations) if dilations else of_maps(blocks)
    arrays = {
        "embedding": weights(codebook_size + 1, embedding),
        "window": weights(len(layout.window), embedding, units),
        "head": weights(units, codebook_size) // 32,
        "head_bias": -(np.arange(codebook_size) << slope),
        "shifts": np.array([16, *[13] * (2 * blocks), 12]),
    }
    for i in range(blocks):
        arrays |= {f"block.{i}.conv": weights(len(layout.blocks[i]) * units, units)}
        arrays |= {f"block.{i}.mix": weights(units, units)}
        arrays |= {f"block.{i}.{n}_bias": rng.integers(-9999, 9999, units) for n in ("conv", "mix")}
    if dilations:
        arrays["dilations"] = np.array(dilations)
    return arrays


def frames_prior(
    sizes: tuple[int, ...],
    ratios: tuple[int, ...] = (1,),
    frames: int = 2,
    *,
    coding: bool = False,
) -> FramesPrior:
    """A small prior of successive frames that is far from uniform; one to code with likes 0."""
    torch.manual_seed(1)
    names = () if coding else ("forward", "turn_left", "move_left", "turn_right")
    layers = 0 if coding else 1
    sized = successive.Config(sizes, ratios, names, frames, 8, 8, layers, 8, 4)
    prior = dataclasses.replace(sized, depth=1, coding=coding).build()
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.2 if coding else 0.4)
    if coding:
        (head,) = prior.lattice.heads
        assert isinstance(head, torch.nn.Conv2d) and head.bias is not None
        head.bias.data -= 0.3 * torch.arange(sizes[0])
    return prior.eval().requires_grad_(False)


def lattice_prior(
    codebook_sizes: tuple[int, ...],
    ratios: tuple[int, ...],
    conditions: int = 1,
    slope: float = 0.1,
) -> LatticePrior:
    """A small lattice prior that has learned nothing, but expects small indices by `slope`."""
    torch.manual_seed(0)
    config = lattice.Config(codebook_sizes, ratios, (8,), 4, 1, 1, 2, conditions)
    prior = config.build()
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    for head, size in zip(prior.heads, codebook_sizes, strict=True):
        assert isinstance(head, torch.nn.Conv2d) and head.bias is not None
        head.bias.data -= slope * torch.arange(size)
    return prior.eval().requires_grad_(False)


def tiny_refining(first: VQVAE) -> Refining:
    """Something small that refines a tiny model, of three codebooks of errors that it makes."""
    tree = load_preset("image-refined")["model"]
    sizes = [16, 16, 16]
    tree["quantizer"] |= {"codebook_sizes": sizes, "dim": 12}
    tree["refiner"] |= {"dim": 12, "width": 8, "blocks": 1}
    refiner: refiner_settings.Config = parse(refiner_settings.Config, tree["refiner"], "refiner")
    quantizer = part_config(tree["quantizer"], "quantizer", "vqcodec.models.quantizers").build()
    prior = lattice_prior((first.maps[0].codebook_size, *sizes), (1,) * 4, conditions=3, slope=0.3)
    rates: rated.Config = parse(rated.Config, tree["rates"], "rates")
    torch.manual_seed(4)
    model = Refining(
        copy.deepcopy(first), refiner.build(), quantizer, prior, rates.build(quantizer)
    ).eval()
    pixels = torch.from_numpy(np.stack([picture(96, 96, seed) for seed in range(6)]))
    x = to_signal(pixels.movedim(-1, 1))
    y = model.decoded(x)[1].movedim(1, -1).contiguous()
    for own, decoded in zip(pixels.numpy(), y.numpy(), strict=True):
        tint = measure_tint(own, decoded, 100.0)
        decoded[:] = decoded if tint is None else apply_tint(decoded, tint)
    errors = model.errors(x, to_signal(y.movedim(-1, 1)))
    model.begin(errors.movedim(1, -1).flatten(0, 2), seed=0)
    model.rates.curvature.fill_((LEVELS / GAIN) ** 2)
    torch.nn.init.normal_(model.network.last.weight, std=0.01)
    return model.requires_grad_(False)


def followed_costs(
    left: NDArray[np.float64],
    number: int,
    codebooks: NDArray[np.float64],
    usual: NDArray[np.float64],
    worth: float,
) -> NDArray[np.float64]:
    """What codes cost beside their bits, (h, w, K), with what later codebooks make of the rest.

    Cell by cell and code by code: the three best by their usual bits are followed through the next
    two codebooks, of which each takes the best likewise. An error of two bits or less is let be.
    """
    distances = ((left[..., None, :] - codebooks[number]) ** 2).sum(-1) * worth
    costs = np.full_like(distances, 1e6)
    for cell in np.ndindex(*left.shape[:2]):
        if (left[cell] ** 2).sum() * worth <= 2:
            costs[(*cell, 0)] = 0
            continue
        if number + 1 == len(codebooks):
            costs[cell] = distances[cell]
            continue
        for code in np.argsort(distances[cell] + usual[number])[:3]:
            rest, bits = left[cell] - codebooks[number, code], 0.0
            for book, length in list(zip(codebooks, usual, strict=True))[number + 1 : number + 3]:
                best = (((rest - book) ** 2).sum(-1) * worth + length).argmin()
                rest, bits = rest - book[best], bits + length[best]
            costs[(*cell, code)] = bits + (rest**2).sum() * worth
    return costs


def add_coding_prior(
    folder: Path,
    codebook_sizes: int | tuple[int, ...],
    seed: int = 0,
    slope: int = 18,
    dilations: tuple[int, ...] = (),
) -> None:
    """Give weights the coding prior of `coding_prior_arrays` for each of their maps."""
    sizes = (codebook_sizes,) if isinstance(codebook_sizes, int) else codebook_sizes
    weights = read_weights(folder)
    data = coding_bytes(
        [coding_prior_arrays(k, seed + i, slope, dilations) for i, k in enumerate(sizes)]
    )
    write_part(weights, {"codebook_id": weights.codebook_id.hex()}, CODING_PRIOR, data, force=True)
