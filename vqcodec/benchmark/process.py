"""Python commands in processes of their own: how long they take, and how much memory at most."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import vqcodec
from vqcodec.errors import VqcodecError
from vqcodec.media.image import Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# A process inherits the peak of the one that starts it, so a small one stands between.
LAUNCHER = """
import json, os, subprocess, sys, time
start = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)
output = child.stdout.read().decode()
if hasattr(os, "wait4"):
    _, status, usage = os.wait4(child.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    peak = usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
else:
    code, peak = child.wait(), None
print(json.dumps([time.perf_counter() - start, peak, code, output]))
"""


@dataclass(frozen=True)
class Ran:
    """What came of a command.

    Attributes:
        seconds: from start to end.
        peak: most memory in use, in MiB; None on systems that do not tell.
        output: what it printed.
    """

    seconds: float
    peak: float | None
    output: str


def run_python(*arguments: str, threads: int, folder: Path) -> Ran:
    """Run this Python with `arguments` in `folder`, this vqcodec importable, on some threads.

    Raises:
        VqcodecError: it ended with an error.
    """
    here = str(Path(vqcodec.__file__).parents[1])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    number = str(threads)
    environment = {
        **os.environ,
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": number,
        "MKL_NUM_THREADS": number,
        "PYTHONIOENCODING": "utf-8",
    }
    command = [sys.executable, "-I", "-S", "-c", LAUNCHER, sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    error = done.stderr.decode(errors="replace").strip()
    if done.returncode:
        raise VqcodecError(f"a process of its own could not be started ({error[-200:]})")
    seconds, peak, code, output = json.loads(done.stdout)
    if code:
        last = error.splitlines()[-1] if error else f"exit status {code}"
        raise VqcodecError(f"{' '.join(arguments[:3])}: failed in a process of its own ({last})")
    return Ran(seconds, None if peak is None else round(peak, 1), output)


@dataclass(frozen=True)
class Trip:
    """A picture encoded and decoded by the command line, each in a process of its own.

    Attributes:
        encode: seconds that the codec took to encode, start-up and files left out.
        decode: the same of decoding.
        encode_peak: most memory in use, everything included, in MiB; None where unknown.
        decode_peak: the same of decoding.
        size: bytes of the code file.
        pixels: (H, W, 3), what came back.
    """

    encode: float
    decode: float
    encode_peak: float | None
    decode_peak: float | None
    size: int
    pixels: "NDArray[np.uint8]"


def round_trip(weights: Path, image: Image, threads: int) -> Trip:
    """Send `image` through `vqcodec encode` and `vqcodec decode`, with files in a folder of ours.

    Args:
        weights: folder of the weights.
        image: the picture.
        threads: number of threads.

    Raises:
        VqcodecError: it did not work.
    """
    with tempfile.TemporaryDirectory(prefix="vqcodec-") as name:
        folder = Path(name)
        image.save(folder / "a.ppm")  # quickly written and read
        ran = [
            run_python("-m", "vqcodec", *arguments, "--json", threads=threads, folder=folder)
            for arguments in (
                # packed: range coding is timed by itself
                ("encode", "a.ppm", "-o", "a.vqc", "--no-prior", "--model", str(weights.resolve())),
                ("decode", "a.vqc", "-o", "b.ppm", "--model", str(weights.resolve())),
            )
        ]
        pixels = Image.open(folder / "b.ppm").pixels
    encode, decode = (json.loads(r.output) for r in ran)
    peaks = (ran[0].peak, ran[1].peak)
    return Trip(encode["seconds"], decode["seconds"], *peaks, encode["bytes"], pixels)
