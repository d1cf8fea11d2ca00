"""The page of a report in a real browser: it loads, compares and sorts, and runs nobody's code."""

import io
import json
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.browser.webdriver import Browser, programs
from tests.helpers import picture
from vqcodec import Codec, Image
from vqcodec.evaluate.image.study import ImageStudy

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(programs() is None, reason="no chromium and chromedriver on the PATH"),
]
WIDTH = 96
HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror=window.hacked=1>.png"


@pytest.fixture(scope="module")
def report(tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on a tar of three pictures, one of them with a hostile name."""
    root = tmp_path_factory.mktemp("page")
    with tarfile.open(root / "set.tar", "w") as tar:
        for seed, name in enumerate(["one.png", HOSTILE, "two.png"]):
            file = io.BytesIO()
            Image(picture(64, WIDTH, seed=seed)).write(file, "PNG", name)
            member = tarfile.TarInfo(name)
            member.size = len(file.getvalue())
            tar.addfile(member, io.BytesIO(file.getvalue()))
    model = str(tiny_weights)
    ImageStudy([root / "set.tar"], root / "report", model=model, against=["webp"]).run()
    return root / "report"


@pytest.fixture(scope="module")
def browser(report: Path) -> Iterator[Browser]:
    found = programs()
    assert found
    with Browser(*found) as browser:
        browser.open(report / "report.html")
        yield browser


def column(browser: Browser, number: int) -> list[str]:
    script = "return [...document.querySelectorAll('#rows tbody tr')].map(r => r.cells[%d].title"
    script += " || r.cells[%d].textContent)"
    found: list[str] = browser.run(script % (number, number))
    return found


def shown(browser: Browser, size: tuple[int, int]) -> NDArray[np.int64]:
    """Return the colours at the middle of every picture's pixel on the stage."""
    screen = browser.picture("#views .view").astype(np.int64)
    y, x = ((np.arange(n) + 0.5) * m / n for n, m in zip(size, screen.shape, strict=False))
    return screen[y.astype(int)[:, None], x.astype(int)[None]]


def test_it_loads_alone_and_without_complaint(browser: Browser, report: Path) -> None:
    assert browser.console() == []
    addresses = browser.requests()
    page = (report / "report.html").as_uri()
    assert page in addresses
    assert all(a == page or a.startswith("data:") for a in addresses)
    assert browser.run("return [...document.images].every(i => i.complete && i.naturalWidth > 0)")
    tree = json.loads((report / "results.json").read_text())
    assert f"{tree['results']['psnr-rgb'][-1]:.2f}" in browser.run(
        "return document.getElementById('cards').textContent"
    )


def test_names_are_text(browser: Browser) -> None:
    assert browser.run("return window.hacked") is None
    assert HOSTILE in column(browser, 0)


def test_the_slider_divides_what_the_codec_makes(browser: Browser, report: Path) -> None:
    name = browser.run("return document.querySelector('#strip button').dataset.name")
    with tarfile.open(report.parent / "set.tar") as tar:
        member = tar.extractfile(name)
        assert member is not None
        original = Image.open(io.BytesIO(member.read()))
    codec = Codec.load("tiny")
    decoded = codec.decode(codec.encode(original))
    for share in (0.25, 0.75):
        browser.drag("#views .view", 0.5, share)
        assert float(browser.run("return document.getElementById('position').value")) == (
            pytest.approx(100 * share, abs=2)
        )
        colours = shown(browser, original.size)
        edge = round(share * WIDTH)
        for part, pixels in (
            (slice(0, edge - 2), original.pixels),
            (slice(edge + 2, WIDTH), decoded.pixels),
        ):
            rows = slice(0, 50)  # the names of the layers are at the foot
            assert np.abs(colours[rows, part] - pixels[rows, part]).max() <= 2
    script = "const p = document.getElementById('position'); p.value = 10;"
    browser.run(script + "p.dispatchEvent(new Event('input'))")
    assert browser.run("return document.querySelector('.view .over').style.clipPath").endswith(
        "10%)"
    )


def choose(browser: Browser, side: str, value: str) -> None:
    script = "const s = document.getElementById(arguments[0]); s.value = arguments[1];"
    browser.run(script + "s.dispatchEvent(new Event('change'))", side, value)


def test_flicker_side_by_side_and_layers(browser: Browser) -> None:
    browser.click("[data-mode=flicker]")
    seen: set[Any] = set()
    end = time.monotonic() + 20
    while len(seen) < 2 and time.monotonic() < end:
        seen.add(browser.run("return document.querySelector('.view .over').style.visibility"))
    assert seen == {"visible", "hidden"}
    browser.click("[data-mode=beside]")
    for codec, label in (("codes", "code map"), ("webp", "WebP")):
        choose(browser, "b", codec)
        labels = "return [...document.querySelectorAll('#views img')].map(i => i.alt)"
        assert browser.run(labels) == ["original", label]
    browser.click("#strip button:last-child")
    assert browser.run("return document.getElementById('name').textContent") == browser.run(
        "return document.querySelector('#strip button:last-child').dataset.name"
    )
    browser.click("[data-mode=slider]")
    assert browser.console() == []


def test_the_table_sorts(browser: Browser) -> None:
    heads = browser.run("return [...document.querySelectorAll('#rows th')].map(h => h.textContent)")
    number = heads.index("PSNR dB")
    assert column(browser, 0) == sorted(column(browser, 0))
    values = sorted(map(float, column(browser, number)))
    selector = f"#rows th:nth-child({number + 1}) button"
    for expected, order in ((values, "ascending"), (values[::-1], "descending")):
        browser.click(selector)
        assert list(map(float, column(browser, number))) == expected
        sort = f"return document.querySelector('#rows th:nth-child({number + 1})').ariaSort"
        assert browser.run(sort) == order
    assert browser.console() == []
