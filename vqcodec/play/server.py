"""A page on this computer alone that shows an imagined world, and takes keys.

One visitor at a time: whoever opens the page begins anew, and whoever had it open is told so. A
page of another site can neither steer nor look: every request needs the word that the page was
given, and the name that this server goes by.
"""

import io
import json
import secrets
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from vqcodec.errors import OutputError, VqcodecError
from vqcodec.media.image import Image
from vqcodec.play.keys import keys_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vqcodec.sampling.video import World

    Pixels = NDArray[np.uint8]

HOST = "127.0.0.1"
PAGE = "index.html"
MAX_BODY = 1024  # bytes of what a page may ask
PATIENCE = 10.0  # seconds that a connection may say nothing
POLICY = (
    "default-src 'none'; connect-src 'self'; img-src blob: data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'"
)


class Player(ThreadingHTTPServer):
    """Serves the page, and a frame for each action.

    Args:
        begin: makes a new world, and returns it with the frame to show first.
        actions: their names.
        facts: what the page says: ``model`` and ``size``, (height, width).
        port: to listen at; 0 for one that is free.

    Raises:
        OutputError: the port cannot be listened at.
        UsageError: there are more actions than keys.
    """

    daemon_threads, block_on_close = True, False

    def __init__(
        self,
        begin: "Callable[[], tuple[World, Pixels]]",
        actions: tuple[str, ...],
        facts: dict[str, Any],
        port: int = 0,
    ) -> None:
        """Listen; `serve_forever` answers."""
        self._begin, self.actions = begin, actions
        self._facts = {**facts, "keys": keys_of(actions)}
        self._lock = threading.Lock()  # one frame at a time
        self._word = ""
        self._world: World | None = None
        try:
            super().__init__((HOST, port), Visit)
        except OSError as error:
            raise OutputError(
                f"{HOST}:{port}: cannot be listened at ({error.strerror}); name another with --port"
            ) from None
        self.names = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report an error; that a visitor has left in the middle of an answer is none."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/"

    def page(self) -> bytes:
        """Return the page for a new visitor; that of another ends."""
        with self._lock:
            self._word, self._world = secrets.token_urlsafe(16), None
            facts = json.dumps({**self._facts, "word": self._word}).replace("<", "\\u003c")
        text = files("vqcodec.play").joinpath(PAGE).read_text(encoding="utf-8")
        return text.replace("__FACTS__", facts).encode()

    def frame(self, word: str, action: str | None, *, again: bool) -> bytes | None:
        """Return the next frame as PNG; None if another visitor has come.

        Args:
            word: that the page was given.
            action: that leads to it; None for none.
            again: begin anew instead.
        """
        with self._lock:
            if not secrets.compare_digest(word.encode(errors="replace"), self._word.encode()):
                return None
            if self._world is None or again:
                self._world, pixels = self._begin()
            else:
                pixels = self._world.step(action)
        picture = io.BytesIO()
        Image(pixels).write(picture, "PNG", "the frame")
        return picture.getvalue()


class Visit(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Player
    protocol_version, timeout = "HTTP/1.1", PATIENCE
    server_version, sys_version = "vqcodec", ""

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        """Give the page."""
        if not self._at_home():
            self._refuse(HTTPStatus.FORBIDDEN, "this is not the name of this server")
        elif self.path == "/":
            self._answer(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page())
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is one page, /")

    def do_POST(self) -> None:  # noqa: N802
        """Give a frame."""
        length = self.headers.get("Content-Length", "")
        if not self._at_home():
            self._refuse(HTTPStatus.FORBIDDEN, "this is not the name of this server")
        elif self.path != "/frame":
            self._refuse(HTTPStatus.NOT_FOUND, "frames are at /frame")
        elif not length.isdecimal() or int(length) > MAX_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "nothing can be sent but an action")
        else:
            self._frame(self.rfile.read(int(length)))

    def _frame(self, body: bytes) -> None:
        try:
            asked = json.loads(body)
            word, action, again = asked["word"], asked["action"], asked["again"]
        except (ValueError, KeyError, TypeError, RecursionError):
            word = None
        known = (None, *self.server.actions)
        if not isinstance(word, str) or not isinstance(again, bool) or action not in known:
            self._refuse(HTTPStatus.BAD_REQUEST, "no such action")
            return
        try:
            frame = self.server.frame(word, action, again=again)
        except VqcodecError as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
            return
        if frame is None:
            self._refuse(HTTPStatus.CONFLICT, "another page was opened since; reload to go on here")
        else:
            self._answer(HTTPStatus.OK, "image/png", frame)

    def _at_home(self) -> bool:
        """Return whether the request came to this server's own name, and not by way of another."""
        return self.headers.get("Host", "") in self.server.names

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self.close_connection = True
        self._answer(status, "text/plain; charset=utf-8", why.encode())

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("X-Frame-Options", "DENY")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal is not for that."""
