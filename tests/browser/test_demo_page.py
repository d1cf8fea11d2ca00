"""The page that `vqcodec demo` writes, in a real browser: it codes as the command line does."""

import base64
import io
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from tests.browser.webdriver import Browser, programs
from tests.helpers import Run, picture
from vqcodec import Codec, Codes, Image
from vqcodec.demo.page import write_page
from vqcodec.demo.runtime import fetch_runtime
from vqcodec.errors import OutputError
from vqcodec.weights import read_weights

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(programs() is None, reason="no chromium and chromedriver on the PATH"),
]
ROOT = Path(__file__).parents[2]
PARROTS = ROOT / "examples" / "kodim23.png"
ENTER = "\ue007"  # the key, in the words of WebDriver
PAGE = "return document.getElementById(arguments[0]).textContent"


@pytest.fixture(scope="module")
def runtime() -> dict[str, bytes]:
    try:
        return fetch_runtime()
    except OutputError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def browser(folder: Path, runtime: dict[str, bytes]) -> Iterator[Browser]:
    """The page of `image-f4`, opened as a file."""
    page = write_page(Codec.load("image-f4", engine="onnx"), runtime, folder, force=False)
    found = programs()
    assert found
    with Browser(*found, saved=folder) as browser:
        browser.open(page)
        wait(browser, "Ready.")
        yield browser


def wait(browser: Browser, end: str) -> None:
    """Wait until the status ends so."""
    until = time.monotonic() + 120
    while not (said := str(browser.run(PAGE, "status"))).endswith(end):
        assert time.monotonic() < until and not browser.run(PAGE, "problem"), said
        time.sleep(0.05)


def code(browser: Browser, path: Path) -> Path:
    """Choose a picture, wait for its codes, save them by keyboard, and return where they are."""
    browser.type("#file", str(path))
    wait(browser, " s.")
    saved = path.with_suffix(".npz").name
    assert browser.run(PAGE, "save") == f"Save {saved}"
    browser.type("#save", ENTER)
    folder = browser.saved
    assert folder is not None
    until = time.monotonic() + 30
    while not (folder / saved).exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    return folder / saved


def canvas(browser: Browser, number: int) -> NDArray[np.uint8]:
    """Return the pixels of one of the pictures that are shown."""
    script = "return document.querySelectorAll('canvas')[arguments[0]].toDataURL()"
    data = base64.b64decode(browser.run(script, number).split(",")[1])
    return np.asarray(Pillow.open(io.BytesIO(data)).convert("RGB"))


def test_a_photograph_becomes_the_codes_that_the_command_line_makes(
    browser: Browser, folder: Path, run: Run, tmp_path: Path
) -> None:
    saved = code(browser, PARROTS)
    assert run("encode", PARROTS, "-o", "own.npz", "--model", "image-f4").returncode == 0
    page, own = Codes.load(saved), Codes.load(tmp_path / "own.npz")
    assert np.mean(page.grids[0] == own.grids[0]) >= 0.999
    with np.load(saved) as a, np.load(tmp_path / "own.npz") as b:
        assert [*a.files, "tint"] == b.files  # the page has codes alone
        told = json.loads(str(b["meta"]))
        assert json.loads(str(a["meta"])) | {"tint_step": told["tint_step"]} == told
    assert run("decode", saved, "-o", "back.png").returncode == 0
    back, shown = Image.open(tmp_path / "back.png").pixels, canvas(browser, 2)
    assert np.abs(back.astype(int) - shown).max() <= 1
    assert np.array_equal(canvas(browser, 0), Image.open(PARROTS).pixels)
    assert canvas(browser, 1).shape == (64, 96, 3)
    cards = browser.run(PAGE, "cards")
    assert f"{saved.stat().st_size:,} bytes" in cards
    assert "294,912 bytes" in cards and "6,912 bytes" in cards
    identity = read_weights(ROOT / "weights" / "image-f4").codebook_id.hex()
    assert "image-f4" in browser.run(PAGE, "about") and identity in browser.run(PAGE, "about")
    assert "42.67 times" in browser.run(PAGE, "about")


def test_sides_that_no_stride_divides_tiles_turned_pictures_and_transparency(
    browser: Browser, tmp_path: Path
) -> None:
    odd = Image(picture(301, 530, seed=3))
    odd.save(tmp_path / "odd.png")
    turned = Pillow.Exif()
    turned[0x0112] = 6  # to be turned by a quarter
    Pillow.fromarray(odd.pixels[:90, :50]).save(tmp_path / "turned.png", exif=turned)
    alpha = np.zeros((20, 30), np.uint8)
    clear = Pillow.fromarray(np.dstack([odd.pixels[:20, :30], alpha]))
    clear.save(tmp_path / "clear.png")
    codec = Codec.load("image-f4", engine="onnx")
    for name in ("odd", "turned"):
        original = Image.open(tmp_path / f"{name}.png")
        wanted = codec.encode(original)
        codes = Codes.load(code(browser, tmp_path / f"{name}.png"))
        assert codes.media.size == original.size == wanted.media.size
        assert np.mean(codes.grids[0] == wanted.grids[0]) >= 0.999
        decoded = codec.decode(codes).pixels
        assert np.abs(canvas(browser, 2).astype(int) - decoded).max() <= 1
    code(browser, tmp_path / "clear.png")
    assert (canvas(browser, 0) == 255).all()


def test_what_is_no_picture_is_one_sentence_and_the_page_goes_on(browser: Browser) -> None:
    drop = (
        "const data = new DataTransfer(); const file = arguments[0];"
        "if (file) data.items.add(new File([file], 'notes.txt'));"
        "document.getElementById('drop').dispatchEvent("
        "  new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}))"
    )
    for given, said in (
        ("hello", "notes.txt: not a picture that this browser can open."),
        ("", "That was no file: drop a picture from a folder."),
    ):
        browser.run(drop, given)
        until = time.monotonic() + 30
        while browser.run(PAGE, "problem") != said:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert browser.run("return document.getElementById('result').hidden")
    browser.type("#file", str(PARROTS))
    wait(browser, " s.")
    assert not browser.run("return document.getElementById('result').hidden")


def test_it_runs_alone_and_without_complaint(browser: Browser, folder: Path) -> None:
    assert browser.console() == []
    page = (folder / "index.html").as_uri()
    addresses = browser.requests()
    assert page in addresses
    assert all(a == page or a.split(":")[0] in ("data", "blob") for a in addresses)


@pytest.mark.graphs
def test_weights_of_several_maps(
    paired_weights: Path, runtime: dict[str, bytes], tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript")
    from vqcodec.codec.graphs import add_graphs

    folder = tmp_path / "paired"  # a copy: others go on with the weights as they are
    shutil.copytree(paired_weights, folder)
    add_graphs(read_weights(folder))
    codec = Codec.load(folder, engine="onnx")
    Image(picture(150, 203)).save(tmp_path / "odd.png")
    found = programs()
    assert found
    with Browser(*found, saved=tmp_path) as browser:
        browser.open(write_page(codec, runtime, tmp_path / "page", force=False))
        wait(browser, "Ready.")
        codes = Codes.load(code(browser, tmp_path / "odd.png"))
        wanted = codec.encode(Image.open(tmp_path / "odd.png"))
        assert len(codes.grids) == 2 and codes.codebook_sizes == wanted.codebook_sizes
        for grid, own in zip(codes.grids, wanted.grids, strict=True):
            assert np.mean(grid == own) >= 0.999
        decoded = codec.decode(codes).pixels
        assert np.abs(canvas(browser, 3).astype(int) - decoded).max() <= 1
