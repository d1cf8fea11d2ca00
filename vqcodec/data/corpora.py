"""Who speaks in recordings, and what they say.

A ``manifest.csv`` at the top of their folder or tar tells (columns ``path``, ``speaker``, ``text``
and ``language``, each but the first may lack), else the layout of a corpus that is known here, else
the name of the folder that a recording lies in.
"""

import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vqcodec.data.sources import Source, members
from vqcodec.data.tables import MANIFEST, read_limited, read_table
from vqcodec.errors import MediaError


@dataclass(frozen=True)
class CorpusLayout:
    """How a corpus, in English, arranges its files.

    Attributes:
        path: what the path of a recording ends with, but for its suffix; its groups are
            ``speaker``, ``id`` of what is said, and others that `text` needs.
        text: where that is written, from the recording's folder on.
        line: a line of it; groups ``text``, and ``id`` where the file is of several recordings.
    """

    path: str
    text: str
    line: str


LAYOUTS = (
    # LibriSpeech (openslr.org/12): its README.TXT, section 2.1
    CorpusLayout(
        r"(?P<speaker>\d+)/(?P<chapter>\d+)/(?P<id>(?P=speaker)-(?P=chapter)-\d+)",
        "{speaker}-{chapter}.trans.txt",
        r"(?P<id>\S+)\s+(?P<text>.+)",
    ),
    # VCTK (doi.org/10.7488/ds/2645), two microphones; before version 0.92 one. Speaker p315 has
    # no texts.
    CorpusLayout(
        r"wav\d+(?:_silence_trimmed)?/(?P<speaker>[ps]\d+)/(?P<id>(?P=speaker)_\d+)(?:_mic\d)?",
        "../../txt/{speaker}/{id}.txt",
        r"(?P<text>.+)",
    ),
    # LJSpeech (keithito.com/LJ-Speech-Dataset), of one speaker: id, text as printed, text as read;
    # no quotation marks around them
    CorpusLayout(
        r"wavs/(?P<id>(?P<speaker>LJ)\d{3}-\d+)",
        "../metadata.csv",
        r"(?P<id>[^|]+)\|(?:[^|]*\|)?(?P<text>[^|]+)\|?",
    ),
    # CMU ARCTIC (festvox.org/cmu_arctic)
    CorpusLayout(
        r"cmu_us_(?P<speaker>\w+)_arctic/\w+/(?P<id>arctic_[ab]\d+)",
        "../etc/txt.done.data",
        r'\(\s*(?P<id>\S+)\s+"(?P<text>.*)"\s*\)',
    ),
)
LANGUAGE = "en"  # of all of these


class Catalogue:
    """Tells of recordings who speaks and what is said; reads every table and text but once.

    A damaged manifest is an error, for it was made for this. Texts are an extra: of a file that
    cannot be read, and of lines that are no text, nothing is known.
    """

    def __init__(self) -> None:
        self._manifests: dict[Path, dict[PurePosixPath, dict[str, str]]] = {}
        self._tars: dict[Path, dict[str, Source]] = {}
        self._texts: dict[tuple[Path | None, str], dict[str, str]] = {}

    def speaker(self, source: Source) -> str:
        """Return who speaks in a recording.

        Raises:
            MediaError: the manifest is damaged.
        """
        if told := self._told(source, "speaker"):
            return told
        if known := _recognise(source):
            return known[1]["speaker"]
        return posixpath.basename(posixpath.dirname(_place(source)))

    def language(self, source: Source) -> str:
        """Return the language of a recording, such as ``en``; "" where nothing tells.

        Raises:
            MediaError: the manifest is damaged.
        """
        return self._told(source, "language") or (LANGUAGE if _recognise(source) else "")

    def text(self, source: Source) -> str:
        """Return what is said in a recording; "" where nothing tells.

        Raises:
            MediaError: the manifest is damaged.
        """
        told, known = self._told(source, "text"), _recognise(source)
        if told or known is None:
            return told
        layout, found = known
        folder = posixpath.dirname(_place(source))
        place = posixpath.normpath(f"{folder}/{layout.text.format(**found)}")
        key = (source.path if source.size >= 0 else None, place)
        if key not in self._texts:
            self._texts[key] = dict(self._read_texts(*key, layout.line))
        texts = self._texts[key]
        return texts.get(found["id"]) or texts.get("", "")

    def _told(self, source: Source, column: str) -> str:
        """Return what a manifest tells of a recording, "" without one."""
        path = PurePosixPath(source.name)
        root = source.path if source.size >= 0 else source.path.parents[len(path.parts) - 1]
        if root not in self._manifests:
            rows = read_table(root, MANIFEST)
            self._manifests[root] = {PurePosixPath(r["path"]): r for r in rows if r.get("path")}
        return (self._manifests[root].get(path, {}).get(column) or "").strip()

    def _read_texts(self, tar: Path | None, place: str, line: str) -> Iterator[tuple[str, str]]:
        """Yield what a file of texts says: pairs of an id, "" where it names none, and a text."""
        try:
            source = self._find(tar, place)
            data = b"" if source is None else read_limited(source)
        except MediaError:
            return
        for raw in data.removeprefix(b"\xef\xbb\xbf").splitlines():
            try:
                found = re.fullmatch(line, raw.decode().strip())
            except UnicodeDecodeError:
                continue
            if found and b"\0" not in raw:  # it would be in UTF-16, or no text at all
                yield found.groupdict().get("id", ""), found["text"].strip()

    def _find(self, tar: Path | None, place: str) -> Source | None:
        """Return a file by its whole path, in a tar or in the file system."""
        if tar is None:
            return Source(Path(place), Path(place).name) if Path(place).is_file() else None
        if tar not in self._tars:
            self._tars[tar] = {_place(member): member for member in members(tar)}
        return self._tars[tar].get(place)


def _recognise(source: Source) -> tuple[CorpusLayout, dict[str, str]] | None:
    """Return the layout that a recording is in, and the groups of its path."""
    end = posixpath.splitext(_place(source))[0]
    for layout in LAYOUTS:
        if found := re.fullmatch(f".*/{layout.path}", end, re.ASCII | re.DOTALL):
            return layout, found.groupdict()
    return None


def _place(source: Source) -> str:
    """Return the whole path of a recording; a tar counts as a folder of its name."""
    path = os.path.abspath(source.path)
    if source.size >= 0:
        path = os.path.join(os.path.splitext(path)[0], source.name)
    return posixpath.normpath(Path(path).as_posix())
