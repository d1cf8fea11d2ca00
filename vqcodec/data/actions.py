"""The actions that lead from each frame of a video to the next, written beside it.

Either a table ``actions.csv`` in the video's folder, or its part of a tar, with a row ``file,frame,
action`` for each frame of each video; or for ``clip.mp4`` a list in ``clip.json``, or there under
``actions``. An action is a name, or a number that a list of names gives its meaning; an empty one
is not known. The last frame's leads nowhere and may be left out.
"""

import csv
import io
import json
from pathlib import PurePosixPath

from vqcodec.data.sources import Source, members
from vqcodec.errors import MediaError

TABLE = "actions.csv"
COLUMNS = ("file", "frame", "action")
MAX_BYTES = 1 << 26  # of a table


class Actions:
    """What leads from frame to frame in some videos.

    Args:
        names: of all actions; a number is a place among them, from 0.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._beside: dict[object, dict[str, Source]] = {}
        self._tables: dict[Source, dict[str, dict[int, str]]] = {}

    def of(self, video: Source, frames: int) -> list[int] | None:
        """Return the actions of a video, one a frame, from 1; 0 where it is not known.

        None where nothing is written beside it.

        Args:
            video: a file, or a part of a tar.
            frames: how many it has.

        Raises:
            MediaError: they are damaged, unknown, or too few or too many.
        """
        told = self._told(video)
        if told is None:
            return None
        if not frames - 1 <= len(told) <= frames:
            raise MediaError(
                f"{video.name}: has {frames:,} frames and {len(told):,} actions; there must be one "
                "for each frame that another follows"
            )
        return [self.number(action, video.name) for action in told] + [0] * (frames - len(told))

    def number(self, action: str, name: str) -> int:
        """Return the number of an action, from 1; 0 if it is empty.

        Raises:
            MediaError: there is no such action.
        """
        if not action:
            return 0
        if action in self.names:
            return 1 + self.names.index(action)
        if action.isdecimal() and int(action) < len(self.names):
            return 1 + int(action)
        raise MediaError(
            f"{name}: there is no action '{action}' among {', '.join(self.names) or 'none'}; "
            'name yours, such as --set \'prior.actions=["up", "down"]\''
        )

    def mirrored(self, actions: list[int]) -> list[int]:
        """Return what leads from frame to frame in a mirror: by their names, left is right there.

        Args:
            actions: numbers, as `of` returns them.
        """
        swap = {"left": "right", "right": "left"}
        seen = ["_".join(swap.get(word, word) for word in n.split("_")) for n in self.names]
        number = {i: self.names.index(n) if n in self.names else i for i, n in enumerate(seen)}
        return [1 + number[action - 1] if action else 0 for action in actions]

    def _told(self, video: Source) -> list[str] | None:
        """Return what is written of a video, if anything."""
        inside = PurePosixPath(video.name)
        beside = self._all_beside(video)
        sidecar = beside.get(inside.with_suffix(".json").name)
        if sidecar is not None:
            return _listed(sidecar)
        table = beside.get(TABLE)
        if table is None:
            return None
        if table not in self._tables:
            self._tables[table] = _tabulated(table)
        rows = self._tables[table].get(inside.name)
        if rows is None:
            return None
        if sorted(rows) != list(range(len(rows))):
            raise MediaError(f"{table.name}: lacks frames of {inside.name}; count them from 0")
        return [rows[number] for number in range(len(rows))]

    def _all_beside(self, video: Source) -> dict[str, Source]:
        """Return the files that tell of actions in a video's folder, by name."""
        if video.size < 0:
            folder = video.path.parent
            names = (TABLE, video.path.with_suffix(".json").name)
            found = {n: Source(folder / n, n) for n in names if (folder / n).is_file()}
            return found
        place = PurePosixPath(video.name).parent
        key = video.path, place
        if key not in self._beside:
            self._beside[key] = {
                PurePosixPath(m.name).name: m
                for m in members(video.path)
                if PurePosixPath(m.name).parent == place and m.name.endswith((TABLE, ".json"))
            }
        return self._beside[key]


def _text(source: Source) -> str:
    if source.length > MAX_BYTES:
        raise MediaError(f"{source.name}: larger than any list of actions")
    try:
        return source.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MediaError(f"{source.name}: is no text in UTF-8") from None


def _listed(source: Source) -> list[str]:
    try:
        found = json.loads(_text(source))
    except (ValueError, RecursionError):
        raise MediaError(f"{source.name}: not valid JSON") from None
    if isinstance(found, dict):
        found = found.get("actions")
    if not isinstance(found, list) or not all(
        isinstance(a, int | str | None) and not isinstance(a, bool) for a in found
    ):
        raise MediaError(f"{source.name}: holds no list of actions, which are names or numbers")
    return ["" if action is None else str(action) for action in found]


def _tabulated(source: Source) -> dict[str, dict[int, str]]:
    """Return the actions of each file of a table, by frame."""
    rows = csv.DictReader(io.StringIO(_text(source)))
    found: dict[str, dict[int, str]] = {}
    try:
        if not set(COLUMNS) <= set(rows.fieldnames or ()):
            raise MediaError(f"{source.name}: needs the columns {', '.join(COLUMNS)}")
        for row in rows:
            own = found.setdefault(row["file"], {})
            own[int(row["frame"])] = (row["action"] or "").strip()
    except (csv.Error, ValueError, TypeError):
        raise MediaError(f"{source.name}: damaged near line {rows.line_num}") from None
    return found
