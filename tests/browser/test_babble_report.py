"""The page of an evaluation of babble in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.webdriver import Browser, programs
from tests.helpers import voice
from vqcodec.evaluate.unconditional import study as babble
from vqcodec.evaluate.unconditional.samplers import LABELS
from vqcodec.metrics import speechlike

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(programs() is None, reason="no chromium and chromedriver on the PATH"),
]
HOSTILE = "<img src=x onerror=window.hacked=1>.wav"


@pytest.fixture(scope="module")
def browser(babbling_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that shows a report on two recordings, one with a hostile name."""
    root = tmp_path_factory.mktemp("page")
    (root / "data").mkdir()
    for name in ("a.wav", HOSTILE):
        voice(12_000).save(root / "data" / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(babble, "METRICS", (speechlike.F0, speechlike.VOICED))
        model = str(babbling_weights)
        babble.UnconditionalStudy([root / "data"], root / "report", model=model, number=2).run()
    found = programs()
    assert found
    with Browser(*found) as browser:
        browser.open(root / "report" / "report.html")
        yield browser


def test_it_draws_itself_without_complaint(browser: Browser) -> None:
    assert browser.console() == []
    assert browser.run("return [...document.images].every(i => i.complete && i.naturalWidth > 0)")
    lines = "return [...document.querySelectorAll('#summary tbody tr')].map(r => r.innerText)"
    summary = [line.split("\t")[:2] for line in browser.run(lines)]
    assert summary == [[name, "2"] for name in LABELS.values()]
    assert browser.run("return document.querySelectorAll('#gallery audio').length") == 8
    assert browser.run("return document.querySelectorAll('#rows tbody tr').length") == 8


def test_names_are_text(browser: Browser) -> None:
    assert browser.run("return window.hacked") is None
    names = browser.run(
        "return [...document.querySelectorAll('#gallery h3')].map(h => h.innerText)"
    )
    assert set(names) == {"a.wav", HOSTILE}
