"""The server of `vqcodec play`: one page, one visitor, and nobody from elsewhere."""

import http.client
import io
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from tests.clips import animation, frames
from vqcodec.codec.sampling import SamplingParams
from vqcodec.errors import OutputError, UsageError
from vqcodec.play.keys import keys_of
from vqcodec.play.server import Player
from vqcodec.sampling.video import VideoSampler, World

GIVEN = frames(3)


@pytest.fixture(scope="module")
def sampler(walking_weights: Path) -> VideoSampler:
    return VideoSampler.load(walking_weights)


def begin(sampler: VideoSampler) -> tuple[World, NDArray[np.uint8]]:
    world = sampler.begin((24, 32), GIVEN, SamplingParams(seed=7))
    return world, list(world.shown())[-1]


@pytest.fixture
def player(sampler: VideoSampler) -> Iterator[Player]:
    facts = {"model": "walking</script>", "size": (24, 32)}
    with Player(lambda: begin(sampler), sampler.actions, facts) as player:
        thread = threading.Thread(target=player.serve_forever)
        thread.start()
        yield player
        player.shutdown()
        thread.join()


def ask(
    player: Player, method: str = "GET", path: str = "/", body: Any = None, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", player.server_port, timeout=10)
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    connection.request(method, path, data, headers)
    answer = connection.getresponse()
    found = answer.status, answer.read(), dict(answer.getheaders())
    connection.close()
    return found


def word_of(page: bytes) -> str:
    facts = re.search(rb'id="facts">(.*?)</script>', page)
    assert facts
    return str(json.loads(facts[1])["word"])


def frame(player: Player, word: str, action: str | None, again: bool = False) -> Any:
    status, data, _ = ask(
        player, "POST", "/frame", {"word": word, "action": action, "again": again}
    )
    if status != HTTPStatus.OK:
        return status, data.decode()
    return np.asarray(Pillow.open(io.BytesIO(data)))


def test_frames_are_those_that_python_imagines(player: Player, sampler: VideoSampler) -> None:
    status, page, headers = ask(player)
    assert status == HTTPStatus.OK and headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert page.count(b"</script>") == 2  # the model's name is no markup
    word = word_of(page)
    led = [None, "turn_left", "forward", "forward"]
    world, first = begin(sampler)
    expected = [first, *(world.step(action) for action in led[1:])]
    for _ in range(2):  # it begins anew, and goes on as before
        found = [frame(player, word, action, again=not i) for i, action in enumerate(led)]
        assert np.array_equal(found, expected)


def test_a_second_visitor_ends_the_visit_of_the_first(player: Player) -> None:
    first, second = (word_of(ask(player)[1]) for _ in range(2))
    assert frame(player, first, None) == (HTTPStatus.CONFLICT, (
        "another page was opened since; reload to go on here"
    ))  # fmt: skip
    assert frame(player, second, None).shape == (24, 32, 3)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", ""])
def test_other_names_of_the_server_are_refused(player: Player, host: str) -> None:
    assert ask(player, Host=host)[0] == HTTPStatus.FORBIDDEN
    assert ask(player, "POST", "/frame", b"{}", Host=host)[0] == HTTPStatus.FORBIDDEN
    assert ask(player, Host=f"localhost:{player.server_port}")[0] == HTTPStatus.OK


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", HTTPStatus.BAD_REQUEST),
        (b"[" * 1000, HTTPStatus.BAD_REQUEST),
        (b"\xff", HTTPStatus.BAD_REQUEST),
        ([], HTTPStatus.BAD_REQUEST),
        ({"word": "x", "action": "jump", "again": False}, HTTPStatus.BAD_REQUEST),
        ({"word": "x", "action": ["forward"], "again": False}, HTTPStatus.BAD_REQUEST),
        ({"word": 1, "action": None, "again": False}, HTTPStatus.BAD_REQUEST),
        ({"word": "\ud800", "action": None, "again": False}, HTTPStatus.CONFLICT),
        ({"word": "x", "action": None, "again": 1}, HTTPStatus.BAD_REQUEST),
        ({"word": "x", "action": None, "again": False}, HTTPStatus.CONFLICT),
        (b"x" * 2000, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    ],
    ids=str,
)
def test_what_else_is_sent_is_refused(player: Player, body: Any, status: HTTPStatus) -> None:
    ask(player)
    assert ask(player, "POST", "/frame", body)[0] == status
    assert ask(player)[0] == HTTPStatus.OK  # and it goes on


def test_there_is_one_page_and_it_is_only_here(player: Player) -> None:
    assert ask(player, path="/../secret")[0] == HTTPStatus.NOT_FOUND
    assert ask(player, "POST", "/", b"{}")[0] == HTTPStatus.NOT_FOUND
    assert ask(player, "PUT", "/", b"{}")[0] == HTTPStatus.NOT_IMPLEMENTED
    assert player.server_address[0] == "127.0.0.1"
    with socket.create_connection(
        ("127.0.0.1", player.server_port)
    ):  # who says nothing holds up nobody
        assert ask(player)[0] == HTTPStatus.OK
    with pytest.raises(OutputError, match="cannot be listened at"):
        Player(player._begin, (), {}, player.server_port)


def test_keys() -> None:
    names = ("forward", "turn_left", "turn_right", "move_left", "move_right", "shoot")
    arrows = ("ArrowUp", "ArrowLeft", "ArrowRight", "Shift+ArrowLeft", "Shift+ArrowRight", "6")
    assert keys_of(names) == dict(zip(names, arrows, strict=True))
    assert list(keys_of(("left", "west", "far-left")).values())[2] == "3"
    with pytest.raises(UsageError, match="there are 10 actions, and keys for 9"):
        keys_of(tuple("abcdefghij"))


def test_ctrl_c_ends_it(walking_weights: Path, tmp_path: Path) -> None:
    (tmp_path / "clip.gif").write_bytes(animation(GIVEN, [100] * 3, "GIF"))
    words = ["play", "--model", "walking", "--start", "clip.gif", "--given", "3"]
    process = subprocess.Popen(
        [sys.executable, "-m", "vqcodec", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    found = re.match(r"http://127\.0\.0\.1:(\d+)/ shows it, on this computer alone", line)
    assert found, line
    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=10)
    connection.request("GET", "/")
    assert connection.getresponse().status == HTTPStatus.OK
    connection.close()
    for _ in range(3):  # visitors who leave in the middle of an answer
        with socket.create_connection(("127.0.0.1", int(found[1]))) as leaving:
            leaving.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{found[1]}\r\n\r\n".encode())
            leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=20) == (b"", b"") and process.returncode == 130
