"""What is to be seen on a terminal: the bar is gone before results are printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import picture
from vqcodec.media.image import Image

pty = pytest.importorskip("pty")  # of Unix
ROWS, COLUMNS = 24, 100
MODEL = ("--model", "tiny")
CONTROL = re.compile(r"\x1b\[(\??[\d;]*)([A-Za-z])|([\r\n])|(\x1b.)|([^\x1b\r\n]+)")


class Screen:
    """As much of a terminal as bars make use of; `seen` are all states of it, newest last."""

    def __init__(self) -> None:
        self.lines, self.row, self.column = [""], 0, 0
        self.seen: list[list[str]] = []

    def feed(self, text: str) -> None:
        for match in CONTROL.finditer(text):
            numbers, letter, move, _, words = match.groups()
            count = int(numbers) if numbers and numbers.isdecimal() else 1
            if letter == "A":
                self.row = max(0, self.row - count)
            elif letter == "K":  # 2 all of the line, else what is right of the cursor
                keep = 0 if numbers == "2" else self.column
                self.lines[self.row] = self.lines[self.row][:keep]
            elif move == "\r":
                self.column = 0
            elif move == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif words:
                line = self.lines[self.row].ljust(self.column)
                end = self.column + len(words)
                self.lines[self.row] = line[: self.column] + words + line[end:]
                self.column = end
            elif letter not in ("m", "h", "l", None):
                raise AssertionError(f"unknown control sequence {match[0]!r}")
            self.seen.append([line.rstrip() for line in self.lines])


def watch(folder: Path, *command: str) -> Screen:
    """Run a command on a terminal of its own."""
    import fcntl
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color"}
    for name in ("COLUMNS", "LINES", "NO_COLOR"):
        environment.pop(name, None)
    words = [sys.executable, "-m", "vqcodec", *command]
    child = subprocess.Popen(
        words, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    data = b""
    try:
        while part := os.read(ours, 1 << 16):
            data += part
    except OSError:  # the other end is closed
        pass
    assert child.wait() == 0, data
    screen = Screen()
    screen.feed(data.decode())
    return screen


def ends(screen: Screen) -> list[str]:
    return [line for line in screen.seen[-1] if line]


def bars(screen: Screen) -> set[str]:
    """Return every line with a bar that was ever to be seen."""
    return {line for lines in screen.seen for line in lines if "━" in line}


def test_a_result_has_a_line_of_its_own(photo: Path) -> None:
    for command, words in (
        (["encode", "photo.png", *MODEL], "photo.png -> photo.npz: 40×52 pixels, "),
        (["decode", "photo.npz"], "photo.npz -> photo.decoded.png: 40×52 pixels"),
        (["inspect", "photo.png", *MODEL], "photo.png -> photo.inspect.png: "),
    ):
        screen = watch(photo.parent, *command)
        assert bars(screen), "no bar was shown"
        assert not any("->" in bar for bar in bars(screen))
        text = "".join(ends(screen))  # the terminal is narrow
        assert text.startswith(words) and "━" not in text


@pytest.mark.parametrize("verbose", [False, True])
def test_bars_count_the_files_of_a_folder(tmp_path: Path, verbose: bool) -> None:
    (tmp_path / "in").mkdir()
    for i in range(3):
        Image(picture(20, 20 + 4 * i, seed=i)).save(tmp_path / "in" / f"{i}.png")
    screen = watch(tmp_path, "encode", "in", "-o", "out", *MODEL, *(["-v"] if verbose else []))
    seen = " ".join(bars(screen))
    assert all(f"{done}/3" in seen for done in (0, 3))
    assert not any("->" in bar for bar in bars(screen))
    text = "\n".join(ends(screen))
    assert "━" not in text
    if verbose:
        assert len(re.findall(r"in/\d.png -> out/\d.npz: ", text)) == 3
    else:
        assert text.startswith("3 of 3 files encoded: ") and len(ends(screen)) == 1


def test_quiet_shows_no_bar(photo: Path) -> None:
    screen = watch(photo.parent, "encode", "photo.png", "-q", *MODEL)
    assert not bars(screen) and (not screen.seen or not ends(screen))
