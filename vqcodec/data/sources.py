"""Where pictures and recordings lie: files, folders and uncompressed tars."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vqcodec.errors import MediaError
from vqcodec.media.image import picture_suffixes
from vqcodec.media.soundformats import SOUND_SUFFIXES


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
    def length(self) -> int:
        """Size of the file in bytes."""
        return self.path.stat().st_size if self.size < 0 else self.size

    def read(self) -> bytes:
        """Return the file's bytes."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


def find_sources(paths: list[Path], modality: str = "image") -> list[Source]:
    """List the pictures in files, folders (recursively) and uncompressed tars, sorted by name.

    Args:
        paths: where to look.
        modality: ``image``, or ``audio`` for recordings.

    Raises:
        MediaError: a path does not exist, a tar is damaged, or there is nothing of the kind at all.
    """
    suffixes, what = picture_suffixes(), "pictures"
    if modality == "audio":
        suffixes, what = SOUND_SUFFIXES, "recordings"
    found = [s for path in paths for s in _sources(path) if _suffix(s.name) in suffixes]
    if not found:
        raise MediaError(f"{', '.join(map(str, paths))}: no {what} found")
    return found


def _sources(root: Path) -> Iterator[Source]:
    if root.is_dir():
        files = sorted(f for f in root.rglob("*") if f.is_file())
    elif root.is_file():
        files = [root]
    else:
        raise MediaError(f"{root}: no such file or folder")
    for file in files:
        if _suffix(file.name) == ".tar":
            yield from members(file)
        else:
            yield Source(file, file.relative_to(root).as_posix() if file != root else file.name)


def members(path: Path) -> list[Source]:
    """List the files in an uncompressed tar, as they lie in it.

    Raises:
        MediaError: it is damaged, or no such tar.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            return [Source(path, m.name, m.offset_data, m.size) for m in tar if m.isfile()]
    except tarfile.TarError as error:
        raise MediaError(f"{path}: not an uncompressed tar file ({error})") from None


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()
