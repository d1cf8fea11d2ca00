"""A browser driven through chromedriver, in the words of the WebDriver standard."""

import base64
import io
import json
import shutil
import subprocess
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the standard's name of a reference
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--window-size=1300,1000",
    "--force-device-scale-factor=1",
]


def programs() -> tuple[str, str] | None:
    """Return where the browser and its driver are, if both are installed."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """One window; what it saves goes into the folder `saved`."""

    def __init__(self, browser: str, driver: str, saved: Path | None = None) -> None:
        self.saved = saved
        self._driver = subprocess.Popen(
            [driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            assert self._driver.stdout is not None
            said = next(line for line in self._driver.stdout if "started successfully" in line)
            self._url = f"http://localhost:{said.split()[-1].rstrip('.')}/session"
            chrome: dict[str, Any] = {"binary": browser, "args": ARGUMENTS}
            if saved is not None:
                chrome["prefs"] = {"download.default_directory": str(saved)}
            options = {
                "goog:chromeOptions": chrome,
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            }
            session = self._send("", {"capabilities": {"alwaysMatch": options}})
            self._url += f"/{session['sessionId']}"
        except BaseException:
            self._end()
            raise

    def __enter__(self) -> "Browser":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            self._send("", method="DELETE")
        finally:
            self._end()

    def open(self, path: Path) -> None:
        self.visit(path.as_uri())

    def visit(self, url: str) -> None:
        self._send("/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript and return what it returns."""
        return self._send("/execute/sync", {"script": script, "args": list(arguments)})

    def click(self, selector: str) -> None:
        self._send(f"/element/{self._find(selector)}/click", {})

    def type(self, selector: str, text: str) -> None:
        """Send keys to an element; to one that takes a file, its path."""
        self._send(f"/element/{self._find(selector)}/value", {"text": text})

    def drag(self, selector: str, start: float, stop: float) -> None:
        """Press at a share of an element's width, move to another, release."""
        box = self.run(
            "const e = document.querySelector(arguments[0]); e.scrollIntoView({block: 'center'});"
            "const r = e.getBoundingClientRect(); return [r.left, r.top, r.width, r.height];",
            selector,
        )
        x, y = ([round(box[0] + s * box[2]) for s in (start, stop)], round(box[1] + box[3] / 2))
        move = {"type": "pointerMove", "duration": 50, "y": y}
        actions = [
            {**move, "x": x[0]},
            {"type": "pointerDown", "button": 0},
            {**move, "x": x[1]},
            {"type": "pointerUp", "button": 0},
        ]
        self._send("/actions", {"actions": [{"type": "pointer", "id": "m", "actions": actions}]})

    def picture(self, selector: str) -> NDArray[np.uint8]:
        """Return what an element looks like, (H, W, 3)."""
        data = base64.b64decode(self._send(f"/element/{self._find(selector)}/screenshot"))
        return np.asarray(Pillow.open(io.BytesIO(data)).convert("RGB"))

    def console(self) -> list[str]:
        """Return what has been written to the console since the last call."""
        return [entry["message"] for entry in self._send("/se/log", {"type": "browser"})]

    def requests(self) -> list[str]:
        """Return the addresses that have been asked for since the last call."""
        entries = self._send("/se/log", {"type": "performance"})
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        return [
            m["params"]["request"]["url"]
            for m in messages
            if m["method"] == "Network.requestWillBeSent"
        ]

    def _find(self, selector: str) -> str:
        found = self._send("/element", {"using": "css selector", "value": selector})
        return str(found[ELEMENT])

    def _send(self, path: str, body: dict[str, Any] | None = None, method: str = "") -> Any:
        data = None if body is None else json.dumps(body).encode()
        kind = method or ("GET" if body is None else "POST")
        request = urllib.request.Request(self._url + path, data, method=kind)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def _end(self) -> None:
        self._driver.terminate()
        self._driver.wait(30)
        if self._driver.stdout is not None:
            self._driver.stdout.close()
