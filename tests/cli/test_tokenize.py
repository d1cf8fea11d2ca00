"""`vqcodec tokenize`, and decoding what it made."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from tests.helpers import Run, picture, voice
from vqcodec import ImageCodec
from vqcodec.media.image import Image


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Four tars of three pictures each."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for shard in range(4):
        with tarfile.open(folder / f"{shard:05}.tar", "w") as tar:
            for i in range(3):
                file = io.BytesIO()
                Image(picture(24, 32, 3 * shard + i)).write(file, "PNG", "picture")
                info = tarfile.TarInfo(f"{shard}-{i}.png")
                info.size = file.tell()
                file.seek(0)
                tar.addfile(info, file)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    found = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}


ARGUMENTS = ("tokenize", "shards", "--model", "tiny", "--precision", "fp32")


@pytest.mark.usefixtures("shards")
def test_a_data_set_becomes_shards_and_pictures_again(tmp_path: Path, run: Run) -> None:
    done = run(*ARGUMENTS, "-o", "out", "--workers", "1", "--dry-run")
    assert done.returncode == 0 and b"4 of 4 shards are left" in done.stdout
    assert not (tmp_path / "out").exists()
    done = run(*ARGUMENTS, "-o", "out", "--workers", "1", "--json", "--verify", "5")
    assert done.returncode == 0, done.stderr
    *lines, verified = map(json.loads, done.stdout.splitlines())
    assert [(line["shard"], line["samples"]) for line in lines] == [
        (f"{i:05}", 3) for i in range(4)
    ]
    assert verified["verified"] == 5 and verified["measure"] == "psnr-rgb"
    told = json.loads((tmp_path / "out" / "_vqcodec" / "manifest.json").read_text())
    assert told["totals"]["samples"] == 12 and told["precision"] == "fp32"
    done = run(*ARGUMENTS, "-o", "out", "--workers", "1", "--json")
    assert done.returncode == 0 and not done.stdout
    done = run(*ARGUMENTS, "-o", "out", "--dry-run", "--json")
    assert all(json.loads(line)["done"] for line in done.stdout.splitlines())

    assert run("decode", "out/00001.tar", "--key", "1-2", "-o", "one.png").returncode == 0
    assert run("decode", "out", "-o", "pictures").returncode == 0
    assert run("encode", "shards-1.png").returncode == 1
    pictures = sorted(p.name for p in (tmp_path / "pictures").iterdir())
    assert pictures == [f"{s}-{i}.png" for s in range(4) for i in range(3)]
    assert (tmp_path / "pictures" / "1-2.png").read_bytes() == (tmp_path / "one.png").read_bytes()
    codec = ImageCodec.load("tiny", precision="fp32")
    codec.encode(picture(24, 32, 5), tinted=False).save(tmp_path / "own.npz")
    assert run("decode", "own.npz", "-o", "own.decoded.png").returncode == 0
    same = (tmp_path / "own.decoded.png").read_bytes()
    assert same == (tmp_path / "one.png").read_bytes()
    for wrong in (("out",), ("out", "--key", "9-9", "-o", "x.png"), ("own.npz", "--key", "a")):
        done = run("decode", *wrong)
        assert done.returncode in (1, 2) and done.stderr.count(b"\n") == 1, wrong


def test_processes_make_the_same_bytes_as_one(shards: Path, tmp_path: Path, run: Run) -> None:
    assert run(*ARGUMENTS, "-o", "one", "--workers", "1").returncode == 0
    (shards / "00004.tar").write_bytes((shards / "00000.tar").read_bytes()[:3000])
    done = run(*ARGUMENTS, "-o", "two", "--workers", "2")
    assert done.returncode == 1
    assert done.stderr.count(b"error:") == 1 and b"00004.tar" in done.stderr  # by one of them
    (shards / "00004.tar").unlink()
    assert run(*ARGUMENTS, "-o", "two", "--workers", "2").returncode == 0
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_what_cannot_work_is_said_in_a_sentence(shards: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("words")
    (tmp_path / "file").write_text("words")
    (tmp_path / "empty").mkdir()
    assert run(*ARGUMENTS, "-o", "out", "--workers", "1").returncode == 0
    before = files(tmp_path / "out")
    wrong = [
        (*ARGUMENTS, "-o", "full"),
        (*ARGUMENTS, "-o", "file"),
        (*ARGUMENTS, "-o", "file/below"),
        (*ARGUMENTS, "-o", "shards"),
        (*ARGUMENTS, "-o", "shards/tokens"),
        (*ARGUMENTS, "-o", "out", "--keep", "txt"),
        (*ARGUMENTS, "-o", "out", "--precision", "bf16"),
        (*ARGUMENTS, "-o", "new", "--keep", "indices.npy"),
        (*ARGUMENTS, "-o", "new", "--format", "zip"),
        (*ARGUMENTS, "-o", "new", "--format", "shar"),
        ("tokenize", "shards", "-o", "new", "--model", "nobody"),
        ("tokenize", "nowhere", "-o", "new"),
        ("tokenize", "empty", "-o", "new"),
    ]
    for arguments in wrong:
        done = run(*arguments)
        assert done.returncode in (1, 2), arguments
        assert done.stderr.startswith(b"vqcodec: error:") and done.stderr.count(b"\n") == 1
        assert b"fault of vqcodec" not in done.stderr, done.stderr
        assert not done.stdout and not (tmp_path / "new").exists()
    assert files(tmp_path / "out") == before
    assert (tmp_path / "full" / "thesis.txt").is_file() and len(files(shards)) == 4
    with (shards / "00002.tar").open("ab") as file:
        file.write(bytes(512))
    done = run(*ARGUMENTS, "-o", "out")
    assert done.returncode == 1 and b"has changed since its shard was done" in done.stderr


def test_too_many_errors_end_the_run(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(4):
        Image(picture(24, 24, i)).save(folder / f"{i}.png")
    (folder / "2.png").write_bytes(b"no picture")
    arguments = ("tokenize", "photos", "--model", "tiny", "--shard-size", "2", "--workers", "1")
    done = run(*arguments, "-o", "out", "--max-errors", "0")
    assert done.returncode == 1 and b"more than --max-errors 0" in done.stderr
    assert [p.name for p in (tmp_path / "out").glob("*.tar")] == ["00000.tar"]
    done = run(*arguments, "-o", "out", "--max-errors", "1")
    assert done.returncode == 0 and b"1 could not be coded" in done.stderr
    (line,) = (tmp_path / "out" / "_vqcodec" / "00001.errors.jsonl").read_text().splitlines()
    assert json.loads(line)["key"] == "2"


@pytest.mark.usefixtures("spoken_weights")
def test_recordings_are_told_from_pictures(tmp_path: Path, run: Run) -> None:
    (tmp_path / "talks").mkdir()
    voice(16_000).save(tmp_path / "talks" / "a.flac")
    arguments = ("--model", "spoken", "--workers", "1", "--verify", "1")
    done = run("tokenize", "talks", "-o", "out", *arguments)
    assert done.returncode == 0 and b"1 samples decoded" in done.stdout, done.stderr
    assert run("decode", "out", "-o", "back").returncode == 0
    assert (tmp_path / "back" / "a.wav").is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_interrupted_it_leaves_nothing_half_written(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(400):
        Image(picture(96, 96, i % 7)).save(folder / f"{i}.png")
    command = [
        sys.executable,
        "-m",
        "vqcodec",
        "tokenize",
        "photos",
        "-o",
        "out",
        "--model",
        "tiny",
    ]
    options = ["--workers", "2", "--shard-size", "200", "--precision", "fp32"]
    with subprocess.Popen([*command, *options], cwd=tmp_path, stderr=subprocess.PIPE) as process:
        while not list((tmp_path / "out").rglob("*.tmp")):
            time.sleep(0.02)
            assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and b"Traceback" not in err
    assert not list((tmp_path / "out").rglob("*.tmp"))
