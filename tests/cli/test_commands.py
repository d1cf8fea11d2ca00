"""The command line in processes of its own: exit codes, messages, files left behind."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.helpers import Run, picture
from vqcodec import Codes, Image
from vqcodec.metrics.basic import psnr

MODEL = ("--model", "tiny")


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def fails(result: "subprocess.CompletedProcess[bytes]", code: int, *words: str) -> None:
    """Check for one sentence on stderr, nothing on stdout, and the exit code."""
    error = result.stderr.decode()
    assert result.returncode == code, error
    assert "Traceback" not in error and result.stdout == b""
    if code == 1:
        assert error.startswith("vqcodec: error: ") and error.count("\n") == 1
    for word in words:
        assert word in error


def test_help_and_usage_errors_come_without_torch_or_numpy() -> None:
    code = (
        "import sys, vqcodec.cli\n"
        "try: vqcodec.cli.main({arguments})\n"
        "except SystemExit as e: code = e.code\n"
        "heavy = [m for m in ('torch', 'numpy', 'PIL') if m in sys.modules]\n"
        "sys.exit(f'{{code}} {{heavy}}')"
    )
    for arguments, expected in ((["--help"], "0 []"), (["encode", "--no"], "2 []"), ([], "2 []")):
        done = subprocess.run(
            [sys.executable, "-c", code.format(arguments=arguments)],
            capture_output=True,
            check=False,
        )
        assert done.stderr.decode().strip().endswith(expected)


def test_info_and_repack_work_without_torch(photo: Path, run: Run) -> None:
    assert run("encode", photo, *MODEL).returncode == 0
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import vqcodec.cli\n"
        "vqcodec.cli.main(sys.argv[1:])"
    )
    for arguments in (
        ["info", "photo.npz"],
        ["repack", "photo.npz", "-o", "photo.vqc"],
        ["models"],
    ):
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, cwd=photo.parent, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


def test_a_picture_becomes_codes_becomes_a_picture(photo: Path, run: Run) -> None:
    result = run("encode", "photo.png", *MODEL, "--verify")
    assert result.returncode == 0, result.stderr
    assert b"40\xc3\x9752 pixels, 130 indices" in result.stdout and b"PSNR" in result.stdout
    assert result.stderr == b""
    assert run("decode", "photo.npz").returncode == 0
    assert names(photo.parent) == ["photo.decoded.png", "photo.npz", "photo.png"]
    assert Image.open(photo.parent / "photo.decoded.png").size == (52, 40)


def test_json_has_stable_keys(photo: Path, run: Run) -> None:
    facts = json.loads(run("encode", "photo.png", *MODEL, "--verify", "--json").stdout)
    size = (photo.parent / "photo.npz").stat().st_size
    assert facts["input"] == "photo.png" and facts["output"] == "photo.npz"
    assert (facts["width"], facts["height"], facts["indices"]) == (40, 52, 130)
    assert facts["bytes"] == size and facts["ratio"] == round(3 * 40 * 52 / size, 2)
    assert facts["bpp"] == round(8 * size / (40 * 52), 4) and facts["seconds"] > 0
    run("decode", "photo.npz", "-o", "again.png")
    again = Image.open(photo.parent / "again.png").pixels
    assert facts["psnr"] == pytest.approx(psnr(Image.open(photo).pixels, again), abs=0.02)


def test_containers_hold_the_same_indices(photo: Path, run: Run) -> None:
    folder = photo.parent
    assert run("encode", "photo.png", *MODEL).returncode == 0
    assert run("encode", "photo.png", *MODEL, "-o", "a.vqc").returncode == 0
    assert run("encode", "photo.png", *MODEL, "--format", "vqc").returncode == 0
    assert run("repack", "photo.npz", "-o", "b.vqc").returncode == 0
    assert run("repack", "a.vqc", "-o", "c.npz").returncode == 0
    vqc = [(folder / f).read_bytes() for f in ("a.vqc", "b.vqc", "photo.vqc")]
    assert vqc[0] == vqc[1] == vqc[2]
    assert Codes.load(folder / "c.npz") == Codes.load(folder / "photo.npz")


def test_streams(photo: Path, run: Run) -> None:
    encoded = run("encode", "-", *MODEL, "--format", "vqc", stdin=photo.read_bytes())
    assert encoded.stdout.startswith(b"VQC") and b"130 indices" in encoded.stderr
    decoded = run("decode", "-", "-o", "-", stdin=encoded.stdout)
    assert Pillow.open(io.BytesIO(decoded.stdout)).size == (40, 52)
    assert names(photo.parent) == ["photo.png"]


def test_folders_are_mirrored_and_bad_files_reported(tmp_path: Path, run: Run) -> None:
    for i, name in enumerate(["a/1.png", "a/b/2.jpg", "3.webp"]):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image(picture(20, 20 + 4 * i, seed=i)).save(tmp_path / "in" / name)
    (tmp_path / "in" / "a" / "bad.png").write_bytes(b"no picture")
    (tmp_path / "in" / "notes.txt").write_text("not looked at")
    result = run("encode", "in", *MODEL, "-o", "out", "--json")
    assert result.returncode == 1
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert sum("error" in line for line in lines) == 1
    assert b"1 of 4 inputs failed" in result.stderr
    found = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.npz"))
    assert found == ["3.npz", "a/1.npz", "a/b/2.npz"]
    again = run("encode", "in", *MODEL, "-o", "out", "--skip-existing")
    assert again.stdout.startswith(b"0 of 4 files encoded, 3 skipped") and again.returncode == 1
    assert (
        run("encode", "in", *MODEL, "-o", "out", "--skip-existing", "-v").stdout.count(b"skip") == 3
    )
    assert run("decode", "out", "-o", "back").returncode == 0
    assert (tmp_path / "back" / "a" / "b" / "2.png").is_file()


def test_a_new_name_without_suffix_is_a_folder(photo: Path, run: Run) -> None:
    assert run("encode", "photo.png", *MODEL, "-o", "codes").returncode == 0
    assert run("decode", "codes/photo.npz", "-o", "back/deep").returncode == 0
    assert (photo.parent / "back" / "deep" / "photo.png").is_file()


def test_several_inputs_are_not_written_to_one_file(photo: Path, run: Run) -> None:
    Image(picture(8, 8)).save(photo.parent / "b.png")
    message = "both.VQC: several inputs are not written to one file; name a folder with -o"
    fails(run("encode", "photo.png", "b.png", *MODEL, "-o", "both.VQC"), 2, message, "such as both")
    assert names(photo.parent) == ["b.png", "photo.png"]
    (photo.parent / "both.vqc").mkdir()  # a folder that is there may be called as one likes
    assert run("encode", "photo.png", "b.png", *MODEL, "-o", "both.vqc").returncode == 0
    assert names(photo.parent / "both.vqc") == ["b.npz", "photo.npz"]
    assert run("decode", "both.vqc", "-o", "back-1.5").returncode == 0
    assert names(photo.parent / "back-1.5") == ["b.png", "photo.png"]
    fails(run("decode", "both.vqc", "-o", "all.png"), 2, "all.png: several inputs")


def test_colliding_outputs_are_an_error_before_any_work(tmp_path: Path, run: Run) -> None:
    for suffix in ("png", "bmp"):
        Image(picture(8, 8)).save(tmp_path / f"x.{suffix}")
    fails(run("encode", "x.png", "x.bmp", *MODEL), 2, "x.png and x.bmp")
    assert names(tmp_path) == ["x.bmp", "x.png"]


def test_nothing_is_overwritten_without_force(photo: Path, run: Run) -> None:
    (photo.parent / "photo.npz").write_bytes(b"precious")
    fails(run("encode", "photo.png", *MODEL), 1, "photo.npz: exists already", "--force")
    assert (photo.parent / "photo.npz").read_bytes() == b"precious"
    assert run("encode", "photo.png", *MODEL, "--force").returncode == 0
    fails(run("decode", "photo.npz", "-o", "photo.png"), 1, "exists already")


def test_links_that_lead_nowhere_are_not_replaced(photo: Path, run: Run) -> None:
    (photo.parent / "photo.npz").symlink_to("nowhere")
    fails(run("encode", "photo.png", *MODEL), 1, "exists already")
    assert (photo.parent / "photo.npz").is_symlink()


def test_json_tells_of_errors_too(run: Run) -> None:
    result = run("encode", "no.png", *MODEL, "--json")
    assert result.returncode == 1 and b"vqcodec: error: no.png" in result.stderr
    assert json.loads(result.stdout) == {"input": "no.png", "error": "no.png: no such file"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_named_pipes_are_read_once(photo: Path, run: Run) -> None:
    pipe = photo.parent / "pipe.png"
    os.mkfifo(pipe)
    with subprocess.Popen(["cp", "photo.png", "pipe.png"], cwd=photo.parent):
        result = run("encode", "pipe.png", *MODEL, "-o", "x.npz")
    assert result.returncode == 0, result.stderr


def test_awkward_names(photo: Path, run: Run) -> None:
    for name in ("two words", "𝄞 clef", "line\nbreak", "é" * 120):
        (photo.parent / f"{name}.png").write_bytes(photo.read_bytes())
        assert run("encode", f"{name}.png", *MODEL).returncode == 0
        assert (photo.parent / f"{name}.npz").is_file()
    fails(run("encode", "no\nsuch.png", *MODEL), 1, "no such.png: no such file")


def test_damaged_weights_do_not_stand_in_the_way(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VQCODEC_WEIGHTS", str(tmp_path))
    for name, text in (("bad", "{oops"), ("worse", '{"name": "worse", "codebook_id": "00000000"}')):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(text)
    result = run("models")
    assert result.returncode == 0 and b"image-f4" in result.stdout
    assert b"bad" in result.stderr and b"worse" in result.stderr


def test_an_output_that_is_the_input_is_refused(photo: Path, run: Run) -> None:
    before = photo.read_bytes()
    run("encode", "photo.png", *MODEL)
    (photo.parent / "sneaky.npz").write_bytes(before)
    fails(run("encode", "sneaky.npz", *MODEL, "--force"), 1, "is an input")
    fails(run("repack", "photo.npz", "-o", "photo.npz", "--force"), 1, "is an input")
    assert photo.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["encode"], "Missing argument"),
        (["encode", "photo.png", "--scale", "0"], "--scale is 0"),
        (["encode", "photo.png", "--scale", "nan"], "--scale is nan"),
        (["encode", "photo.png", "--format", "zip"], "no format 'zip'"),
        (["encode", "photo.png", "-o", "x.vqc", "--format", "npz"], "contradicts"),
        (["encode", "photo.png", "-o", "x.jpg"], "end in .npz or .vqc"),
        (["encode", "photo.png", "--background", "octarine"], "octarine"),
        (["encode", "photo.png", "--device", "tpu"], "no device 'tpu'"),
        (["encode", "photo.png", "--precision", "fp8"], "no precision 'fp8'"),
        (["encode", "-", "photo.png", "-o", "x"], "only input"),
        (["encode", "."], "name a folder of outputs"),
        (["repack", "photo.npz"], "say what to write"),
        (["decode", "photo.npz", "-o", "x.xyz"], "no picture format"),
        (["decode", "photo.npz", "-o", "x.ico"], "no picture format"),
        (["train", "image", ".", "-o", "r", "--preset", "nope"], "no preset named"),
        (["train", "image", ".", "-o", "r", "--set", "train.sedd=1"], "no setting"),
        (["train", "image", ".", "-o", "r", "--minutes", "0"], "--minutes"),
    ],
)
def test_wrong_usage_exits_2(photo: Path, run: Run, arguments: list[str], words: str) -> None:
    if arguments[0] == "encode" and "--model" not in arguments and len(arguments) > 1:
        arguments = [*arguments, *MODEL]
    fails(run(*arguments), 2, words)
    assert names(photo.parent) == ["photo.png"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["encode", "no.png", *MODEL], "no.png: no such file"),
        (["encode", "text.png", *MODEL], "text.png: not a picture"),
        (["encode", "empty.png", *MODEL], "empty.png: "),
        (["encode", "photo.png", "--model", "absent"], "no weights named 'absent'"),
        (["encode", "photo.png", "--model", "./absent"], "no such folder of weights"),
        (["encode", "photo.png", *MODEL, "-o", "no/such/text.png/x.npz"], "no/such"),
        (["decode", "text.png"], "text.png: not a vqcodec code file"),
        (["decode", "empty.png"], "empty.png: empty file"),
        (["decode", "photo.png"], "photo.png: not a vqcodec code file"),
        (["decode", "foreign.vqc"], "no weights named 'foreign'"),
        (["info", "no.npz"], "no.npz: no such file"),
        (["export", "no-run", "name", "-o", "w"], "no training run"),
        (["train", "image", "text.png", "-o", "r"], "none of the 1 pictures"),
        (["train", "image", "no", "-o", "r"], "no such file or folder"),
    ],
)
def test_bad_input_exits_1(photo: Path, run: Run, arguments: list[str], words: str) -> None:
    folder = photo.parent
    (folder / "text.png").write_text("hello")
    (folder / "empty.png").touch()
    run("encode", "photo.png", *MODEL, "-o", "good.npz")
    data = (folder / "good.npz").read_bytes()
    codes = Codes.from_bytes(data, "good")
    from dataclasses import replace

    replace(codes, model="foreign").save(folder / "foreign.vqc")
    if "no/such" in words:
        (folder / "no").touch()
    before = names(folder)
    fails(run(*arguments), 1, words)
    assert [n for n in names(folder) if n not in ("r",)] == before


def test_unwritable_and_full_disks(photo: Path, run: Run) -> None:
    if Path("/dev/full").exists():
        full = run("encode", "photo.png", *MODEL, "-o", "/dev/full", "--force")
        fails(full, 1, "/dev/full: cannot be written (No space")
    if os.geteuid() != 0:  # nothing is unwritable for root
        (photo.parent / "locked").mkdir(mode=0o500)
        fails(run("encode", "photo.png", *MODEL, "-o", "locked/x.npz"), 1, "cannot be written")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_interrupted_training_exits_130(photo: Path) -> None:
    command = [sys.executable, "-m", "vqcodec", "train", "image", "photo.png", "-o", "run"]
    process = subprocess.Popen(command, cwd=photo.parent, stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert b"1 pictures to train on" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130 and b"Traceback" not in error


def test_interrupted_imports_exit_130_and_say_nothing() -> None:
    code = (
        "import sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "import runpy; runpy.run_module('vqcodec', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_awkward_pictures_in_one_folder(tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    rgb = Pillow.fromarray(picture(9, 7))
    rgb.save(folder / "tiny.png")
    Pillow.new("RGB", (1, 1)).save(folder / "one.png")
    Pillow.new("RGB", (1, 400), "red").save(folder / "thin.png")
    rgb.convert("CMYK").save(folder / "cmyk.jpg")
    rgb.convert("P").save(folder / "palette.gif")
    rgb.convert("1").save(folder / "bits.tif")
    with_alpha = rgb.copy()
    with_alpha.putalpha(Pillow.linear_gradient("L").resize(rgb.size))
    with_alpha.save(folder / "alpha.png")
    result = run("encode", "in", *MODEL, "-o", "out", "--format", "vqc")
    assert result.returncode == 0, result.stderr
    assert run("decode", "out", "-o", "back").returncode == 0
    for path in folder.iterdir():
        assert Image.open(tmp_path / "back" / f"{path.stem}.png").size == Image.open(path).size
    alpha = Image.open(tmp_path / "back" / "alpha.png").alpha
    np.testing.assert_array_equal(alpha, np.asarray(with_alpha.getchannel("A")))


def test_background_flattens(tmp_path: Path, run: Run) -> None:
    Image(picture(8, 8), np.zeros((8, 8), np.uint8)).save(tmp_path / "x.png")
    assert run("encode", "x.png", *MODEL, "--background", "#102030").returncode == 0
    assert Codes.load(tmp_path / "x.npz").image.alpha is None


def test_models_lists_what_is_installed(run: Run) -> None:
    facts = [json.loads(line) for line in run("models", "--json").stdout.splitlines()]
    assert [f["codebook_size"] for f in facts if f["name"] == "tiny"] == [32]
