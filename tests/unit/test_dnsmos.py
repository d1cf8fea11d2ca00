"""The opinion of listeners that is estimated from sound alone."""

import sys
import types

import pytest

from tests.helpers import voice
from vqcodec.metrics import dnsmos


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The package's own code, where all that it imports is installed."""
    unused = types.ModuleType("requests")
    unused.session = None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "requests", unused)
    pytest.importorskip("librosa", reason="needs the extra evaluate-speech")
    found: types.ModuleType = pytest.importorskip("speechmos.dnsmos")
    return found


@pytest.mark.parametrize("seconds", [3, 9.5, 12])
def test_it_is_what_the_package_gives(seconds: float, package: types.ModuleType) -> None:
    x = voice(round(seconds * 16000)).samples[0]
    expected = package.run(x, 16000)["ovrl_mos"]
    assert dnsmos.overall(x) == pytest.approx(expected, abs=1e-6)


def test_what_is_not_there_is_an_import_error(monkeypatch: pytest.MonkeyPatch) -> None:
    dnsmos.load.cache_clear()
    for package, words in (("no-such-package", "not installed"), ("numpy", "holds no speechmos")):
        monkeypatch.setattr(dnsmos, "PACKAGE", package)
        with pytest.raises(ImportError, match=words):
            dnsmos.load()
