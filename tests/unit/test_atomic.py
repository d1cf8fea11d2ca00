"""Files appear whole or not at all."""

from pathlib import Path

import pytest

from vqcodec.errors import OutputError
from vqcodec.files.atomic import writing


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(error), writing(path, force=True) as file:
        file.write(b"half of the new")
        raise error
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_what_appears_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with pytest.raises(OutputError), writing(path, force=False) as file:
        file.write(b"new")
        path.write_bytes(b"somebody else's")
    assert path.read_bytes() == b"somebody else's" and list(tmp_path.iterdir()) == [path]


def test_missing_folders_are_said(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="cannot be written"),
        writing(tmp_path / "no" / "x", force=False),
    ):
        pass


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    with writing(tmp_path / "x", force=False) as file:
        file.write(b"1")
    (tmp_path / "y").write_bytes(b"1")
    assert (tmp_path / "x").stat().st_mode == (tmp_path / "y").stat().st_mode
