"""Bytes of a file, here and there, read as if they were a file of their own."""

import itertools
import os
from bisect import bisect_right
from collections.abc import Sequence
from typing import BinaryIO


class Spans:
    """Parts of a file that can seek, one after the other.

    Nothing is raised but what the file itself raises: whoever reads it here are C libraries, in
    whose callbacks an exception would be lost.
    """

    def __init__(self, file: BinaryIO, spans: Sequence[tuple[int, int]], head: bytes = b"") -> None:
        """Lay out the parts.

        Args:
            file: that they are of.
            spans: the place of the first byte of each, and that behind its last.
            head: bytes that come before them all.
        """
        self._file, self._spans, self._head = file, spans, head
        lengths = (end - start for start, end in spans)
        self._starts = list(itertools.accumulate(lengths, initial=len(head)))
        self._at = 0

    @property
    def length(self) -> int:
        """Bytes from the beginning to the end."""
        return self._starts[-1]

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; before the first byte is at it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def seekable(self) -> bool:
        """Tell that it goes back, too."""
        return True

    def read(self, count: int = -1) -> bytes:
        """Return the next `count` bytes, or all, fewer only at the end."""
        end = self._starts[-1] if count < 0 else min(self._at + count, self._starts[-1])
        parts = []
        while self._at < end:
            parts.append(self._piece(end - self._at))
            if not parts[-1]:  # the file has become shorter
                break
            self._at += len(parts[-1])
        return b"".join(parts)

    def _piece(self, count: int) -> bytes:
        """Return the next bytes, as many as lie together."""
        if self._at < len(self._head):
            return self._head[self._at : self._at + count]
        number = bisect_right(self._starts, self._at) - 1
        start, end = self._spans[number]
        start += self._at - self._starts[number]
        self._file.seek(start)
        return self._file.read(min(count, end - start))
