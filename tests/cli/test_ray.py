"""Data sets on a Ray cluster: two nodes, of which one is lost in the middle."""

import contextlib
import importlib.util
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import Run, picture
from vqcodec.codec.image import Codec
from vqcodec.media.image import Image

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="ray is not installed"
)
PATIENCE = 900.0  # seconds that anything may take, where other work runs beside
SHARDS = 8
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "PYTHONPATH": os.pathsep.join(sys.path),
}


def free_port() -> int:
    """Return a port that nobody uses, outside of those that Ray gives to workers."""
    while True:
        with socket.socket() as it:
            it.bind(("127.0.0.1", 0))
            port = int(it.getsockname()[1])
        if not 10_000 <= port < 20_000:
            return port


class Node:
    """A node of a cluster, in a group of processes of its own.

    Args:
        options: of `ray start`.
        more: environment variables.
    """

    def __init__(self, *options: str, **more: str) -> None:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--num-cpus", "1"]
        command += ["--object-store-memory", "80000000", *options]
        started = subprocess.Popen(
            command,
            env={**os.environ, **QUIET, **more},
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.group = started.pid
        told, _ = started.communicate(timeout=PATIENCE)
        assert started.returncode == 0, told

    def kill(self) -> None:
        """End all that belongs to the node at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.group, signal.SIGKILL)


@pytest.fixture(scope="module")
def cluster(tiny_weights: Path) -> Iterator[tuple[str, list[Node]]]:
    """Yield the address of a cluster of two nodes, and the nodes; more may be added."""
    address, nodes = f"127.0.0.1:{free_port()}", list[Node]()
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        try:
            port = address.partition(":")[2]
            head = ("--head", "--port", port, "--temp-dir", folder, "--disable-usage-stats")
            client = ("--ray-client-server-port", str(free_port()))
            weights = {"VQCODEC_WEIGHTS": str(tiny_weights.parent)}
            nodes.append(Node(*head, *client, "--include-dashboard", "false", **weights))
            nodes.append(Node("--address", address, **weights))
            yield address, nodes
        finally:
            for node in nodes:
                node.kill()


def write_shards(folder: Path, number: int, each: int) -> None:
    folder.mkdir()
    pictures = []
    for seed in range(3):
        file = io.BytesIO()
        Image(picture(160, 160, seed)).write(file, "PNG", "picture")
        pictures.append(file.getvalue())
    for shard in range(number):
        with tarfile.open(folder / f"{shard:05}.tar", "w") as tar:
            for i in range(each):
                data = pictures[(shard + i) % len(pictures)]
                info = tarfile.TarInfo(f"{shard}-{i}.png")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def files(folder: Path) -> dict[str, bytes]:
    found = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}


COMMAND = (sys.executable, "-m", "vqcodec")
ARGUMENTS = ("tokenize", "shards", "--model", "tiny", "--precision", "fp32")


PIPELINE = """
import sys
import ray
import vqcodec.ray

_, address, photos, coded = sys.argv
ray.init(address, log_to_driver=False, logging_level="ERROR")
ray.data.read_binary_files(photos, include_paths=True).map_batches(
    vqcodec.ray.Encoder,
    fn_constructor_kwargs={"model": "tiny"},
    batch_size=4,
    compute=ray.data.ActorPoolStrategy(size=1),  # of two cores: one is left to read with
).write_parquet(coded)
"""


def test_an_encoder_is_a_step_of_a_pipeline(
    tmp_path: Path, cluster: tuple[str, list[Node]]
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "photos").mkdir()
    for i in range(6):
        Image(picture(24, 24 + 8 * (i % 2), i)).save(tmp_path / "photos" / f"{i}.png")
    (tmp_path / "photos" / "6.png").write_bytes(b"no picture")
    subprocess.run(
        [sys.executable, "-c", PIPELINE, cluster[0], tmp_path / "photos", tmp_path / "coded"],
        env={**os.environ, **QUIET},
        timeout=PATIENCE,
        check=True,
    )
    codec = Codec.load("tiny", "cpu")
    table = parquet.read_table(tmp_path / "coded")
    assert str(table.schema.field("indices").type) == "list<element: uint16>"
    rows = {Path(r["path"]).name: r for r in table.to_pylist()}
    bad = rows.pop("6.png")
    assert bad["error"].startswith("row ") and not bad["indices"]
    assert len(rows) == 6 and "bytes" not in rows["0.png"]
    for name, row in rows.items():
        (grid,) = codec.encode(tmp_path / "photos" / name).grids
        assert row["error"] == "" and json.loads(row["meta"])["model"] == "tiny"
        assert np.array_equal(np.reshape(row["indices"], (row["height"], row["width"])), grid)


def test_a_node_is_lost_and_each_shard_is_done_once(
    tmp_path: Path, run: Run, cluster: tuple[str, list[Node]]
) -> None:
    address, nodes = cluster
    environment = {**os.environ, **QUIET}
    write_shards(tmp_path / "shards", SHARDS, 60)
    assert run(*ARGUMENTS, "-o", "plain", "--workers", "1").returncode == 0

    out = tmp_path / "out"
    command = [*COMMAND, *ARGUMENTS, "-o", "out", "--ray", address, "--json"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        end = time.monotonic() + PATIENCE
        while len(list(out.rglob("*.tmp"))) < 2:  # both nodes are at it
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.01)
        nodes[1].kill()
        left = SHARDS - len(list(out.glob("*.tar")))
        told, errors = process.communicate(timeout=PATIENCE)
    assert left >= 2 and process.returncode == 0, errors.decode()
    done = [json.loads(line)["shard"] for line in told.splitlines()]
    assert sorted(done) == sorted(set(done)) == [f"{i:05}" for i in range(SHARDS)]
    assert files(out) == files(tmp_path / "plain")

    # a node that has other weights, or none, ends a run with a sentence
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    nodes.append(Node("--address", address, VQCODEC_WEIGHTS=str(nothing)))
    command[command.index("out")] = "third"
    found = subprocess.run(
        command, cwd=tmp_path, env=environment, timeout=PATIENCE, capture_output=True, check=False
    )
    assert found.returncode == 1 and b"no weights named 'tiny'" in found.stderr
    assert found.stderr.count(b"error:") == 1 and b"Traceback" not in found.stderr
    assert not list((tmp_path / "third").rglob("*.tmp"))
