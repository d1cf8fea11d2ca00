"""What C libraries write to standard error on their own."""

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

# "[src/libmpg123/layer3.c:1845] error: ...", "Warning: ...", "Note: ..."
COMPLAINT = re.compile(rb"(?m)^(?:\[[^\]\n]*libmpg123[^\]\n]*\].*|(?:Warning|Note): .*)\n?")

_lock = threading.Lock()
_users = 0
_own: int | None = None  # standard error, while it goes to a file
_caught: BinaryIO | None = None
_read = 0  # bytes of the file that were looked at


@contextlib.contextmanager
def complaints(hear: Callable[[int], object]) -> Iterator[None]:
    """Keep the lines that libmpg123 writes from standard error, and tell how many are errors.

    All else that comes there meanwhile, from other threads for instance, is passed on. Threads may
    do this at the same time; then a error counts for any one of them.
    """
    if not _begin():
        yield
        return
    try:
        yield
    finally:
        hear(_end())


def _begin() -> bool:
    global _users, _own, _caught, _read  # noqa: PLW0603
    if sys.__stderr__ is None or not hasattr(os, "pread"):  # closed: 2 may be any other file
        return False
    with _lock:
        if _own is None:
            try:
                caught = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
            except OSError:  # a full disk is no reason not to read
                return False
            try:
                own = os.dup(2)
            except OSError:
                caught.close()
                return False
            _flush()
            os.dup2(caught.fileno(), 2)
            _own, _caught, _read = own, cast(BinaryIO, caught), 0
        _users += 1
        return True


def _end() -> int:
    global _users, _own, _caught, _read  # noqa: PLW0603
    with _lock:
        assert _own is not None and _caught is not None
        _users -= 1
        own, caught = _own, _caught
        if not _users:
            _flush()
            os.dup2(own, 2)
            _own = _caught = None
        # its place is that of who writes to it, so it is not moved
        text = os.pread(caught.fileno(), os.fstat(caught.fileno()).st_size - _read, _read)
        if _users:  # another thread may be in the middle of a line
            text = text[: text.rfind(b"\n") + 1]
        _read += len(text)
        errors = sum(b"error" in line for line in COMPLAINT.findall(text))
        rest = COMPLAINT.sub(b"", text)
        if rest.strip():
            with contextlib.suppress(OSError):
                os.write(own, rest)
        if not _users:
            caught.close()
            os.close(own)
        return errors


def _flush() -> None:
    with contextlib.suppress(Exception):
        sys.stderr.flush()
