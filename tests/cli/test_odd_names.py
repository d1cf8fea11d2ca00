"""Names of files that are no text: what they name is worked on, and they are shown escaped."""

import io
import json
import os
from pathlib import Path

import pytest
from PIL import Image as Pillow

from tests.helpers import Run, picture
from vqcodec.media.image import Image
from vqcodec.weights import CARD

ODD = os.fsdecode(b"caf\xe9")


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder with a picture, neither of which has a name in UTF-8."""
    folder = tmp_path / ODD
    try:
        folder.mkdir()
    except (OSError, UnicodeError):
        pytest.skip("this file system knows no such names")
    Image(picture(24, 32)).save(tmp_path / "plain.png")
    (tmp_path / "plain.png").rename(folder / f"{ODD}.png")
    return folder


def test_inspect_shows_them(odd: Path, run: Run) -> None:
    result = run("inspect", odd / f"{ODD}.png", "-o", "-", "--model", "tiny")
    assert result.returncode == 0, result.stderr
    assert Pillow.open(io.BytesIO(result.stdout)).width > 100


def test_evaluate_reports_them(odd: Path, run: Run, tmp_path: Path) -> None:
    result = run("evaluate", odd, "-o", "report", "--model", "tiny", "--against", "")
    assert result.returncode == 0, result.stderr
    assert r"caf\xe9.png" in (tmp_path / "report" / "results.csv").read_text(encoding="utf-8")


def test_a_run_over_them_is_exported_and_repeated(odd: Path, run: Run, tmp_path: Path) -> None:
    small = [
        *("train.steps=2", "train.batch_size=2", "train.crop_size=16", "train.picture_side=24"),
        *("model.encoder.widths=[4,8]", "model.decoder.widths=[8,4]"),
        *("model.encoder.blocks=[0,1]", "model.decoder.blocks=[1,1]"),
    ]
    command: list[str | Path] = ["train", "image", odd, "-o", tmp_path / "run"]
    command += [part for setting in small for part in ("--set", setting)]
    assert run(*command).returncode == 0
    assert "finished" in run(*command).stdout.decode()  # it knows its own settings
    told = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert told["data"] == [str(odd)]
    result = run("export", tmp_path / "run", "new", "-o", tmp_path / "weights")
    assert result.returncode == 0, result.stderr
    card = (tmp_path / "weights" / "new" / CARD).read_text(encoding="utf-8")
    assert r"caf\udce9" in card
