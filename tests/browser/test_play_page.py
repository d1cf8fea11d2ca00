"""The page of `vqcodec play`, in a real browser: keys lead to frames."""

import base64
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from tests.browser.webdriver import Browser, programs
from tests.clips import frames
from vqcodec.codec.sampling import SamplingParams
from vqcodec.play.server import Player
from vqcodec.sampling.video import VideoSampler, World

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(programs() is None, reason="no chromium and chromedriver on the PATH"),
]
TEXT = "return document.getElementById(arguments[0]).textContent"
PIXELS = """const image = document.getElementById("frame");
const canvas = document.createElement("canvas");
[canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
canvas.getContext("2d").drawImage(image, 0, 0); return canvas.toDataURL();"""
PRESS = """for (const kind of ["keydown", "keyup"])
dispatchEvent(new KeyboardEvent(kind, { key: arguments[0], shiftKey: arguments[1] }));"""


class Walk:
    """A server, the world that it walks through, and a browser that shows it."""

    def __init__(self, sampler: VideoSampler, browser: Browser, player: Player) -> None:
        self.sampler, self.browser, self.player = sampler, browser, player

    def begin(self) -> tuple[World, NDArray[np.uint8]]:
        return _begin(self.sampler)

    def pixels(self) -> NDArray[np.uint8]:
        data = base64.b64decode(self.browser.run(PIXELS).split(",")[1])
        return np.asarray(Pillow.open(io.BytesIO(data)).convert("RGB"))

    def wait(self, text: str, where: str = "status") -> None:
        until = time.monotonic() + 30
        while not str(self.browser.run(TEXT, where)).startswith(text):
            assert time.monotonic() < until, self.browser.run(TEXT, where)
            time.sleep(0.02)


def _begin(sampler: VideoSampler) -> tuple[World, NDArray[np.uint8]]:
    world = sampler.begin((24, 32), frames(2), SamplingParams(seed=5))
    return world, list(world.shown())[-1]


@pytest.fixture
def walk(walking_weights: Path) -> Iterator[Walk]:
    sampler, found = VideoSampler.load(walking_weights), programs()
    assert found
    facts = {"model": "walking", "size": (24, 32)}
    with Player(lambda: _begin(sampler), sampler.actions, facts) as player, Browser(*found) as page:
        thread = threading.Thread(target=player.serve_forever)
        thread.start()
        page.visit(player.url)
        yield Walk(sampler, page, player)
        player.shutdown()
        thread.join()


def test_keys_and_buttons_lead_to_frames(walk: Walk) -> None:
    walk.wait("0 frames imagined")
    world, first = walk.begin()
    assert np.array_equal(walk.pixels(), first)
    assert "drawn by walking" in walk.browser.run(TEXT, "about")
    labels = "return [...document.querySelectorAll('button')].map(b => b.textContent)"
    assert walk.browser.run(labels) == [
        "forward ↑",
        "turn left ←",
        "move left Shift ←",
        "turn right →",
        "begin anew r",
    ]
    pressed = [("ArrowLeft", False, "turn_left"), ("ArrowUp", False, "forward")]
    pressed.append(("ArrowLeft", True, "move_left"))
    for number, (key, shift, action) in enumerate(pressed, 1):
        walk.browser.run(PRESS, key, shift)
        walk.wait(f"{number} frames imagined")
        assert np.array_equal(walk.pixels(), world.step(action)), action
    walk.browser.run(PRESS, "x", False)  # which means nothing
    walk.browser.run(PRESS, "r", False)
    walk.wait("0 frames imagined")
    assert np.array_equal(walk.pixels(), first)
    walk.browser.click("[data-action=turn_left]")
    walk.wait("1 frames imagined")
    assert walk.browser.console() == []
    places = {address.split("?")[0] for address in walk.browser.requests()}
    ours = (walk.player.url, "blob:", "data:")
    assert all(place.startswith(ours) for place in places), places


def test_a_second_page_ends_the_first(walk: Walk) -> None:
    walk.wait("0 frames imagined")
    walk.player.page()  # as if another visitor had come
    walk.browser.run(PRESS, "ArrowUp", False)
    walk.wait("another page was opened since", "problem")
