"""What `vqcodec demo` refuses; tests/browser/test_demo_page.py has what it writes."""

from pathlib import Path

import pytest

from tests.cli.test_commands import fails
from tests.helpers import Run
from vqcodec.demo.runtime import unpack
from vqcodec.errors import OutputError


@pytest.mark.usefixtures("spoken_weights")
def test_what_cannot_become_a_page(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # so that there is no npm
    fails(run("demo", "-o", "page", "--model", "nope"), 1, "no weights named 'nope'")
    fails(run("demo", "-o", "page", "--model", "spoken"), 1, "codes audio, not pictures")
    fails(run("demo", "-o", "page", "--model", "tiny"), 1, "has no ONNX graphs")
    fails(run("demo", "-o", "page"), 1, "is fetched with npm, which is not here: install Node.js")
    assert not (tmp_path / "page").exists()
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").touch()
    fails(run("demo", "-o", "page"), 1, "exists already")
    (tmp_path / "file").touch()
    fails(run("demo", "-o", "file"), 1, "is not a folder")


def test_other_bytes_than_those_published_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other.tgz").write_bytes(b"not what npm has")
    with pytest.raises(OutputError, match="other bytes"):
        unpack(tmp_path / "other.tgz")
