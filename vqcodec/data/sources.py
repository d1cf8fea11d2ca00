"""Where pictures and recordings lie: files, folders and uncompressed tars."""

import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vqcodec.errors import MediaError
from vqcodec.modality import IMAGE, Modality, load

TAR = ".tar"
ARCHIVES = frozenset((TAR, ".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".rar"))


@dataclass(frozen=True)
class Source:
    """One file, or one member of a tar: `size` bytes from `offset` (-1: the whole file).

    Attributes:
        path: the file or tar.
        name: its path below the folder, or in the tar, that was named.
        offset: where its bytes begin.
        size: how many there are.
    """

    path: Path
    name: str
    offset: int = 0
    size: int = -1

    @property
    def folder(self) -> str:
        """The first folder of its name; empty where it lies in none."""
        parts = [part for part in PurePosixPath(self.name).parts if part not in ("/", "..")]
        return parts[0] if len(parts) > 1 else ""

    @property
    def length(self) -> int:
        """Size of the file in bytes."""
        return self.path.stat().st_size if self.size < 0 else self.size

    def read(self) -> bytes:
        """Return the file's bytes."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


class Sources(list[Source]):
    """What was found, and what was passed over.

    Attributes:
        notes: what was passed over, a line for each reason, with a count.
    """

    notes: tuple[str, ...] = ()


def find_sources(paths: list[Path], modality: Modality = IMAGE) -> Sources:
    """List the media in files, folders (recursively) and uncompressed tars, sorted by name.

    Hidden files are passed over, such as those that macOS lays beside others on disks of another
    kind (``._1.wav``), unless they are named themselves.

    Args:
        paths: where to look.
        modality: what to look for.

    Raises:
        MediaError: a path does not exist, a tar is damaged, or there is nothing of the kind at all.
    """
    suffixes, what = load(modality.suffixes)(), f"{modality.file}s"
    found, passed = Sources(), Counter[str]()
    for path in paths:
        for source in _sources(path):
            named = source.path == path and source.size < 0
            if is_hidden(source.name) and not named:
                passed["hidden"] += 1
            elif is_archive(source.name):
                passed["archives; unpack them first"] += 1
            elif _suffix(source.name) not in suffixes:
                passed[f"no {what} by their suffix"] += 1
            else:
                found.append(source)
    found.notes = tuple(f"{number:,} passed over: {kind}" for kind, number in passed.items())
    if not found:
        raise MediaError(
            "; ".join([f"{', '.join(map(str, paths))}: no {what} found", *found.notes])
        )
    return found


def is_hidden(name: str) -> bool:
    """Tell whether a file, or a folder on the way to it, is hidden, by its path below a folder."""
    parts = PurePosixPath(name).parts
    return any((p.startswith(".") and p != "..") or p == "__MACOSX" for p in parts)


def is_archive(name: str) -> bool:
    """Tell by its name whether a file holds others that are not looked for."""
    return _suffix(name) in ARCHIVES


def _sources(root: Path) -> Iterator[Source]:
    if root.is_dir():
        files = sorted(f for f in root.rglob("*") if f.is_file())
    elif root.is_file():
        files = [root]
    else:
        raise MediaError(f"{root}: no such file or folder")
    for file in files:
        name = file.relative_to(root).as_posix() if file != root else file.name
        if _suffix(name) == TAR and not (is_hidden(name) and file != root):
            yield from members(file)
        else:
            yield Source(file, name)


def members(path: Path) -> list[Source]:
    """List the files in an uncompressed tar, as they lie in it.

    Raises:
        MediaError: it is damaged, truncated, or no such tar.
    """
    return list(walk(path))


def walk(path: Path) -> Iterator[Source]:
    """Yield the files in an uncompressed tar, as they lie in it; memory does not grow with them.

    Raises:
        MediaError: it is damaged, truncated, or no such tar.
    """
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]
                if member.isfile():
                    yield Source(path, member.name, member.offset_data, member.size)
            file.seek(tar.offset)  # where tarfile stops, and does not say why
            if file.read(tarfile.BLOCKSIZE).strip(b"\0") or file.tell() <= tar.offset:
                raise MediaError(f"{path}: damaged or truncated tar file")
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise MediaError(f"{path}: no uncompressed tar file, or truncated ({error})") from None


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()
