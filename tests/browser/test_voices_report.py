"""The page of an evaluation of conversions in a real browser."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.webdriver import Browser, programs
from tests.helpers import voice
from vqcodec.evaluate.conversion import study as conversion

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(programs() is None, reason="no chromium and chromedriver on the PATH"),
]
HOSTILE = "<img src=x onerror=window.hacked=1>.wav"


@pytest.fixture(scope="module")
def browser(named_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that shows a report on recordings of three speakers, one with a hostile name."""
    root = tmp_path_factory.mktemp("page")
    for name in ("ann/a.wav", "Bob-2/a.wav", f"cy/{HOSTILE}"):
        (root / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        voice(12_000).save(root / "data" / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conversion, "PACKAGED", ())
        model, targets = str(named_weights), ["ann", "Bob-2"]
        study = conversion.ConversionStudy(
            [root / "data"], root / "report", model=model, targets=targets
        )
        study.run()
    found = programs()
    assert found
    with Browser(*found) as browser:
        browser.open(root / "report" / "report.html")
        yield browser


def test_it_draws_itself_without_complaint(browser: Browser) -> None:
    assert browser.console() == []
    assert browser.run("return [...document.images].every(i => i.complete && i.naturalWidth > 0)")
    lines = "return [...document.querySelectorAll('#summary tbody tr')].map(r => r.innerText)"
    summary = [line.split() for line in browser.run(lines)]
    assert [line[0] for line in summary] == ["ann", "Bob-2", "all", "plain"]
    assert [line[1] for line in summary[:3]] == ["2", "2", "4"]


def test_it_plays(browser: Browser) -> None:
    # two targets, and of three recordings the source, the reconstruction and what was converted
    script = "return [...document.querySelectorAll('audio')].map(a => a.duration || 0)"
    for _ in range(100):
        lengths = browser.run(script)
        if len(lengths) == 2 + 6 + 4 and all(lengths):
            break
        time.sleep(0.1)
    assert lengths == pytest.approx([0.75] * 12, abs=0.01)


def test_names_are_text(browser: Browser) -> None:
    assert browser.run("return window.hacked") is None
    names = browser.run(
        "return [...document.querySelectorAll('#gallery h3')].map(h => h.innerText)"
    )
    assert f"cy/{HOSTILE}" in names
