"""The rule by which many processes fill one folder: a shard's final name is its commit.

A shard is written under a temporary name, synced, and renamed. Whatever happens before, there is no
such shard; afterwards there is one, whole. Who works on a shard holds a lock on a file of its name,
which the system drops when the process ends in any way. Locks only save work: where a shared folder
ignores them, two processes can do one shard, and since both write the same bytes and rename them,
it is there once all the same.
"""

import contextlib
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from vqcodec.errors import OutputError

try:
    import fcntl
except ImportError:  # on Windows: the processes of one run share the work, those of two may not
    fcntl = None  # type: ignore[assignment]

HOME = "_vqcodec"  # folder of all that is no shard; readers pass over what begins with _
STALE = 3600.0  # seconds after which nobody writes a temporary file any more


@contextlib.contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Hold the lock of `path`, a file that is made for it; False if another process has it."""
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _lock(file)
    finally:
        os.close(file)  # and the lock with it


def _lock(file: int) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # no locks on this file system
        return True
    return True


@contextlib.contextmanager
def committing(path: Path, temporary: Path) -> Iterator[BinaryIO]:
    """Open a file that becomes `path`, synced, when all has been written; else nothing is left.

    Args:
        path: its name in the end; what is there is replaced.
        temporary: its name until then, without what tells one process from another.

    Raises:
        OutputError: it cannot be written.
    """
    temporary = temporary.with_name(f"{temporary.name}.{_host()}-{os.getpid()}.tmp")
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("w+b") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_folder(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def sweep(temporary: Path) -> None:
    """Remove what killed processes have left of `temporary`; for whoever holds the claim.

    What another machine wrote is left alone while it is fresh: its lock may not be seen here.
    """
    pattern = re.compile(re.escape(temporary.name) + r"\.([^.]+)-\d+\.tmp")
    with contextlib.suppress(OSError):
        for name in os.listdir(temporary.parent):
            found, path = pattern.fullmatch(name), temporary.parent / name
            if found and (found[1] == _host() or time.time() - path.stat().st_mtime > STALE):
                path.unlink()


def _host() -> str:
    return re.sub(r"[^\w-]", "-", socket.gethostname())


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn errors of the operating system into ones that name the output."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from None


def _sync_folder(folder: Path) -> None:
    """Let the new name survive a power cut, where folders can be synced."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
