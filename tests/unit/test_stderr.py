"""What libmpg123 says is kept from standard error, and nothing else is."""

import os
import threading

import pytest

from vqcodec.media.stderr import complaints

NOTE, ERROR = b"\nWarning: Xing stream\n", b"[src/libmpg123/layer3.c:1845] error: too large\n"


def test_lines_of_libmpg123_are_counted_and_others_passed_on(
    capfd: pytest.CaptureFixture[str],
) -> None:
    heard: list[int] = []
    with complaints(heard.append):
        os.write(2, NOTE + ERROR + b"a line of mine\n" + ERROR)
    os.write(2, b"after\n")
    assert heard == [2]
    assert capfd.readouterr().err.split("\n") == ["", "a line of mine", "after", ""]


def test_threads_may_listen_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    heard: list[int] = []

    def work() -> None:
        for _ in range(50):
            with complaints(heard.append):
                os.write(2, ERROR)
                os.write(2, b"mine\n")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(heard) == 200
    assert capfd.readouterr().err == "mine\n" * 200


def test_errors_come_through(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="out"), complaints(lambda _: None):
        raise ValueError("out")
    os.write(2, b"still there\n")
    assert capfd.readouterr().err == "still there\n"
