"""What somebody at a command line expects: quick answers, examples, completion, quiet."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow
from typer.main import get_command

from tests.cli.test_commands import fails
from tests.helpers import Run, picture, voice
from vqcodec.cli import build
from vqcodec.cli.console import rounded
from vqcodec.cli.examples import EXAMPLES
from vqcodec.config import preset_names
from vqcodec.media.image import Image

MODEL = ("--model", "tiny")
GOLDEN = Path(__file__).parents[1] / "golden"
WATCHED = """
import sys, vqcodec.cli
try:
    vqcodec.cli.main(sys.argv[1:])
except SystemExit as end:
    heavy = {"torch", "accelerate", "matplotlib"} & set(sys.modules)
    print(*heavy, file=sys.stderr)
    raise
"""


def vqcodec(
    folder: Path, *command: str, redirect: str = ""
) -> "subprocess.CompletedProcess[bytes]":
    """Run a command of its own, with its streams redirected by a shell."""
    line = f"{shlex.join([sys.executable, '-m', 'vqcodec', *command])} {redirect}"
    return subprocess.run(line, shell=True, cwd=folder, capture_output=True, check=False)


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("encode none.png", 1, "none.png: no such file"),
        ("encode none.wav", 1, "none.wav: no such file"),
        ("encode photo.png --model image-f5", 1, "no weights named 'image-f5'"),
        ("encode photo.png --model spoken", 1, "codes audio, not pictures"),
        ("encode photo.png", 1, "photo.npz: exists already"),
        ("decode none.npz", 1, "none.npz: no such file"),
        ("decode photo.png", 1, "photo.png: not a vqcodec code file"),
        ("decode photo.npz -o photo.png --model image-f5", 1, "no weights named 'image-f5'"),
        ("decode photo.npz -o photo.png", 1, "photo.png: exists already"),
        ("decode photo.npz -o x.xyz", 2, "no picture format"),
        ("convert-voice none.wav --speaker ann --model named", 1, "none.wav: no such file"),
        ("convert-voice talk.wav --speaker ann --model nope", 1, "no weights named 'nope'"),
        ("sample -o x.png --model nope", 1, "no weights named 'nope'"),
        ("sample -o photo.png", 1, "photo.png: exists already"),
        ("complete none.png", 1, "none.png: no such file"),
        ("inspect none.png", 1, "none.png: no such file"),
        ("inspect photo.png --model image-f5", 1, "no weights named 'image-f5'"),
        ("evaluate none -o r", 1, "none: no such file or folder"),
        ("evaluate photo.png -o r --model image-f5", 1, "no weights named 'image-f5'"),
        ("benchmark none.png", 1, "none.png: no such file"),
        ("train image none -o r", 1, "none: no such file or folder"),
        ("train image photo.png -o r --from nope", 1, "no weights named 'nope'"),
        ("train image photo.png -o r --set train.sed=1", 2, "did you mean train.seed or"),
        ("train prior photo.png -o r --codec nope", 1, "no weights named 'nope'"),
        ("export none mine", 1, "none: holds no training run"),
    ],
)
def test_trivial_faults_are_told_without_torch(
    photo: Path, spoken_weights: Path, named_weights: Path, command: str, code: int, words: str
) -> None:
    (photo.parent / "photo.npz").write_bytes((GOLDEN / "image-f4-plain.npz").read_bytes())
    (photo.parent / "photo.decoded.png").touch()
    voice(900).save(photo.parent / "talk.wav")
    watched = [sys.executable, "-c", WATCHED, *command.split()]
    done = subprocess.run(watched, cwd=photo.parent, capture_output=True, check=False)
    error, heavy, *rest = done.stderr.decode().splitlines()
    assert done.returncode == code and words in error and not rest, done.stderr
    assert heavy == ""


@pytest.mark.parametrize(
    ("command", "module", "extra"),
    [
        ("train image photo.png -o r", "accelerate", "train"),
        ("train prior photo.png -o r --codec tiny", "tensorboard", "train"),
        ("export . mine", "accelerate", "train"),
        ("inspect photo.png --model tiny", "matplotlib", "evaluate"),
        ("benchmark --growth g.png --model tiny", "matplotlib", "evaluate"),
    ],
)
def test_a_missing_extra_is_told_without_torch(
    photo: Path, command: str, module: str, extra: str
) -> None:
    code = f"import sys; sys.modules['{module}'] = None{WATCHED}"
    watched = [sys.executable, "-c", code, *command.split()]
    done = subprocess.run(watched, cwd=photo.parent, capture_output=True, check=False)
    error, heavy, *rest = done.stderr.decode().splitlines()
    assert done.returncode == 1 and f"{module} is not installed" in error and not rest, done.stderr
    assert f"vqcodec[{extra}]" in error and heavy.replace(module, "").strip() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="the shell closes streams")
def test_closed_and_full_streams(photo: Path) -> None:
    folder, codes = photo.parent, []
    for redirect in ("2>&-", ">&-", ">&- 2>&-"):
        done = vqcodec(folder, "encode", "photo.png", "--force", *MODEL, redirect=redirect)
        assert done.returncode == 0 and b"fault" not in done.stderr, done.stderr
        codes.append((folder / "photo.npz").read_bytes())
    assert len(set(codes)) == 1  # nothing that was meant for a stream went into a file
    done = vqcodec(folder, "encode", "photo.png", "-o", "-", *MODEL, redirect=">&-")
    fails(done, 1, "standard output is closed")
    fails(vqcodec(folder, "encode", "-", *MODEL, redirect="<&-"), 2, "standard input is closed")
    assert vqcodec(folder, "encode", "none.png", redirect="2>&-").returncode == 1
    if Path("/dev/full").exists():
        done = vqcodec(folder, "info", "photo.npz", redirect="> /dev/full")
        fails(done, 1, "standard output: No space left")


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_names_that_are_not_text(photo: Path, run: Run) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    photo.rename(photo.with_name(name))
    for command in (["encode", name], ["inspect", name], ["inspect", name, "--codes", "csv"]):
        result = run(*command, *MODEL)
        assert result.returncode == 0, result.stderr
    assert b"caf\\udce9.png -> caf\\udce9.npz" in run("encode", name, "--force", *MODEL).stdout
    assert json.loads(run("info", os.fsdecode(b"caf\xe9.npz"), "--json").stdout)["indices"] == 130
    result = run("evaluate", name, "-o", "report", "--against", "", *MODEL)
    assert result.returncode == 0, result.stderr


def test_an_output_below_what_is_no_folder(photo: Path, run: Run) -> None:
    result = run("encode", "photo.png", "-o", "photo.png/x.npz", *MODEL)
    fails(result, 1, "photo.png/x.npz: cannot be written (photo.png is not a folder)")
    if Path("/dev/null").exists():
        result = run("encode", "photo.png", "-o", "/dev/null/x.npz", *MODEL)
        fails(result, 1, "/dev/null is not a folder")


def test_a_folder_is_told_of_in_one_line(tmp_path: Path, run: Run) -> None:
    (tmp_path / "in").mkdir()
    for i in range(3):
        Image(picture(20, 20 + 4 * i, seed=i)).save(tmp_path / "in" / f"{i}.png")
    for name in ("notes.txt", "._0.png", ".hidden.jpg"):
        (tmp_path / "in" / name).write_text("nothing")
    result = run("encode", "in", "-o", "out", *MODEL)
    assert re.fullmatch(
        rb"3 of 3 files encoded: [\d,]+ -> [\d,]+ bytes, [\d.]+ times smaller, [\d.]+ s\n",
        result.stdout,
    )
    passed_over = b"vqcodec: passed over 3 other files (2 \xc3\x97 hidden, 1 \xc3\x97 .txt)\n"
    assert result.stderr == passed_over
    result = run("encode", "in", "-o", "out", "--force", "-v", *MODEL)
    assert result.stdout.count(b"\n") == 3 and result.stdout.count(b" indices") == 3
    result = run("encode", "in", "-o", "out", "--force", "-q", *MODEL)
    assert result.stdout == result.stderr == b""
    fails(run("encode", "in/none.png", "-q", *MODEL), 1, "none.png: no such file")
    result = run("encode", "in", "-o", "out", "--force", "-q", "--json", *MODEL)
    assert len([json.loads(line) for line in result.stdout.splitlines()]) == 3


def test_what_is_odd_of_a_picture_in_a_folder_is_still_told(tmp_path: Path, run: Run) -> None:
    (tmp_path / "in").mkdir()
    frames = [Pillow.new("L", (16, 16), shade) for shade in (0, 99)]
    frames[0].save(tmp_path / "in" / "two.tif", save_all=True, append_images=frames[1:])
    Image(picture(20, 20)).save(tmp_path / "in" / "one.png")
    result = run("encode", "in", "-o", "out", *MODEL)
    assert b"vqcodec: in/two.tif: " in result.stderr and b"2 of 2 files" in result.stdout


COMMANDS = [("vqcodec",), *(("vqcodec", *name.split()) for name in EXAMPLES)]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_is_whole_and_ends_with_examples(words: tuple[str, ...], run: Run) -> None:
    text = run(*words[1:], "--help").stdout.decode()
    assert "..." not in re.sub(r"(\[ARGS\]|\}|inputs\]?|data)\.\.\.", "", text)
    if len(words) > 1:
        examples = text.split("Examples:\n")[1].split("\n")
        assert [line.strip() for line in examples if line] == list(EXAMPLES[" ".join(words[1:])])


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_examples_can_be_parsed(line: str) -> None:
    command: Any = get_command(build())
    name, *arguments = shlex.split(line)
    while hasattr(command, "commands") and not arguments[0].startswith("-"):
        command = command.commands[arguments.pop(0)]
    if not hasattr(command, "commands"):
        assert command.make_context(line, arguments)


def test_a_command_loads_no_other() -> None:
    program = (
        "import sys\nfrom vqcodec.cli import COMMANDS, main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as end: assert end.code == 0\n"
        "modules = {place.partition(':')[0] for place in COMMANDS.values()}\n"
        "print(*(m for m in [*modules, 'numpy.ma', 'rich'] if m in sys.modules))"
    )
    command = [sys.executable, "-c", program, "info", str(GOLDEN / "image-f4-plain.npz")]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout.decode().splitlines()[-1] == "vqcodec.cli.files"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_can_complete(shell: str, tmp_path: Path) -> None:
    program = "import sys; sys.argv = ['vqcodec']; from vqcodec.cli import main; main([])"
    words = {"COMP_WORDS": "vqcodec enc", "COMP_CWORD": "1", "_TYPER_COMPLETE_ARGS": "vqcodec enc"}
    words |= {"_VQCODEC_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **words},
        capture_output=True,
        check=True,
    )
    assert b"encode" in done.stdout and b"decode" not in done.stdout


def test_presets_and_models_are_listed(run: Run, babbling_weights: Path) -> None:
    lines = run("train", "--list-presets").stdout.decode().splitlines()
    assert [line.split()[0] for line in lines] == preset_names()
    assert all(line.endswith(".") and len(line.split()) > 5 for line in lines)
    head, *rows = run("models").stdout.decode().splitlines()
    assert head.split() == ["name", "modality", "codes", "rate", "quality", "parts"]
    row = next(row for row in rows if row.startswith("babbling "))
    columns = re.split(r" {2,}", row)
    # 16 kHz, an index of 5 bits for 64 samples
    assert columns[:4] == ["babbling", "audio", "32", "1.25 kbit/s"]
    assert columns[-1] == "sampling prior, WaveNet, WaveNet without codes"
    assert str(babbling_weights) in run("models", "-v").stdout.decode()
    shipped = next(row for row in rows if row.startswith("image-f4 "))
    assert "0.562 bpp" in shipped and "coding prior, sampling prior" in shipped


def test_a_long_search_is_announced(
    photo: Path, run: Run, coded_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["encode", "photo.png", "--force", "--model", "coded", "--effort", "2"]
    assert run(*command).stderr == b""
    monkeypatch.setattr("vqcodec.cli.handlers.image.encode.LONG", 0.0)
    assert re.fullmatch(
        rb"vqcodec: the search takes up to about \d+ seconds\n", run(*command).stderr
    )
    command = ["encode", "photo.png", "-o", "x.vqc", "--model", "coded", "--target-bytes", "200"]
    assert run(*command).stderr.count(b"search takes") == 1
    assert run(*command, "--force", "-q").stderr == b""


def test_evaluate_and_train_take_a_device(
    photo: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for command in (
        ["evaluate", "photo.png", "-o", "r", *MODEL],
        ["train", "image", "photo.png", "-o", "r"],
        ["train", "prior", "photo.png", "-o", "r", "--codec", "tiny"],
    ):
        fails(run(*command, "--device", "cuda"), 2, "no CUDA device is available")
        fails(run(*command, "--device", "tpu"), 2, "there are: auto, cpu, cuda")
        assert not (photo.parent / "r").exists()
    result = run("evaluate", "photo.png", "-o", "r", "--against", "", "--device", "cpu", *MODEL)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.01234, "0.0123"), (4.561, "4.56"), (999.4, "999"), (999.6, "1,000"), (25500.4, "25,500")],
)
def test_numbers_are_rounded_without_exponents(number: float, text: str) -> None:
    assert rounded(number) == text
