"""What a video could go on like, on the command line: imagine, sample, train prior, export."""

import io
import json
import runpy
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from tests.clips import animation, clip, frames
from tests.helpers import Run
from vqcodec.codec.sampling import SamplingParams
from vqcodec.codec.video import VideoCodec
from vqcodec.sampling.video import VideoSampler

WALKING = ("--model", "walking")
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _walking(walking_weights: Path) -> None:
    """All of this file wants them."""


@pytest.fixture
def gif(tmp_path: Path) -> Path:
    path = tmp_path / "clip.gif"
    path.write_bytes(animation(frames(8), [100] * 8, "GIF"))
    return path


def shown(data: bytes) -> list[NDArray[np.uint8]]:
    with Pillow.open(io.BytesIO(data)) as picture:
        found = []
        for number in range(getattr(picture, "n_frames", 1)):
            picture.seek(number)
            found.append(np.asarray(picture.convert("RGB")))
        return found


def test_a_folder_of_imagined_frames_is_what_python_imagines(
    run: Run, gif: Path, tmp_path: Path
) -> None:
    actions = "forward*2, turn_left,move_left*2"
    found = run(
        *("imagine", gif, "--given", "3", "--frames", "5", "--actions", actions, "--seed", "1"),
        *("-o", "out.png", "--json", *WALKING),
    )
    facts = json.loads(found.stdout)
    assert (facts["given"], facts["imagined"], facts["frames"]) == (3, 5, 8)
    assert facts["actions"] == ["forward", "forward", "turn_left", "move_left", "move_left"]
    assert facts["duration"] == pytest.approx(0.8) and facts["seed"] == 1
    files = sorted((tmp_path / "out").glob("*.png"))
    written = [np.asarray(Pillow.open(file)) for file in files]
    sampler = VideoSampler.load("walking")
    given = np.stack(shown(gif.read_bytes())[:3])
    world = sampler.begin((24, 32), given, SamplingParams(seed=1))
    expected = [*world.shown(), *(world.step(action) for action in facts["actions"])]
    assert np.array_equal(written, expected)


def test_what_is_written_by_default_and_to_pipes(run: Run, gif: Path, tmp_path: Path) -> None:
    pytest.importorskip("av")
    found = run("imagine", gif, "--given", "2", "--frames", "3", *WALKING)
    assert b"clip.imagined.mp4: 3 frames imagined after 2 frames, of 32" in found.stdout
    assert (tmp_path / "clip.imagined.mp4").stat().st_size > 0
    piped = run("imagine", "-", "-o", "-", "--given", "2", *WALKING, stdin=gif.read_bytes())
    assert piped.stdout[4:8] == b"ftyp"


def test_frames_that_follow_none(run: Run, tmp_path: Path) -> None:
    asked = ("sample", *WALKING, "--size", "32x24", "--seed", "3")
    found = run(*asked, "--frames", "4", "--actions", "forward,turn_left*2", "-o", "walk.gif")
    assert b"walk.gif: 4 frames imagined, of 32\xc3\x9724 pixels" in found.stdout
    assert len(shown((tmp_path / "walk.gif").read_bytes())) == 4
    run(*asked, "--actions", "forward,turn_left*2", "-o", "again.gif")
    assert (tmp_path / "again.gif").read_bytes() == (tmp_path / "walk.gif").read_bytes()
    assert run(*asked, "-n", "4", "-o", "x.gif").returncode == 2  # pictures are counted so
    found = run("sample", "--actions", "forward", "--model", "tiny", "-o", "x.png")
    assert found.returncode == 2 and b"--actions is for videos, and tiny draws" in found.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--actions", "forward*3", "--frames", "4"), 2, "3 actions, and 4 frames follow another"),
        (("--actions", "forward*3", "--frames", "1"), 2, "3 actions, and 1 frame follows another"),
        (("--actions", "jump"), 2, "knows no action 'jump'; there are: forward, turn_left"),
        (("--actions", "forward*0"), 2, "'forward*0' is no action; write names"),
        (("--actions", "forward*x"), 2, "'forward*x' is no action"),
        (("--actions", "forward,,forward"), 2, "'' is no action"),
        (("--actions", "forward*9999,forward*9999"), 2, "19,998 actions, more than 10,000"),
        (("--given", "9"), 1, "clip.gif: has 8 frames, and --given asks for 9"),
        (("--model", "tiny"), 1, "has no sampling prior; train one with: vqcodec train prior"),
        (("--seed", "-1"), 2, "the seed is -1"),
        (("-o", "out.xyz"), 2, "no video format '.xyz'"),
        (("-o", "clip.gif"), 1, "clip.gif: is an input as well"),
    ],
)
def test_what_cannot_be_imagined(
    run: Run, gif: Path, tmp_path: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    asked = {"--model": "walking", "-o": "out.gif", "--given": "2", "--frames": None}
    asked |= dict(zip(words[::2], words[1::2], strict=True))
    options = [w for key, value in asked.items() if value is not None for w in (key, value)]
    found = run("imagine", gif, *options)
    assert found.returncode == code and message in found.stderr.decode(), found.stderr
    assert found.stderr.count(b"\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["clip.gif"]


def test_files_that_hold_no_frames(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("av")
    import av

    sound = io.BytesIO()
    with av.open(sound, "w", format="mp4") as output:
        track = output.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.float32), "fltp", "mono")
        frame.sample_rate = 16_000
        output.mux([*track.encode(frame), *track.encode(None)])
    (tmp_path / "sound.mp4").write_bytes(sound.getvalue())
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "torn.mkv").write_bytes(clip(frames())[:300])
    for name in ("sound.mp4", "empty.mp4", "torn.mkv", "none.mp4"):
        found = run("imagine", name, "-o", "out.gif", *WALKING)
        assert found.returncode == 1 and found.stderr.startswith(b"vqcodec: error: "), name
        assert name.encode() in found.stderr and found.stderr.count(b"\n") == 1
    assert not (tmp_path / "out.gif").exists()


@pytest.mark.parametrize("name", ["clip.npz", "clip.vqc"])
def test_codes_are_told_from_frames(run: Run, gif: Path, tmp_path: Path, name: str) -> None:
    assert run("encode", gif, "--video", "--model", "tiny", "-o", name).returncode == 0
    found = run("imagine", name, "-o", "out.gif", *WALKING)
    message = (
        f"vqcodec: error: {name}: holds codes, not frames; first make them with vqcodec decode"
    )
    assert found.returncode == 1 and found.stderr.decode().splitlines() == [message]
    assert not (tmp_path / "out.gif").exists()


def test_a_clip_of_one_frame(run: Run, tmp_path: Path) -> None:
    (tmp_path / "one.gif").write_bytes(animation(frames(1), [100], "GIF"))
    found = run("imagine", "one.gif", "--given", "1", "--frames", "2", "-o", "out.gif", *WALKING)
    assert b"2 frames imagined after 1 frame," in found.stdout


SMALL = (
    "train.steps=4", "train.evaluate_every=2", "train.batch_size=2", "train.warmup_steps=1",
    "prior.width=8", "prior.inner=8", "prior.layers=1", "prior.units=8", "prior.embedding=4",
    "prior.frames=2", 'prior.actions=["up", "down"]',
)  # fmt: skip


def test_a_prior_is_trained_exported_and_imagines(
    run: Run, tiny_weights: Path, tmp_path: Path
) -> None:
    pytest.importorskip("av")
    folder = tmp_path / "clips"
    folder.mkdir()
    for name, size in {"a": (24, 32), "b": (24, 32), "c": (32, 32), "d": (24, 32)}.items():
        (folder / f"{name}.mkv").write_bytes(clip(frames(6, *size)))
    rows = [f"{name}.mkv,{t},{t % 2}\n" for name in "abcd" for t in range(5)]
    (folder / "actions.csv").write_text("file,frame,action\n" + "".join(rows))
    (folder / "e.mkv").write_bytes(clip(frames(6)))
    (folder / "e.json").write_text('["up", "sideways", "up", "up", "up"]')
    shutil.copytree(tiny_weights, tmp_path / "own" / "tiny")
    settings = [word for setting in SMALL for word in ("--set", setting)]
    found = run("train", "prior", folder, "-o", "run", "--codec", "own/tiny", *settings)
    assert found.returncode == 0, found.stderr
    assert b"c.mkv: its frames are of another size" in found.stderr
    assert b"24 frames to train on, 6 to measure on" in found.stderr  # b and d, and in a mirror
    with np.load(tmp_path / "run" / "frames.npz") as kept:
        codes = VideoCodec.load("tiny").encode(frames(6)[:, :, ::-1].copy())
        assert np.array_equal(kept["train_map_0"][6:12], codes.grids[0])
    assert b"e.mkv: there is no action 'sideways' among up, down" in found.stderr
    assert run("export", "run", "tiny", "-o", "own").returncode == 0
    config = json.loads((tmp_path / "own" / "tiny" / "config.json").read_text())
    assert config["sampling_prior"]["modality"] == "video"
    held_out = config["sampling_prior"]["training"]["held_out"]
    assert set(held_out) == {"bits_per_index", "bits_per_frame", "bits_per_frame_saved_by_action"}
    text = (tmp_path / "own" / "tiny" / "README.md").read_text()
    assert "## Sampling prior" in text and "kind frames" in text
    asked = ("imagine", folder / "a.mkv", "--given", "3", "--model", "own/tiny", "-o", "out.gif")
    assert run(*asked, "--actions", "up,down*2").returncode == 0
    assert len(shown((tmp_path / "out.gif").read_bytes())) == 6
    assert b"knows no action 'forward'" in run(*asked, "--actions", "forward", "--force").stderr


def test_videos_without_actions_make_a_prior_without(
    run: Run, tiny_weights: Path, tmp_path: Path
) -> None:
    pytest.importorskip("av")
    (tmp_path / "a.mkv").write_bytes(clip(frames(6)))
    settings = [word for setting in SMALL for word in ("--set", setting)]
    found = run("train", "prior", "a.mkv", "-o", "run", "--codec", "tiny", *settings)
    assert found.returncode == 0 and b"there is no actions.csv" in found.stderr


def test_a_coding_prior_of_frames_is_trained_exported_and_codes(
    run: Run, tiny_weights: Path, tmp_path: Path
) -> None:
    pytest.importorskip("av")
    (tmp_path / "a.mkv").write_bytes(clip(frames(6)))
    (tmp_path / "actions.csv").write_text("file,frame,action\na.mkv,0,sideways\n")  # not read
    shutil.copytree(tiny_weights, tmp_path / "own" / "tiny")
    small = [word for setting in SMALL[:5] + SMALL[7:10] for word in ("--set", setting)]
    settings = ("--preset", "prior-coding-video", *small)
    found = run("train", "prior", "a.mkv", "-o", "run", "--codec", "own/tiny", *settings)
    assert found.returncode == 0, found.stderr
    assert b"actions" not in found.stderr
    assert run("export", "run", "tiny", "-o", "own").returncode == 0
    config = json.loads((tmp_path / "own" / "tiny" / "config.json").read_text())
    assert "sampling_prior" not in config and config["frame_prior"]["prior"]["coding"]
    assert "## Coding prior of frames" in (tmp_path / "own" / "tiny" / "README.md").read_text()
    encode = ("encode", "a.mkv", "--model", "own/tiny", "--rate-weight", "100", "--json")
    assert run(*encode, "-o", "a.vqc").returncode == 0
    found = run("encode", "a.mkv", "--quality", "50", "--model", "own/tiny", "-o", "b.vqc")
    assert found.returncode == 2 and b"has no qualities of video" in found.stderr
    found = run("encode", "a.mkv", "--rate-weight", "9", "--model", "tiny", "-o", "b.vqc")
    assert found.returncode == 2 and b"needs a coding prior of frames" in found.stderr


def test_the_figure(gif: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gif.write_bytes(animation(frames(16), [100] * 16, "GIF"))
    words = [str(tmp_path / "out.png"), str(gif), "--model", "walking"]
    monkeypatch.setattr(sys, "argv", ["examples/imagine.py", *words])
    runpy.run_path(str(ROOT / "examples" / "imagine.py"), run_name="__main__")
    with Pillow.open(tmp_path / "out.png") as picture:
        assert picture.size == (10 * 34 - 2, 5 * (24 + 14))
        rows = np.asarray(picture.convert("RGB"))[:, :32].reshape(5, 38, 32, 3)[:, 13:37]
    given = shown(gif.read_bytes())
    for row, number in ((0, 0), (1, 6)):  # in a palette of fewer colours
        errors = [np.abs(rows[row].astype(int) - frame).mean() for frame in given]
        assert int(np.argmin(errors)) == number
    assert not np.array_equal(rows[2], rows[3])


def test_ten_frames_come_quickly(run: Run, gif: Path) -> None:
    start = time.monotonic()
    assert run("imagine", gif, "--frames", "10", "-o", "out.gif", *WALKING).returncode == 0
    assert time.monotonic() - start < 10
