"""The page of a report on speech in a real browser: it plays, sorts, and runs nobody's code."""

import io
import json
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.webdriver import Browser, programs
from tests.helpers import voice
from vqcodec.evaluate.speech.study import SpeechStudy
from vqcodec.metrics import speech as quality

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(programs() is None, reason="no chromium and chromedriver on the PATH"),
]
HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror=window.hacked=1>.wav"


@pytest.fixture(scope="module")
def report(spoken_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on a tar of two recordings, one of them with a hostile name."""
    root = tmp_path_factory.mktemp("page")
    voice(16_000).save(root / "a.wav")
    data = (root / "a.wav").read_bytes()
    with tarfile.open(root / "set.tar", "w") as tar:
        for name in ("one.wav", HOSTILE):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality, "METRICS", (quality.MEL, quality.PITCH))
        model = str(spoken_weights)
        SpeechStudy([root / "set.tar"], root / "report", model=model, against=[]).run()
    return root / "report"


@pytest.fixture(scope="module")
def browser(report: Path) -> Iterator[Browser]:
    found = programs()
    assert found
    with Browser(*found) as browser:
        browser.open(report / "report.html")
        yield browser


def test_it_loads_alone_and_without_complaint(browser: Browser, report: Path) -> None:
    assert browser.console() == []
    page = (report / "report.html").as_uri()
    assert all(a == page or a.startswith("data:") for a in browser.requests())
    assert browser.run("return [...document.images].every(i => i.complete && i.naturalWidth > 0)")
    tree = json.loads((report / "results.json").read_text())
    cards = browser.run("return document.getElementById('cards').textContent")
    assert f"{tree['results']['kbps'][0]:.2f} kbit/s" in cards
    assert f"{tree['results']['log-mel'][0]:.2f} dB" in cards


def test_it_plays(browser: Browser) -> None:
    script = "return [...document.querySelectorAll('audio')].map(a => a.duration || 0)"
    for _ in range(100):
        lengths = browser.run(script)
        if len(lengths) == 4 and all(lengths):
            break
        time.sleep(0.1)
    assert lengths == pytest.approx([1, 1, 1, 1], abs=0.01)


def test_names_are_text_and_tables_sort(browser: Browser) -> None:
    assert browser.run("return window.hacked") is None
    names = "return [...document.querySelectorAll('#rows tbody tr')].map(r => r.cells[0].title)"
    assert browser.run(names) == [HOSTILE, "one.wav"]
    browser.run("document.querySelector('#rows th button').click()")
    assert browser.run(names) == ["one.wav", HOSTILE]
