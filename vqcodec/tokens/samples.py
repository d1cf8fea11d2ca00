"""The samples of a shard: the files that share a key, one of which is to be coded."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from vqcodec.data.sources import Source, is_hidden, walk
from vqcodec.errors import MediaError
from vqcodec.tokens.inputs import Shard, key_of

MAX_BYTES = 1 << 30  # of one file of a sample


@dataclass
class Sample:
    """One sample.

    Attributes:
        key: what readers know it by.
        name: of the file to code.
        data: its bytes.
        kept: bytes of other files to copy, by extension.
        problem: why it cannot be coded; empty where nothing is known to stand in the way.
        foreign: none of its files is to be coded.
        done: the part of the shard that has been read with it.
    """

    key: str
    name: str = ""
    data: bytes = b""
    kept: dict[str, bytes] = field(default_factory=dict)
    problem: str = ""
    foreign: bool = False
    done: float = 0.0


class Samples:
    """Reads the samples of a shard, in its order.

    Args:
        shard: where they are.
        suffixes: of media, in lower case.
        keep: extensions of files to copy.
        last_dot: a key in a tar ends at the last dot of a name (Lhotse's rule), not at the first
            (WebDataset's).
        wanted: which keys to read the files of; all by default.

    Raises:
        MediaError: on the way: the shard is damaged, gone, or changed while it was read.
    """

    def __init__(
        self,
        shard: Shard,
        suffixes: frozenset[str],
        keep: tuple[str, ...] = (),
        *,
        last_dot: bool = False,
        wanted: Callable[[str], bool] = lambda key: True,
    ) -> None:
        self.shard, self.suffixes, self.keep = shard, suffixes, keep
        self.last_dot, self.wanted = last_dot, wanted

    def __iter__(self) -> Iterator[Sample]:
        """Yield them."""
        try:
            yield from self._loose() if self.shard.files is not None else self._members()
        except OSError as error:
            where = error.filename or self.shard.path
            raise MediaError(f"{where}: cannot be read ({error.strerror or error})") from None

    def _loose(self) -> Iterator[Sample]:
        files = self.shard.files or ()
        for number, name in enumerate(files, 1):
            sample = Sample(key_of(name), name, done=number / len(files))
            sample.problem = fault_of(sample.key)
            if not sample.problem and self.wanted(sample.key):
                path = self.shard.path / name
                sample.data = _read_loose(path)
                beside = {ext: path.with_suffix(f".{ext}") for ext in self.keep}
                sample.kept = {e: _read_loose(p) for e, p in beside.items() if p.is_file()}
            yield sample

    def _members(self) -> Iterator[Sample]:
        path = self.shard.path
        seen: set[str] = set()
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            for key, members in self._grouped():
                last = members[-1][1]
                sample = self._sample(key, members, file)
                sample.done = min(1.0, (last.offset + last.size) / max(1, before.st_size))
                if key in seen:
                    sample.problem = f"another sample has the key '{key}' as well"
                seen.add(key)
                yield sample
            after = os.fstat(file.fileno())
        if _state(before) != _state(after) or _state(after) != _state(path.stat()):
            raise MediaError(f"{path}: changed while it was read; run again when it is complete")

    def _grouped(self) -> Iterator[tuple[str, list[tuple[str, Source]]]]:
        """Yield each key with its files, by extension, which lie side by side."""
        key, members = "", list[tuple[str, Source]]()
        for source in walk(self.shard.path):
            folder, _, base = source.name.rpartition("/")
            stem, _, extension = base.rpartition(".") if self.last_dot else base.partition(".")
            if is_hidden(source.name.removeprefix("./")) or not stem:
                continue
            its = f"{folder}/{stem}" if folder else stem
            if members and its != key:
                yield key, members
                members = []
            key = its
            members.append((extension.lower(), source))
        if members:
            yield key, members

    def _sample(self, key: str, members: list[tuple[str, Source]], file: BinaryIO) -> Sample:
        """Read the files of a sample."""
        media = [m for m in members if f".{m[0]}" in self.suffixes]
        media = media or [m for m in members if os.path.splitext(m[0])[1] in self.suffixes]
        sample = Sample(
            key, media[0][1].name if media else members[0][1].name, problem=fault_of(key)
        )
        if not media:
            sample.problem, sample.foreign = "holds nothing to code", True
        elif len(media) > 1 and not sample.problem:
            found = ", ".join(extension for extension, _ in media[:8])
            sample.problem = f"holds {len(media)} files to code, not one: {found}"
        if not sample.problem and self.wanted(key):
            sample.data = _read_member(media[0][1], file)
            sample.kept = {e: _read_member(s, file) for e, s in members if e in self.keep}
        return sample


def fault_of(key: str) -> str:
    """Return what is wrong with a key, of which names of files are made, if anything."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return "its name is no text"
    path = PurePosixPath(key)
    if path.is_absolute() or ".." in path.parts or "\0" in key or "\\" in key:
        return "its name leads out of the folder"
    return ""


def _read_member(source: Source, file: BinaryIO) -> bytes:
    if source.size > MAX_BYTES:
        raise MediaError(f"{source.path}: its {source.name} is larger than {MAX_BYTES >> 20} MiB")
    file.seek(source.offset)
    data = file.read(source.size)
    if len(data) != source.size:
        raise MediaError(f"{source.path}: truncated in its {source.name}")
    return data


def _read_loose(path: Path) -> bytes:
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        if before.st_size > MAX_BYTES:
            raise MediaError(f"{path}: larger than {MAX_BYTES >> 20} MiB")
        data = file.read(before.st_size + 1)
        if _state(os.fstat(file.fileno())) != _state(before) or len(data) != before.st_size:
            raise MediaError(f"{path}: changed while it was read; run again when it is complete")
    return data


def _state(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ino
