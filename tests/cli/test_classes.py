"""Folders as classes: train prior --classes, export, sample --class."""

import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.cli.test_sampling import SMALL
from tests.helpers import TINY_PRIOR, Run, lattice_prior, picture
from vqcodec import Codec, Image
from vqcodec.codec.sampling import SamplingParams
from vqcodec.config import load_preset, override, parse
from vqcodec.data.sources import Source, find_sources
from vqcodec.errors import UsageError
from vqcodec.evaluate.bits import SAMPLING, BitMeter
from vqcodec.models.priors.base import UNKNOWN
from vqcodec.models.priors.coarsetofine import CoarseToFine
from vqcodec.models.priors.pixelcnn import Config
from vqcodec.models.vqvae import build_prior
from vqcodec.sampling.image import Sampler
from vqcodec.train.config import Config as LoopConfig
from vqcodec.train.image.codes import UNTOLD, Maps, PriorOverMaps, load_maps
from vqcodec.train.image.data import Crops, Pictures
from vqcodec.train.loop import Loop
from vqcodec.train.priors import train_prior
from vqcodec.train.run import TrainingJob

CLASSES = ("dark", "light")
PRIOR = {**TINY_PRIOR, "first": [1, 1], "kernel": [1, 1], "classes": [*CLASSES]}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of two kinds, and more to measure on, in a folder each."""
    root = tmp_path_factory.mktemp("classes")
    for i in range(12):
        for name, low in (("dark", 0), ("light", 170)):
            folder = root / ("train" if i < 8 else "held_out") / name / "deeper"
            folder.mkdir(parents=True, exist_ok=True)
            pixels = low + picture(48, 56, seed=i) // 3
            Image(pixels.astype(np.uint8)).save(folder / f"{i}.png")
    (root / "train" / "dark" / "broken.png").write_bytes(b"no picture")
    return root


@pytest.fixture(scope="module")
def trained(folders: Path, tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    config = override(load_preset("prior-image"), [*SMALL, "train.held_out_side=48"])
    job = TrainingJob([folders / "train"], run, config, [folders / "held_out"])
    train_prior(job, str(tiny_weights), classes=True)
    return run


@pytest.fixture(scope="module")
def model(trained: Path, tiny_weights: Path) -> Path:
    from vqcodec.train.export import export_part

    shutil.copytree(tiny_weights, trained.parent / "tiny")
    export_part(trained, "tiny", trained.parent, force=False)
    return trained.parent / "tiny"


def test_the_class_of_a_map_tells_something_of_it(tmp_path: Path) -> None:
    """Indices of 0 and 1 in one class, of 2 and 3 in the other: a class is worth one bit."""
    table = dict(load_preset("prior-image")["train"])
    for key in ("crop_size", "picture_side", "zoom", "crops", "held_out_side"):
        del table[key]
    table |= {"steps": 60, "batch_size": 16, "warmup_steps": 2, "evaluate_every": 60}
    table |= {"learning_rate": 0.02, "muon_learning_rate": 0.02, "ema_decay": 0.9}
    config = parse(LoopConfig, table, "train")
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 2 + 1
    grids = (rng.integers(2, size=(80, 1, 1)) + 2 * (labels - 1)[:, None, None]).astype(np.uint16)
    maps = Maps((grids[:64],), (grids[64:],), np.zeros(16), 1, labels[:64], labels[64:])
    prior = build_prior({**PRIOR, "codebook_size": 4})
    task = PriorOverMaps(prior, maps, config.batch_size, 0)
    found = Loop(task, config, tmp_path, bf16=False).run().figures
    assert found["bits_per_index"] == pytest.approx(1, abs=0.1)
    assert found["bits_per_index_without_class"] == pytest.approx(2, abs=0.3)
    assert found["bits_per_index_of_wrong_class"] > 3
    for label in (1, 2):
        cond = torch.full((200,), label)
        (drawn,) = prior.sample(((200, 1, 1),), cond, generator=torch.Generator().manual_seed(0))
        assert float((drawn // 2 == label - 1).float().mean()) > 0.9


def test_each_map_goes_with_the_class_of_its_picture(
    trained: Path, folders: Path, tiny_weights: Path
) -> None:
    maps = load_maps(trained)
    assert maps is not None
    assert maps.train_labels is not None and maps.held_out_labels is not None
    assert maps.held_out_labels.tolist() == [1] * 4 + [2] * 4
    pictures = Pictures(find_sources([folders / "train"]), 48, 32)
    assert [Path(source.name).parts[0] for source in pictures.sources] == ["dark"] * 8 + [
        "light"
    ] * 8
    crops = Crops(pictures, 32, 32, (1.0, 2.0), 0)
    codec = Codec.load(tiny_weights)
    for number in range(2):
        some = slice(32 * number, 32 * number + 32)
        pixels, numbers = crops.numbered(number)
        (grids,) = codec.encode_batch(pixels.transpose(0, 2, 3, 1))
        np.testing.assert_array_equal(maps.train[0][some], grids)
        np.testing.assert_array_equal(maps.train_labels[some], 1 + numbers // 8)
        light = pixels.mean((1, 2, 3)) > 150
        np.testing.assert_array_equal(light, numbers >= 8)


def test_some_examples_are_told_no_class(trained: Path) -> None:
    maps = load_maps(trained)
    assert maps is not None and maps.train_labels is not None
    task = PriorOverMaps(build_prior(PRIOR), maps, 500, seed=0)
    batch = task.batch(3)
    np.testing.assert_array_equal(batch["cond"], task.batch(3)["cond"])
    untold = float((batch["cond"] == UNKNOWN).mean())
    assert untold == pytest.approx(UNTOLD, abs=0.05)
    whose = {
        grid.tobytes(): int(x) for grid, x in zip(maps.train[0], maps.train_labels, strict=True)
    }
    for grid, told in zip(batch["map_0"], batch["cond"], strict=True):
        assert told in (UNKNOWN, whose[grid.tobytes()])


def test_samples_are_of_the_class_asked_for(model: Path) -> None:
    sampler = Sampler.load(model)
    assert sampler.prior.classes == CLASSES
    params = SamplingParams(seed=5)
    for label, name in ((1, "dark"), (2, "light")):
        pictures = sampler.sample(6, (32, 32), params, class_name=name)
        cond, generator = torch.full((6,), label), torch.Generator().manual_seed(5)
        (drawn,) = sampler.prior.sample(((6, 8, 8),), cond, generator=generator)
        expected = sampler.codec.decode_batch((drawn.numpy().astype(np.uint16),))
        np.testing.assert_array_equal(np.stack([p.pixels for p in pictures]), expected)
    image = Image(picture(48, 40))
    dark, light = (sampler.complete(image, 0.5, params, class_name=name) for name in CLASSES)
    np.testing.assert_array_equal(dark.pixels[:8], light.pixels[:8])
    assert not np.array_equal(dark.pixels, light.pixels)


def test_without_a_class_it_is_unknown(model: Path, folders: Path) -> None:
    sampler = Sampler.load(model)
    codes = sampler.codec.encode(Image.open(folders / "held_out" / "dark" / "deeper" / "9.png"))
    indices = (torch.from_numpy(codes.grids[0].astype(np.int64))[None],)
    unknown = sampler.prior.log_prob(indices, torch.tensor([UNKNOWN]))
    assert torch.equal(sampler.prior.log_prob(indices), unknown)
    known = sampler.prior.log_prob(indices, torch.tensor([1]))
    assert float(known) != float(unknown)
    (bits,) = BitMeter(sampler.codec).measure(codes)[SAMPLING]
    assert bits == pytest.approx(-float(unknown) / np.log(2), rel=1e-5)


def test_priors_of_several_maps_pass_classes_on() -> None:
    torch.manual_seed(0)
    several = build_prior({**PRIOR, "codebook_size": [32, 32]})
    for parameter in several.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    first = several.each()[0]
    drawn = CoarseToFine(first, lattice_prior((32, 8), (1, 1)))
    assert several.classes == drawn.classes == CLASSES
    for prior in (several, drawn):
        maps = tuple(torch.randint(8, (2, 4, 4)) for _ in range(2))
        one, two = (prior.log_prob(maps, torch.full((2,), label)) for label in (1, 2))
        assert not torch.equal(one, two)
        shapes = tuple(tuple(grid.shape) for grid in maps)
        found = [
            prior.sample(
                shapes, torch.full((2,), label), generator=torch.Generator().manual_seed(0)
            )
            for label in (1, 2)
        ]
        assert not torch.equal(found[0][0], found[1][0])


def test_commands_take_classes(
    folders: Path, tiny_weights: Path, model: Path, tmp_path: Path, run: Run
) -> None:
    packed = tmp_path / "train.tar"
    with tarfile.open(packed, "w") as tar:
        tar.add(folders / "train", ".")
    done = run(
        "train", "prior", packed, "-o", "run", "--codec", tiny_weights, "--classes",
        "--held-out", folders / "held_out", *(f"--set={s}" for s in SMALL),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"bits_per_index_of_wrong_class" in done.stderr
    config = json.loads((tmp_path / "run" / "run.json").read_text())["config"]
    assert config["prior"]["classes"] == [*CLASSES]
    photo = folders / "train" / "light" / "deeper" / "2.png"
    sample = ("sample", "-n", "2", "--size", "32x24", "--model", model)
    files: list[bytes] = []
    for name in (None, *CLASSES):
        asked = () if name is None else ("--class", name)
        done = run(*sample, "-o", f"{len(files)}.png", *asked, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout).get("class") == name
        files.append((tmp_path / f"{len(files)}.png").read_bytes())
    assert len(set(files)) == 3
    done = run("complete", photo, "-o", "x.png", "--model", model, "--class", "dark")
    assert done.returncode == 0, done.stderr
    whole = ("complete", photo, "--model", model)
    for words in (sample, whole):
        done = run(*words, "-o", "y.png", "--class", "grey")
        assert done.returncode == 2 and b"no class 'grey'; there are: dark, light" in done.stderr
    assert not (tmp_path / "y.png").exists()


def test_wrong_requests_are_refused(
    folders: Path, tiny_weights: Path, babbling_weights: Path, tmp_path: Path, run: Run
) -> None:
    train = ("train", "prior", "-o", "run", "--codec", tiny_weights, "--classes")
    held_out = tmp_path / "held_out" / "grey"
    held_out.mkdir(parents=True)
    shutil.copy(folders / "held_out" / "dark" / "deeper" / "9.png", held_out)
    small = tuple(f"--set={s}" for s in SMALL)
    for words, said in (
        ((*train, folders / "train" / "dark"), b"broken.png: lies in no folder of a class"),
        ((*train, tmp_path), b"all pictures lie in 'held_out'"),
        ((*train, folders / "train", "--preset", "prior-coding"), b"--classes is for a prior"),
        (
            (*train, folders / "train", "--held-out", held_out.parent, *small),
            b"grey/9.png: lies in no folder of a class that is trained on",
        ),
    ):
        done = run(*words)
        assert done.returncode in (1, 2) and said in done.stderr, done.stderr
        assert b"Traceback" not in done.stderr
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
    done = run("sample", "-o", "x.wav", "--model", babbling_weights, "--class", "dark")
    assert done.returncode == 2 and b"--class is for pictures" in done.stderr


def test_a_prior_without_classes_says_so(tiny_weights: Path) -> None:
    sampler = Sampler.__new__(Sampler)
    sampler.codec = Codec.load(tiny_weights)
    sampler.prior = build_prior({**PRIOR, "classes": []})
    with pytest.raises(UsageError, match="'tiny' knows no class 'dark'; it knows none"):
        sampler.sample(1, (16, 16), class_name="dark")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classes": ["dark", "dark"]}, "names of their own"),
        ({"classes": ["dark", ""]}, "can be printed"),
        ({"classes": ["dark", "li\x1b[2Jght"]}, "can be printed"),
        ({"classes": ["dark", "light"], "cond_dim": 2}, "cond_dim must be 0"),
        ({"classes": ["dark", 3]}, "must be of type str"),
        ({"classes": "dark"}, "must be a list"),
        ({"classes": {"dark": 1}}, "must be a list"),
        ({"classes": []}, "not those of the model"),
        ({"classes": ["dark"]}, "not those of the model"),
        ({"classes": ["a", "b", "c"]}, "not those of the model"),
        ({"classes": [f"{i}" for i in range(4097)]}, "number of classes"),
        ({"classes": [f"{i}" for i in range(4096)]}, "larger than its file"),
        ({"classes": [], "cond_dim": 65536}, "larger than its file"),
    ],
)
def test_tables_of_classes_that_lie_are_refused(
    model: Path, tmp_path: Path, changes: dict[str, Any], said: str, run: Run
) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["sampling_prior"]["prior"] |= changes
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    done = run("sample", "-o", "x.png", "--model", folder, "--class", "dark")
    assert done.returncode == 1 and said.encode() in done.stderr, done.stderr
    assert done.stderr.count(b"\n") == 1 and b"\x1b" not in done.stderr


def test_a_prior_of_classes_is_small_where_it_says_so() -> None:
    config = Config(codebook_size=8, width=8, dilations=(1,), embedding=4)
    with_classes = replace(config, classes=CLASSES)
    for one in (config, with_classes, replace(config, cond_dim=3)):
        assert one.min_parameters <= sum(p.numel() for p in one.build().parameters())


def test_the_first_folder_is_the_class() -> None:
    for name, folder in (
        ("a/1.png", "a"),
        ("a/b/1.png", "a"),
        ("./a/1.png", "a"),
        ("/a/1.png", "a"),
        ("../a/1.png", "a"),
        ("1.png", ""),
        ("/1.png", ""),
    ):
        assert Source(Path("x"), name).folder == folder
