"""Actions beside videos: tables, lists, parts of tars, and what is wrong with them."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from vqcodec.data.actions import Actions
from vqcodec.data.sources import Source, members
from vqcodec.errors import MediaError

NAMES = ("forward", "turn_left", "turn_right")
TABLE = "file,frame,action\na.mp4,0,0\na.mp4,1,turn_left\na.mp4,2,\nb.mp4,1,2\nb.mp4,0,forward\n"


def source(folder: Path, name: str = "a.mp4") -> Source:
    return Source(folder / name, name)


def test_names_numbers_and_none(tmp_path: Path) -> None:
    (tmp_path / "actions.csv").write_text(TABLE)
    actions = Actions(NAMES)
    assert actions.of(source(tmp_path), 3) == [1, 2, 0]
    assert actions.of(source(tmp_path, "b.mp4"), 2) == [1, 3]
    assert actions.of(source(tmp_path, "b.mp4"), 3) == [1, 3, 0]  # the last frame leads nowhere
    assert actions.of(source(tmp_path, "c.mp4"), 3) is None


def test_a_mirror_swaps_left_and_right() -> None:
    actions = Actions((*NAMES, "left", "shoot", "step_left"))
    assert actions.mirrored([0, 1, 2, 3, 4, 5, 6]) == [0, 1, 3, 2, 4, 5, 6]


@pytest.mark.parametrize("found", [["forward", 2, None], {"actions": [0, "turn_right", ""]}])
def test_a_list_beside_a_video(tmp_path: Path, found: object) -> None:
    (tmp_path / "a.json").write_text(json.dumps(found))
    assert Actions(NAMES).of(source(tmp_path), 3) == [1, 3, 0]


def test_parts_of_a_tar_belong_to_their_folder(tmp_path: Path) -> None:
    path = tmp_path / "clips.tar"
    with tarfile.open(path, "w") as tar:
        for name, text in {
            "x/a.mp4": "",
            "y/a.mp4": "",
            "x/actions.csv": TABLE,
            "y/a.json": "[2, 2]",
            "z/a.mp4": "",
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    actions = Actions(NAMES)
    videos = [m for m in members(path) if m.name.endswith("mp4")]
    assert [actions.of(video, 3) for video in videos] == [[1, 2, 0], [3, 3, 0], None]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("actions.csv", "file,frame\na.mp4,0\n", "needs the columns file, frame, action"),
        ("actions.csv", "", "needs the columns"),
        ("actions.csv", "file,frame,action\na.mp4,x,0\n", "damaged near line 2"),
        ("actions.csv", "file,frame,action\na.mp4,0\n", "1 actions|3 frames and"),
        ("actions.csv", "file,frame,action\na.mp4,0,0\na.mp4,2,0\n", "lacks frames of a.mp4"),
        ("actions.csv", "file,frame,action\na.mp4,0,jump\na.mp4,1,0\n", "no action 'jump'"),
        ("actions.csv", "file,frame,action\na.mp4,0,3\na.mp4,1,0\n", "no action '3' among"),
        ("actions.csv", "file,frame,action\na.mp4,0,-1\na.mp4,1,0\n", "no action '-1'"),
        ("a.json", "[0]", "3 frames and 1 actions"),
        ("a.json", "[0, 0, 0, 0]", "3 frames and 4 actions"),
        ("a.json", "[0, true]", "no list of actions"),
        ("a.json", "[0, {}]", "no list of actions"),
        ("a.json", "7", "no list of actions"),
        ("a.json", "[0,", "not valid JSON"),
        ("a.json", "[" * 100_000, "not valid JSON"),
        ("a.json", "\udcff", "no text in UTF-8"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(MediaError, match=message) as found:
        Actions(NAMES).of(source(tmp_path), 3)
    assert "\n" not in str(found.value)
