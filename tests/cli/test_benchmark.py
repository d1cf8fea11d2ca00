"""`vqcodec benchmark`: what it measures, not how fast that is."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import vqcodec
from tests.cli.test_commands import MODEL, fails, names
from tests.helpers import Run, picture
from vqcodec import Image
from vqcodec.benchmark import benchmark, process
from vqcodec.benchmark.machine import commit, machine, versions
from vqcodec.errors import VqcodecError


def test_benchmark_reports_what_was_measured_on_what(photo: Path, run: Run) -> None:
    grown = ("--growth", "grown.png", "--megapixels", "0.001")
    short = ("--rounds", "1", "--threads", "1,2")
    result = run("benchmark", "photo.png", *MODEL, *short, *grown, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["machine"] == machine() and found["versions"] == versions()
    assert found["start_up"].keys() == {"vqcodec --help", "import torch", "vqcodec encode"}
    assert min(found["start_up"].values()) > 0
    one, two = found["sizes"]
    assert (one["threads"], two["threads"]) == (1, 2)
    assert one["ratios"].keys() >= {
        "round trip, plain network / vqcodec",
        "encode, AVIF / vqcodec",
        "encode, WebP / vqcodec",
    }
    for label, row in one["coders"].items():
        encode = row["encode"]
        speed = 40 * 52 / encode["seconds"] / 1e6
        assert encode["megapixels_per_second"] == pytest.approx(speed, abs=0.001, rel=0.02)
        assert ("codes_per_second" in encode) == label.startswith(("vqcodec", "plain"))
    plain, ours = one["coders"]["plain network"], one["coders"]["vqcodec, fp32"]
    assert plain["psnr"] <= ours["psnr"] + 0.05  # one and the same network, and a tint
    assert one["peak_mib"]["encode"] is None or one["peak_mib"]["encode"] > 50
    assert [(row["width"], row["height"]) for row in found["growth"]] == [(39, 26)]
    with Pillow.open(photo.parent / "grown.png") as plot:
        assert plot.width > 1000
    table = result.stderr.decode()
    assert "40×52 pixels" in table and "WebP, method 6" in table and "39×26" in table


def test_large_pictures_are_coded_by_the_command_line(
    monkeypatch: pytest.MonkeyPatch, tiny_weights: Path
) -> None:
    monkeypatch.setattr(benchmark, "LARGE", 1000)
    (found,) = benchmark.measure(str(tiny_weights), Image(picture(40, 52)), [1], 3)
    assert found["rounds"] == 1
    ours = next(row for label, row in found["coders"].items() if label.startswith("vqcodec"))
    assert ours["bytes"] > 100 and ours["psnr"] > 0 and ours["encode"]["seconds"] > 0
    assert not {"plain network", "AVIF, speed 4"} & found["coders"].keys()


def test_peaks_are_those_of_the_process_alone(tmp_path: Path) -> None:
    ballast = np.ones(40 << 20, np.uint8)  # this process is large, with torch in it anyway
    small = process.run_python("-c", "print(1)", threads=1, folder=tmp_path)
    assert small.output.strip() == "1" and small.seconds > 0 and ballast.size
    if small.peak is None:
        pytest.skip("this system does not tell")
    large = process.run_python("-c", "b'x' * (60 << 20)", threads=1, folder=tmp_path)
    assert large.peak is not None
    assert small.peak < 40 and 50 < large.peak - small.peak < 70
    with pytest.raises(VqcodecError, match="ZeroDivisionError"):
        process.run_python("-c", "1 / 0", threads=1, folder=tmp_path)


def test_synthetic_pictures_go_on_without_seams() -> None:
    pixels = benchmark.synthetic_picture(8, 3000).pixels.astype(int)
    assert pixels.shape == (8, 3000, 3)
    steps = np.abs(np.diff(pixels, axis=1)).mean((0, 2))
    assert steps[1023] < 3 * np.median(steps)


def test_the_commit_is_that_of_the_checkout() -> None:
    root = Path(vqcodec.__file__).parents[1]
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        head = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git, or no checkout")
    found = commit()
    assert found is None or head.startswith(found.removesuffix("-dirty"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--sizes", "12"], 2, "'12' is no size"),
        (["--sizes", "0x5"], 2, "'0x5' is no size"),
        (["--sizes", "90000x90000"], 2, "is no size"),
        (["--threads", "1,x"], 2, "--threads: 'x' is no number from 1 to 1024"),
        (["--threads", "0"], 2, "--threads: '0'"),
        (["--megapixels", "0"], 2, "--megapixels: '0'"),
        (["--megapixels", "nan"], 2, "--megapixels: 'nan'"),
        (["photo.png", "--sizes", "8x8"], 2, "leave it out"),
        (["--growth", "plot.jpg"], 2, "end in .png, .svg or .pdf"),
        (["--growth", "photo.png"], 1, "photo.png: exists already"),
        (["no.png"], 1, "no.png: no such file"),
    ],
)
def test_bad_requests(photo: Path, run: Run, arguments: list[str], code: int, words: str) -> None:
    fails(run("benchmark", *arguments, *MODEL), code, words)
    assert names(photo.parent) == ["photo.png"]


def test_benchmark_of_speech(drawn_weights: Path, spoken_weights: Path, run: Run) -> None:
    short = ("--rounds", "1", "--threads", "1")
    result = run("benchmark", "--model", drawn_weights, *short, "--json")
    assert result.returncode == 0, result.stderr
    (found,) = json.loads(result.stdout)["speech"]
    drawn = found["wavenet"]
    assert found["encode"] > 0 and found["decode"] > 0
    assert drawn["real_time"] == pytest.approx(drawn["samples_per_second"] / 16000, abs=0.001)
    ratio = drawn["samples_per_second"] / drawn["naive_samples_per_second"]
    assert drawn["ratio"] == pytest.approx(ratio, rel=0.01) and ratio > 10
    assert f"{drawn['samples_per_second']:,} samples/s" in result.stderr.decode()
    plain = run("benchmark", "--model", spoken_weights, *short)
    assert plain.returncode == 0 and b"no WaveNet" in plain.stdout
    fails(run("benchmark", "a.png", "--model", spoken_weights), 2, "codes speech")


def test_benchmark_measures_the_stages_of_tokenising(tmp_path: Path, run: Run) -> None:
    (tmp_path / "in").mkdir()
    for i in range(9):
        Image(picture(32, 48, seed=i)).save(tmp_path / "in" / f"{i}.png")
    (tmp_path / "in" / "broken.png").write_bytes(b"no picture")
    result = run("benchmark", "--tokenize", "in", *MODEL, "--threads", "1", "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["samples"] == 9 and found["amount"] == pytest.approx(9 * 32 * 48 / 1e6)
    assert list(found["seconds"]) == ["read", "decode", "encode", "write"]
    assert min(found["seconds"].values()) > 0 and found["workers"]["1"] > 0
    assert found["samples_per_second"] == pytest.approx(9 / sum(found["seconds"].values()))
    table = run("benchmark", "--tokenize", "in", *MODEL, "--threads", "1").stdout.decode()
    assert "pictures/s" in table and "megapixels/s" in table and "1 at once" in table
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    fails(run("benchmark", "photo.png", "--tokenize", "in", *MODEL), 2, "neither pictures")
