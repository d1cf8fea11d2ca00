"""Coding starts at once and needs no torch; graphs of weights are made by the command line."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import Run, picture, voice
from vqcodec import Audio, Codec, Codes, Image, SpeechCodec
from vqcodec.codec.graphfiles import strip
from vqcodec.files.contents import AudioInfo
from vqcodec.weights import DECODER, ENCODER, GRAPHS, MODEL, SPEAKER, read_verified, read_weights

EXAMPLE = Path(__file__).parents[2] / "examples" / "onnx_codes.py"
CODING = [
    "encode photo.png talk.wav -o arrays",
    "encode photo.png talk.wav -o codes --format vqc",
    "decode arrays -o decoded",
    "decode codes -o again",
    "convert-voice talk.wav --speaker vcc16-TM2 -o converted.flac",
    "convert-voice talk.wav --like talk.wav --i-have-consent -o alike.wav",
    "encode photo.png -o verified.vqc --verify --scale 0.5",
    "inspect photo.png --codes csv",
    "info codes/photo.vqc",
    "models",
]


@pytest.mark.parametrize("lean", [True, False], ids=["without torch", "with torch"])
def test_no_command_that_codes_loads_torch_or_numba(
    lean: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image(picture(70, 90)).save(tmp_path / "photo.png")
    voice(40_000).save(tmp_path / "talk.wav")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("VQCODEC_WEIGHTS")
    program = "import sys\n"
    if lean:
        program += "sys.modules['torch'] = None  # importing it fails\n"
    program += (
        "from vqcodec.cli import main\n"
        "for command in sys.argv[1:]:\n"
        "    try: main(command.split())\n"
        "    except SystemExit as end: assert end.code == 0, command\n"
        "    loaded = [m for m in ('torch', 'numba') if sys.modules.get(m)]\n"
        "    assert not loaded, (command, loaded)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *CODING], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    assert not (tmp_path / ".cache" / "Microsoft").exists()  # where ONNX Runtime reports from
    assert Image.open(tmp_path / "decoded" / "photo.png").size == (70, 90)
    assert Audio.open(tmp_path / "converted.flac").size == (1, 40_000)


def test_what_takes_torch_says_so_without(tmp_path: Path) -> None:
    Image(picture(20, 20)).save(tmp_path / "photo.png")
    program = (
        "import sys; sys.modules['torch'] = None\nfrom vqcodec.cli import main\nmain(sys.argv[1:])"
    )
    arguments = ["encode", "photo.png", "--effort", "1", "-o", "x.npz"]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 1
    message = b"vqcodec: error: torch is not installed; try: pip install torch\n"
    assert done.stderr == message and not (tmp_path / "x.npz").exists()


def test_an_engine_can_be_named(photo: Path, run: Run) -> None:
    for engine in ("torch", "onnx"):
        done = run("encode", photo, "-o", f"{engine}.npz", "--engine", engine, "--device", "cpu",
                   "--precision", "fp32")  # fmt: skip
        assert done.returncode == 0, done.stderr
        done = run("decode", f"{engine}.npz", "-o", f"{engine}.png", "--engine", engine)
        assert done.returncode == 0, done.stderr
    codes = [Codes.load(photo.parent / f"{engine}.npz") for engine in ("torch", "onnx")]
    assert codes[0] == codes[1]
    for arguments, code in ((["--engine", "tpu"], 2), (["--engine", "onnx", "--device", "cuda"], 2),
                            (["--engine", "onnx", "--model", "tiny"], 1)):  # fmt: skip
        done = run("encode", photo, "-o", "x.npz", *arguments)
        assert done.returncode == code and done.stderr.count(b"\n") == 1


@pytest.mark.graphs
def test_graphs_of_ones_own_weights(graphed_weights: tuple[Path, Path]) -> None:
    quick, fluent = graphed_weights
    onnx, torch = (Codec.load(quick, "cpu", "fp32", engine=e) for e in ("onnx", "torch"))
    image = Image(picture(75, 90))
    codes = onnx.encode(image)
    assert np.mean(codes.grids[0] == torch.encode(image).grids[0]) > 0.995
    difference = onnx.decode(codes).pixels.astype(int) - torch.decode(codes).pixels
    assert np.abs(difference).max() <= 1
    assert (quick / SPEAKER).exists() is False
    said, heard = (SpeechCodec.load(fluent, "cpu", "fp32", engine=e) for e in ("onnx", "torch"))
    sound = voice(50_000, channels=2)
    ours, theirs = said.encode(sound), heard.encode(sound)
    assert np.mean(ours.grids[0] == theirs.grids[0]) > 0.995
    assert isinstance(ours.media, AudioInfo) and isinstance(theirs.media, AudioInfo)
    vectors = [np.frombuffer(m.speaker, np.int8).astype(int) for m in (ours.media, theirs.media)]
    assert np.abs(vectors[0] - vectors[1]).max() <= 1
    np.testing.assert_allclose(said.decode(ours).samples, heard.decode(ours).samples, atol=1e-4)


@pytest.mark.graphs
def test_graphs_run_with_onnxruntime_alone(
    graphed_weights: tuple[Path, Path], tmp_path: Path, run: Run
) -> None:
    pixels = picture(43, 61)
    Image(pixels).save(tmp_path / "photo.png")
    done = run("export", "--onnx", graphed_weights[0], "-o", "graphs")
    assert done.returncode == 0, done.stderr
    files = {path.name for path in (tmp_path / "graphs").iterdir()}
    assert files == {ENCODER, DECODER}
    for file in files:  # the same bytes whenever they are made, which tell nothing of where
        data = (tmp_path / "graphs" / file).read_bytes()
        weights = read_weights(graphed_weights[0])
        assert strip(data, read_verified(weights, MODEL)) == read_verified(weights, file)
        assert str(EXAMPLE.parents[1]).encode() not in data
    program = (
        "import runpy, sys\n"
        "sys.modules['torch'] = sys.modules['vqcodec'] = None\n"
        "runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    )
    command = [sys.executable, "-c", program, str(EXAMPLE), "graphs", "photo.png", "back.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    codec = Codec.load(graphed_weights[0], engine="onnx")
    decoded = codec.decode(codec.encode(Image(pixels[:40, :60]), tinted=False))
    np.testing.assert_array_equal(Image.open(tmp_path / "back.png").pixels, decoded.pixels)
    told = done.stdout.decode()
    for fact in ("'model': 'quick'", f"'codebook_id': '{codec.weights.codebook_id.hex()}'"):
        assert fact in told
    assert '"codebook_size": 32' in told and '"stride": [4, 4]' in told and "(1, 10, 15)" in told
    again = run("export", "--onnx", graphed_weights[0], "-o", "graphs")
    assert again.returncode == 1 and b"--force" in again.stderr


@pytest.mark.graphs
def test_graphs_are_added_to_weights(
    tiny_weights: Path, graphed_weights: tuple[Path, Path], tmp_path: Path, run: Run
) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_weights, folder)
    assert run("export", "--onnx", folder).returncode == 0
    assert Codec.load(folder, "cpu", engine="onnx").encode(Image(picture(20, 20))).grids
    refused = run("export", "--onnx", folder)
    assert refused.returncode == 1 and b"--force replaces them" in refused.stderr
    for arguments in (["run", "name", "--onnx", folder], ["run"], []):
        assert run("export", *arguments).returncode == 2
    assert {p.name for p in folder.iterdir()} >= set(GRAPHS[:2])


def test_what_makes_graphs_may_be_missing(run: Run) -> None:
    done = run("export", "--onnx", "tiny", "-o", "graphs")  # see conftest: here it is
    assert done.returncode == 1
    assert done.stderr.endswith(b"onnx is not installed; try: pip install 'vqcodec[train]'\n")
