"""Writing files whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from vqcodec.errors import OutputError


def check_absent(path: Path, *, force: bool) -> None:
    """Raise OutputError if `path` cannot be written: it is there, a folder, or below a file."""
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file")
    if not force and (path.exists() or path.is_symlink()):
        raise OutputError(f"{path}: exists already; use --force to overwrite it")
    above = next((p for p in path.parents if p.exists()), None)
    if above is not None and not above.is_dir():
        raise OutputError(f"{path}: cannot be written ({above} is not a folder)")


@contextlib.contextmanager
def writing(path: Path, *, force: bool) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its place when all has been written.

    Whatever goes wrong in between (an error, a full disk, Ctrl-C) leaves `path` as it was and the
    temporary file removed.

    Raises:
        OutputError: `path` exists and `force` is not given, or its folder cannot be written to.
    """
    check_absent(path, force=force)
    if path.exists() and not path.is_file():  # a device or a pipe: there is nothing to rename
        with _naming(path), path.open("wb") as file:
            yield file
        return
    temporary = path.with_name(f".vqcodec-{secrets.token_hex(8)}.tmp")
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with _naming(path):
        handle = os.open(temporary, flags, 0o666)
        try:
            with os.fdopen(handle, "w+b") as file:
                yield cast(BinaryIO, file)
            check_absent(path, force=force)  # something may have appeared there meanwhile
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn errors of the operating system into ones that name the output."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from None
