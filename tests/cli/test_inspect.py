"""`vqcodec inspect`: figures and printed codes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.cli.test_commands import MODEL, fails, names
from tests.helpers import Run, picture
from vqcodec import Codes, Image


def test_a_picture_is_explained(photo: Path, run: Run) -> None:
    result = run("inspect", "photo.png", *MODEL)
    assert result.returncode == 0, result.stderr
    said = result.stdout.decode()
    assert said.startswith("photo.png -> photo.inspect.png: 40×52 pixels, 130 indices")
    assert "of 32 codes in use" in said and "PSNR" in said
    with Pillow.open(photo.parent / "photo.inspect.png") as figure:
        assert figure.size[0] == 1720 and figure.size[1] > 1000
    fails(run("inspect", "photo.png", *MODEL), 1, "photo.inspect.png: exists already", "--force")
    assert run("inspect", "photo.png", *MODEL, "--force").returncode == 0
    assert names(photo.parent) == ["photo.inspect.png", "photo.png"]


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (700, 2), (30, 12)])
def test_any_shape_and_transparency(size: tuple[int, int], tmp_path: Path, run: Run) -> None:
    alpha = np.linspace(0, 255, size[0] * size[1]).reshape(size).astype(np.uint8)
    Image(picture(*size), alpha).save(tmp_path / "$x$ 𝄞.png")
    for name in ("$x$ 𝄞.png", "$x$ 𝄞.npz"):
        result = run("inspect", name, *MODEL, "--force")
        assert result.returncode == 0 and result.stderr == b""
        assert run("encode", "$x$ 𝄞.png", *MODEL, "--force").returncode == 0


def test_code_files_and_streams(photo: Path, run: Run) -> None:
    folder = photo.parent
    assert run("encode", "photo.png", *MODEL, "-o", "a.vqc").returncode == 0
    result = run("inspect", "a.vqc", "-o", "map.svg")  # the file names its weights
    assert result.returncode == 0 and b"PSNR" not in result.stdout
    assert b"<svg" in (folder / "map.svg").read_bytes()
    result = run("inspect", "-", stdin=(folder / "a.vqc").read_bytes())
    assert result.stdout.startswith(b"\x89PNG") and b"130 indices" in result.stderr


def test_codes_are_printed_without_torch(photo: Path, run: Run) -> None:
    assert run("encode", "photo.png", *MODEL).returncode == 0
    (grid,) = Codes.load(photo.parent / "photo.npz").grids
    code = "import sys; sys.modules['torch'] = None; from vqcodec.cli import main; main()"
    command = [sys.executable, "-c", code, "inspect", "photo.npz", "--codes", "csv"]
    done = subprocess.run(command, cwd=photo.parent, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = np.loadtxt(done.stdout.decode().splitlines(), delimiter=",", dtype=int)
    np.testing.assert_array_equal(printed, grid)
    text = run("inspect", "photo.png", *MODEL, "--codes", "text").stdout.decode().splitlines()
    np.testing.assert_array_equal(np.loadtxt(text, dtype=int), grid)
    assert len({len(line) for line in text}) == 1  # columns are aligned
    assert names(photo.parent) == ["photo.npz", "photo.png"]


def test_a_model_alone_and_over_pictures(tmp_path: Path, run: Run) -> None:
    assert run("inspect", *MODEL).stdout == b"tiny -> tiny.inspect.png: 32 codes\n"
    for i in range(2):
        Image(picture(20, 24, seed=i)).save(tmp_path / f"{i}.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    result = run("inspect", "0.png", "1.png", "bad.png", *MODEL, "-o", "use.png")
    assert result.returncode == 0 and b"used by 2 pictures" in result.stdout
    assert b"left out: bad.png" in result.stderr
    (tmp_path / "none").mkdir()
    fails(run("inspect", "none", *MODEL, "--force"), 1, "none: no pictures found")
    assert run("inspect", "bad.png", "bad.png", *MODEL, "--force").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["no.png"], 1, "no.png: no such file"),
        (["text.png"], 1, "text.png: not a picture"),
        (["photo.png", "-o", "x.jpg"], 2, "end in .png, .svg or .pdf"),
        (["photo.png", "-o", "photo.png", "--force"], 1, "is an input"),
        (["photo.png", "--codes", "xml"], 2, "no format 'xml'"),
        (["photo.png", "--codes", "csv", "-o", "x.png"], 2, "draws nothing"),
        (["--codes", "csv"], 2, "one picture or code file"),
    ],
)
def test_bad_requests(photo: Path, run: Run, arguments: list[str], code: int, words: str) -> None:
    (photo.parent / "text.png").write_text("hello")
    fails(run("inspect", *arguments, *MODEL), code, words)
    assert names(photo.parent) == ["photo.png", "text.png"]


def test_a_missing_extra_is_named(photo: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    fails(run("inspect", "photo.png", *MODEL), 1, "pip install 'vqcodec[evaluate]'")
