"""What README and cookbook show runs as it stands there."""

import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import Run, picture, voice
from vqcodec import Codes, Image
from vqcodec.metrics.basic import psnr

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COOKBOOK = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^```sh\n(.*?)^```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"^(?:    )?(vqcodec .*)$|`(vqcodec [^`]*)`", re.MULTILINE)


def block(marker: str) -> str:
    """Return the code block behind an HTML comment of the README."""
    found = re.search(rf"<!-- {marker} -->\n```sh\n(.*?)```", README, re.DOTALL)
    assert found
    return found[1].strip()


def commands(text: str) -> list[list[str]]:
    return [shlex.split(c) for c in text.replace("\n", "&&").split("&&") if c]


def test_the_first_command_codes_the_example(tmp_path: Path, run: Run) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    install, *rest = commands(block("try"))
    assert install[:2] == ["pip", "install"] and len(rest) == 2
    for command in rest:
        done = run(*command[1:])
        assert done.returncode == 0, done.stderr
    original, coded, decoded = (
        tmp_path / "examples" / f"kodim23.{suffix}" for suffix in ("png", "npz", "decoded.png")
    )
    before, after = Image.open(original).pixels, Image.open(decoded).pixels
    count, size = Codes.load(coded).grids[0].size, coded.stat().st_size
    reached = (
        *(count, size, before.size / size, original.stat().st_size / size),
        *(8 * size / (before.size / 3), psnr(before, after)),
    )
    promise = re.search(
        r"Now `examples/kodim23\.npz` holds(.*?)`examples.*?at (.*?)PSNR", README, re.S
    )
    assert promise
    promised = re.findall(r"\d[\d,]*(?:\.\d+)?", promise[1] + promise[2])
    # a few codes may differ where a processor computes in bfloat16
    assert [float(n.replace(",", "")) for n in promised] == pytest.approx(reached, rel=0.01)


@pytest.fixture
def files(tmp_path: Path) -> None:
    """Lay small files under the names that the recipes use."""
    Image(picture(40, 40)).save(tmp_path / "photo.png")
    voice(40_000).save(tmp_path / "talk.flac")
    voice(30_000, 44_100, 2).save(tmp_path / "talk.mp3")
    for folder, file in (("photos", "photo.png"), ("recordings", "talk.flac")):
        (tmp_path / folder).mkdir()
        shutil.copy(tmp_path / file, tmp_path / folder)


@pytest.mark.usefixtures("files")
def test_the_commands_of_the_readme_work(tmp_path: Path, run: Run) -> None:
    shown = re.findall(r"^\| .* \| `(vqcodec .*)` \|$", README, re.MULTILINE)
    assert len(shown) == 12
    for line in shown:
        run_line(line, run, tmp_path)


@pytest.mark.usefixtures("files")
def test_the_recipes_of_the_cookbook_work(tmp_path: Path, run: Run) -> None:
    shown = [line for found in FENCED.findall(COOKBOOK) for line in found.splitlines()]
    assert len(shown) >= 25
    for line in shown:
        run_line(line, run, tmp_path)


def run_line(line: str, run: Run, folder: Path) -> None:
    """Run a line as a shell in `folder` would: `cat`, vqcodec, pipes and ``> file``."""
    line, _, target = line.partition(" > ")
    data = b""
    for stage in line.split(" | "):
        program, *arguments = shlex.split(stage)
        if program == "cat":
            data = (folder / arguments[0]).read_bytes()
            continue
        assert program == "vqcodec"
        done = run(*arguments, stdin=data)
        assert done.returncode == 0, (line, done.stderr)
        data = done.stdout
    if target:
        (folder / target).write_bytes(data)


def shown_options() -> Iterator[tuple[str, str]]:
    """Yield every command shown in README and cookbook, with each of its options."""
    for code in CODE.findall(FENCED.sub(lambda m: m[1], README + COOKBOOK)):
        for part in re.split(r" [|>] ", "".join(code)):
            _, name, *words = shlex.split(part)
            if name == "train":
                name = f"train {words[0]}"
            yield from ((name, w.split("=")[0]) for w in words if w.startswith("--"))


def test_every_option_that_is_shown_exists(run: Run) -> None:
    shown = sorted(set(shown_options()))
    assert ("train speech", "--stage") in shown and ("decode", "--decoder") in shown
    told = {name: run(*name.split(), "--help").stdout.decode() for name, _ in shown}
    missing = [pair for pair in shown if not re.search(rf"{pair[1]}\b", told[pair[0]])]
    assert not missing


def test_the_tree_that_is_drawn_is_the_one_that_stands() -> None:
    drawn = re.search(r"a test holds that\.\n\n```\n(.*?)```", README, re.DOTALL)
    assert drawn
    named = set(re.findall(r"(\w+)/", drawn[1]))
    package = ROOT / "vqcodec"
    rooms = {path.name for path in package.iterdir() if path.is_dir()} - {"__pycache__"}
    inner = {path.parent.name for path in package.glob("*/*/__init__.py")}
    assert rooms <= named <= rooms | inner


def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert found
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"pixels": np.stack([picture(32, 32)] * 2)}
    exec(found[1], names)
    assert isinstance(names["pixels"], np.ndarray) and names["pixels"].shape == (2, 32, 32, 3)
    assert Image.open(tmp_path / "y.png").size == (256, 384)


def test_the_loader_of_the_cookbook_reads_every_sample_once(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = re.search(r"<!-- loader -->\n```python\n(.*?)```", COOKBOOK, re.DOTALL)
    assert found
    (tmp_path / "photos").mkdir()
    for i in range(5):
        Image(picture(32, 48, seed=i)).save(tmp_path / "photos" / f"{i}.png")
    options = ("--model", "tiny", "--shard-size", "2", "--workers", "1")
    assert run("tokenize", "photos", "-o", "tokens", *options).returncode == 0
    monkeypatch.chdir(tmp_path)
    exec(found[1], {})
    keys = tuple(map(str, range(5)))
    assert capsys.readouterr().out == f"{keys} torch.Size([5, 8, 12])\n"


def test_the_training_example_works(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "FOLDER").mkdir()
    for i in range(20):
        Image(picture(90, 120, seed=i)).save(tmp_path / "FOLDER" / f"{i}.png")
    Image(picture(40, 40)).save(tmp_path / "photo.png")
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(tmp_path / "weights"))
    install, train, *rest = commands(block("train"))
    assert install[:2] == ["pip", "install"] and len(rest) == 3
    assert train[-2] == "--minutes"
    done = run(*train[1:-1], "0.05")  # the test's patience; the command is the README's otherwise
    assert done.returncode == 0, done.stderr
    assert b"19 pictures to train on" in done.stderr
    for command in rest:
        done = run(*command[1:])
        assert done.returncode == 0, (command, done.stderr)
    assert Image.open(tmp_path / "mine.decoded.png").size == (40, 40)


@pytest.mark.parametrize("name", ["tokens.py", "tour.py", "figure.py", "stacked.py", "collapse.py"])
def test_examples_run(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for i in range(2):
        Image(picture(40, 48, seed=i)).save(tmp_path / f"{i}.png")
    small = ["--side=8", "--levels=4", "--steps=1", "--width=4"]
    every: dict[str, list[str | Path]] = {
        "tokens.py": [],
        "tour.py": [],
        "figure.py": [tmp_path / "figure.png", tmp_path / "0.png"],
        "stacked.py": [tmp_path / "figure.png", tmp_path / "0.png", "--seeds=2"],
        "collapse.py": [tmp_path, "-o", tmp_path / "c", *small],
    }
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", [f"examples/{name}", *map(str, every[name])])
    runpy.run_path(f"examples/{name}", run_name="__main__")  # here, where torch is loaded
    assert (tmp_path / "figure.png").is_file() or capsys.readouterr().out
