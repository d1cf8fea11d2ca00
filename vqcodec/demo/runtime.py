"""ONNX Runtime for browsers, as npm has it: one version, whose bytes are known."""

import base64
import gzip
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from vqcodec.errors import OutputError

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
FILES = {  # for one thread: more would need a server that isolates the page
    "runtime": "package/dist/ort.wasm.bundle.min.mjs",
    "wasm": "package/dist/ort-wasm-simd-threaded.wasm",
}


def fetch_runtime() -> dict[str, bytes]:
    """Return the files of the runtime, by the names that the page has for them.

    Raises:
        OutputError: there is no npm, or it fails, or has other bytes.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise OutputError(f"{PACKAGE}: is fetched with npm, which is not here: install Node.js")
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [npm, "pack", PACKAGE, "--prefer-offline", "--silent"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        packed = list(Path(folder).glob("*.tgz"))
        if done.returncode or not packed:
            raise OutputError(f"{PACKAGE}: npm cannot fetch it; try: npm pack {PACKAGE}")
        return unpack(packed[0])


def unpack(path: Path) -> dict[str, bytes]:
    """Return what the page needs of a package, each file compressed, by its name in the page.

    Raises:
        OutputError: it is another package than the one whose bytes are known.
    """
    if hashlib.sha512(path.read_bytes()).digest() != base64.b64decode(SHA512):
        raise OutputError(f"{PACKAGE}: npm brought other bytes than those that were published")
    with tarfile.open(path) as package:
        members = {name: package.extractfile(file) for name, file in FILES.items()}
        return {name: file.read() for name, file in members.items() if file is not None}


def embedded(data: bytes) -> str:
    """Return bytes as a page holds them: compressed, as text."""
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()
