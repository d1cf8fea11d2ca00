"""The kinds of codecs with several maps: presets, files, tiles, previews, training."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

import vqcodec.codec.image
from tests.helpers import cost_of_maps, lively, picture, tiny_maps_config
from vqcodec import Codec, Codes, Image
from vqcodec.config import Tree, load_preset, override
from vqcodec.errors import UsageError
from vqcodec.maps import MapSpec
from vqcodec.models.nn.pixels import to_signal
from vqcodec.models.pretrained import write_weights
from vqcodec.models.vqvae import VQVAE, build
from vqcodec.train.config import split
from vqcodec.train.export import export
from vqcodec.train.image.task import ImageData, train_image
from vqcodec.train.loop import Progress
from vqcodec.train.run import TrainingJob

PRESETS = ("vqvae2", "vqvae2-three", "image-residual", "image-product")
SMALL = ["train.steps=12", "train.batch_size=4", "train.crop_size=32", "train.picture_side=48"]
SMALL += ["train.evaluate_every=4", "train.restart_every=3", "train.warmup_steps=2"]


def signal(number: int, side: int) -> torch.Tensor:
    pictures = [picture(side, side, seed=i) for i in range(number)]
    return to_signal(torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy()))


def with_codes(model: VQVAE, x: torch.Tensor) -> VQVAE:
    """Set every codebook from pictures, coarse to fine."""
    with torch.no_grad():
        for level, book in enumerate(model.quantizer.codebooks):
            book.initialize(model.quantizer(model.encoder(x)).latents[level], seed=0)
    return model


@pytest.fixture(params=PRESETS)
def codec(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Codec:
    table = tiny_maps_config(request.param)["model"]
    torch.manual_seed(0)
    model = with_codes(lively(build(table)), signal(4, 128))
    (tmp_path / "several").mkdir()
    config = {"name": "several", "modality": "image", "model": table}
    write_weights(tmp_path / "several", config, model)
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(tmp_path))
    return Codec.load("several", device="cpu", precision="fp32")


def test_presets_have_the_maps_of_the_papers() -> None:
    maps = {name: build(load_preset(name)["model"]).maps for name in (*PRESETS, "image-f4")}
    assert maps["vqvae2"] == (MapSpec(512, (8, 8)), MapSpec(512, (4, 4)))
    assert [spec.shape((256, 256)) for spec in maps["vqvae2"]] == [(32, 32), (64, 64)]
    values = [1024 * 1024 * 3 / math.prod(s.shape((1024, 1024))) for s in maps["vqvae2-three"]]
    assert values == [3072, 768, 192]
    bits = {
        name: sum(math.log2(s.codebook_size) * math.prod(s.shape((128, 128))) for s in maps[name])
        for name in ("image-f4", "image-residual", "image-product")
    }
    assert set(bits.values()) == {9 * 32 * 32}  # so that they can be compared


@pytest.mark.parametrize("name", PRESETS)
def test_crops_of_presets_are_whole_cells(name: str) -> None:
    preset = load_preset(name)
    data, _ = split(preset, ImageData)
    stride = build(preset["model"]).maps[0].stride[0]
    assert data.crop_size % stride == 0 and data.crop_size // stride >= 8


def test_files_and_previews(codec: Codec) -> None:
    image = Image(picture(90, 131))
    codes = codec.encode(image)
    assert [g.shape for g in codes.grids] == [spec.shape((90, 131)) for spec in codec.maps]
    assert all(len(np.unique(grid)) > 3 for grid in codes.grids)
    for suffix in (".npz", ".vqc"):
        assert Codes.from_bytes(codes.to_bytes(suffix), "x") == codes
    whole = codec.decode(codes).pixels
    number = len(codes.grids)
    previews = [codec.decode(codes, levels=n).pixels for n in range(1, number + 1)]
    assert all(p.shape == whole.shape for p in previews)
    np.testing.assert_array_equal(previews[-1], whole)
    assert all((a != b).any() for a, b in zip(previews, previews[1:], strict=False))
    # a preview knows nothing of the finer maps
    codes.grids[-1][:] = 0
    np.testing.assert_array_equal(codec.decode(codes, levels=number - 1).pixels, previews[-2])
    for wrong in (0, -1, number + 1):
        with pytest.raises(UsageError, match=f"levels is {wrong}, must be 1 to {number}"):
            codec.decode(codes, levels=wrong)


def test_tiles_give_what_one_pass_gives(codec: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    around = max(codec.engine.encoder_halo, codec.engine.decoder_halo)
    ratio = codec.maps[0].stride[0] // codec.maps[-1].stride[0]
    cells = 2 * around + 2
    size = (codec.maps[0].stride[0] * (cells + 3) - 5, codec.maps[0].stride[0] * 3 - 1)
    image = Image(picture(*size))
    whole = codec.encode(image)
    shown = [codec.decode(whole, levels=n + 1).pixels for n in range(len(whole.grids))]
    monkeypatch.setattr(vqcodec.codec.image, "WINDOW", ratio * cells)
    assert len(codec._tiles(size, around)) > 1
    for a, b in zip(whole.grids, codec.encode(image).grids, strict=True):
        assert np.mean(a == b) >= 0.999  # the rest are ties that floating point breaks either way
    for n, pixels in enumerate(shown):
        again = codec.decode(whole, levels=n + 1).pixels
        assert np.abs(again.astype(int) - pixels).max() <= 1


@pytest.mark.graphs
@pytest.mark.parametrize("codec", ["vqvae2", "image-product"], indirect=True)
def test_graphs_compute_the_same(codec: Codec) -> None:
    pytest.importorskip("onnxscript")
    from vqcodec.codec.graphs import add_graphs

    add_graphs(codec.weights)
    other = Codec.load("several", "cpu", "fp32", "onnx")
    image = Image(picture(90, 131))
    codes = codec.encode(image)
    for a, b in zip(codes.grids, other.encode(image).grids, strict=True):
        assert np.mean(a == b) >= 0.99  # the rest are ties that floating point breaks either way
    for levels in range(1, len(codes.grids) + 1):
        shown = [c.decode(codes, levels=levels).pixels.astype(int) for c in (codec, other)]
        assert np.abs(shown[0] - shown[1]).max() <= 1


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i in range(6):
        Image(picture(48 + 8 * i, 56, seed=i)).save(folder / f"{i}.png")
    return folder


def train(photos: Path, run: Path, config: Tree, **arguments: Any) -> Progress:
    return train_image(TrainingJob([photos], run, config, [], **arguments))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_run_tells_of_each_map_and_exports(preset: str, photos: Path, tmp_path: Path) -> None:
    config = override(tiny_maps_config(preset), SMALL)
    figures = train(photos, tmp_path / "run", config).figures
    number = len(config["model"]["quantizer"]["codebook_sizes"])
    assert {f"psnr_of_first_{n}" for n in range(1, number)} <= figures.keys()
    assert all(figures[f"perplexity_{n}"] > 1 for n in range(number))
    export(tmp_path / "run", "mine", tmp_path, notes="", force=False)
    codec = Codec.load(tmp_path / "mine", device="cpu")
    codes = codec.encode(Image(picture(50, 40)))
    assert codes.codebook_sizes == tuple(config["model"]["quantizer"]["codebook_sizes"])
    assert codec.decode(codes, levels=1).size == (50, 40)


class Killed(BaseException):
    """Stands for kill -9: nothing is cleaned up after it."""


def test_a_killed_run_leaves_out_the_same_maps_when_it_goes_on(
    photos: Path, tmp_path: Path
) -> None:
    config = override(tiny_maps_config("image-residual"), SMALL)
    train(photos, tmp_path / "whole", config)

    def kill(progress: Progress, done: float) -> None:
        if progress.step == 7:
            raise Killed

    with pytest.raises(Killed):
        train(photos, tmp_path / "cut", config, on_step=kill)
    train(photos, tmp_path / "cut", config)
    whole, cut = (
        safetensors.torch.load_file(tmp_path / run / "checkpoint" / "average.safetensors")
        for run in ("whole", "cut")
    )
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())


def patchwork(number: int, sides: tuple[int, ...]) -> torch.Tensor:
    """Pictures of 64 x 64 with something to tell in cells of each of these sides."""
    generator = torch.Generator().manual_seed(0)
    x = torch.zeros(number, 3, 64, 64)
    for strength, side in zip((0.5, 0.3, 0.2), sides, strict=False):
        n = 64 // side
        cells = torch.randint(2, (number, 3, n, n), generator=generator) * 2.0 - 1
        x += strength * cells.repeat_interleave(side, 2).repeat_interleave(side, 3)
    return x.clamp(-1, 1)


def learned(table: Tree, x: torch.Tensor, steps: int) -> VQVAE:
    torch.manual_seed(0)
    model = build(table)
    with_codes(model.eval(), x).train()
    optimizer = torch.optim.Adam(model.parameters(), betas=(0.9, 0.99))
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.01 * min(1, (step + 1) / 20) * (1 - step / steps)
        terms = model(x[torch.randperm(len(x))[:8]])
        optimizer.zero_grad()
        terms.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 20 == 19:
            for book, latents in zip(model.quantizer.codebooks, terms.latents, strict=True):
                book.restart(latents, step)
    return model.eval()


def small(preset: str) -> Tree:
    """What learns in seconds: of three maps those of strides 8, 4 and 2."""
    table: Tree = tiny_maps_config(preset)["model"]
    left_out = 2 if preset == "vqvae2-three" else 0
    for part, kept in (("encoder", slice(left_out, None)), ("decoder", slice(-left_out or None))):
        table[part]["blocks"] = table[part]["blocks"][kept]
        table[part]["widths"] = [16] * len(table[part]["blocks"])
    table["encoder"]["dim"] = table["quantizer"]["dim"] = table["decoder"]["dim"] = 8
    if table["quantizer"]["kind"] == "hierarchical":
        table["quantizer"] |= {"width": 16, "dropout": 0.5}
        table["decoder"]["dim"] = 16
    return table


@pytest.mark.parametrize("preset", PRESETS)
def test_no_map_is_decorative(preset: str) -> None:
    """After a short training each map is needed, and each prefix is better than a shorter one."""
    table = small(preset)
    x = patchwork(32, tuple(dict.fromkeys(s.stride[0] for s in build(table).maps)))
    model = learned(table, x, 150)
    maps, errors = model.encode(x), []
    with torch.no_grad():
        for number in range(len(maps)):
            error = (model.decode(maps[: number + 1]) - x).square().mean()
            errors.append(10 * math.log10(4 / float(error)))
    costs = cost_of_maps(model, x)
    assert min(costs) > 0.4
    assert all(b > a + 0.2 for a, b in zip(errors, errors[1:], strict=False))


def test_a_decorative_map_is_found_out() -> None:
    table = tiny_maps_config("image-product")["model"]
    torch.manual_seed(0)
    model, x = with_codes(lively(build(table)), signal(4, 32)), signal(4, 32)
    assert all(abs(cost) > 0.01 for cost in cost_of_maps(model, x))
    first = next(p for p in model.decoder.parameters() if p.ndim == 4)
    with torch.no_grad():
        first[:, 2:] = 0  # what the decoder makes of the second half
    heard, unheard = cost_of_maps(model, x)
    assert unheard == 0 and abs(heard) > 0.01
