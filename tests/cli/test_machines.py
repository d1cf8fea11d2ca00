"""Machines where little may be written: containers that run as anybody, read-only installations."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

import vqcodec
from tests.helpers import voice

PACKAGE = Path(vqcodec.__file__).parent
# may read all that root may, for Python itself can lie in root's home, and write nothing of it
NOBODY = [
    *("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"),
    *("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"),
]
SCRIPT = """
import os, sys
from vqcodec.cli import main

def run(*arguments):
    try:
        main(list(arguments))
    except SystemExit as end:
        assert end.code == 0, arguments

try:
    open(os.path.join(sys.argv[1], "errors.py"), "a")
except OSError:
    pass
else:
    sys.exit("the package may be written to")
run("models")
run("encode", "photo.png", "-o", "photo.vqc", "--model", "coded")
run("decode", "photo.vqc", "-o", "back.png")
assert "numba" not in sys.modules
run("encode", "talk.wav", "-o", "talk.npz", "--model", "spoken")
run("decode", "talk.npz", "-o", "back.wav")
import numpy as np
from vqcodec.models.generation import loop
total = np.zeros(3, np.float32)
loop._add_product(np.ones(4, np.float32), np.ones((4, 3), np.float32), total)
assert total.tolist() == [4, 4, 4]
"""


@pytest.mark.parametrize("home", ["/nonexistent", None], ids=["no place", "no home"])
def test_nothing_but_the_output_may_be_written(
    tmp_path: Path, photo: Path, coded_weights: Path, spoken_weights: Path, home: str | None
) -> None:
    root = os.name == "posix" and os.geteuid() == 0
    if root and subprocess.run([*NOBODY, "true"], check=False).returncode:
        pytest.skip("setpriv cannot make this somebody else")
    if home is None and not root:
        pytest.skip("whoever runs this has a home")
    folder = tmp_path / "work"
    folder.mkdir()
    shutil.copy(photo, folder)
    sound = voice(8000)
    soundfile.write(folder / "talk.wav", sound.samples.T, sound.sample_rate)
    folder.chmod(0o777)
    package = PACKAGE
    if not root:
        package = tmp_path / "vqcodec"
        shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
        for part in (package, *package.rglob("*")):
            part.chmod(part.stat().st_mode & ~0o222)
    path = os.pathsep.join([str(package.parent), os.environ.get("PYTHONPATH", "")])
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": path}
    environment["VQCODEC_WEIGHTS"] = str(coded_weights.parent)
    assert spoken_weights.parent == coded_weights.parent
    if home is not None:
        environment["HOME"] = home
    command = [*(NOBODY if root else []), sys.executable, "-c", SCRIPT, str(package)]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    for part in (package, *package.rglob("*")) if not root else ():
        part.chmod(part.stat().st_mode | 0o200)  # or pytest could not remove it
    assert done.returncode == 0, done.stderr
    made = {"photo.vqc", "back.png", "talk.npz", "back.wav"}
    assert {f.name for f in folder.iterdir()} == {"photo.png", "talk.wav", *made}  # and no ~
