"""Does a decoder that could do without its latents still use them?

Four models of small pictures with one and the same PixelCNN decoder, which sees all pixels before
the one that it is at: one that is told nothing else; a VAE; a VAE with free bits, a cure; and a
VQ-VAE of three codes, 27 bits. Each is trained for equal steps, then measured: what its latents
cost, what pixels cost given them, and what they cost given the latents of another picture. Where
that makes no difference, the latents have collapsed: nothing is in them that the decoder uses.

    python examples/collapse.py PICTURES -o FOLDER

writes `bounds.json`, and `collapse.png`: originals above, and below what each model draws from
their latents.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch

from vqcodec import Image
from vqcodec.cli.handlers.image.bound import print_bounds
from vqcodec.config import Tree, load_preset, override
from vqcodec.evaluate.bound.study import BoundStudy, squares
from vqcodec.models.nn.pixels import to_pixels, to_signal
from vqcodec.models.pretrained import load_any_model
from vqcodec.train.export import export
from vqcodec.train.image.task import train_image
from vqcodec.train.run import TrainingJob
from vqcodec.weights import read_weights

MODELS = {
    "alone": ("pixelcnn-alone", []),
    "vae": ("pixelcnn-vae", []),
    "vae-free-bits": ("pixelcnn-vae", ["model.bottleneck.free_bits=1.7"]),  # 27 for 16 latents
    "vqvae": ("pixelcnn-vqvae", []),
}
SHOWN, GAP = 8, 2


def settings(preset: str, own: list[str], side: int, levels: int, steps: int, width: int) -> Tree:
    """Return a preset for pictures of another side, and another size of network."""
    levels = round(math.log2(side))
    widths = [min(4 * width, width << level // 2) for level in range(levels)]
    changed = [
        f"model.encoder.widths={widths}",
        f"model.decoder.widths={widths[::-1]}",
        *(f"model.{part}.blocks={[0] * levels}" for part in ("encoder", "decoder")),
        *(f"train.{name}={side}" for name in ("crop_size", "picture_side", "held_out_side")),
        f"model.decoder.width={2 * width}",
        f"model.decoder.features={width}",
        f"model.decoder.levels={levels}",
        "model.decoder.dilations=[1, 1, 1, 1]",
        f"train.steps={steps}",
        f"train.evaluate_every={max(1, steps // 2)}",
        "train.ema_decay=0.99",
        "train.learning_rate=0.003",
    ]
    return override(load_preset(preset), [*changed, *own])


def draw(folder: Path, names: list[str], data: list[Path], side: int) -> Image:
    """Return originals, and below what each model draws from the latents of each."""
    _, pixels, _ = squares(data, side)
    pixels = pixels[:SHOWN]
    x = to_signal(torch.from_numpy(pixels))
    rows = [pixels]
    for name in names:
        model = load_any_model(read_weights(folder / name))
        torch.manual_seed(0)
        with torch.inference_mode():
            z, _ = model.infer(x)
            generator = torch.Generator().manual_seed(0)
            rows.append(to_pixels(model.decoder.reconstruct(z, generator=generator)).numpy())
    scale = max(1, 96 // side)
    page = np.pad(np.stack(rows), ((0, 0), (0, 0), (0, 0), (0, GAP), (0, GAP)), constant_values=255)
    tall = page.transpose(0, 3, 1, 4, 2).reshape(len(rows) * (side + GAP), -1, 3)
    return Image(np.ascontiguousarray(tall.repeat(scale, 0).repeat(scale, 1)))


def main() -> None:
    """Train, measure, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="+", help="pictures, folders, or tars")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder; runs go on in it")
    parser.add_argument("--held-out", type=Path, nargs="+", help="pictures to measure on")
    parser.add_argument("--side", type=int, default=16, help="of pictures, 8, 16, 32 or 64 [16]")
    parser.add_argument("--levels", type=int, default=256, help="of a colour, 2 to 256 [256]")
    parser.add_argument("--steps", type=int, default=1500, help="of training, for each [1500]")
    parser.add_argument("--width", type=int, default=16, help="of the networks [16]")
    asked = parser.parse_args()
    measured = asked.held_out or asked.data
    for name, (preset, own) in MODELS.items():
        run = asked.output / "runs" / name
        tree = settings(preset, own, asked.side, asked.levels, asked.steps, asked.width)
        train_image(TrainingJob(asked.data, run, tree, asked.held_out or []))
        export(run, name, asked.output, notes="", force=True)
        print(f"{name}: trained", flush=True)
    models = [str(asked.output / name) for name in MODELS]
    study = BoundStudy(measured, asked.output, models=models, samples=0, force=True)
    print_bounds(study.run())
    picture = draw(asked.output, list(MODELS), measured, asked.side)
    picture.save(asked.output / "collapse.png", force=True)
    print(asked.output / "collapse.png")


if __name__ == "__main__":
    main()
