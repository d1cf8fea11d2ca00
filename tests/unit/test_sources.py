"""What is found in folders and tars, and what is passed over."""

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import voice
from vqcodec.data.sources import find_sources, is_hidden
from vqcodec.errors import MediaError
from vqcodec.media.image import Image
from vqcodec.modality import AUDIO


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder as it comes from a disk that macOS has written to."""
    root = tmp_path / "data"
    for folder in ("a", "__MACOSX/a", ".trash", "a/.cache"):
        (root / folder).mkdir(parents=True)
    voice(100).save(root / "a" / "1.wav")
    Image(np.zeros((4, 4, 3), np.uint8)).save(root / "a" / "1.png")
    for place in ("a/._1.wav", "a/.2.wav", "__MACOSX/a/._1.wav", ".trash/3.wav", "a/.cache/x.wav"):
        (root / place).write_bytes(b"\0\5\x16\7" + bytes(100))
    (root / "a" / "notes.txt").write_text("said")
    return root


def packed(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w") as tar:
        tar.add(folder, ".")
    return path


def test_hidden_files_are_passed_over_with_a_count(tree: Path, tmp_path: Path) -> None:
    for root in (tree, packed(tree, tmp_path / "x.tar")):
        found = find_sources([root], AUDIO)
        assert [Path(s.name).name for s in found] == ["1.wav"]
        assert "5 passed over: hidden" in found.notes
        assert "2 passed over: no recordings by their suffix" in found.notes
        assert [Path(s.name).name for s in find_sources([root])] == ["1.png"]


def test_what_is_named_is_taken_even_if_hidden(tree: Path) -> None:
    assert [s.name for s in find_sources([tree / ".trash" / "3.wav"], AUDIO)] == ["3.wav"]
    assert [s.name for s in find_sources([tree / ".trash"], AUDIO)] == ["3.wav"]
    assert [s.name for s in find_sources([tree / "a" / ".2.wav"], AUDIO)] == [".2.wav"]


def test_archives_that_are_not_looked_into_are_counted(tree: Path, tmp_path: Path) -> None:
    inner = packed(tree / "a", tmp_path / "inner.tar")
    with tarfile.open(tmp_path / "outer.tar", "w") as tar:
        tar.add(tree / "a" / "1.wav", "1.wav")
        tar.add(inner, "inner.tar")
    found = find_sources([tmp_path / "outer.tar"], AUDIO)
    assert [s.name for s in found] == ["1.wav"]
    assert found.notes == ("1 passed over: archives; unpack them first",)
    for name in ("b.tar.gz", "b.tgz", "b.zip"):
        (tree / name).write_bytes(gzip.compress(inner.read_bytes()))
    assert "3 passed over: archives; unpack them first" in find_sources([tree], AUDIO).notes
    with pytest.raises(MediaError, match="no recordings found; 1 passed over: archives; unpack"):
        find_sources([tree / "b.tar.gz"], AUDIO)


def test_an_appledouble_file_named_as_a_tar_stops_nothing(tree: Path) -> None:
    packed(tree / "a", tree / "x.tar")
    (tree / "._x.tar").write_bytes(b"\0\5\x16\7" + bytes(100))
    assert len(find_sources([tree], AUDIO)) == 2


def test_nothing_passed_over_is_no_note(tmp_path: Path) -> None:
    voice(100).save(tmp_path / "1.wav")
    assert find_sources([tmp_path], AUDIO).notes == ()
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        tar.add(tmp_path / "1.wav", "./b/../1.wav")
    (tmp_path / "y.tar").write_bytes(data.getvalue())
    assert find_sources([tmp_path / "y.tar"], AUDIO).notes == ()


@pytest.mark.parametrize(
    ("name", "hidden"),
    [("a/._b.png", True), (".a/b.png", True), ("__MACOSX/b.png", True), ("../b.png", False),
     ("./b.png", False), ("a.b/c.png", False), ("b.png", False), ("...png", True)],
)  # fmt: skip
def test_hidden_names(name: str, hidden: bool) -> None:
    assert is_hidden(name) == hidden
